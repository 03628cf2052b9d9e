"""Set on the dev split what turns scores into answers: temperatures, and a threshold per event type."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from labels.decode import DecodingRules, event_probabilities
from labels.iob import encode_tags
from labels.pairs import unpaired
from labels.schema import LabelSchema
from labels.scores import SentenceScores
from labels.types import Annotation
from training.calibrate_events import set_event_rules
from training.calibration import SHRINKAGE, TEMPERATURES, best_cut, best_temperature
from training.counts import f1_of

SLIPS = 0.01
GRID = np.round(np.arange(0.1, 0.91, 0.02), 2)


def set_rules(gold: Sequence[Annotation], scores: Sequence[SentenceScores], schema: LabelSchema) -> DecodingRules:
    """Temperatures by likelihood, then thresholds by F1; those of triggers and roles last, as they rest on the types. Names
    are whole words, and hold marks in pairs, where those of gold are and do."""
    tag_temperature = _tag_temperature(gold, scores, schema) if schema.tags else 1.0
    whole_words = bool(schema.tags) and ends_with_words(gold)
    paired_marks = bool(schema.tags) and has_paired_marks(gold)
    rules = DecodingRules(tag_temperature=tag_temperature, whole_words=whole_words, paired_marks=paired_marks)
    if not schema.event_types:
        return rules
    readable = [(a, s.events) for a, s in zip(gold, scores, strict=True) if s.events is not None]
    truth = np.array([[name in a.event_types for name in schema.event_types] for a, _ in readable], dtype=bool)
    empty = np.zeros((0, len(schema.event_types)), dtype=np.float32)
    logits = np.stack([events.max(axis=0) for _, events in readable]) if readable else empty
    temperature = best_temperature(logits, truth)
    probabilities = np.stack([event_probabilities(row[None], temperature) for row in logits]) if len(logits) else logits
    thresholds = _thresholds(probabilities, truth, schema.event_types)
    rules = replace(rules, thresholds=thresholds, temperature=temperature)
    return set_event_rules(gold, scores, schema, rules)


def ends_with_words(gold: Sequence[Annotation]) -> bool:
    """Whether the names of gold end where words end, but for slips such as a missing space. Where endings are marked apart
    from names, or there is no name, it is not so."""
    inside = [a.text[e.span.end - 1 : e.span.end + 1] for a in gold for e in a.entities]
    return bool(inside) and sum(len(pair) == 2 and pair.isalnum() for pair in inside) <= SLIPS * len(inside)


def has_paired_marks(gold: Sequence[Annotation]) -> bool:
    """Whether the names of gold hold both marks of a pair of brackets or quotes or none, but for slips."""
    alone = [unpaired(e.span, a.text) is not None for a in gold for e in a.entities]
    return bool(alone) and sum(alone) <= SLIPS * len(alone)


def _thresholds(
    probabilities: npt.NDArray[np.floating], truth: npt.NDArray[np.bool_], types: Sequence[str]
) -> dict[str, float]:
    counts = np.stack([_counts(probabilities >= cut, truth) for cut in GRID])  # (cuts, types, 3)
    common = best_cut(GRID, f1_of(counts.sum(axis=1)), near=0.5)
    thresholds = {}
    for i, name in enumerate(types):
        own = best_cut(GRID, f1_of(counts[:, i]), near=common)
        positives = float(truth[:, i].sum())
        weight = positives / (positives + SHRINKAGE)
        thresholds[name] = round(weight * own + (1 - weight) * common, 3)
    return thresholds


def _counts(guess: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    return np.stack([(guess & truth).sum(0), guess.sum(0), truth.sum(0)], axis=-1).astype(np.int64)


def _tag_temperature(gold: Sequence[Annotation], scores: Sequence[SentenceScores], schema: LabelSchema) -> float:
    index = {tag: i for i, tag in enumerate(schema.tags)}
    logits, targets = [], []
    for annotation, sentence in zip(gold, scores, strict=True):
        if sentence.tags is None or not len(sentence.tags):
            continue
        entities = [e for e in annotation.entities if e.label in schema.entity_labels]
        logits.append(sentence.tags)
        targets += [index[tag] for tag in encode_tags(entities, sentence.offsets).tags]
    if not logits:
        return 1.0
    rows = np.concatenate(logits).astype(np.float64)
    picked = np.arange(len(rows)), np.array(targets)

    def loss(temperature: float) -> float:
        scaled = rows / temperature
        return float((np.logaddexp.reduce(scaled, axis=1) - scaled[picked]).mean())

    return min(map(float, TEMPERATURES), key=loss)
