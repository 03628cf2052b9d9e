"""Checks annotated files: each record by itself, then the corpus as a whole. One bad record never hides the faults of
another, nor one bad field those beside it."""

from collections import defaultdict
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from labels.findings import Finding, RawRecord, read_raw
from labels.records import EVENT_KEYS
from labels.schema import LabelSchema
from labels.types import Span

_SURFACE_KEYS = ("text", "surface")  # either may repeat what a span covers
_PROCLITICS = "وفبكل"
_SHORTEST_NAME = 3  # letters that must be left behind a proclitic

_OFFSETS = "count code points of the text as it is, half-open"


def check_corpus(files: Mapping[str, Sequence[Path]], schema: LabelSchema) -> list[Finding]:
    """Findings on the files of each split (a split's name to its files), in the order of the files; those between records
    come last. RecordError only where a file cannot be read at all."""
    findings: list[Finding] = []
    records: list[RawRecord] = []
    for split, paths in files.items():
        for path in paths:
            for item in read_raw(split, path, schema):
                if isinstance(item, Finding):
                    findings.append(item)
                else:
                    records.append(item)
                    findings.extend(check_record(item, schema))
    return [*findings, *_check_ids(records), *_check_splits(records), *_check_proclitics(records)]


def check_record(record: RawRecord, schema: LabelSchema) -> Iterator[Finding]:
    """What is wrong with one record by itself."""
    if not record.id.strip():
        yield record.error(
            "id", f"expected a name, found {_shown(record.value.get('id'))}", "give each sentence an id of its own"
        )
    doc = record.value.get("doc")
    if doc is not None and not isinstance(doc, str):
        yield record.error("doc", f"expected a string, found {_shown(doc)}", "name the document that the sentence is from")
    if not record.text.strip():
        yield record.error(
            "text", f"expected a text, found {_shown(record.value.get('text'))}", "add it or take the record out"
        )
    elif record.text != record.text.strip():
        yield record.warning("text", "begins or ends with white space", "trim it and move the offsets with it")
    labels = yield from _check_entities(record, schema)
    yield from _check_events(record, schema, labels)


def _check_entities(record: RawRecord, schema: LabelSchema) -> Generator[Finding, None, dict[str, Any]]:
    """Findings; returns the label of each entity id, which the roles need."""
    labels: dict[str, Any] = {}
    spans: list[tuple[Span, str]] = []
    for field, item in (yield from _objects(record, "entities")):
        name, label = item.get("id"), item.get("label")
        if not isinstance(name, str) or not name:
            yield record.error(f"{field}.id", f"expected a string, found {_shown(name)}", "give each mention an id")
        elif name in labels:
            yield record.error(f"{field}.id", f"{name!r} is there a second time", "give each mention an id of its own")
        else:
            labels[name] = label
        if label not in schema.entity_labels:
            known = ", ".join(schema.entity_labels) or "none"
            yield record.error(f"{field}.label", f"unknown label {_shown(label)}; known: {known}", "use a label of the schema")
        span = yield from _check_span(record, field, item.get("start"), item.get("end"), item)
        if span:
            spans.append((span, field))
    furthest: tuple[Span, str] | None = None
    for span, field in sorted(spans):
        if furthest and span.overlaps(furthest[0]):
            other = f"{furthest[0].of(record.text)!r} of {furthest[1]}"
            yield record.error(field, f"{span.of(record.text)!r} overlaps {other}", "entities are flat: keep one of the two")
        if furthest is None or span.end > furthest[0].end:
            furthest = (span, field)
    return labels


def _check_events(record: RawRecord, schema: LabelSchema, labels: Mapping[str, Any]) -> Iterator[Finding]:
    seen: dict[tuple[str, Span], str] = {}
    for field, item in (yield from _objects(record, "events")):
        kind = item.get("type")
        if kind not in schema.event_types:
            known = ", ".join(schema.event_types) or "none"
            yield record.error(
                f"{field}.type", f"unknown event type {_shown(kind)}; known: {known}", "use a type of the schema"
            )
        trigger = yield from _check_trigger(record, f"{field}.trigger", item.get("trigger"))
        if trigger and isinstance(kind, str):
            first = seen.setdefault((kind, trigger), field)
            if first != field:
                yield record.warning(
                    field, f"the same type and trigger as {first}", "one event gets one label: keep one of the two"
                )
        for role in (key for key in item if key not in EVENT_KEYS):
            yield from _check_role(record, f"{field}.{role}", role, item[role], schema=schema, labels=labels)


def _check_trigger(record: RawRecord, field: str, value: Any) -> Generator[Finding, None, Span | None]:
    """The trigger's span, where it has a sound one; none at all is allowed."""
    if value is None:
        return None
    if isinstance(value, dict):
        return (yield from _check_span(record, field, value.get("start"), value.get("end"), value))
    if isinstance(value, list) and len(value) == 2:
        return (yield from _check_span(record, field, value[0], value[1], {}))
    yield record.error(field, f"expected [start, end] or null, found {_shown(value)}", _OFFSETS)
    return None


