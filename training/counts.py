"""What is counted when predictions are compared with gold: true positives, predicted and gold, per record and label, and what
a thousand resamplings of whole documents make of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from labels.schema import LabelSchema
from labels.types import Annotation, Entity, Prediction
from training.causes import fillings
from training.subsets import Keys, Sets

BOOTSTRAP_ROUNDS = 1000


@dataclass(frozen=True)
class Interval:
    """A figure in [0, 1] with its bootstrap 95 % interval."""

    value: float
    low: float
    high: float


Counts = npt.NDArray[np.int64]  # (records, labels, [true positive, predicted, gold])


def entity_sets(annotation: Annotation, prediction: Prediction) -> Sets:
    def keys(entities: Sequence[Entity]) -> Keys:
        return {(e.label, e.span) for e in entities}

    return keys(annotation.entities), keys(prediction.entities)


def event_sets(annotation: Annotation, prediction: Prediction) -> Sets:
    return {(name, None) for name in annotation.event_types}, {(name, None) for name in prediction.event_types}


def trigger_keys(record: Annotation | Prediction) -> Keys:
    return {(event.type, event.trigger) for event in record.events if event.trigger}


def gives_triggers(predictions: Iterable[Prediction]) -> bool:
    """Whether they are of a model that names triggers, as far as can be seen: one that finds no event may well do so."""
    events = [event for prediction in predictions for event in prediction.events]
    return not events or any(event.trigger for event in events)


def role_keys(record: Annotation | Prediction) -> Keys:
    return {(role, (kind, span)) for kind, role, span in fillings(record)}


def role_type_keys(record: Annotation | Prediction) -> Keys:
    return {(kind, (role, span)) for kind, role, span in fillings(record)}


def count(pairs: Sequence[Sets], labels: Sequence[str]) -> Counts:
    index = {name: i for i, name in enumerate(labels)}
    counts = np.zeros((len(pairs), len(labels), 3), dtype=np.int64)
    for row, (truth, guess) in enumerate(pairs):
        for column, items in enumerate((truth & guess, guess, truth)):
            for name, _ in items:
                if name in index:
                    counts[row, index[name], column] += 1
    return counts


def document_groups(gold: Sequence[Annotation]) -> npt.NDArray[np.int64]:
    """The number of each record's document."""
    names = {name: i for i, name in enumerate(dict.fromkeys(a.doc or a.id for a in gold))}
    return np.array([names[a.doc or a.id] for a in gold], dtype=np.int64)


def draw_documents(groups: npt.NDArray[np.int64], rounds: int, seed: int) -> npt.NDArray[np.int64]:
    """How often each document is drawn in each round, `(rounds, documents)`."""
    documents = int(groups.max()) + 1 if len(groups) else 0
    if not documents:
        return np.zeros((0, 0), dtype=np.int64)
    return np.random.default_rng(seed).multinomial(documents, np.full(documents, 1 / documents), size=rounds)


def f1_of(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """F1 over the last axis `[true positive, predicted, gold]`; 0 where all three are 0."""
    return ratio(2 * counts[..., 0], counts[..., 1] + counts[..., 2])


def ratio(top: npt.NDArray[np.int64], bottom: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return np.divide(top, bottom, out=np.zeros(np.shape(top), dtype=np.float64), where=np.asarray(bottom) > 0)


def interval(value: float, rounds: npt.NDArray[np.float64]) -> Interval:
    low, high = np.percentile(rounds, [2.5, 97.5]) if len(rounds) else (value, value)
    return Interval(value, float(low), float(high))


def micro_counts(
    gold: Sequence[Annotation], predicted: Mapping[str, Prediction], schema: LabelSchema
) -> dict[str, npt.NDArray[np.int64]]:
    """For each part that the schema has, `(records, 3)`: true positives, predicted, gold, of all labels together."""
    empty = Prediction("", "", "")
    pairs = [(a, predicted.get(a.id, empty)) for a in gold]
    parts = {
        "entities": ([entity_sets(a, p) for a, p in pairs], schema.entity_labels),
        "events": ([event_sets(a, p) for a, p in pairs], schema.event_types),
        "triggers": ([(trigger_keys(a), trigger_keys(p)) for a, p in pairs], schema.event_types),
        "roles": ([(role_keys(a), role_keys(p)) for a, p in pairs], schema.role_names if schema.event_types else ()),
    }
    return {part: count(sets, labels).sum(axis=1) for part, (sets, labels) in parts.items() if labels}
