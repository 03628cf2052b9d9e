"""One reader for each form of input. A reader yields a Row for each row of its file, in order and in bounded memory; what a
row holds amiss becomes a Failure in its place. Only what makes the whole file unusable is raised."""

import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from labels.types import Document
from serving.batch.columns import Columns, has_surrogates, unreadable
from serving.batch.inputs import InputFile, readable
from serving.batch.packing import MAX_LINE_BYTES, bounded_lines, unpack
from serving.batch.rows import Row
from serving.errors import FileError
from serving.wire import shorten

_BATCH_ROWS = 256


@dataclass(frozen=True)
class Reading:
    """How a file is read. `told` is given the share of the file that has been read, 0 to 1."""

    file: InputFile
    columns: Columns
    delimiter: str | None = None
    told: Callable[[float], None] = lambda _: None

    @property
    def shown(self) -> str:
        return self.file.name if self.file.is_stdin else readable(str(self.file.path))

    @contextmanager
    def lines(self) -> Iterator[Iterator[bytes]]:
        """The lines of a file that may be packed, with their ends."""
        if self.file.is_stdin:
            yield bounded_lines(sys.stdin.buffer)  # type: ignore[arg-type]
            return
        with self.file.path.open("rb") as raw:
            size = max(1, self.file.path.stat().st_size)
            unpacked = unpack(raw, self.file.path)

            def lines() -> Iterator[bytes]:
                for line in bounded_lines(unpacked):
                    self.told(min(1.0, raw.tell() / size))
                    yield line

            yield lines()

    def row(self, values: dict[str, Any], number: int, raw: bytes | dict[str, Any]) -> Row:
        document = self.columns.document(values, f"{self.shown}:{number}", f"{self.file.name}:{number}")
        generated = values.get(self.columns.id) in (None, "")
        return Row(document, self.shown, number, None if isinstance(document, Document) else raw, generated)

    def bad(self, number: int, reason: str, raw: bytes | dict[str, Any]) -> Row:
        failure = unreadable(f"{self.file.name}:{number}", f"{self.shown}:{number}: {reason}")
        return Row(failure, self.shown, number, raw)


def read_jsonl(reading: Reading) -> Iterator[Row]:
    """An object a line; blank lines are passed over."""
    with reading.lines() as lines:
        for number, raw in enumerate(lines, 1):
            if len(raw) > MAX_LINE_BYTES:
                yield reading.bad(number, f"a line of more than {MAX_LINE_BYTES} bytes", raw)
                continue
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
                values = json.loads(line) if line.strip() else None
            except UnicodeDecodeError as error:
                yield reading.bad(number, f"not UTF-8: {error.reason} at byte {error.start}", raw)
                continue
            except (ValueError, RecursionError) as error:
                known = isinstance(error, json.JSONDecodeError)
                reason = f"{error.msg} at column {error.colno}" if known else "too deep or long"  # type: ignore[union-attr]
                yield reading.bad(number, f"not JSON: {reason}", raw)
                continue
            if isinstance(values, dict):
                yield reading.row(values, number, raw)
            elif line.strip():
                yield reading.bad(number, f"expected a JSON object, found {shorten(values)}", raw)


def read_table(reading: Reading) -> Iterator[Row]:
    """A row under a header, in CSV or TSV. An empty cell is an absent value, but an empty text is a text."""
    with reading.lines() as lines:
        rows, taken = _table(reading, lines)
        header = _header(reading, rows)
        text = reading.columns.text
        while True:
            number = rows.line_num + 1
            taken.clear()
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                lines_lost = f" (lines {number} to {rows.line_num})" if rows.line_num > number else ""
                yield reading.bad(number, f"not CSV: {error}{lines_lost}", b"".join(taken))
                continue
            if not row:
                continue
            raw = b"".join(taken)
            if len(row) != len(header):
                yield reading.bad(number, f"expected {len(header)} fields, found {len(row)}", raw)
            elif bad := [key for key, value in zip(header, row, strict=True) if has_surrogates(value)]:
                yield reading.bad(number, f"field {bad[0]!r}: not UTF-8", raw)
            else:
                values = {key: value for key, value in zip(header, row, strict=True) if value or key == text}
                yield reading.row(values, number, raw)


