"""brat stand-off: for each sentence a `.txt` and an `.ann` file, entities as T lines, events as E lines with their roles.

`index.json` beside them says which sentence each pair of files is. Files without one, made in brat itself, are read by
their names. Offsets are code points, as brat counts them.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from labels.errors import RecordError
from labels.graph import Arrow, Mark, from_graph, to_graph
from labels.schema import LabelSchema
from labels.types import Annotation, Span

INDEX = "index.json"
CONFIGURATION = "annotation.conf"

_MARK = re.compile(r"(T\S+)\t(\S+) (\d+) (\d+)(?:\t.*)?")
_EVENT = re.compile(r"(E\S+)\t(\S+):(T\S+)((?: \S+:\S+)*) *")
_ROLE = re.compile(r" ([^\s:]+?)(\d*):(\S+)")


def write_brat(folder: Path, annotations: Sequence[Annotation], schema: LabelSchema) -> int:
    """Write a pair of files for each sentence, the configuration brat needs, and the index; returns how many events without
    trigger were left out. The folder must be new or empty."""
    if folder.exists() and any(folder.iterdir()):
        raise RecordError(str(folder), "expected a new or an empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    index, lost = {}, 0
    width = max(4, len(str(len(annotations))))
    for number, annotation in enumerate(annotations, 1):
        name = f"s{number:0{width}d}"
        lines, left_out = _lines(annotation)
        lost += left_out
        with (folder / f"{name}.txt").open("w", encoding="utf-8", newline="") as handle:
            handle.write(annotation.text)
        (folder / f"{name}.ann").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        index[name] = {"id": annotation.id, "doc": annotation.doc, "source": annotation.source}
    (folder / INDEX).write_text(json.dumps(index, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    (folder / CONFIGURATION).write_text(configuration(schema), encoding="utf-8")
    return lost


def configuration(schema: LabelSchema) -> str:
    """`annotation.conf`: what may be marked, and which names fill which role."""
    roles = ", ".join(f"{role.name}*:{'|'.join(role.labels)}" for role in schema.roles)
    events = [f"{name}\t{roles}" if roles else name for name in schema.event_types]
    sections = {"entities": schema.entity_labels, "relations": (), "events": events, "attributes": ()}
    return "\n".join("\n".join([f"[{name}]", *lines, ""]) for name, lines in sections.items())


def read_brat(folder: Path, schema: LabelSchema) -> list[Annotation]:
    """The sentences of a folder, in the order of their names. Notes, attributes and normalisations are passed over; relations
    and spans in several parts are refused, as the annotation has no place for them."""
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8")) if (folder / INDEX).exists() else {}
    except ValueError as error:
        raise RecordError(str(folder / INDEX), f"not JSON: {error}") from error
    found = []
    for file in sorted(folder.glob("*.ann")):
        try:
            with file.with_suffix(".txt").open(encoding="utf-8", newline="") as handle:
                text = handle.read()
            lines = file.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise RecordError(str(file), f"cannot be read together with its .txt file: {error}") from error
        record: dict[str, Any] = index.get(file.stem, {})
        identity = Annotation(record.get("id") or file.stem, text, doc=record.get("doc"), source=record.get("source"))
        found.append(_read(identity, lines, schema, file))
    if not found:
        raise RecordError(str(folder), "expected .ann files with .txt files beside them, found none")
    return found


def _lines(annotation: Annotation) -> tuple[list[str], int]:
    graph = to_graph(annotation)
    events = {arrow.source for arrow in graph.arrows} | {m.id for m in graph.marks[len(annotation.entities) :]}
    numbers = {mark.id: f"T{number}" for number, mark in enumerate(graph.marks, 1)}
    lines = []
    for mark in graph.marks:
        surface = mark.span.of(annotation.text).replace("\r", " ").replace("\n", " ")
        lines.append(f"{numbers[mark.id]}\t{mark.label} {mark.span.start} {mark.span.end}\t{surface}")
    for number, mark in enumerate((m for m in graph.marks if m.id in events), 1):
        roles: dict[str, int] = {}
        parts = [f"{mark.label}:{numbers[mark.id]}"]
        for arrow in (a for a in graph.arrows if a.source == mark.id):
            roles[arrow.label] = roles.get(arrow.label, 0) + 1
            count = roles[arrow.label]
            parts.append(f"{arrow.label}{count if count > 1 else ''}:{numbers[arrow.target]}")
        lines.append(f"E{number}\t{' '.join(parts)}")
    return lines, graph.lost


def _read(identity: Annotation, lines: Sequence[str], schema: LabelSchema, file: Path) -> Annotation:
    spans: dict[str, Mark] = {}
    marks: list[Mark] = []
    events: list[tuple[str, str, str, str, str]] = []
    for number, line in enumerate(lines, 1):
        where = f"{file}:{number}"
        if match := _MARK.fullmatch(line):
            name, label, start, end = match.groups()
            if not int(start) < int(end):
                raise RecordError(where, f"expected start < end, found {start} and {end}")
            spans[name] = Mark(name, label, Span(int(start), int(end)))
        elif match := _EVENT.fullmatch(line):
            name, label, trigger, roles = match.groups()
            events.append((where, name, label, trigger, roles))
        elif line and line[0] not in "#AMN":
            expected = "T and E lines (no relations, no spans in several parts)"
            raise RecordError(where, f"expected {expected}, found {line[:60]!r}")
    arrows = []
    for where, name, label, trigger, roles in events:
        if trigger not in spans or spans[trigger].label != label:
            raise RecordError(where, f"event {name}: expected a {label} at {trigger}")
        marks.append(Mark(name, label, spans[trigger].span))
        for role, number, target in _ROLE.findall(roles):
            whole = f"{role}{number}"  # a role's own name may end in a digit
            arrows.append(Arrow(whole if whole in schema.role_names else role, name, target))
    triggers = {trigger for _, _, _, trigger, _ in events}
    marks = [*(mark for name, mark in spans.items() if name not in triggers), *marks]
    return from_graph(identity, marks, arrows, schema, str(file))
