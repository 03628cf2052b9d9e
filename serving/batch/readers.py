"""Files of documents, read one by one in bounded memory.

What a row holds amiss is not raised but yielded as a Failure in its place, with file, line and field, so that the output
tells of it. Only a file that cannot be opened, or that lacks the text column, ends a run, and it does so at the start.
"""

import csv
import glob
import gzip
import io
import json
import lzma
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import IO, Any, Literal, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from labels.types import Document, Failure
from serving.errors import Code, FileError
from serving.wire import shorten

InputFormat = Literal["jsonl", "csv", "parquet", "txt"]
Row = Document | Failure

_SUFFIXES: dict[str, InputFormat] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".txt": "txt",
}
_PACKED = {".gz", ".xz"}
_BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError, pa.ArrowException)
_BATCH_ROWS = 256


@dataclass(frozen=True)
class Columns:
    """What the fields of a document are called in the files. Only that of the text must be there."""

    id: str = "id"
    text: str = "text"
    published: str = "published"
    source: str = "source"


@dataclass(frozen=True)
class _File:
    """`name` begins the ids that are made up for its documents, and is the id of a text file."""

    path: Path
    format: InputFormat
    name: str


class Source:
    """The documents of some files, in the order of the files and of their rows. Iterate once.

    `generated` counts the documents that came without an id and were given FILE:LINE.
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        *,
        input_format: InputFormat | None = None,
        columns: Columns | None = None,
        delimiter: str | None = None,
    ) -> None:
        """`paths` are files, folders (their .txt files are taken, at any depth) or patterns with `*`. FileError if one
        cannot be used."""
        self.columns = columns or Columns()
        self.delimiter = delimiter
        self.generated = 0
        self.files = [file for path in paths for file in _expand(path, input_format)]
        self._share = 0.0
        self._finished = 0
        for file in self.files:
            self._check(file)

    @property
    def share(self) -> float:
        """How much of the input has been read, 0 to 1, each file counting alike."""
        return min(1.0, (self._finished + self._share) / max(1, len(self.files)))

    def __iter__(self) -> Iterator[Row]:
        readers = {"jsonl": self._read_jsonl, "csv": self._read_csv, "parquet": self._read_parquet, "txt": self._read_text}
        for file in self.files:
            try:
                yield from readers[file.format](file)
            except _BROKEN as error:
                yield _unreadable(None, f"{file.path}: cannot be read further: {error}")
            self._finished += 1
            self._share = 0.0

    def _check(self, file: _File) -> None:
        """Find out before the work begins what would end it."""
        try:
            if file.format == "parquet":
                with pq.ParquetFile(file.path) as table:
                    self._check_columns(file, table.schema_arrow.names)
            elif file.format == "csv":
                with self._lines(file) as lines:
                    self._check_columns(file, next(self._rows(file, lines), []))
            else:
                file.path.open("rb").close()
        except csv.Error as error:
            raise FileError(f"{file.path}: the first line is no CSV header: {error}") from error
        except _BROKEN as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise FileError(f"{file.path}: cannot be read: {reason}") from error

    def _check_columns(self, file: _File, names: Sequence[str]) -> None:
        if self.columns.text not in names:
            found = ", ".join(names) or "none"
            raise FileError(
                f"{file.path}: no column {self.columns.text!r}; found {found}; name the right one with --text-column"
            )

    def _read_jsonl(self, file: _File) -> Iterator[Row]:
        with self._lines(file) as lines:
            for number, raw in enumerate(lines, 1):
                where = f"{file.path}:{number}"
                try:
                    line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
                    values = json.loads(line) if line.strip() else None
                except UnicodeDecodeError as error:
                    yield _unreadable(f"{file.name}:{number}", f"{where}: not UTF-8: {error.reason} at byte {error.start}")
                    continue
                except (ValueError, RecursionError) as error:
                    reason = (
                        f"{error.msg} at column {error.colno}"
                        if isinstance(error, json.JSONDecodeError)
                        else "too deep or long"
                    )
                    yield _unreadable(f"{file.name}:{number}", f"{where}: not JSON: {reason}")
                    continue
                if isinstance(values, dict):
                    yield self._document(values, where, f"{file.name}:{number}")
                elif line.strip():
                    yield _unreadable(f"{file.name}:{number}", f"{where}: expected a JSON object, found {shorten(values)}")

    def _read_csv(self, file: _File) -> Iterator[Row]:
        with self._lines(file) as lines:
            rows = self._rows(file, lines)
            header: list[str] = next(rows, [])
            while True:
                number = rows.line_num + 1
                where, name = f"{file.path}:{number}", f"{file.name}:{number}"
                try:
                    row = next(rows)
                except StopIteration:
                    return
                except csv.Error as error:
                    yield _unreadable(name, f"{where}: not CSV: {error}")
                    continue
                if not row:
                    continue
                if len(row) != len(header):
                    yield _unreadable(name, f"{where}: expected {len(header)} fields, found {len(row)}")
                elif bad := [key for key, value in zip(header, row, strict=True) if _has_surrogates(value)]:
                    yield _unreadable(name, f"{where}: field {bad[0]!r}: not UTF-8")
                else:
                    values = dict(zip(header, row, strict=True))
                    absent = {key for key, value in values.items() if not value and key != self.columns.text}
                    yield self._document({key: values[key] for key in values if key not in absent}, where, name)

    def _read_parquet(self, file: _File) -> Iterator[Row]:
        with pq.ParquetFile(file.path) as table:
            total = table.metadata.num_rows
            wanted = [name for name in vars(self.columns).values() if name in table.schema_arrow.names]
            number = 0
            for batch in table.iter_batches(batch_size=_BATCH_ROWS, columns=wanted):
                for i in range(batch.num_rows):
                    number += 1
                    where, name = f"{file.path}:{number}", f"{file.name}:{number}"
                    try:
                        values = {key: _plain(batch.column(key)[i].as_py()) for key in wanted}
                    except UnicodeDecodeError as error:
                        yield _unreadable(name, f"{where}: not UTF-8: {error.reason} at byte {error.start}")
                        continue
                    yield self._document(values, where, name)
                self._share = number / max(1, total)

    def _read_text(self, file: _File) -> Iterator[Row]:
        try:
            yield Document(file.name, file.path.read_bytes().decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            yield _unreadable(file.name, f"{file.path}: not UTF-8: {error.reason} at byte {error.start}")
        except OSError as error:
            yield _unreadable(file.name, f"{file.path}: cannot be read: {error.strerror}")

    def _document(self, values: Mapping[str, Any], where: str, made_up: str) -> Row:
        """A document from named values. A whole number is taken as an id, as tables have them."""
        identity = values.get(self.columns.id)
        if type(identity) is int:
            identity = str(identity)
        if identity is None or identity == "":
            self.generated += 1
            identity = made_up
        if not isinstance(identity, str) or _has_surrogates(identity):
            return _invalid(made_up, where, self.columns.id, "a string", identity)
        text = values.get(self.columns.text)
        if not isinstance(text, str):
            return _invalid(identity, where, self.columns.text, "a string", text)
        others = {"published": values.get(self.columns.published), "source": values.get(self.columns.source)}
        for name, value in others.items():
            if value is not None and not isinstance(value, str):
                return _invalid(identity, where, getattr(self.columns, name), "a string or null", value)
        return Document(identity, text, **others)

    @contextmanager
    def _lines(self, file: _File) -> Iterator[Iterator[bytes]]:
        """The lines of a file that may be packed, with their ends."""
        with file.path.open("rb") as raw:
            size = max(1, file.path.stat().st_size)
            unpacked = _unpack(raw, file.path)

            def lines() -> Iterator[bytes]:
                for line in unpacked:
                    self._share = raw.tell() / size
                    yield line

            yield lines()

    def _rows(self, file: _File, lines: Iterable[bytes]) -> Any:
        csv.field_size_limit(sys.maxsize)
        delimiter = self.delimiter or ("\t" if ".tsv" in file.path.suffixes else ",")
        # What is no UTF-8 is kept as surrogates, so that only the row that holds it is lost.
        text = (line.decode("utf-8-sig" if i == 0 else "utf-8", "surrogateescape") for i, line in enumerate(lines))
        return csv.reader(text, delimiter=delimiter, strict=True)


def _expand(path: str | Path, input_format: InputFormat | None) -> list[_File]:
    given = Path(path)
    if given.is_dir():
        suffix = f".{input_format or 'txt'}"
        inside = sorted(file for file in given.rglob(f"*{suffix}") if file.is_file())
        if not inside:
            raise FileError(f"{given}: no {suffix} file in this folder")
        return [_File(file, input_format or "txt", file.relative_to(given).as_posix()) for file in inside]
    if given.exists():
        return [_File(given, input_format or _format_of(given), given.name)]
    matches = [match for match in sorted(glob.glob(str(path), recursive=True)) if Path(match).is_file()]
    if not matches:
        raise FileError(f"{given}: no such file")
    return [_File(Path(match), input_format or _format_of(Path(match)), Path(match).as_posix()) for match in matches]


def known_format(path: Path) -> InputFormat | None:
    """What the name says, if it says anything: news.csv.gz is csv."""
    suffix = Path(path.stem).suffix if path.suffix in _PACKED else path.suffix
    return _SUFFIXES.get(suffix.lower())


def _format_of(path: Path) -> InputFormat:
    if found := known_format(path):
        return found
    known = ", ".join(get_args(InputFormat))
    raise FileError(f"{path}: cannot tell the format by the name; give --input-format, one of {known}")


def _unpack(raw: IO[bytes], path: Path) -> IO[bytes] | io.BufferedIOBase:
    if path.suffix == ".gz":
        return gzip.GzipFile(fileobj=raw)
    return lzma.LZMAFile(raw) if path.suffix == ".xz" else raw


def _plain(value: Any) -> Any:
    """Dates of a table as text."""
    if isinstance(value, datetime):
        return value.date().isoformat()
    return value.isoformat() if isinstance(value, date) else value


def _has_surrogates(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _unreadable(identity: str | None, message: str) -> Failure:
    return Failure(identity, Code.UNREADABLE, message)


def _invalid(identity: str, where: str, field: str, expected: str, found: Any) -> Failure:
    shown = "nothing" if found is None else shorten(found)
    return Failure(identity, Code.INVALID_DOCUMENT, f"{where}: field {field!r}: expected {expected}, found {shown}")