def _check_role(
    record: RawRecord, field: str, role: str, value: Any, *, schema: LabelSchema, labels: Mapping[str, Any]
) -> Iterator[Finding]:
    takes = next((each.labels for each in schema.roles if each.name == role), None)
    if takes is None:
        known = ", ".join(schema.role_names) or "none"
        yield record.error(field, f"unknown role; known: {known}", "use a role of the schema")
        return
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        yield record.error(field, f"expected a list of entity ids, found {_shown(value)}", "name entities of this sentence")
        return
    for rank, name in enumerate(value):
        if name not in labels:
            yield record.error(field, f"{name!r} names no entity of this sentence", "name one that is there or take it out")
        elif labels[name] in schema.entity_labels and labels[name] not in takes:
            expected = " or ".join(takes) or "no label"
            yield record.error(field, f"{name!r} is {labels[name]}, the role takes {expected}", "name another entity")
        if name in value[:rank]:
            yield record.warning(field, f"{name!r} is there a second time", "name each entity once")


def _check_span(
    record: RawRecord, field: str, start: Any, end: Any, item: Mapping[str, Any]
) -> Generator[Finding, None, Span | None]:
    """The span, where it lies in the text."""
    text = record.text
    if type(start) is not int or type(end) is not int:
        yield record.error(
            field, f"expected whole numbers for start and end, found {_shown(start)} and {_shown(end)}", _OFFSETS
        )
        return None
    if not 0 <= start < end <= len(text):
        yield record.error(
            field, f"expected 0 <= start < end <= {len(text)} (the text's length), found [{start}, {end})", _OFFSETS
        )
        return None
    span = Span(start, end)
    surface = span.of(text)
    for key in _SURFACE_KEYS:
        if key in item and item[key] != surface:
            yield record.error(f"{field}.{key}", f"the offsets cover {surface!r}, found {_shown(item[key])}", _OFFSETS)
    if not surface.strip():
        yield record.error(field, "covers white space only", "move the borders to the words meant")
    elif surface != surface.strip():
        yield record.error(field, f"white space at the edge of {surface!r}", "move the border to the word")
    return span


def _check_ids(records: Sequence[RawRecord]) -> Iterator[Finding]:
    first: dict[str, str] = {}
    for record in records:
        if record.id and first.setdefault(record.id, record.where) != record.where:
            yield record.error(
                "id", f"{record.id!r} is the id of {first[record.id]} too", "give each sentence an id of its own"
            )


def _check_splits(records: Sequence[RawRecord]) -> Iterator[Finding]:
    """What one split knows of another: a score on sentences seen in training says nothing."""
    docs: dict[str, RawRecord] = {}
    texts: dict[str, RawRecord] = {}
    told: set[tuple[str, str]] = set()
    for record in records:
        if record.doc:
            first = docs.setdefault(record.doc, record)
            if first.split != record.split and (record.doc, record.split) not in told:
                told.add((record.doc, record.split))
                message = f"document {record.doc!r} is in split {first.split!r} too ({first.where})"
                yield record.error("doc", message, "keep each document whole in one split")
        if text := " ".join(record.text.split()):
            first = texts.setdefault(text, record)
            if first.split != record.split:
                yield record.error("text", f"the same text is in split {first.split!r} ({first.where})", "keep it in one split")
            elif first is not record:
                yield record.warning(
                    "text", f"the same text as {first.where}", "keep one, or leave both if both were published"
                )


def _check_proclitics(records: Sequence[RawRecord]) -> Iterator[Finding]:
    """Names that begin with و ف ب ك ل and that the corpus has without it as well: `وبنغازي` beside `بنغازي`."""
    mentions: list[tuple[RawRecord, str, str]] = []
    for record in records:
        entities = record.value.get("entities")
        for i, item in enumerate(entities if isinstance(entities, list) else []):
            if isinstance(item, dict) and type(item.get("start")) is int and type(item.get("end")) is int:
                surface = record.text[max(item["start"], 0) : max(item["end"], 0)].strip()
                mentions.append((record, f"entities[{i}]", surface))
    count: dict[str, int] = defaultdict(int)
    for _, _, surface in mentions:
        count[surface] += 1
    for record, field, surface in mentions:
        bare = surface[1:]
        if surface[:1] in _PROCLITICS and len(bare) >= _SHORTEST_NAME and count.get(bare):
            message = f"{surface!r} may begin with a proclitic: {bare!r} is an entity {count[bare]} times"
            yield record.warning(field, message, f"begin the span after {surface[0]}, if it is one")


def _objects(record: RawRecord, key: str) -> Generator[Finding, None, list[tuple[str, dict[str, Any]]]]:
    """The objects of a list, each with its path; what is none of them is a finding."""
    value = record.value.get(key, [])
    if not isinstance(value, list):
        yield record.error(key, f"expected a list of objects, found {_shown(value)}", "write [] where there are none")
        return []
    found = []
    for i, item in enumerate(value):
        if isinstance(item, dict):
            found.append((f"{key}[{i}]", item))
        else:
            yield record.error(f"{key}[{i}]", f"expected an object, found {_shown(item)}", "see the written form in GUIDE.md")
    return found


def _shown(value: Any) -> str:
    return "nothing" if value is None else repr(value)[:60]
