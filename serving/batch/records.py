"""Answers as records, one a document: the contract of docs/output.md, in the form of JSON and of Arrow."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from labels.records import failure_record, prediction_record
from labels.types import Prediction
from serving.batch.rows import Entry

LISTS = ("sentences", "entities", "events", "event_types", "warnings")
"""The fields of an answer that CSV holds as JSON text."""


def answer_record(entry: Entry, *, dedup: bool) -> dict[str, Any]:
    """As HTTP gives it, and with `dedup` what it is a near copy of, or null."""
    answer = entry.answer
    record = prediction_record(answer) if isinstance(answer, Prediction) else failure_record(answer)
    if dedup:
        record["duplicate_of"] = entry.mark and {"id": entry.mark.of, "similarity": entry.mark.similarity}
    return record


def arrow_schema(roles: Sequence[str], *, dedup: bool) -> pa.Schema:
    """The columns of an answer's record, and `error`."""
    text, whole, score = pa.string(), pa.int64(), pa.float64()
    span: dict[str, pa.DataType] = {"start": whole, "end": whole}
    entity = {"id": text, "label": text, **span, "text": text, "score": score, "sentence": whole}
    trigger = _struct({**span, "text": text})
    event: dict[str, pa.DataType] = {"type": text, "score": score, "sentence": whole, "trigger": trigger}
    event |= {role: pa.list_(text) for role in roles}
    fields = [
        pa.field("id", text),
        pa.field("model", text),
        pa.field("sentences", pa.list_(_struct(span))),
        pa.field("entities", pa.list_(_struct(entity))),
        pa.field("events", pa.list_(_struct(event))),
        pa.field("event_types", pa.map_(text, score)),
        pa.field("warnings", pa.list_(text)),
        pa.field("error", _struct({"code": text, "message": text})),
    ]
    if dedup:
        fields.append(pa.field("duplicate_of", _struct({"id": text, "similarity": score})))
    return pa.schema(fields)


def arrow_record(record: dict[str, Any]) -> dict[str, Any]:
    """The record as `arrow_schema` wants it: a map is a list of pairs."""
    return record | ({"event_types": list(record["event_types"].items())} if "event_types" in record else {})


def _struct(fields: Mapping[str, pa.DataType]) -> pa.StructType:
    return pa.struct([pa.field(name, kind) for name, kind in fields.items()])