def check_table(reading: Reading) -> None:
    """FileError if the first line is no header or lacks the text column."""
    with reading.lines() as lines:
        _header(reading, _table(reading, lines)[0])


def read_parquet(reading: Reading) -> Iterator[Row]:
    """A row a document; only the columns asked for are read."""
    with pq.ParquetFile(reading.file.path) as table:
        total = max(1, table.metadata.num_rows)
        columns = reading.columns
        names = (columns.id, columns.text, columns.published, columns.source)
        wanted = [name for name in dict.fromkeys(names) if name in table.schema_arrow.names]
        number = 0
        for batch in table.iter_batches(batch_size=_BATCH_ROWS, columns=wanted):
            for i in range(batch.num_rows):
                number += 1
                try:
                    values = {key: batch.column(key)[i].as_py() for key in wanted}
                except UnicodeDecodeError as error:
                    yield reading.bad(number, f"not UTF-8: {error.reason} at byte {error.start}", {})
                    continue
                except (ValueError, OverflowError) as error:  # a time before the year 1, or of parts of a microsecond
                    yield reading.bad(number, f"a value that Python cannot hold: {error}", {})
                    continue
                yield reading.row(values, number, values)
            reading.told(number / total)


def check_parquet(reading: Reading) -> None:
    """FileError if a column is absent or of a type that no row could be read from."""
    with pq.ParquetFile(reading.file.path) as table:
        schema = table.schema_arrow
    check_columns(reading, schema.names)
    columns = reading.columns
    accepted: dict[str, tuple[str, tuple[Callable[[pa.DataType], bool], ...]]] = {
        columns.text: ("text", (_is_text,)),
        columns.id: ("text or whole numbers", (_is_text, pa.types.is_integer)),
        columns.published: ("text or dates", (_is_text, pa.types.is_date, pa.types.is_timestamp)),
        columns.source: ("text", (_is_text,)),
    }
    for name, (expected, tests) in accepted.items():
        if name in schema.names and not any(test(_value_type(schema.field(name).type)) for test in tests):
            raise FileError(f"{reading.shown}: column {name!r}: expected {expected}, found {schema.field(name).type}")


def read_text(reading: Reading) -> Iterator[Row]:
    """The whole file."""
    file = reading.file
    if file.is_stdin:
        raw = sys.stdin.buffer.read()
    else:
        with file.path.open("rb") as packed:
            raw = unpack(packed, file.path).read()
    try:
        yield Row(Document(file.name, raw.decode("utf-8-sig")), reading.shown)
    except UnicodeDecodeError as error:
        reason = f"{reading.shown}: not UTF-8: {error.reason} at byte {error.start}"
        yield Row(unreadable(file.name, reason), reading.shown, raw=raw)


def check_columns(reading: Reading, names: list[str]) -> None:
    if reading.columns.text not in names:
        found = ", ".join(names) or "none"
        wanted = reading.columns.text
        raise FileError(f"{reading.shown}: no column {wanted!r}; found {found}; name the right one with --text")


def _header(reading: Reading, rows: Any) -> list[str]:
    try:
        header: list[str] = next(rows, [])
    except csv.Error as error:
        raise FileError(f"{reading.shown}: the first line is no CSV header: {error}") from error
    check_columns(reading, header)
    return header


def _table(reading: Reading, lines: Iterable[bytes]) -> tuple[Any, list[bytes]]:
    """A csv.reader, and the lines it has taken."""
    csv.field_size_limit(MAX_LINE_BYTES)  # a quotation mark left open would take the rest of the file
    delimiter = reading.delimiter or ("\t" if reading.file.format == "tsv" else ",")
    taken: list[bytes] = []

    def text() -> Iterator[str]:
        # What is no UTF-8 is kept as surrogates, so that only the row that holds it is lost.
        for i, line in enumerate(lines):
            taken.append(line)
            yield line.decode("utf-8-sig" if i == 0 else "utf-8", "surrogateescape")

    return csv.reader(text(), delimiter=delimiter, strict=True), taken


def _is_text(kind: pa.DataType) -> bool:
    types = pa.types
    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind) or types.is_null(kind)


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind
