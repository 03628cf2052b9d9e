r"""The hand-written form <-> Annotation. `[a1 …]` marks an entity whose label is the one with the prefix `a`;
`{airstrike agents=a1,a2 locations=l1|…}` marks the trigger of an event; the rest is the text, character for character.

    شن [a1 سلاح الجو] {airstrike agents=a1 locations=l1|غارات} على [l1 الموصل].

Marks may stand in one another, so two events on one trigger are `{killing|{bombing|…}}`; what crosses cannot be written.
An event without a trigger is an empty mark, `{protest locations=l1|}`, at the end of the line. A character that marks
need, `[ ] { } | \`, is written after a backslash where the text itself has it; `\n` and `\r` are line ends within a
text, `\#` a `#` at its beginning. A file has one sentence a line, under `# story ID | topic` lines; blank lines are free."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from labels.errors import RecordError
from labels.schema import LabelSchema
from labels.types import Annotation, Entity, Event, Span

_PLAIN = re.compile(r"[^\\\[\]{}|]+")
_ENTITY = re.compile(r"\[([^\s\\\[\]{}|]+) ")
_EVENT = re.compile(r"\{([^\\\[\]{}|]*)\|")
_HEADER = re.compile(r"# story (\S+)(?: \|.*)?")
_ESCAPES = {"n": "\n", "r": "\r"} | {mark: mark for mark in "[]{}|\\#"}
_ESCAPED = str.maketrans({value: f"\\{key}" for key, value in _ESCAPES.items() if key != "#"})


def parse_inline(
    line: str,
    schema: LabelSchema,
    *,
    id: str,  # noqa: A002
    doc: str | None = None,
    where: str = "",
) -> Annotation:
    """One line as an annotation in the form that `canonical` gives. RecordError names the column (from 1) and what was
    expected there; `where` goes before it."""
    try:
        reader = _Reader(line, schema)
        reader.run()
    except _FaultError as fault:
        column = f"column {fault.at + 1}"
        raise RecordError(f"{where}, {column}" if where else column, fault.message) from None
    text, entities, events = "".join(reader.surface), tuple(reader.entities.values()), tuple(reader.events.values())
    return canonical(Annotation(id, text, entities, events, doc), schema)


class _FaultError(Exception):
    """What is wrong at a place of the line; the caller knows the file."""

    def __init__(self, at: int, message: str) -> None:
        super().__init__(message)
        self.at = at
        self.message = message


@dataclass(frozen=True, slots=True)
class _Open:
    """A mark not closed yet: the place of its bracket in the line, of its first character in the text, and what it is."""

    at: int
    start: int
    item: tuple[str, str] | Event  # an entity's id and label, or an event

    @property
    def closer(self) -> str:
        return "}" if isinstance(self.item, Event) else "]"


class _Reader:
    """One pass over a line. Entities and events are kept by the place of their bracket."""

    def __init__(self, line: str, schema: LabelSchema) -> None:
        self.line = line
        self.schema = schema
        self.surface: list[str] = []
        self.length = 0
        self.stack: list[_Open] = []
        self.entities: dict[int, Entity] = {}
        self.events: dict[int, Event] = {}

    def run(self) -> None:
        steps = {"\\": self.read_escape, "[": self.open_entity, "{": self.open_event, "]": self.close, "}": self.close}
        at = 0
        while at < len(self.line):
            if plain := _PLAIN.match(self.line, at):
                self.add(plain[0])
                at = plain.end()
            elif step := steps.get(self.line[at]):
                at = step(at)
            else:
                raise _FaultError(at, r"expected text, found |; as part of the text it is written \|")
        if self.stack:
            raise _FaultError(self.stack[-1].at, f"expected {self.stack[-1].closer} before the end of the line, found none")
        self.check_references()

    def add(self, text: str) -> None:
        self.surface.append(text)
        self.length += len(text)

    def read_escape(self, at: int) -> int:
        sign = self.line[at + 1 : at + 2]
        if sign not in _ESCAPES:
            raise _FaultError(at, f"expected one of {' '.join(_ESCAPES)} after \\, found {sign or 'the end'!r}")
        self.add(_ESCAPES[sign])
        return at + 2

    def open_entity(self, at: int) -> int:
        head = _ENTITY.match(self.line, at)
        if head is None:
            raise _FaultError(at, r"expected an id and a space after [, as in [a1 …]; a bracket of the text is written \[")
        label = _label_of(head[1], self.schema)
        if label is None:
            known = ", ".join(f"{each.prefix}1 ({each.name})" for each in self.schema.entities) or "none, no entity labels"
            raise _FaultError(at, f"expected an id such as {known}; found {head[1]!r}")
        self.stack.append(_Open(at, self.length, (head[1], label)))
        return head.end()

    def open_event(self, at: int) -> int:
        head = _EVENT.match(self.line, at)
        if head is None:
            raise _FaultError(at, r"expected {type role=id,id|…}; a brace of the text is written \{")
        self.stack.append(_Open(at, self.length, self.parse_head(head[1], at)))
        return head.end()

    def parse_head(self, head: str, at: int) -> Event:
        """`type role=id,id …`"""
        name, *fields = head.split() or [""]
        if name not in self.schema.event_types:
            known = ", ".join(self.schema.event_types) or "the schema has none"
            raise _FaultError(at, f"expected an event type ({known}), found {name!r}")
        roles: dict[str, tuple[str, ...]] = {}
        for each in fields:
            role, sign, value = each.partition("=")
            ids = tuple(value.split(","))
            if not sign or not all(ids) or role in roles:
                raise _FaultError(at, f"expected role=id,id with each role once, found {each!r}")
            roles[role] = ids
        return Event(name, roles=roles)

    def close(self, at: int) -> int:
        sign = self.line[at]
        if not self.stack or self.stack[-1].closer != sign:
            top = self.stack[-1] if self.stack else None
            expected = f"{top.closer} for the mark of column {top.at + 1}" if top else "no mark to close"
            raise _FaultError(at, f"expected {expected}, found {sign}; as part of the text it is written \\{sign}")
        mark = self.stack.pop()
        empty = mark.start == self.length
        if isinstance(mark.item, Event):
            self.events[mark.at] = mark.item if empty else replace(mark.item, trigger=Span(mark.start, self.length))
        elif empty:
            raise _FaultError(mark.at, "expected the words of an entity, found nothing")
        else:
            self.entities[mark.at] = Entity(*mark.item, Span(mark.start, self.length))
        return at + 1

    def check_references(self) -> None:
        self.entities = dict(sorted(self.entities.items()))
        self.events = dict(sorted(self.events.items()))
        labels: dict[str, str] = {}
        for at, entity in self.entities.items():
            if entity.id in labels:
                raise _FaultError(at, f"expected an id of its own for each mention, found {entity.id!r} a second time")
            labels[entity.id] = entity.label
        for at, event in self.events.items():
            if problem := reference_fault(event, labels, self.schema):
                raise _FaultError(at, problem)


def format_inline(annotation: Annotation, schema: LabelSchema) -> str:
    """The line that `parse_inline` reads as `canonical(annotation, schema)`. RecordError where the form cannot hold the
    annotation: marks that cross, labels or roles that the schema lacks, ids that are not prefix and number (`renumber`
    mends those). A score and a `source` have no place in it."""
    labels = {entity.id: entity.label for entity in annotation.entities}
    if len(labels) < len(annotation.entities):
        raise RecordError(annotation.id, "expected an id of its own for each mention; an entity id is there twice")
    marks: list[tuple[Span, str, str]] = []
    for entity in annotation.entities:
        if _label_of(entity.id, schema) != entity.label:
            problem = f"entity id {entity.id!r} does not tell the label {entity.label!r}; expected prefix and number, renumber"
            raise RecordError(annotation.id, problem)
        marks.append((entity.span, f"[{entity.id} ", "]"))
    loose = []
    for event in annotation.events:
        if event.type not in schema.event_types:
            raise RecordError(annotation.id, f"expected one of {', '.join(schema.event_types)}, found {event.type!r}")
        if found := reference_fault(event, labels, schema):
            raise RecordError(annotation.id, found)
        filled = [f" {role}={','.join(event.roles[role])}" for role in schema.role_names if event.roles.get(role)]
        head = f"{{{event.type}{''.join(filled)}|"
        if event.trigger is None:
            loose.append(f"{head}}}")
        else:
            marks.append((event.trigger, head, "}"))
    line = _interleave(annotation, marks) + "".join(loose)
    return f"\\{line}" if line.startswith("#") else line


def canonical(annotation: Annotation, schema: LabelSchema) -> Annotation:
    """The same annotation in reading order (by start; of marks that start together the longer first; events without a
    trigger last) and with every role of the schema named, an empty one too."""
    order = len(annotation.text) + 1

    def place(span: Span | None) -> tuple[int, int]:
        return (span.start, -span.end) if span else (order, 0)

    return replace(
        annotation,
        entities=tuple(sorted(annotation.entities, key=lambda entity: place(entity.span))),
        events=tuple(
            replace(event, roles=dict.fromkeys(schema.role_names, ()) | dict(event.roles))
            for event in sorted(annotation.events, key=lambda event: place(event.trigger))
        ),
    )


def renumber(annotation: Annotation, schema: LabelSchema) -> Annotation:
    """New entity ids, prefix and number in reading order, in the roles too. A reference that names nothing stays."""
    counts: dict[str, int] = {}
    ids: dict[str, str] = {}
    entities = []
    for entity in canonical(annotation, schema).entities:
        prefix = schema.entity(entity.label).prefix
        counts[prefix] = counts.get(prefix, 0) + 1
        ids[entity.id] = f"{prefix}{counts[prefix]}"
        entities.append(replace(entity, id=ids[entity.id]))
    events = tuple(
        replace(event, roles={role: tuple(ids.get(each, each) for each in named) for role, named in event.roles.items()})
        for event in annotation.events
    )
    return replace(annotation, entities=tuple(entities), events=events)


def story_of(annotation: Annotation) -> str:
    """The name its header bears in an inline file: its document, or where it has none what its id says before the `#`."""
    return annotation.doc or annotation.id.rpartition("#")[0] or annotation.id


def read_inline_file(path: Path, schema: LabelSchema) -> list[Annotation]:
    """Every sentence of a file, the first fault raised as `file:line, column`. The sentences of `# story ID` are ID#0,
    ID#1 …, their `doc` is ID; sentences before the first header belong to a document called as the file."""
    found = []
    for _, item in scan_inline_file(path, schema):
        if isinstance(item, RecordError):
            raise item
        found.append(item)
    return found


