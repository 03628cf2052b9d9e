"""What a set of predictions scores against gold: counts per record, then precision, recall, F1 and intervals.

Entities are judged strictly: label and both borders; triggers by type and both borders; a filled role by event type, role and
the entity's borders, whatever the trigger. Event types are judged per record. The figures for entities are those
of seqeval (strict, IOB2), which a property test compares with them; counts per record are kept because resampling a thousand
times is cheap with them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from seqeval.metrics import classification_report
from seqeval.scheme import IOB2

from labels.errors import RecordError
from labels.iob import encode_tags
from labels.schema import LabelSchema
from labels.types import Annotation, Entity, Prediction
from training.causes import fillings, role_causes, trigger_causes
from training.confusion import entity_confusion, event_confusion
from training.operating_points import OperatingPoint, operating_points
from training.reliability import Reliability, measure_reliability
from training.subsets import Keys, Sets, entity_subsets, record_subsets

BOOTSTRAP_ROUNDS = 1000


@dataclass(frozen=True)
class Interval:
    """A figure in [0, 1] with its bootstrap 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Score:
    """Precision, recall and F1 of one label; `support` gold instances."""

    precision: float
    recall: float
    f1: Interval
    support: int


@dataclass(frozen=True)
class Evaluation:
    """All figures of one comparison. `entities`, `events` (types of a record), `triggers` (by type), `roles` (by role) and
    `role_types` (roles by event type) map each label, and `micro` and `macro`, to its score. `causes` counts errors of
    triggers and roles by cause. `operating_points` are thresholds of event types that give a precision. `subsets`: micro
    figures of a part on some of the records or names."""

    records: int
    failed: int
    entities: Mapping[str, Score] = field(default_factory=dict)
    events: Mapping[str, Score] = field(default_factory=dict)
    triggers: Mapping[str, Score] = field(default_factory=dict)
    roles: Mapping[str, Score] = field(default_factory=dict)
    role_types: Mapping[str, Score] = field(default_factory=dict)
    causes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    reliability: Mapping[str, Reliability] = field(default_factory=dict)
    operating_points: Mapping[str, Sequence[OperatingPoint]] = field(default_factory=dict)
    subsets: Mapping[str, Mapping[str, Score]] = field(default_factory=dict)
    exact_set: Interval | None = None
    entity_confusion: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    event_confusion: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def evaluate(
    gold: Sequence[Annotation],
    predicted: Mapping[str, Prediction],
    *,
    entity_labels: Sequence[str],
    event_types: Sequence[str],
    roles: Sequence[str] = (),
    known_names: frozenset[str] | None = None,
    seed: int = 0,
    rounds: int = BOOTSTRAP_ROUNDS,
) -> Evaluation:
    """Compare; a gold record without prediction counts as predicted empty, and is counted as failed. Resampling draws
    whole documents (`doc`), as sentences of one story are not independent. With `known_names`, the surfaces that training
    had, names are also judged apart by whether they are among them."""
    empty = Prediction("", "", "")
    pairs = [(a, predicted.get(a.id, empty)) for a in gold]
    groups = document_groups(gold)
    entity_counts = _count([_entity_sets(a, p) for a, p in pairs], entity_labels)
    event_counts = _count([_event_sets(a, p) for a, p in pairs], event_types)
    exact = np.array([a.event_types == p.event_types.keys() for a, p in pairs], dtype=np.int64).reshape(-1, 1, 1)
    draws = draw_documents(groups, rounds, seed)
    triggered = any(event.trigger for _, p in pairs for event in p.events)

    def scored(sets: Callable[[Annotation | Prediction], Keys], labels: Sequence[str]) -> dict[str, Score]:
        counts = _count([(sets(a), sets(p)) for a, p in pairs], labels)
        return _scores(counts, labels, groups, draws) if triggered and labels else {}

    def in_subsets(sets: Sequence[Sets]) -> dict[str, Score]:
        names = sorted({name for pair in sets for keys in pair for name, _ in keys})
        found = _scores(_count(sets, names), names, groups, draws)
        return {name: found[name] for name in names}

    subsets = {"entities": in_subsets([entity_subsets(a, p, known_names) for a, p in pairs])} if entity_labels else {}
    if event_types:
        subsets["events"] = in_subsets([record_subsets(a, _event_sets(a, p)) for a, p in pairs])
    if triggered:
        subsets["triggers"] = in_subsets([record_subsets(a, (_trigger_keys(a), _trigger_keys(p))) for a, p in pairs])
        subsets["roles"] = in_subsets([record_subsets(a, (_role_keys(a), _role_keys(p))) for a, p in pairs])
    return Evaluation(
        records=len(gold),
        failed=sum(a.id not in predicted for a in gold),
        entities=_scores(entity_counts, entity_labels, groups, draws) if entity_labels else {},
        events=_scores(event_counts, event_types, groups, draws) if event_types else {},
        triggers=scored(_trigger_keys, event_types),
        roles=scored(_role_keys, roles),
        role_types=scored(_role_type_keys, event_types if roles else ()),
        causes={"triggers": trigger_causes(pairs), "roles": role_causes(pairs)} if triggered else {},
        reliability=measure_reliability(pairs),
        operating_points=operating_points(pairs, event_types),
        subsets={part: scores for part, scores in subsets.items() if scores},
        exact_set=_exact_interval(exact[:, 0, 0], groups, draws) if event_types and len(gold) else None,
        entity_confusion=entity_confusion(pairs, entity_labels) if entity_labels else {},
        event_confusion=event_confusion(pairs, event_types) if event_types else {},
    )


