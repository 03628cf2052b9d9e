"""What annotated files hold, counted: per split, and over all of them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from labels.schema import LabelSchema
from labels.types import Annotation

TOTAL = "total"


@dataclass(frozen=True, slots=True)
class SplitStats:
    """Counts of one split. `without_event` is the share of sentences in [0, 1]; `roles` counts events that fill the role;
    `words` is the mean number a sentence, between white space. Labels come in the schema's order, unknown ones last."""

    split: str
    documents: int
    sentences: int
    without_event: float
    words: float
    entities: Mapping[str, int]
    events: Mapping[str, int]
    triggers: int
    roles: Mapping[str, int]


def count_corpus(splits: Mapping[str, Sequence[Annotation]], schema: LabelSchema) -> list[SplitStats]:
    """The stats of each split, and of all together where there are several. A sentence without a document counts as one."""
    found = [_count(split, annotations, schema) for split, annotations in splits.items()]
    if len(found) > 1:
        found.append(_count(TOTAL, [each for annotations in splits.values() for each in annotations], schema))
    return found


def stats_record(stats: SplitStats) -> dict[str, Any]:
    """The stats as a JSON object."""
    return asdict(stats)


def stats_table(stats: Sequence[SplitStats]) -> str:
    """A table of text, a column for each split."""
    rows: list[tuple[str, list[str]]] = [
        ("", [each.split for each in stats]),
        ("documents", [str(each.documents) for each in stats]),
        ("sentences", [str(each.sentences) for each in stats]),
        ("without event", [f"{each.without_event:.1%}" for each in stats]),
        ("words a sentence", [f"{each.words:.1f}" for each in stats]),
    ]
    for title, parts in (
        ("entities", [each.entities for each in stats]),
        ("events", [each.events for each in stats]),
        ("events that fill", [each.roles for each in stats]),
    ):
        names = dict.fromkeys(name for part in parts for name in part)
        rows.append((title, [str(sum(part.values())) if title != "events that fill" else "" for part in parts]))
        rows += [(f"  {name}", [str(part.get(name, 0)) for part in parts]) for name in names]
        if title == "events":
            rows.append(("  with a trigger", [str(each.triggers) for each in stats]))
    first = max(len(name) for name, _ in rows)
    widths = [max(len(values[i]) for _, values in rows) for i in range(len(stats))]
    lines = (
        "  ".join([name.ljust(first), *(v.rjust(w) for v, w in zip(values, widths, strict=True))]) for name, values in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def _count(split: str, annotations: Sequence[Annotation], schema: LabelSchema) -> SplitStats:
    events = [event for annotation in annotations for event in annotation.events]
    sentences = len(annotations)
    return SplitStats(
        split=split,
        documents=len({annotation.doc for annotation in annotations if annotation.doc is not None})
        + sum(annotation.doc is None for annotation in annotations),
        sentences=sentences,
        without_event=sum(not annotation.events for annotation in annotations) / max(sentences, 1),
        words=sum(len(annotation.text.split()) for annotation in annotations) / max(sentences, 1),
        entities=_ordered((entity.label for annotation in annotations for entity in annotation.entities), schema.entity_labels),
        events=_ordered((event.type for event in events), schema.event_types),
        triggers=sum(event.trigger is not None for event in events),
        roles=_ordered((role for event in events for role, ids in event.roles.items() if ids), schema.role_names),
    )


def _ordered(names: Iterable[str], known: Sequence[str]) -> dict[str, int]:
    counts = Counter(names)
    return {name: counts[name] for name in known} | {name: counts[name] for name in sorted(counts.keys() - set(known))}
