"""Which threshold gives the precision that a user asks for, and what it costs in recall."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from labels.types import Annotation, Prediction

WANTED = (0.8, 0.9, 0.95)
FEWEST = 10
"""Of fewer answers no precision is read off."""


@dataclass(frozen=True)
class OperatingPoint:
    """The lowest `threshold` from which on the answers are right in the `wanted` share; `precision` and `recall` there, and
    how many answers are left."""

    wanted: float
    threshold: float
    precision: float
    recall: float
    answers: int


def operating_points(
    pairs: Sequence[tuple[Annotation, Prediction]], types: Sequence[str]
) -> dict[str, tuple[OperatingPoint, ...]]:
    """For each event type, judged per record, and for all of them together as `micro`, the points of WANTED that are reached
    with FEWEST answers or more. Thresholds below those that the predictions were made with are not seen: predict with
    `--threshold 0.02` to see them all."""
    found: dict[str, list[tuple[float, bool]]] = {name: [] for name in types}
    gold = dict.fromkeys(types, 0)
    for annotation, prediction in pairs:
        for name in annotation.event_types & gold.keys():
            gold[name] += 1
        for name, score in prediction.event_types.items():
            if name in found:
                found[name].append((score, name in annotation.event_types))
    together = [answer for answers in found.values() for answer in answers]
    points = {name: _points(answers, gold[name]) for name, answers in found.items()}
    points["micro"] = _points(together, sum(gold.values()))
    return {name: each for name, each in points.items() if each}


def _points(answers: Sequence[tuple[float, bool]], gold: int) -> tuple[OperatingPoint, ...]:
    if len(answers) < FEWEST or not gold:
        return ()
    ranked = sorted(answers, reverse=True)
    scores = np.array([score for score, _ in ranked])
    right = np.cumsum([hit for _, hit in ranked])
    counts = np.arange(1, len(ranked) + 1)
    # A threshold takes all answers of its score, so that it stands only where the next score is lower.
    allowed = np.append(scores[1:] < scores[:-1], True) & (counts >= FEWEST)
    precision = right / counts
    points = []
    for wanted in WANTED:
        places = np.flatnonzero(allowed & (precision >= wanted))
        if len(places):
            at = int(places[-1])
            points.append(
                OperatingPoint(wanted, float(scores[at]), float(precision[at]), float(right[at] / gold), int(counts[at]))
            )
    return tuple(points)


def operating_lines(points: Mapping[str, Sequence[OperatingPoint]]) -> list[str]:
    """A Markdown table: a row each type, a column each wanted precision."""
    lines = ["| type | " + " | ".join(f"{100 * wanted:.0f} % right" for wanted in WANTED) + " |"]
    lines.append("| --- |" + " --- |" * len(WANTED))
    for name, each in points.items():
        # Cut off and not rounded: rounded up it would leave out the answers that it stands for.
        shown = {point.wanted: int(10_000 * point.threshold) / 10_000 for point in each}
        known = {point.wanted: f"{shown[point.wanted]:.4f} (recall {100 * point.recall:.1f})" for point in each}
        lines.append(f"| {name} | " + " | ".join(known.get(wanted, "") for wanted in WANTED) + " |")
    return lines
