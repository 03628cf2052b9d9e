"""Scores of one sentence to all that is read out of them: the one way that evaluation and serving take."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from labels.decode import (
    DecodingRules,
    ScoredSpan,
    decode_entities,
    decode_event_types,
    event_probabilities,
)
from labels.events import ScoredEvent, decode_events
from labels.schema import LabelSchema
from labels.scores import SentenceScores


@dataclass(frozen=True, slots=True)
class Reading:
    """What the model made of one sentence; spans count from its start. `shared` entities were left out because each
    shared a character with a likelier one."""

    entities: tuple[ScoredSpan, ...] = ()
    types: Mapping[str, float] = field(default_factory=dict)
    events: tuple[ScoredEvent, ...] = ()
    shared: int = 0


def read_sentence(scores: SentenceScores, text: str, schema: LabelSchema, rules: DecodingRules) -> Reading:
    """Entities, types, and events whose roles point at the entities."""
    found: list[ScoredSpan] = []
    if scores.tags is not None and schema.tags:
        found = decode_entities(
            scores.tags,
            schema.tags,
            scores.offsets,
            text,
            rules.tag_temperature,
            scores.borders,
            whole_words=rules.whole_words,
            paired_marks=rules.paired_marks,
        )
    entities = _apart(found)
    types: dict[str, float] = {}
    if scores.events is not None and schema.event_types:
        probabilities = event_probabilities(scores.events, rules.temperature)
        types = decode_event_types(probabilities, schema.event_types, rules)
    events = decode_events(types, entities, scores, text, schema, rules)
    return Reading(tuple(entities), types, tuple(events), len(found) - len(entities))


def _apart(entities: list[ScoredSpan]) -> list[ScoredSpan]:
    """Pieces of one ligature, such as ﷲ, all cover its single character, and spans that end and begin in it would
    overlap: of two such the likelier stays."""
    kept: list[ScoredSpan] = []
    for entity in entities:
        if kept and entity.span.overlaps(kept[-1].span):
            if entity.score > kept[-1].score:
                kept[-1] = entity
            continue
        kept.append(entity)
    return kept
