"""Whether scores mean what they say: of the answers with a score near 0.8, eight in ten should be right."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from labels.types import Annotation, Prediction

BINS = 10
_SIDE, _MARGIN = 260, 46


@dataclass(frozen=True)
class Reliability:
    """`error` is the expected calibration error: the mean difference between score and share right over BINS bins of equal
    width, weighed by their answers (Guo et al., On Calibration of Modern Neural Networks, 2017). `bins` holds mean score,
    share right and number of answers of each bin that is not empty."""

    error: float
    bins: tuple[tuple[float, float, int], ...]

    @property
    def answers(self) -> int:
        return sum(count for *_, count in self.bins)


def reliability(scores: Sequence[float], right: Sequence[bool]) -> Reliability:
    values, hits = np.asarray(scores, dtype=np.float64), np.asarray(right, dtype=np.float64)
    places = np.minimum((values * BINS).astype(np.int64), BINS - 1)
    bins = []
    error = 0.0
    for place in range(BINS):
        inside = places == place
        if inside.any():
            score, share = float(values[inside].mean()), float(hits[inside].mean())
            error += abs(score - share) * float(inside.mean())
            bins.append((score, share, int(inside.sum())))
    return Reliability(error, tuple(bins))


def measure_reliability(pairs: Sequence[tuple[Annotation, Prediction]]) -> dict[str, Reliability]:
    """Of what was answered: entities (label and borders), event types, events (type and trigger's borders)."""
    answers: dict[str, list[tuple[float, bool]]] = {"entities": [], "events": [], "triggers": []}
    for annotation, prediction in pairs:
        entities = {(e.label, e.span) for e in annotation.entities}
        triggers = {(e.type, e.trigger) for e in annotation.events}
        answers["entities"] += [(e.score, (e.label, e.span) in entities) for e in prediction.entities]
        answers["events"] += [(score, name in annotation.event_types) for name, score in prediction.event_types.items()]
        answers["triggers"] += [(e.score, (e.type, e.trigger) in triggers) for e in prediction.events if e.trigger]
    return {
        part: reliability([score for score, _ in found], [hit for _, hit in found]) for part, found in answers.items() if found
    }


def reliability_svg(parts: Mapping[str, Reliability], title: str) -> str:
    """The reliability picture: a square each, bars of the share right, the diagonal where they should end."""
    width, height = _MARGIN + (_SIDE + _MARGIN) * len(parts), _SIDE + 2 * _MARGIN + 10
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/><text x="8" y="18" font-weight="bold">{escape(title)}</text>',
    ]
    for number, (name, part) in enumerate(parts.items()):
        left, bottom = _MARGIN + (_SIDE + _MARGIN) * number, _MARGIN + _SIDE
        for score, share, count in part.bins:
            x = left + min(int(score * BINS), BINS - 1) * _SIDE / BINS
            bar = f'x="{x:.1f}" y="{bottom - share * _SIDE:.1f}" width="{_SIDE / BINS - 2:.1f}" height="{share * _SIDE:.1f}"'
            lines.append(f'<rect {bar} fill="rgb(70,120,180)"><title>{count} answers</title></rect>')
        lines += [
            f'<rect x="{left}" y="{_MARGIN}" width="{_SIDE}" height="{_SIDE}" fill="none" stroke="black"/>',
            f'<line x1="{left}" y1="{bottom}" x2="{left + _SIDE}" y2="{_MARGIN}" stroke="black" stroke-dasharray="4"/>',
            f'<text x="{left}" y="{bottom + 18}">{escape(name)}: error {part.error:.3f} over {part.answers} answers</text>',
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"
