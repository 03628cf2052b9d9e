"""doccano's JSONL of sequence labelling with relations: `entities` with code-point offsets, `relations` between them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from labels.errors import RecordError
from labels.graph import Arrow, Mark, from_graph, to_graph
from labels.records import read_jsonl
from labels.schema import LabelSchema
from labels.types import Annotation, Span


def doccano_records(annotations: Sequence[Annotation]) -> Iterator[dict[str, Any]]:
    """A record a sentence. What doccano does not know of (our id, document, source) goes along as metadata, which it keeps."""
    number = 0
    for annotation in annotations:
        graph = to_graph(annotation)
        ids = {mark.id: number + i for i, mark in enumerate(graph.marks, 1)}
        number += len(ids)
        yield {
            "text": annotation.text,
            "entities": [
                {"id": ids[m.id], "label": m.label, "start_offset": m.span.start, "end_offset": m.span.end} for m in graph.marks
            ],
            "relations": [
                {"id": i, "type": a.label, "from_id": ids[a.source], "to_id": ids[a.target]}
                for i, a in enumerate(graph.arrows, 1)
            ],
            "marsad_id": annotation.id,
            "marsad_doc": annotation.doc,
            "marsad_source": annotation.source,
        }


def read_doccano(path: Path, schema: LabelSchema) -> list[Annotation]:
    """The sentences of an export, in its order."""
    return [_read(record, schema, where) for where, record in read_jsonl(path)]


def _read(record: Mapping[str, Any], schema: LabelSchema, where: str) -> Annotation:
    text = record.get("text")
    if not isinstance(text, str):
        raise RecordError(where, f"field 'text': expected a string, found {type(text).__name__}")
    name = record.get("marsad_id", record.get("id"))
    identity = Annotation(
        str(name) if name is not None else where, text, doc=record.get("marsad_doc"), source=record.get("marsad_source")
    )
    try:
        marks = [
            Mark(str(item["id"]), str(item["label"]), Span(int(item["start_offset"]), int(item["end_offset"])))
            for item in _items(record)
        ]
        arrows = [Arrow(str(item["type"]), str(item["from_id"]), str(item["to_id"])) for item in record.get("relations", [])]
    except (KeyError, TypeError, ValueError) as error:
        expected = "entities of id, label, start_offset, end_offset and relations of type, from_id, to_id"
        expected += ", or label of [start, end, name]"
        raise RecordError(where, f"expected {expected}; {type(error).__name__}: {error}") from error
    return from_graph(identity, marks, arrows, schema, where)


def _items(record: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The marks of a record: `entities` where the project has relations, else `label`, which is a list of lists. A record with
    neither is a KeyError: taken for one without marks it would make empty gold of a whole project."""
    if "entities" in record:
        return record["entities"]  # type: ignore[no-any-return]
    return [
        {"id": number, "label": name, "start_offset": start, "end_offset": end}
        for number, (start, end, name) in enumerate(record["label"])
    ]
