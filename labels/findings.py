"""What a check finds, and the raw records it looks at: nothing in a file is believed before it is checked."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from labels.conll import read_conll
from labels.convert import Format, guess_format, read_file
from labels.errors import RecordError
from labels.inline import scan_inline_file
from labels.records import annotation_record, parse_line
from labels.schema import LabelSchema
from labels.types import Annotation


class Severity(StrEnum):
    """An error makes a file unfit to train or measure on; a warning wants a look."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault: `where` is file:line, `id` the record's, `field` the path in it (either may be empty), `remedy` what to do."""

    severity: Severity
    where: str
    id: str
    field: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class RawRecord:
    """A record as it stands in its file. `split` is the part of the corpus that the file is in. Properties are empty where
    the record has none or one that is no string."""

    split: str
    where: str
    value: Mapping[str, Any]

    @property
    def id(self) -> str:
        return _text(self.value.get("id"))

    @property
    def text(self) -> str:
        return _text(self.value.get("text"))

    @property
    def doc(self) -> str:
        return _text(self.value.get("doc"))

    def error(self, field: str, message: str, remedy: str) -> Finding:
        return Finding(Severity.ERROR, self.where, self.id, field, message, remedy)

    def warning(self, field: str, message: str, remedy: str) -> Finding:
        return Finding(Severity.WARNING, self.where, self.id, field, message, remedy)


def read_raw(split: str, path: Path, schema: LabelSchema, form: Format | None = None) -> Iterator[RawRecord | Finding]:
    """The records of a file in any form, and a finding for each line that is none. RecordError only where the file
    itself cannot be read."""
    form = form or guess_format(path)
    readers = {Format.JSONL: _jsonl_items, Format.INLINE: _inline_items, Format.CONLL: _conll_items}
    items = readers[form](path, schema) if form in readers else _tool_items(path, schema, form)
    for where, item in items:
        if isinstance(item, Finding):
            yield item
        elif isinstance(item, RecordError):
            yield Finding(
                Severity.ERROR, item.where or where, "", "", item.message, "mend the line; the rest of it was not checked"
            )
        elif isinstance(item, Annotation):
            yield RawRecord(split, where, annotation_record(item))
        else:
            yield RawRecord(split, where, item)


_Item = tuple[str, Mapping[str, Any] | Annotation | RecordError | Finding]


def _jsonl_items(path: Path, _: LabelSchema) -> Iterator[_Item]:
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise RecordError(str(path), f"cannot be read: {error.strerror}") from error
    for number, line in enumerate(lines, 1):
        where = f"{path}:{number}"
        try:
            record = parse_line(line, where, first=number == 1)
        except RecordError as error:
            yield where, error
        else:
            if record is not None:
                yield where, record


def _inline_items(path: Path, schema: LabelSchema) -> Iterator[_Item]:
    yield from scan_inline_file(path, schema)


def _conll_items(path: Path, _: LabelSchema) -> Iterator[_Item]:
    file = read_conll(path)
    yield from file.items
    if file.repaired:
        message = f"{file.repaired} I- tags continue nothing and are read as B-"
        yield str(path), Finding(Severity.WARNING, str(path), "", "tag", message, "begin each entity with B-")


def _tool_items(path: Path, schema: LabelSchema, form: Format) -> Iterator[_Item]:
    """Tools' files are read whole: the first fault in them is the only one told."""
    try:
        annotations, _ = read_file(path, schema, form)
    except RecordError as error:
        yield error.where or str(path), error
        return
    yield from ((f"{path}, sentence {number}", each) for number, each in enumerate(annotations, 1))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
