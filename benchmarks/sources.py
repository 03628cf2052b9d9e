"""A user's own sets as they are published: tagged words (CoNLL) and tables of texts with a label each (CSV, TSV, JSONL), plain
or packed (.xz, .gz). What cannot be read is an error with file and line."""

import csv
import gzip
import lzma
import sys
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from benchmarks.folds import number_blocks
from labels.conll import ConllFile, read_conll
from labels.errors import ConfigError, RecordError, SchemaError
from labels.records import parse_object
from labels.schema import EntityLabel, LabelSchema
from labels.types import Annotation

_PACKED = {".xz": lzma.decompress, ".gz": gzip.decompress}
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_OBJECTS = {".jsonl", ".ndjson"}


@dataclass(frozen=True)
class TaggedSet:
    """The sentences of a CoNLL file under ids of `role`; `doc` of each is its block. `notes` tell what was mended."""

    sentences: tuple[Annotation, ...]
    notes: tuple[str, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The entity labels there are, in the order of the alphabet."""
        return tuple(sorted({entity.label for sentence in self.sentences for entity in sentence.entities}))


def read_tagged(path: Path, role: str, *, block: int, limit: int | None = None) -> TaggedSet:
    """The first `limit` sentences, words joined by one space. Blocks are the documents that `-DOCSTART-` lines part, or
    `block` neighbours where there are none."""
    file = _read_packed(path)
    sentences = []
    for place, item in file.items:
        if isinstance(item, RecordError):
            raise item
        for label in {entity.label for entity in item.entities}:
            try:
                LabelSchema(role, (EntityLabel(label, "e"),))
            except SchemaError as error:
                raise RecordError(place, f"this sentence has a label that cannot be used: {error}") from error
        sentences.append(item)
    if not sentences:
        raise RecordError(str(path), "expected a word and its tag on each line, found no sentence")
    sentences = sentences[:limit]
    blocks = number_blocks([sentence.doc for sentence in sentences], block)
    named = (
        replace(sentence, id=f"{role}#{i}", doc=f"{role}-{number}")
        for i, (sentence, number) in enumerate(zip(sentences, blocks, strict=True))
    )
    mended = {"I- tags that continued nothing were read as B-": file.repaired, "words of invisible marks alone": file.unseen}
    return TaggedSet(tuple(named), tuple(f"{path.name}: {count} {what}" for what, count in mended.items() if count))


def _read_packed(path: Path) -> ConllFile:
    """The file, unpacked where it must be, with places in it that name the file as the user knows it."""
    if path.suffix not in _PACKED:
        return read_conll(path)
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / path.stem
        plain.write_bytes(_unpack(path))

        def renamed(where: str) -> str:
            return where.replace(str(plain), str(path), 1)

        try:
            file = read_conll(plain)
        except RecordError as error:
            raise RecordError(renamed(error.where), error.message) from error
    items = (
        (renamed(place), RecordError(renamed(item.where), item.message) if isinstance(item, RecordError) else item)
        for place, item in file.items
    )
    return replace(file, items=tuple(items))


@dataclass(frozen=True)
class Columns:
    """What a table calls its columns; without a header they are called 1, 2, 3 … Rows of one `group` stay together in
    folds; without it, rows of one text do. Without `quotes` a quotation mark is part of the text."""

    text: str = "text"
    label: str = "label"
    group: str | None = None
    header: bool = True
    quotes: bool = True


@dataclass(frozen=True)
class Labels:
    """What becomes of the labels of a table: `merged` gives some another name, rows of those `dropped` are left out. Both
    speak of labels as the file has them."""

    merged: Mapping[str, str] = field(default_factory=dict)
    dropped: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Row:
    """One text, its class, and what keeps it together with others; `where` is its file and line."""

    text: str
    label: str
    group: str
    where: str


@dataclass(frozen=True)
class Table:
    """The rows that are kept, and how many of each label that was left out."""

    rows: tuple[Row, ...]
    dropped: Mapping[str, int]


def read_table(path: Path, columns: Columns, labels: Labels) -> Table:
    """The rows of a CSV, TSV or JSONL file; fields of a TSV file may be quoted as in CSV."""
    rows: list[Row] = []
    dropped: dict[str, int] = {}
    for where, record in _records(path, columns):
        name = _value(record, columns.label, where)
        if name in labels.dropped:
            dropped[name] = dropped.get(name, 0) + 1
            continue
        text = _value(record, columns.text, where)
        group = _value(record, columns.group, where) if columns.group else text
        rows.append(Row(text, labels.merged.get(name, name), group, where))
    if not rows:
        raise RecordError(str(path), "expected a text and a label in each row, found no row that is kept")
    return Table(tuple(rows), dropped)


def _records(path: Path, columns: Columns) -> Iterator[tuple[str, Mapping[str, object]]]:
    """`(file:line, values by column)` of each row that is not blank; the line is that where the row begins."""
    kind = Path(path.stem).suffix if path.suffix in _PACKED else path.suffix
    if kind not in _OBJECTS | _DELIMITERS.keys():
        expected = ", ".join(sorted(_OBJECTS | _DELIMITERS.keys()))
        raise ConfigError(f"{path}: expected a name that ends in {expected}, and .xz or .gz after it where it is packed")
    lines = _lines(path)
    if kind in _OBJECTS:
        yield from ((where, parse_object(line, where)) for where, line in lines if line.strip())
        return
    csv.field_size_limit(sys.maxsize)
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if columns.quotes else csv.QUOTE_NONE
    reader = csv.reader((line for _, line in lines), delimiter=_DELIMITERS[kind], quoting=quoting, strict=True)
    head: list[str] | None = None
    while True:
        where = f"{path}:{reader.line_num + 1}"
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise RecordError(where, f"not {kind[1:].upper()}: {error}; with --no-quotes quotation marks are text") from error
        if not row:
            continue
        if head is None:
            head = row if columns.header else [str(i) for i in range(1, len(row) + 1)]
            if columns.header:
                continue
        if len(row) != len(head):
            raise RecordError(where, f"expected {len(head)} fields, found {len(row)}")
        yield where, dict(zip(head, row, strict=True))


def _value(record: Mapping[str, object], column: str, where: str) -> str:
    value = record.get(column)
    if isinstance(value, int):  # labels are often numbers
        value = str(value)
    if column not in record:
        raise RecordError(where, f"no column {column!r}; there are {', '.join(map(repr, record))}")
    if not isinstance(value, str) or not value.strip():
        raise RecordError(where, f"column {column!r}: expected text, found {'nothing' if not value else repr(value)[:60]}")
    return value


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """`(file:line, text)` with line ends as they are; a byte order mark at the start is left out."""
    for number, line in enumerate(_unpack(path).split(b"\n"), 1):
        where = f"{path}:{number}"
        try:
            yield where, line.decode("utf-8-sig" if number == 1 else "utf-8") + "\n"
        except UnicodeDecodeError as error:
            raise RecordError(where, f"not UTF-8: {error.reason} at byte {error.start}") from error


def _unpack(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return _PACKED[path.suffix](content) if path.suffix in _PACKED else content
    except OSError as error:  # of gzip as well, where the file is of another kind
        raise RecordError(str(path), f"cannot be read: {error.strerror or error}") from error
    except (EOFError, zlib.error, lzma.LZMAError) as error:
        raise RecordError(str(path), f"cannot be unpacked: {error}") from error
