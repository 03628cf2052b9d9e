"""Scores to events: a trigger for each type that the sentence holds, and for each trigger who, whom and where.

Types come first, so that the types of a sentence and those of its events are always the same. Each type's trigger is
where its pieces score above the rules' threshold, or its best piece where none does; several runs of pieces are several
events. A role is filled with every entity of a fitting label whose product with the trigger is high enough; of mentions with
the same words the likeliest is taken, as the guide wants one mention of each.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

import numpy as np

from labels.borders import is_one_word
from labels.decode import DecodingRules, ScoredSpan, Scores, grow_over_marks, sigmoid
from labels.iob import Offsets
from labels.schema import LabelSchema
from labels.scores import SentenceScores
from labels.types import Span

# Pieces between a trigger and the names that it looks at. No sentence is as long: it bounds what a text without a full stop
# costs, which would grow with the square of its length.
_REACH = 512


@dataclass(frozen=True, slots=True)
class ScoredEvent:
    """An event before its entities have ids: `roles` maps a role to indexes of the sentence's entities."""

    type: str
    score: float
    trigger: Span | None
    roles: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class TriggerRun:
    """Pieces `[first, last]` that name one event; `score` is the mean of their probabilities."""

    first: int
    last: int
    score: float


def decode_events(  # noqa: PLR0917
    types: Mapping[str, float],
    entities: Sequence[ScoredSpan],
    scores: SentenceScores,
    text: str,
    schema: LabelSchema,
    rules: DecodingRules,
) -> list[ScoredEvent]:
    """One event or more for each of `types`, in the schema's order, those of a type as they stand in the text. Without a
    trigger head each type is one event without trigger and roles. An event's score is its type's, and less where another
    event of the type is the surer one."""
    if not types:
        return []
    nobody: dict[str, tuple[int, ...]] = dict.fromkeys(schema.role_names, ())
    if scores.triggers is None:
        return [ScoredEvent(name, score, None, nobody) for name, score in types.items()]
    logits = scores.triggers.T[[schema.event_types.index(name) for name in types]]  # (types, pieces)
    words = _Words(scores.offsets, text)
    links = _Links(entities, scores, text, schema, rules)
    events = []
    for (name, score), probabilities in zip(types.items(), sigmoid(logits / rules.trigger_temperature), strict=True):
        runs = words.runs(probabilities, rules.trigger_threshold)
        highest = max((run.score for run in runs), default=0.0)
        for run in runs:
            span = grow_over_marks(Span(scores.offsets[run.first][0], scores.offsets[run.last][1]), text)
            events.append(ScoredEvent(name, score * (run.score / highest) if highest else score, span, links.roles(run)))
        if not runs:
            events.append(ScoredEvent(name, score, None, nobody))
    return events


def trigger_runs(probabilities: Scores, offsets: Offsets, text: str, threshold: float) -> list[TriggerRun]:
    """Runs of pieces at or above `threshold`, whole words each; where there is none, the word of the highest piece with its
    neighbours above half of that. No run where no piece has a letter or digit."""
    return _Words(offsets, text).runs(probabilities, threshold)


class _Words:
    """The pieces of a sentence that may be of a trigger: those with a letter or digit. What is the same for every type is
    found once."""

    def __init__(self, offsets: Offsets, text: str) -> None:
        # Most pieces begin with a letter, and need no second look.
        self._pieces = [
            i
            for i, (start, end) in enumerate(offsets)
            if start < end and (text[start].isalnum() or any(map(str.isalnum, text[start:end])))
        ]
        self._rows = np.array(self._pieces, dtype=np.intp)
        self._offsets = offsets
        self._text = text

    def runs(self, probabilities: Scores, threshold: float) -> list[TriggerRun]:
        """See `trigger_runs`."""
        if not self._pieces:
            return []
        values = probabilities[self._rows]
        hot = (values >= threshold).tolist()
        if True not in hot:
            best = int(values.argmax())
            hot = _around((values >= values[best] / 2).tolist(), best)
        return [
            TriggerRun(self._pieces[start], self._pieces[end - 1], float(_mean(values, start, end)))
            for start, end in self._whole(hot)
        ]

    def _whole(self, hot: Sequence[bool]) -> list[tuple[int, int]]:
        """The runs `[start, end)` of `hot` places, spread over the words that they begin and end in."""
        found: list[tuple[int, int]] = []
        for place in [place for place, is_hot in enumerate(hot) if is_hot]:
            if found and place < found[-1][1]:
                continue
            start, end = place, place + 1
            while self._joined(start):
                start -= 1
            while end < len(hot) and (hot[end] or self._joined(end)):
                end += 1
            if found and start == found[-1][1]:  # its word begins where the last run ends
                start = found.pop()[0]
            found.append((start, end))
        return found

    def _joined(self, place: int) -> bool:
        """Whether a place goes on with the word of the one before."""
        pieces = self._pieces
        return place > 0 and is_one_word(self._offsets[pieces[place - 1]], self._offsets[pieces[place]], self._text)


