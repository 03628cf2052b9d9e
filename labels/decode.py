"""Scores to entities and event types. Pure, and the same code in evaluation and in serving."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from labels.borders import Bond, bond, is_mark, name_starts
from labels.errors import AlignmentError
from labels.iob import Offsets
from labels.pairs import opens, pair_up
from labels.path import Bonds, best_legal_path, entity_runs
from labels.types import Span

Scores = npt.NDArray[np.float32]


@dataclass(frozen=True)
class DecodingRules:
    """What turns scores into answers, set on the dev split and kept with the model: a threshold in (0, 1) per event type,
    the `temperature` that event scores are divided by before the sigmoid, and `tag_temperature` for entity tags; a
    threshold for the pieces of triggers and one for each role, with the temperatures of both. With `whole_words` no entity
    ends within a word, nor begins within one but behind a proclitic; with `paired_marks` none holds one bracket or quote of
    a pair without the other."""

    thresholds: Mapping[str, float] = field(default_factory=dict)
    temperature: float = 1.0
    tag_temperature: float = 1.0
    trigger_threshold: float = 0.5
    trigger_temperature: float = 1.0
    role_thresholds: Mapping[str, float] = field(default_factory=dict)
    role_temperature: float = 1.0
    whole_words: bool = False
    paired_marks: bool = False

    def __post_init__(self) -> None:
        named = {**self.thresholds, **self.role_thresholds, "triggers": self.trigger_threshold}
        for name, value in named.items():
            if not 0 < value < 1:
                raise ValueError(f"the threshold of {name} must be in (0, 1), found {value}")
        for part in ("temperature", "tag_temperature", "trigger_temperature", "role_temperature"):
            if getattr(self, part) <= 0:
                raise ValueError(f"{part} must be above 0, found {getattr(self, part)}")

    @cached_property
    def lowest_threshold(self) -> float:
        """No type is answered below it."""
        return min([0.5, *self.thresholds.values()])


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
    paired_marks: bool = False,
) -> list[ScoredSpan]:
    """The best legal IOB2 tag sequence of `scores` `(pieces, tags)` as spans of `text`, which `offsets` point into.
    `borders` `(pieces, letters)` say how many proclitic letters stand before a name in its first piece. With `whole_words`
    the pieces of a word, proclitics apart, are all of one entity or all of none. With `paired_marks` brackets and quotes
    are in an entity together or not at all."""
    if scores.shape != (len(offsets), len(tags)):
        raise AlignmentError(f"scores of shape {scores.shape} for {len(offsets)} pieces and {len(tags)} tags")
    if borders is not None and (borders.ndim != 2 or len(borders) != len(offsets) or not borders.shape[1]):
        raise AlignmentError(f"border scores of shape {borders.shape} for {len(offsets)} pieces")
    if tags[0] == "O" and not scores.argmax(axis=1).any():
        return []  # no name anywhere is a legal path, and the likeliest: a third of all sentences end here
    textual = [i for i, (start, end) in enumerate(offsets) if start < end]
    if not textual:
        return []
    if len(textual) < len(offsets):
        scores, offsets = scores[textual], [offsets[i] for i in textual]
        borders = None if borders is None else borders[textual]
    log_probs = _log_softmax(scores / temperature)
    path = best_legal_path(log_probs, tags, _bonds(offsets, text, whole_words=whole_words, paired_marks=paired_marks))
    runs = entity_runs(path, tags)
    found: list[ScoredSpan] = []
    for rank, (first, last) in enumerate(runs):
        score = math.exp(sum([log_probs.item(i, path[i]) for i in range(first, last + 1)]) / (last + 1 - first))
        whole = grow_over_marks(Span(offsets[first][0], offsets[last][1]), text)
        # Of two names that begin in the pieces of one ligature neither is cut: they share a character, and one will go.
        if rank + 1 < len(runs) and whole.start < (following := offsets[runs[rank + 1][0]][0]) < whole.end:
            whole = Span(whole.start, following)
        if borders is not None:
            whole = mend_start(whole, offsets[first], borders[first], text)
        found.append(ScoredSpan(tags[path[first]][2:], whole, score))
    return _paired(found, text) if paired_marks else found


def _bonds(offsets: Offsets, text: str, *, whole_words: bool, paired_marks: bool) -> Bonds | None:
    if not (whole_words or paired_marks):
        return None

    def tie(at: int) -> Bond:
        before = offsets[at - 1]
        if paired_marks and opens(before[1] - 1, text):
            return Bond.LEAD
        return bond(before, offsets[at], text) if whole_words else Bond.NONE

    return tie


def _paired(found: Sequence[ScoredSpan], text: str) -> list[ScoredSpan]:
    """Each with both marks of a pair or neither; none grows into its neighbours."""
    mended: list[ScoredSpan] = []
    for rank, each in enumerate(found):
        since = mended[-1].span.end if mended else 0
        until = found[rank + 1].span.start if rank + 1 < len(found) else len(text)
        within = Span(min(since, each.span.start), max(until, each.span.end))
        mended.append(replace(each, span=pair_up(each.span, text, within)))
    return mended


def mend_start(span: Span, piece: tuple[int, int], scores: Scores, text: str) -> Span:
    """Take off the proclitics that a name's first piece begins with: as many letters as score highest in `scores`
    `(letters,)` among the counts that the piece allows. What is left is never empty and begins within the piece."""
    starts = [start for start in name_starts(piece, text) if start < span.end]
    if len(starts) < 2:
        return Span(starts[0], span.end) if starts else span
    return Span(starts[int(scores[: len(starts)].argmax())], span.end)


def grow_over_marks(span: Span, text: str) -> Span:
    """Take in the diacritics and tatweel that follow the last letter: a tokenizer that drops them ends its piece before
    them, but they belong to the name as written."""
    end = span.end
    while end < len(text) and is_mark(text[end]):
        end += 1
    return span if end == span.end else Span(span.start, end)


def event_probabilities(scores: Scores, temperature: float = 1.0) -> Scores:
    """Sentence scores `(windows, types)` to probabilities `(types,)`: the best window speaks for its sentence."""
    return sigmoid(np.maximum.reduce(scores, axis=0) / temperature)


def sigmoid(logits: Scores) -> Scores:
    """Without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * logits))  # type: ignore[no-any-return]


def decode_event_types(probabilities: Scores, types: Sequence[str], rules: DecodingRules) -> dict[str, float]:
    """The types at or above their threshold (0.5 where none is set), in the schema's order."""
    if probabilities.shape != (len(types),):
        raise AlignmentError(f"probabilities of shape {probabilities.shape} for {len(types)} event types")
    if np.maximum.reduce(probabilities, initial=0.0) < rules.lowest_threshold:
        return {}
    cuts = np.array([rules.thresholds.get(name, 0.5) for name in types], dtype=probabilities.dtype)
    return {types[i]: float(probabilities[i]) for i in np.flatnonzero(probabilities >= cuts).tolist()}


def _log_softmax(scores: Scores) -> Scores:
    shifted = scores - np.maximum.reduce(scores, axis=-1, keepdims=True)
    return shifted - np.log(np.add.reduce(np.exp(shifted), axis=-1, keepdims=True))