def micro_counts(
    gold: Sequence[Annotation], predicted: Mapping[str, Prediction], schema: LabelSchema
) -> dict[str, npt.NDArray[np.int64]]:
    """For each part that the schema has, `(records, 3)`: true positives, predicted, gold, of all labels together."""
    empty = Prediction("", "", "")
    pairs = [(a, predicted.get(a.id, empty)) for a in gold]
    parts = {
        "entities": ([_entity_sets(a, p) for a, p in pairs], schema.entity_labels),
        "events": ([_event_sets(a, p) for a, p in pairs], schema.event_types),
        "triggers": ([(_trigger_keys(a), _trigger_keys(p)) for a, p in pairs], schema.event_types),
        "roles": ([(_role_keys(a), _role_keys(p)) for a, p in pairs], schema.role_names if schema.event_types else ()),
    }
    return {part: _count(sets, labels).sum(axis=1) for part, (sets, labels) in parts.items() if labels}


def evaluate_by_schema(
    gold: Sequence[Annotation],
    predicted: Mapping[str, Prediction],
    schema: LabelSchema,
    *,
    known_names: frozenset[str] | None = None,
    seed: int = 0,
    rounds: int = BOOTSTRAP_ROUNDS,
) -> Evaluation:
    """`evaluate` with all that `schema` has."""
    return evaluate(
        gold,
        predicted,
        entity_labels=schema.entity_labels,
        event_types=schema.event_types,
        roles=schema.role_names,
        known_names=known_names,
        seed=seed,
        rounds=rounds,
    )


def seqeval_report(gold: Sequence[Annotation], predicted: Mapping[str, Prediction]) -> dict[str, dict[str, float]]:
    """Seqeval's own strict IOB2 report. The sequences run over the stretches between all borders of gold and
    prediction, so that every span is a whole number of stretches and tags carry it exactly."""
    truth: list[list[str]] = []
    guess: list[list[str]] = []
    for annotation in gold:
        found = predicted[annotation.id].entities if annotation.id in predicted else ()
        borders = sorted(
            {b for e in (*annotation.entities, *found) for b in (e.span.start, e.span.end)} | {0, len(annotation.text)}
        )
        stretches = list(pairwise(borders))
        for entities, target in ((annotation.entities, truth), (found, guess)):
            tagging = encode_tags(entities, stretches)
            if tagging.misfits:
                raise RecordError(annotation.id, f"entities overlap: {tagging.misfits[0][0].id}")
            target.append(list(tagging.tags))
    report = classification_report(truth, guess, mode="strict", scheme=IOB2, output_dict=True, zero_division=0)
    return {name: {key: float(value) for key, value in row.items()} for name, row in report.items()}


