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
from labels.types import Annotation, Prediction
from training.causes import role_causes, trigger_causes
from training.confusion import entity_confusion, event_confusion
from training.counts import (
    BOOTSTRAP_ROUNDS,
    Counts,
    Interval,
    count,
    document_groups,
    draw_documents,
    entity_sets,
    event_sets,
    f1_of,
    gives_triggers,
    interval,
    ratio,
    role_keys,
    role_type_keys,
    trigger_keys,
)
from training.operating_points import OperatingPoint, operating_points
from training.reliability import Reliability, measure_reliability
from training.subsets import Keys, Sets, entity_subsets, record_subsets


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
    entity_counts = count([entity_sets(a, p) for a, p in pairs], entity_labels)
    event_counts = count([event_sets(a, p) for a, p in pairs], event_types)
    exact = np.array([a.event_types == p.event_types.keys() for a, p in pairs], dtype=np.int64).reshape(-1, 1, 1)
    draws = draw_documents(groups, rounds, seed)
    triggered = gives_triggers(p for _, p in pairs) and any(e.trigger for a, p in pairs for e in (*a.events, *p.events))

    def scored(sets: Callable[[Annotation | Prediction], Keys], labels: Sequence[str]) -> dict[str, Score]:
        counts = count([(sets(a), sets(p)) for a, p in pairs], labels)
        return _scores(counts, labels, groups, draws) if triggered and labels else {}

    def in_subsets(sets: Sequence[Sets]) -> dict[str, Score]:
        names = sorted({name for pair in sets for keys in pair for name, _ in keys})
        found = _scores(count(sets, names), names, groups, draws)
        return {name: found[name] for name in names}

    subsets = {"entities": in_subsets([entity_subsets(a, p, known_names) for a, p in pairs])} if entity_labels else {}
    if event_types:
        subsets["events"] = in_subsets([record_subsets(a, event_sets(a, p)) for a, p in pairs])
    if triggered:
        subsets["triggers"] = in_subsets([record_subsets(a, (trigger_keys(a), trigger_keys(p))) for a, p in pairs])
        subsets["roles"] = in_subsets([record_subsets(a, (role_keys(a), role_keys(p))) for a, p in pairs])
    return Evaluation(
        records=len(gold),
        failed=sum(a.id not in predicted for a in gold),
        entities=_scores(entity_counts, entity_labels, groups, draws) if entity_labels else {},
        events=_scores(event_counts, event_types, groups, draws) if event_types else {},
        triggers=scored(trigger_keys, event_types),
        roles=scored(role_keys, roles),
        role_types=scored(role_type_keys, event_types if roles else ()),
        causes={"triggers": trigger_causes(pairs), "roles": role_causes(pairs)} if triggered else {},
        reliability=measure_reliability(pairs),
        operating_points=operating_points(pairs, event_types),
        subsets={part: scores for part, scores in subsets.items() if scores},
        exact_set=_exact_interval(exact[:, 0, 0], groups, draws) if event_types and len(gold) else None,
        entity_confusion=entity_confusion(pairs, entity_labels) if entity_labels else {},
        event_confusion=event_confusion(pairs, event_types) if event_types else {},
    )


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


def _scores(
    counts: Counts, labels: Sequence[str], groups: npt.NDArray[np.int64], draws: npt.NDArray[np.int64]
) -> dict[str, Score]:
    documents = np.zeros((draws.shape[1], len(labels), 3), dtype=np.int64)
    np.add.at(documents, groups, counts)
    total = counts.sum(axis=0)  # (labels, 3)
    resampled = np.einsum("rd,dlc->rlc", draws, documents)  # (rounds, labels, 3)
    f1, f1_rounds = f1_of(total), f1_of(resampled)
    scores = {}
    held = resampled[:, :, 2] > 0  # a draw without the label says nothing of it
    for i, name in enumerate(labels):
        scores[name] = _score(total[i], float(f1[i]), f1_rounds[held[:, i], i])
    scores["micro"] = _score(total.sum(axis=0), float(f1_of(total.sum(axis=0))), f1_of(resampled.sum(axis=1)))
    # Macro takes the labels that gold holds: a label nobody could find says nothing about finding.
    present = total[:, 2] > 0
    macro = float(f1[present].mean()) if present.any() else 0.0
    spread = (f1_rounds * held).sum(axis=1) / np.maximum(1, held.sum(axis=1))
    rates = [ratio(total[present, 0], total[present, k]).mean() if present.any() else 0.0 for k in (1, 2)]
    scores["macro"] = Score(float(rates[0]), float(rates[1]), interval(macro, spread), int(total[:, 2].sum()))
    return scores


def _score(total: npt.NDArray[np.int64], f1: float, rounds: npt.NDArray[np.float64]) -> Score:
    return Score(float(ratio(total[0], total[1])), float(ratio(total[0], total[2])), interval(f1, rounds), int(total[2]))


def _exact_interval(exact: npt.NDArray[np.int64], groups: npt.NDArray[np.int64], draws: npt.NDArray[np.int64]) -> Interval:
    hits, sizes = np.bincount(groups, weights=exact), np.bincount(groups)
    return interval(float(exact.mean()), (draws @ hits) / (draws @ sizes))