def piece_range(span: Span, offsets: Offsets) -> tuple[int, int] | None:
    """First and last piece that `span` touches; None where it touches none."""
    return _PieceIndex(offsets).touched(span)


class _PieceIndex:
    """Where the pieces of a sentence stand, to be asked many times. Those that are not empty ascend."""

    def __init__(self, offsets: Offsets) -> None:
        self._pieces = [i for i, (start, end) in enumerate(offsets) if start < end]
        self._starts = [offsets[i][0] for i in self._pieces]
        self._ends = [offsets[i][1] for i in self._pieces]

    def touched(self, span: Span) -> tuple[int, int] | None:
        """See `piece_range`."""
        first, last = bisect_right(self._ends, span.start), bisect_left(self._starts, span.end) - 1
        return (self._pieces[first], self._pieces[last]) if first <= last else None


def role_logits(queries: Scores, keys: Scores, trigger: tuple[int, int], entity: tuple[int, int], n_roles: int) -> Scores:
    """`(roles,)`: products of the mean query of the trigger's pieces and the mean key of the entity's."""
    query = _mean(queries, trigger[0], trigger[1] + 1).reshape(n_roles, -1)
    key = _mean(keys, entity[0], entity[1] + 1).reshape(n_roles, -1)
    return (query * key).sum(axis=1)  # type: ignore[no-any-return]


class _Links:
    """The entities of a sentence as its triggers ask for them: all are tried at once."""

    def __init__(
        self, entities: Sequence[ScoredSpan], scores: SentenceScores, text: str, schema: LabelSchema, rules: DecodingRules
    ) -> None:
        self._roles, self._temperature = schema.role_names, rules.role_temperature
        self._queries = scores.queries
        self._placed: list[int] = []
        self._places: list[tuple[int, int]] = []  # first and last piece of each of them
        keys = []
        if scores.keys is not None:
            pieces = _PieceIndex(scores.offsets)
            for i, entity in enumerate(entities):
                if (place := pieces.touched(entity.span)) is not None:
                    self._placed.append(i)
                    self._places.append(place)
                    keys.append(_mean(scores.keys, place[0], place[1] + 1))
        if keys:
            self._keys = np.array(keys).reshape(len(keys), len(schema.roles), -1)
            self._fit = np.array([[entities[i].label in role.labels for role in schema.roles] for i in self._placed])
            cuts = [rules.role_thresholds.get(name, 0.5) for name in schema.role_names]
            self._cuts = np.array(cuts, dtype=self._keys.dtype)
        self._names = [(entity.label, entity.span.of(text)) for entity in entities]

    def roles(self, run: TriggerRun) -> dict[str, tuple[int, ...]]:
        """Which entities fill which role of the event that `run` names."""
        filled: dict[str, tuple[int, ...]] = dict.fromkeys(self._roles, ())
        if self._queries is None or not self._placed:
            return filled
        query = _mean(self._queries, run.first, run.last + 1).reshape(len(self._roles), -1)
        first = bisect_left(self._places, run.first - _REACH, key=itemgetter(1))
        near = slice(first, bisect_right(self._places, run.last + _REACH, key=itemgetter(0)))
        # `(entities, roles)`: the figures of `role_logits`, to the last digit.
        likely = sigmoid((query * self._keys[near]).sum(axis=2) / self._temperature)
        rivals: dict[tuple[int, str, str], tuple[float, int]] = {}
        for row, column in zip(*map(np.ndarray.tolist, np.nonzero((likely >= self._cuts) & self._fit[near])), strict=True):
            i = self._placed[first + row]
            mention = (column, *self._names[i])
            rivals[mention] = max(rivals.get(mention, (0.0, i)), (likely.item(row, column), i))
        for column, i in sorted((mention[0], i) for mention, (_, i) in rivals.items()):
            filled[self._roles[column]] += (i,)
        return filled


def _mean(rows: Scores, start: int, end: int) -> Scores:
    """Of the lines `[start, end)`: what `rows[start:end].mean(axis=0)` gives, in a third of the time."""
    if end - start == 1:
        return rows[start]  # type: ignore[no-any-return]
    return np.add.reduce(rows[start:end], axis=0) / (end - start)  # type: ignore[no-any-return]


def _around(high: Sequence[bool], best: int) -> list[bool]:
    """Of the places that are `high`, those in one run with `best`."""
    start, end = best, best + 1
    while start > 0 and high[start - 1]:
        start -= 1
    while end < len(high) and high[end]:
        end += 1
    return [start <= place < end for place in range(len(high))]
