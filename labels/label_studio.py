"""Label Studio's JSON: a task a sentence, marks as `labels` results, roles as `relation` results.

Offsets are code points, as Label Studio has counted since it stopped counting UTF-16 units (its pull request 1559). Exports
of older versions are told by the text that stands with each mark, and are read as well.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from labels.errors import RecordError
from labels.graph import Arrow, Graph, Mark, from_graph, to_graph
from labels.schema import LabelSchema
from labels.types import Annotation, Span

FROM_NAME, TO_NAME = "label", "text"


def label_studio_tasks(annotations: Sequence[Annotation], *, model: str = "") -> list[dict[str, Any]]:
    """Tasks to import. With `model`, marks are a prediction of that name, which an annotator corrects; else annotations."""
    tasks = []
    for annotation in annotations:
        result = _result(to_graph(annotation), annotation.text)
        part = {"predictions": [{"model_version": model, "result": result}]} if model else {"annotations": [{"result": result}]}
        data = {"text": annotation.text, "id": annotation.id, "doc": annotation.doc, "source": annotation.source}
        tasks.append({"data": data} | part)
    return tasks


def labeling_config(schema: LabelSchema) -> str:
    """The labelling interface for a project of this schema, to paste into its settings."""
    names = [*schema.entity_labels, *schema.event_types]
    labels = "\n".join(f'    <Label value="{name}"/>' for name in names)
    relations = "\n".join(f'    <Relation value="{name}"/>' for name in schema.role_names)
    return f"""<View>
  <Labels name="{FROM_NAME}" toName="{TO_NAME}">
{labels}
  </Labels>
  <Relations>
{relations}
  </Relations>
  <Text name="{TO_NAME}" value="$text"/>
</View>
"""


def read_label_studio(path: Path, schema: LabelSchema) -> list[Annotation]:
    """The sentences of an export (JSON, not JSON-MIN), in its order: of each task the last annotation that was not
    cancelled, or where there is none its first prediction."""
    try:
        tasks = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecordError(str(path), f"cannot be read as JSON: {error}") from error
    if not isinstance(tasks, list):
        raise RecordError(str(path), "expected a list of tasks, as the export named JSON gives it")
    return [_read(task, schema, f"{path}, task {number}") for number, task in enumerate(tasks, 1)]


def _result(graph: Graph, text: str) -> list[dict[str, Any]]:
    marks = [
        {
            "id": mark.id,
            "from_name": FROM_NAME,
            "to_name": TO_NAME,
            "type": "labels",
            "value": {"start": mark.span.start, "end": mark.span.end, "text": mark.span.of(text), "labels": [mark.label]},
        }
        for mark in graph.marks
    ]
    arrows = [
        {"type": "relation", "from_id": a.source, "to_id": a.target, "direction": "right", "labels": [a.label]}
        for a in graph.arrows
    ]
    return [*marks, *arrows]


def _read(task: Any, schema: LabelSchema, where: str) -> Annotation:
    try:
        data = task["data"]
        text = data["text"]
        if not isinstance(text, str):
            raise TypeError(f"data.text is {type(text).__name__}")
        name = data.get("id", task.get("id"))
        identity = Annotation(str(name) if name is not None else where, text, doc=data.get("doc"), source=data.get("source"))
        result = _last_result(task)
        if others := sorted({item["type"] for item in result if item["type"].endswith("labels")} - {"labels"}):
            raise RecordError(where, f"expected marks of type labels, found {', '.join(others)}; use <Labels> on a <Text>")
        marks = [_mark(item, text, where) for item in result if item["type"] == "labels"]
        arrows = [arrow for item in result if item["type"] == "relation" for arrow in _arrows(item, where)]
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        expected = "a task with data.text, and results of type labels and relation"
        raise RecordError(where, f"expected {expected}; {type(error).__name__}: {error}") from error
    return from_graph(identity, marks, arrows, schema, where)


def _last_result(task: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    kept = [each for each in task.get("annotations", []) if not each.get("was_cancelled")]
    if kept:
        return kept[-1]["result"]  # type: ignore[no-any-return]
    predictions = task.get("predictions", [])
    return predictions[0]["result"] if predictions else []


def _mark(item: Mapping[str, Any], text: str, where: str) -> Mark:
    value = item["value"]
    start, end, shown = int(value["start"]), int(value["end"]), value.get("text")
    for first, last in ((start, end), _from_utf16(text, start, end)):
        if 0 <= first < last <= len(text) and shown in {None, text[first:last]}:
            return Mark(str(item["id"]), str(value["labels"][0]), Span(first, last))
    raise RecordError(where, f"mark {item['id']!r}: [{start}, {end}) of the text is not {shown!r}")


def _from_utf16(text: str, start: int, end: int) -> tuple[int, int]:
    """UTF-16 units to code points; what falls into a pair or behind the end gives an empty span."""
    units = text.encode("utf-16-le")
    try:
        return len(units[: 2 * start].decode("utf-16-le")), len(units[: 2 * end].decode("utf-16-le"))
    except UnicodeDecodeError:
        return 0, 0


def _arrows(item: Mapping[str, Any], where: str) -> Iterator[Arrow]:
    source, target = str(item["from_id"]), str(item["to_id"])
    if item.get("direction", "right") == "left":
        source, target = target, source
    if item.get("direction") == "bi" or not item.get("labels"):
        raise RecordError(where, f"relation {source} to {target}: expected one direction and the name of a role")
    for label in item["labels"]:
        yield Arrow(str(label), source, target)
