"""What one set of predictions gains on another, with the interval of the difference.

Two models that read the same sentences stumble over the same ones, so that the intervals of their figures overlap long
before their difference is in doubt. Here both are resampled together: each draw of documents is judged under both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from labels.schema import LabelSchema
from labels.types import Annotation, Prediction
from training.counts import (
    BOOTSTRAP_ROUNDS,
    Interval,
    document_groups,
    draw_documents,
    f1_of,
    gives_triggers,
    interval,
    micro_counts,
)


@dataclass(frozen=True)
class Gain:
    """Micro F1 of both in [0, 1], their difference with its paired 95 % interval, and the share of draws in which the
    second was not worse."""

    baseline: float
    value: float
    difference: Interval
    not_worse: float


def compare(
    gold: Sequence[Annotation],
    predicted: Mapping[str, Prediction],
    baseline: Mapping[str, Prediction],
    schema: LabelSchema,
    *,
    seed: int = 0,
    rounds: int = BOOTSTRAP_ROUNDS,
) -> dict[str, Gain]:
    """What `predicted` gains on `baseline`, for entities, events, triggers and roles as far as the schema has them and both
    give them. Whole documents are drawn, as in `evaluate`."""
    groups = document_groups(gold)
    draws = draw_documents(groups, rounds, seed)
    ours, theirs = micro_counts(gold, predicted, schema), micro_counts(gold, baseline, schema)
    gains = {}
    triggered = all(gives_triggers(each.values()) for each in (predicted, baseline))
    for part in ours if triggered else ours.keys() - {"triggers", "roles"}:
        values, spreads = [], []
        for counts in (theirs[part], ours[part]):
            documents = np.zeros((draws.shape[1], 3), dtype=np.int64)
            np.add.at(documents, groups, counts)
            values.append(float(f1_of(counts.sum(axis=0))))
            spreads.append(f1_of(draws @ documents))
        gained = spreads[1] - spreads[0]
        not_worse = float((gained >= 0).mean()) if len(gained) else 1.0
        gains[part] = Gain(values[0], values[1], interval(values[1] - values[0], gained), not_worse)
    return gains


def gains_markdown(gains: Mapping[str, Gain], baseline: str) -> str:
    """Per cent and points."""
    lines = [f"## Gained on {baseline}", "", "| part | its F1 | F1 | gained | 95 % interval | not worse in |"]
    lines += ["| --- | --- | --- | --- | --- | --- |"]
    for part, gain in gains.items():
        low, high = (f"{100 * value:+.1f}" for value in (gain.difference.low, gain.difference.high))
        figures = f"{100 * gain.baseline:.1f} | {100 * gain.value:.1f} | {100 * gain.difference.value:+.1f}"
        lines.append(f"| {part} | {figures} | {low} to {high} | {100 * gain.not_worse:.0f} % of draws |")
    return "\n".join(lines) + "\n"
