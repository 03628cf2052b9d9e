"""Scores to entities and event types. Pure, and the same code in evaluation and in serving."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from labels.borders import is_mark, is_one_word, name_starts
from labels.errors import AlignmentError
from labels.iob import Offsets, decode_tags
from labels.types import Span

Scores = npt.NDArray[np.float32]


@dataclass(frozen=True)
class DecodingRules:
    """What turns scores into answers, set on the dev split and kept with the model: a threshold in (0, 1) per event type,
    the `temperature` that event scores are divided by before the sigmoid, and `tag_temperature` for entity tags; a
    threshold for the pieces of triggers and one for each role, with the temperatures of both. With `whole_words` no entity
    ends within a word, nor begins within one but behind a proclitic."""

    thresholds: Mapping[str, float] = field(default_factory=dict)
    temperature: float = 1.0
    tag_temperature: float = 1.0
    trigger_threshold: float = 0.5
    trigger_temperature: float = 1.0
    role_thresholds: Mapping[str, float] = field(default_factory=dict)
    role_temperature: float = 1.0
    whole_words: bool = False

    def __post_init__(self) -> None:
        named = {**self.thresholds, **self.role_thresholds, "triggers": self.trigger_threshold}
        for name, value in named.items():
            if not 0 < value < 1:
                raise ValueError(f"the threshold of {name} must be in (0, 1), found {value}")
        for part in ("temperature", "tag_temperature", "trigger_temperature", "role_temperature"):
            if getattr(self, part) <= 0:
                raise ValueError(f"{part} must be above 0, found {getattr(self, part)}")


@dataclass(frozen=True, slots=True)
class ScoredSpan:
    """An entity before it has an id. `score` is the geometric mean of its pieces' tag probabilities."""

    label: str
    span: Span
    score: float


def decode_entities(  # noqa: PLR0917
    scores: Scores,
    tags: Sequence[str],
    offsets: Offsets,
    text: str,
    temperature: float = 1.0,
    borders: Scores | None = None,
    *,
    whole_words: bool = False,
) -> list[ScoredSpan]:
    """The best legal IOB2 tag sequence of `scores` `(pieces, tags)` as spans of `text`, which `offsets` point into.
    `borders` `(pieces, letters)` say how many proclitic letters stand before a name in its first piece. With `whole_words`
    the pieces of a word, proclitics apart, are all of one entity or all of none."""
    if scores.shape != (len(offsets), len(tags)):
        raise AlignmentError(f"scores of shape {scores.shape} for {len(offsets)} pieces and {len(tags)} tags")
    if borders is not None and (borders.ndim != 2 or len(borders) != len(offsets) or not borders.shape[1]):
        raise AlignmentError(f"border scores of shape {borders.shape} for {len(offsets)} pieces")
    textual = [i for i, (start, end) in enumerate(offsets) if start < end]
    if not textual:
        return []
    log_probs = _log_softmax(scores[textual] / temperature)
    places = [offsets[i] for i in textual]
    joined = [whole_words and rank > 0 and is_one_word(places[rank - 1], place, text) for rank, place in enumerate(places)]
    path = best_legal_path(log_probs, tags, joined)
    spans = decode_tags([tags[t] for t in path], places)
    found = []
    for rank, tagged in enumerate(spans):
        pieces = range(tagged.first, tagged.last + 1)
        score = float(np.exp(np.mean([log_probs[i, path[i]] for i in pieces])))
        grown = grow_over_marks(tagged.span, text)
        following = spans[rank + 1].span.start if rank + 1 < len(spans) else grown.end
        whole = Span(grown.start, min(grown.end, following))
        if borders is not None:
            first = textual[tagged.first]
            whole = mend_start(whole, offsets[first], borders[first], text)
        found.append(ScoredSpan(tagged.label, whole, score))
    return found


def mend_start(span: Span, piece: tuple[int, int], scores: Scores, text: str) -> Span:
    """Take off the proclitics that a name's first piece begins with: as many letters as score highest in `scores`
    `(letters,)` among the counts that the piece allows. What is left is never empty and begins within the piece."""
    starts = [start for start in name_starts(piece, text) if start < span.end]
    return Span(starts[int(scores[: len(starts)].argmax())], span.end) if starts else span


def best_legal_path(log_probs: Scores, tags: Sequence[str], joined: Sequence[bool] | None = None) -> list[int]:
    """Viterbi over `(pieces, tags)` where I-x may only follow B-x or I-x, and at a `joined` piece, which goes on with the
    word of the piece before, must follow them, as O must follow O."""
    inside = np.array([tag.startswith("I-") for tag in tags])
    legal = np.array([[not b.startswith("I-") or a[2:] == b[2:] for b in tags] for a in tags])
    # What begins a word's second piece goes on: an entity with I-, and nothing with nothing.
    onward = legal & np.array([[b == a == "O" or b.startswith("I-") for b in tags] for a in tags])
    glued = np.zeros(len(log_probs), dtype=np.bool_) if joined is None else np.asarray(joined, dtype=np.bool_)
    likeliest = log_probs.argmax(axis=1)
    before, after = likeliest[:-1], likeliest[1:]
    if np.where(glued[1:], onward[before, after], legal[before, after]).all() and not inside[likeliest[0]]:
        return [int(t) for t in likeliest]  # no path scores higher, and most sentences end here
    steps = [np.where(allowed, 0.0, -np.inf) for allowed in (legal, onward)]  # (from, to)
    best = np.where(inside, -np.inf, log_probs[0])
    back = np.zeros(log_probs.shape, dtype=np.int64)
    for i in range(1, len(log_probs)):
        through = best[:, None] + steps[int(glued[i])]
        back[i] = through.argmax(axis=0)
        best = through.max(axis=0) + log_probs[i]
    path = [int(best.argmax())]
    for i in range(len(log_probs) - 1, 0, -1):
        path.append(int(back[i, path[-1]]))
    return path[::-1]


def grow_over_marks(span: Span, text: str) -> Span:
    """Take in the diacritics and tatweel that follow the last letter: a tokenizer that drops them ends its piece before
    them, but they belong to the name as written."""
    end = span.end
    while end < len(text) and is_mark(text[end]):
        end += 1
    return Span(span.start, end)


def event_probabilities(scores: Scores, temperature: float = 1.0) -> Scores:
    """Sentence scores `(windows, types)` to probabilities `(types,)`: the best window speaks for its sentence."""
    return sigmoid(scores.max(axis=0) / temperature)


def sigmoid(logits: Scores) -> Scores:
    """Without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * logits))  # type: ignore[no-any-return]


def decode_event_types(probabilities: Scores, types: Sequence[str], rules: DecodingRules) -> dict[str, float]:
    """The types at or above their threshold (0.5 where none is set), in the schema's order."""
    if probabilities.shape != (len(types),):
        raise AlignmentError(f"probabilities of shape {probabilities.shape} for {len(types)} event types")
    return {
        name: float(probability)
        for name, probability in zip(types, probabilities, strict=True)
        if probability >= rules.thresholds.get(name, 0.5)
    }


def _log_softmax(scores: Scores) -> Scores:
    shifted = scores - scores.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))  # type: ignore[no-any-return]