Counts = npt.NDArray[np.int64]  # (records, labels, [true positive, predicted, gold])


def _entity_sets(annotation: Annotation, prediction: Prediction) -> Sets:
    def keys(entities: Sequence[Entity]) -> Keys:
        return {(e.label, e.span) for e in entities}

    return keys(annotation.entities), keys(prediction.entities)


def _event_sets(annotation: Annotation, prediction: Prediction) -> Sets:
    return {(name, None) for name in annotation.event_types}, {(name, None) for name in prediction.event_types}


def _trigger_keys(record: Annotation | Prediction) -> Keys:
    return {(event.type, event.trigger) for event in record.events if event.trigger}


def _role_keys(record: Annotation | Prediction) -> Keys:
    return {(role, (kind, span)) for kind, role, span in fillings(record)}


def _role_type_keys(record: Annotation | Prediction) -> Keys:
    return {(kind, (role, span)) for kind, role, span in fillings(record)}


def _count(pairs: Sequence[Sets], labels: Sequence[str]) -> Counts:
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


def _scores(
    counts: Counts, labels: Sequence[str], groups: npt.NDArray[np.int64], draws: npt.NDArray[np.int64]
) -> dict[str, Score]:
    documents = np.zeros((draws.shape[1], len(labels), 3), dtype=np.int64)
    np.add.at(documents, groups, counts)
    total = counts.sum(axis=0)  # (labels, 3)
    resampled = np.einsum("rd,dlc->rlc", draws, documents)  # (rounds, labels, 3)
    f1, f1_rounds = f1_of(total), f1_of(resampled)
    scores = {}
    for i, name in enumerate(labels):
        scores[name] = _score(total[i], float(f1[i]), f1_rounds[:, i])
    scores["micro"] = _score(total.sum(axis=0), float(f1_of(total.sum(axis=0))), f1_of(resampled.sum(axis=1)))
    # Macro takes the labels that gold holds: a label nobody could find says nothing about finding.
    present = total[:, 2] > 0
    macro = float(f1[present].mean()) if present.any() else 0.0
    spread = f1_rounds[:, present].mean(axis=1) if present.any() else np.zeros(len(f1_rounds))
    rates = [_ratio(total[present, 0], total[present, k]).mean() if present.any() else 0.0 for k in (1, 2)]
    scores["macro"] = Score(float(rates[0]), float(rates[1]), interval(macro, spread), int(total[:, 2].sum()))
    return scores


def f1_of(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """F1 over the last axis `[true positive, predicted, gold]`; 0 where all three are 0."""
    return _ratio(2 * counts[..., 0], counts[..., 1] + counts[..., 2])


def _ratio(top: npt.NDArray[np.int64], bottom: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return np.divide(top, bottom, out=np.zeros(np.shape(top), dtype=np.float64), where=np.asarray(bottom) > 0)


def _score(total: npt.NDArray[np.int64], f1: float, rounds: npt.NDArray[np.float64]) -> Score:
    return Score(float(_ratio(total[0], total[1])), float(_ratio(total[0], total[2])), interval(f1, rounds), int(total[2]))


def interval(value: float, rounds: npt.NDArray[np.float64]) -> Interval:
    low, high = np.percentile(rounds, [2.5, 97.5]) if len(rounds) else (value, value)
    return Interval(value, float(low), float(high))


def _exact_interval(exact: npt.NDArray[np.int64], groups: npt.NDArray[np.int64], draws: npt.NDArray[np.int64]) -> Interval:
    hits, sizes = np.bincount(groups, weights=exact), np.bincount(groups)
    return interval(float(exact.mean()), (draws @ hits) / (draws @ sizes))
