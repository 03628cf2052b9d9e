"""Set on the dev split what turns scores into triggers and roles."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from labels.decode import DecodingRules
from labels.events import decode_events, piece_range, role_logits
from labels.reading import read_sentence
from labels.schema import LabelSchema
from labels.scores import SentenceScores
from labels.types import Annotation
from training.calibration import SHRINKAGE, best_cut, best_temperature
from training.causes import Filling, fillings
from training.counts import f1_of

Logits = npt.NDArray[np.floating]
Truth = npt.NDArray[np.bool_]

TRIGGER_GRID = np.round(np.arange(0.1, 0.91, 0.05), 2)
ROLE_GRID = np.round(np.arange(0.1, 0.91, 0.02), 2)


def set_event_rules(
    gold: Sequence[Annotation], scores: Sequence[SentenceScores], schema: LabelSchema, rules: DecodingRules
) -> DecodingRules:
    """`rules`, whose event types are set already, with those of triggers and roles; unchanged without such scores."""
    pairs = [(a, s) for a, s in zip(gold, scores, strict=True) if s.triggers is not None and len(s.triggers)]
    if not pairs:
        return rules
    logits, truth = _trigger_pieces(pairs, schema)
    rules = replace(rules, trigger_temperature=best_temperature(logits, truth))
    rules = replace(rules, trigger_threshold=_trigger_threshold(pairs, schema, rules))
    linked = [_gold_links(a, s, schema) for a, s in pairs if s.queries is not None]
    if not linked or not schema.roles:
        return rules
    logits, truth, known = (np.concatenate(parts) for parts in zip(*linked, strict=True))
    rules = replace(rules, role_temperature=best_temperature(logits[known], truth[known]))
    return replace(rules, role_thresholds=_role_thresholds(pairs, schema, rules))


def _trigger_pieces(pairs: Sequence[tuple[Annotation, SentenceScores]], schema: LabelSchema) -> tuple[Logits, Truth]:
    """Scores of every piece for every type, and whether gold says so; sentences whose gold names no trigger left out."""
    logits, truth = [], []
    for annotation, scores in pairs:
        events = [event for event in annotation.events if event.type in schema.event_types]
        if scores.triggers is None or any(event.trigger is None for event in events):
            continue
        named = np.zeros(scores.triggers.shape, dtype=np.bool_)
        for event in events:
            if event.trigger and (place := piece_range(event.trigger, scores.offsets)):
                named[place[0] : place[1] + 1, schema.event_types.index(event.type)] = True
        logits.append(scores.triggers.ravel())
        truth.append(named.ravel())
    empty = np.zeros(0, dtype=np.float32)
    return (np.concatenate(logits), np.concatenate(truth)) if logits else (empty, empty.astype(np.bool_))


def _trigger_threshold(pairs: Sequence[tuple[Annotation, SentenceScores]], schema: LabelSchema, rules: DecodingRules) -> float:
    """The cut under which most triggers come out exactly, given the types that the rules give."""
    types = [read_sentence(s, a.text, schema, rules).types for a, s in pairs]
    bare = [replace(s, queries=None, keys=None) for _, s in pairs]
    counts = np.zeros((len(TRIGGER_GRID), 3), dtype=np.int64)
    for i, cut in enumerate(map(float, TRIGGER_GRID)):
        tried = replace(rules, trigger_threshold=cut)
        for (annotation, _), each, names in zip(pairs, bare, types, strict=True):
            found = {(e.type, e.trigger) for e in decode_events(names, (), each, annotation.text, schema, tried) if e.trigger}
            truth = {(e.type, e.trigger) for e in annotation.events if e.trigger}
            counts[i] += (len(found & truth), len(found), len(truth))
    return best_cut(TRIGGER_GRID, f1_of(counts), near=0.5)


def _gold_links(annotation: Annotation, scores: SentenceScores, schema: LabelSchema) -> tuple[Logits, Truth, Truth]:
    """For gold triggers and gold entities `(pairs, roles)`: logits, whether gold fills, whether the label may fill."""
    rows: list[tuple[Logits, list[bool], list[bool]]] = []
    for event in annotation.events:
        trigger = piece_range(event.trigger, scores.offsets) if event.trigger else None
        if trigger is None or scores.queries is None or scores.keys is None:
            continue
        for entity in annotation.entities:
            if (place := piece_range(entity.span, scores.offsets)) is not None:
                logits = role_logits(scores.queries, scores.keys, trigger, place, len(schema.roles))
                filled = [entity.id in event.roles.get(role.name, ()) for role in schema.roles]
                rows.append((logits, filled, [entity.label in role.labels for role in schema.roles]))
    shape = (len(rows), len(schema.roles))
    return (
        np.array([row[0] for row in rows], dtype=np.float64).reshape(shape),
        np.array([row[1] for row in rows], dtype=np.bool_).reshape(shape),
        np.array([row[2] for row in rows], dtype=np.bool_).reshape(shape),
    )


def _role_thresholds(
    pairs: Sequence[tuple[Annotation, SentenceScores]], schema: LabelSchema, rules: DecodingRules
) -> dict[str, float]:
    """Each role's best cut, drawn towards the common one where dev holds few. Judged on the triggers and entities that the
    rules give, not on those of gold: what is linked to a wrong trigger is wrong whatever its own probability."""
    counts = np.zeros((len(ROLE_GRID), len(schema.roles), 3), dtype=np.int64)
    for annotation, scores in pairs:
        likely, truth = _candidates(annotation, scores, schema, rules), fillings(annotation)
        for (kind, role, span), probability in likely.items():
            at = schema.role_names.index(role)
            counts[probability >= ROLE_GRID, at] += ((kind, role, span) in truth, 1, 0)
        for _, role, _ in truth:
            if role in schema.role_names:
                counts[:, schema.role_names.index(role), 2] += 1
    common = best_cut(ROLE_GRID, f1_of(counts.sum(1)), near=0.5)
    thresholds = {}
    for i, name in enumerate(schema.role_names):
        own, held = best_cut(ROLE_GRID, f1_of(counts[:, i]), near=common), float(counts[0, i, 2])
        weight = held / (held + SHRINKAGE)
        thresholds[name] = round(weight * own + (1 - weight) * common, 3)
    return thresholds


def _candidates(
    annotation: Annotation, scores: SentenceScores, schema: LabelSchema, rules: DecodingRules
) -> dict[Filling, float]:
    """Every filling that some cut would give, and how likely it is: of decodings at each cut, the highest that has it."""
    found: dict[Filling, float] = {}
    reading = read_sentence(scores, annotation.text, schema, rules)
    for cut in map(float, ROLE_GRID):
        tried = replace(rules, role_thresholds=dict.fromkeys(schema.role_names, cut))
        for event in decode_events(reading.types, reading.entities, scores, annotation.text, schema, tried):
            for role, indexes in event.roles.items():
                found |= {(event.type, role, reading.entities[i].span): cut for i in indexes}
    return found