def scan_inline_file(path: Path, schema: LabelSchema) -> Iterator[tuple[str, Annotation | RecordError]]:
    """As `read_inline_file`, but a line that cannot be read gives its error in its place and reading goes on."""
    try:
        lines = path.read_bytes().decode("utf-8-sig").split("\n")
    except OSError as error:
        raise RecordError(str(path), f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RecordError(str(path), f"not UTF-8: {error.reason} at byte {error.start}") from error
    doc = path.stem
    headers: dict[str, int] = {}
    rank = 0
    for number, raw in enumerate(lines, 1):
        line, where = raw.removesuffix("\r"), f"{path}:{number}"
        if not line.strip():
            continue
        if line.startswith("#"):
            header = _HEADER.fullmatch(line.rstrip())
            if header is None:
                message = r"expected `# story ID | topic`; a sentence that begins with # is written \#"
                yield where, RecordError(where, f"{message}, found {line[:40]!r}")
            elif header[1] in headers:
                yield (
                    where,
                    RecordError(where, f"expected a new story, {header[1]!r} is the story of line {headers[header[1]]}"),
                )
            else:
                doc, rank = header[1], 0
                headers[doc] = number
            continue
        try:
            yield where, parse_inline(line, schema, id=f"{doc}#{rank}", doc=doc, where=where)
        except RecordError as error:
            yield where, error
        rank += 1


def write_inline_file(path: Path, annotations: Iterable[Annotation], schema: LabelSchema) -> int:
    """Write annotations under the headers of their documents, which stay in the order of their first sentence; returns
    the number written. Read back, ids are numbered anew."""
    stories: dict[str, list[str]] = {}
    for annotation in annotations:
        doc = story_of(annotation)
        if not _HEADER.fullmatch(f"# story {doc}"):
            raise RecordError(annotation.id, f"expected a document name without white space for a header, found {doc!r}")
        if not annotation.text.strip():
            raise RecordError(annotation.id, "expected a text, found white space only, which a line cannot hold")
        stories.setdefault(doc, []).append(format_inline(annotation, schema))
    parts = ("\n".join((f"# story {doc}", *lines)) + "\n" for doc, lines in stories.items())
    path.write_text("\n".join(parts), encoding="utf-8", newline="\n")
    return sum(len(lines) for lines in stories.values())


def _label_of(name: str, schema: LabelSchema) -> str | None:
    """The label whose prefix and a number make `name`; of two that fit, the longer prefix."""
    fitting = [
        each for each in schema.entities if name.startswith(each.prefix) and re.fullmatch(r"[0-9]+", name[len(each.prefix) :])
    ]
    return max(fitting, key=lambda each: len(each.prefix)).name if fitting else None


def reference_fault(event: Event, labels: Mapping[str, str], schema: LabelSchema) -> str | None:
    """What is wrong with an event's roles, if anything; `labels` are those of the sentence's entities by id."""
    takes = {role.name: role.labels for role in schema.roles}
    for role, ids in event.roles.items():
        if role not in takes:
            return f"expected a role ({', '.join(takes) or 'the schema has none'}), found {role!r}"
        for each in ids:
            if each not in labels:
                return f"expected the id of an entity of this sentence in {role}, found {each!r}"
            if labels[each] not in takes[role]:
                return f"{role} takes {' or '.join(takes[role])}, {each} is {labels[each]}"
    return None


def _interleave(annotation: Annotation, marks: list[tuple[Span, str, str]]) -> str:
    """The escaped text with every mark opened and closed in its place; of equal spans the first given is the outer."""
    text = annotation.text
    parts: list[str] = []
    stack: list[tuple[Span, str]] = []
    at = 0

    def copy_to(end: int) -> None:
        nonlocal at
        parts.append(text[at:end].translate(_ESCAPED))
        at = end

    for span, opener, closer in sorted(marks, key=lambda mark: (mark[0].start, -mark[0].end)):
        if span.end > len(text):
            raise RecordError(
                annotation.id, f"expected a span within the {len(text)} characters of the text, found end {span.end}"
            )
        while stack and stack[-1][0].end <= span.start:
            done, sign = stack.pop()
            copy_to(done.end)
            parts.append(sign)
        if stack and stack[-1][0].end < span.end:
            crossing = stack[-1][0].of(text)
            raise RecordError(
                annotation.id, f"{crossing!r} and {span.of(text)!r} cross; expected marks apart or in one another"
            )
        copy_to(span.start)
        parts.append(opener)
        stack.append((span, closer))
    while stack:
        done, sign = stack.pop()
        copy_to(done.end)
        parts.append(sign)
    copy_to(len(text))
    return "".join(parts)
