"""Scores to events: a trigger for each type that the sentence holds, and for each trigger who, whom and where.

Types come first, so that the types of a sentence and those of its events are always the same. Each type's trigger is
where its pieces score above the rules' threshold, or its best piece where none does; several runs of pieces are several
events. A role is filled with every entity of a fitting label whose product with the trigger is high enough; of mentions with
the same words the likeliest is taken, as the guide wants one mention of each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from labels.borders import is_one_word
from labels.decode import DecodingRules, ScoredSpan, Scores, grow_over_marks, sigmoid
from labels.iob import Offsets
from labels.schema import LabelSchema
from labels.scores import SentenceScores
from labels.types import Span

Flags = npt.NDArray[np.bool_]


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
    nobody: dict[str, tuple[int, ...]] = dict.fromkeys(schema.role_names, ())
    if scores.triggers is None:
        return [ScoredEvent(name, score, None, nobody) for name, score in types.items()]
    probabilities = sigmoid(scores.triggers / rules.trigger_temperature)
    places = [piece_range(entity.span, scores.offsets) for entity in entities]
    events = []
    for name, score in types.items():
        runs = trigger_runs(probabilities[:, schema.event_types.index(name)], scores.offsets, text, rules.trigger_threshold)
        highest = max((run.score for run in runs), default=0.0)
        for run in runs:
            span = grow_over_marks(Span(scores.offsets[run.first][0], scores.offsets[run.last][1]), text)
            roles = _fill_roles(run, text, entities, places, scores, schema, rules)
            events.append(ScoredEvent(name, score * (run.score / highest) if highest else score, span, roles))
        if not runs:
            events.append(ScoredEvent(name, score, None, nobody))
    return events


def trigger_runs(probabilities: Scores, offsets: Offsets, text: str, threshold: float) -> list[TriggerRun]:
    """Runs of pieces at or above `threshold`, whole words each; where there is none, the word of the highest piece with its
    neighbours above half of that. No run where no piece has a letter or digit."""
    textual = [i for i, (start, end) in enumerate(offsets) if any(map(str.isalnum, text[start:end]))]
    if not textual:
        return []
    values = probabilities[textual]
    hot = values >= threshold
    if not hot.any():
        best = int(values.argmax())
        hot = _around(values >= values[best] / 2, best)
    joined = [rank > 0 and is_one_word(offsets[textual[rank - 1]], offsets[i], text) for rank, i in enumerate(textual)]
    hot = _whole_words(hot, joined)
    runs = []
    start: int | None = None
    for rank in range(len(textual) + 1):
        inside = rank < len(textual) and bool(hot[rank])
        if inside and start is None:
            start = rank
        elif not inside and start is not None:
            runs.append(TriggerRun(textual[start], textual[rank - 1], float(values[start:rank].mean())))
            start = None
    return runs


def piece_range(span: Span, offsets: Offsets) -> tuple[int, int] | None:
    """First and last piece that `span` touches; None where it touches none."""
    touched = [i for i, (start, end) in enumerate(offsets) if max(start, span.start) < min(end, span.end)]
    return (touched[0], touched[-1]) if touched else None


def role_logits(queries: Scores, keys: Scores, trigger: tuple[int, int], entity: tuple[int, int], n_roles: int) -> Scores:
    """`(roles,)`: products of the mean query of the trigger's pieces and the mean key of the entity's."""
    query = queries[trigger[0] : trigger[1] + 1].mean(axis=0).reshape(n_roles, -1)
    key = keys[entity[0] : entity[1] + 1].mean(axis=0).reshape(n_roles, -1)
    return (query * key).sum(axis=1)  # type: ignore[no-any-return]


def _fill_roles(  # noqa: PLR0917
    run: TriggerRun,
    text: str,
    entities: Sequence[ScoredSpan],
    places: Sequence[tuple[int, int] | None],
    scores: SentenceScores,
    schema: LabelSchema,
    rules: DecodingRules,
) -> dict[str, tuple[int, ...]]:
    filled: dict[str, dict[tuple[str, str], tuple[float, int]]] = {name: {} for name in schema.role_names}
    for i, (entity, place) in enumerate(zip(entities, places, strict=True)):
        if place is None or scores.queries is None or scores.keys is None:
            continue
        logits = role_logits(scores.queries, scores.keys, (run.first, run.last), place, len(schema.roles))
        likely = sigmoid(logits / rules.role_temperature)
        for role, probability in zip(schema.roles, likely, strict=True):
            if entity.label in role.labels and probability >= rules.role_thresholds.get(role.name, 0.5):
                name, rival = (entity.label, entity.span.of(text)), filled[role.name]
                rival[name] = max(rival.get(name, (0.0, i)), (float(probability), i))
    return {role: tuple(sorted(i for _, i in found.values())) for role, found in filled.items()}


def _around(high: Flags, best: int) -> Flags:
    """Of the places that are `high`, those in one run with `best`."""
    kept = np.zeros(len(high), dtype=np.bool_)
    kept[best] = True
    for step in (-1, 1):
        at = best + step
        while 0 <= at < len(high) and high[at]:
            kept[at] = True
            at += step
    return kept


def _whole_words(hot: Flags, joined: Sequence[bool]) -> Flags:
    """Spread each hot piece over its word: `joined[i]` says that piece i goes on with the word of piece i - 1."""
    spread = hot.copy()
    for i in range(1, len(spread)):
        if joined[i] and spread[i - 1]:
            spread[i] = True
    for i in range(len(spread) - 1, 0, -1):
        if joined[i] and spread[i]:
            spread[i - 1] = True
    return spread
