"""Flat tables for those who count: a row an entity, an event or a document, in plain columns."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import pyarrow as pa

from labels.schema import LabelSchema
from labels.types import Document, Entity, Event, Prediction
from serving.batch.rows import Entry

TableName = Literal["documents", "entities", "events"]

BETWEEN = " | "
"""Between the names that fill one role, where a column holds text."""

_TEXT, _WHOLE, _SCORE = pa.string(), pa.int64(), pa.float64()
_ORIGIN: dict[str, pa.DataType] = {"document": _TEXT, "published": _TEXT, "source": _TEXT}
_DUPLICATE: dict[str, pa.DataType] = {"duplicate_of": _TEXT, "similarity": _SCORE}

FlatRow = dict[str, Any]


def columns_of(table: TableName, schema: LabelSchema, *, dedup: bool) -> dict[str, pa.DataType]:
    """Name and type of each column, in order."""
    columns = dict(_ORIGIN)
    if table == "documents":
        counted = ("characters", "sentences", "entities", "events")
        columns |= dict.fromkeys(counted, _WHOLE) | {f"score_{name}": _SCORE for name in schema.event_types}
        columns |= {"warnings": _TEXT, "error_code": _TEXT, "error_message": _TEXT, "model": _TEXT}
    elif table == "entities":
        columns |= {"entity": _TEXT, "label": _TEXT, "text": _TEXT, "start": _WHOLE, "end": _WHOLE}
        columns |= {"sentence": _WHOLE, "score": _SCORE}
    else:
        columns |= {"event": _WHOLE, "type": _TEXT, "score": _SCORE, "sentence": _WHOLE, "sentence_start": _WHOLE}
        columns |= {"sentence_end": _WHOLE, "trigger": _TEXT, "trigger_start": _WHOLE, "trigger_end": _WHOLE}
        for role in schema.role_names:
            columns |= {role: _TEXT, f"{role}_ids": _TEXT}
    return columns | (_DUPLICATE if dedup else {})


def flat_rows(table: TableName, entry: Entry, schema: LabelSchema) -> list[FlatRow]:
    """The rows of one answer. A document without an answer has its row in `documents` and none elsewhere."""
    document = entry.row.item if isinstance(entry.row.item, Document) else None
    origin: FlatRow = {
        "document": entry.answer.id,
        "published": document and document.published,
        "source": document and document.source,
        "duplicate_of": entry.mark and entry.mark.of,
        "similarity": entry.mark and entry.mark.similarity,
    }
    return [origin | row for row in _ROWS[table](entry, schema)]


def _document_rows(entry: Entry, schema: LabelSchema) -> list[FlatRow]:
    answer = entry.answer
    if not isinstance(answer, Prediction):
        return [{"characters": entry.row.characters, "error_code": str(answer.code), "error_message": answer.message}]
    counts = {"sentences": len(answer.sentences), "entities": len(answer.entities), "events": len(answer.events)}
    scores = {f"score_{name}": round(score, 4) for name, score in answer.event_types.items() if name in schema.event_types}
    rest = {"warnings": BETWEEN.join(answer.warnings), "model": answer.model}
    return [{"characters": len(answer.text)} | counts | scores | rest]


def _entity_rows(entry: Entry, schema: LabelSchema) -> list[FlatRow]:  # noqa: ARG001
    answer = entry.answer
    return [_entity_row(each, answer.text) for each in answer.entities] if isinstance(answer, Prediction) else []


def _entity_row(entity: Entity, text: str) -> FlatRow:
    found = {"entity": entity.id, "label": entity.label, "text": entity.span.of(text)}
    place = {"start": entity.span.start, "end": entity.span.end, "sentence": entity.sentence}
    return found | place | {"score": round(entity.score, 4)}


def _event_rows(entry: Entry, schema: LabelSchema) -> list[FlatRow]:
    answer = entry.answer
    if not isinstance(answer, Prediction):
        return []
    names = {each.id: each.span.of(answer.text) for each in answer.entities}
    rows = []
    for number, event in enumerate(answer.events, 1):
        sentence = answer.sentences[event.sentence]
        row = {"event": number, "type": event.type, "score": round(event.score, 4), "sentence": event.sentence}
        row |= {"sentence_start": sentence.start, "sentence_end": sentence.end}
        rows.append(row | _trigger(event, answer.text) | _roles(event, names, schema.role_names))
    return rows


def _trigger(event: Event, text: str) -> FlatRow:
    span = event.trigger
    return {} if span is None else {"trigger": span.of(text), "trigger_start": span.start, "trigger_end": span.end}


def _roles(event: Event, names: Mapping[str, str], roles: Sequence[str]) -> FlatRow:
    filled = {role: event.roles.get(role, ()) for role in roles}
    texts = {role: BETWEEN.join(names[each] for each in ids) for role, ids in filled.items()}
    return texts | {f"{role}_ids": " ".join(ids) for role, ids in filled.items()}


_ROWS: dict[TableName, Callable[[Entry, LabelSchema], list[FlatRow]]] = {
    "documents": _document_rows,
    "entities": _entity_rows,
    "events": _event_rows,
}
