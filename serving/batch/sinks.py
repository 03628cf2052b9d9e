"""What a run writes, and the bytes of one part of it. Parts stand behind one another in the output: text and packed text as
they are, Parquet row group by row group."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from labels.schema import LabelSchema
from labels.types import Failure
from serving.batch.packing import PACKERS
from serving.batch.records import LISTS, answer_record, arrow_record, arrow_schema
from serving.batch.rows import Entry, quarantine_record
from serving.batch.tables import columns_of, flat_rows
from serving.errors import FileError

OUTPUT_SCHEMA = 1
"""Raised when a field of the output changes its name or meaning; new fields do not raise it."""

OutputFormat = Literal["jsonl", "csv", "tsv", "parquet"]
Content = Literal["answers", "documents", "entities", "events", "quarantine"]

STDOUT = Path("-")
GROUP_ROWS = 4096  # of Parquet's row groups


@dataclass(frozen=True, slots=True)
class Sink:
    """One file of output and what stands in it."""

    path: Path
    content: Content
    format: OutputFormat

    @classmethod
    def at(cls, path: Path, content: Content = "answers", given: OutputFormat | None = None) -> "Sink":
        """In the format asked for, or that of the name. FileError if neither tells or the two do not go together."""
        packed = path.suffix in PACKERS
        suffix = (Path(path.stem).suffix if packed else path.suffix).lower().removeprefix(".")
        found = given or {"ndjson": "jsonl"}.get(suffix, suffix)
        if path == STDOUT and not given:
            found = "jsonl" if content == "answers" else "csv"
        if found not in get_args(OutputFormat):
            known = ", ".join(get_args(OutputFormat))
            raise FileError(f"{path}: cannot tell the format by the name; give --output-format, one of {known}")
        if found == "parquet" and (packed or path == STDOUT):
            reason = "standard output takes text only" if path == STDOUT else "Parquet is packed already"
            raise FileError(f"{path}: {reason}; choose another name or format")
        return cls(path, content, found)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Encoder:
    """Entries to the bytes of a part. `model` is the id of the model, `dedup` whether near copies are marked."""

    sink: Sink
    schema: LabelSchema
    model: str
    dedup: bool = False

    def encode(self, entries: Iterable[Entry], *, first: bool) -> bytes:
        """A part of these entries. The `first` part of a table begins with its header."""
        return self.seal([piece for entry in entries for piece in self.take(entry)], first=first)

    def take(self, entry: Entry) -> list[Any]:
        """What a part holds of an entry until it is full: text, which is far smaller than the answer it was; of Parquet the
        records."""
        if self.sink.format == "parquet":
            return [arrow_record(record) for record in self._records(entry)]
        if self.sink.format == "jsonl":
            return [json.dumps(record, ensure_ascii=False) + "\n" for record in self._records(entry)]
        return [self._line(self._cells(record)) for record in self._records(entry)]

    def seal(self, taken: list[Any], *, first: bool) -> bytes:
        """The part of all that was taken."""
        if self.sink.format == "parquet":
            buffer = io.BytesIO()
            pq.write_table(pa.Table.from_pylist(taken, schema=self.arrow_schema()), buffer, compression="zstd")
            return buffer.getvalue()
        header = [self._line(self._header())] if first and self.sink.format != "jsonl" else []
        data = "".join([*header, *taken]).encode()
        pack = PACKERS.get(self.sink.path.suffix)
        return pack(data) if pack and (data or first) else data

    def arrow_schema(self) -> pa.Schema:
        """The columns, and the version of the output schema as metadata."""
        if self.sink.content == "answers":
            schema = arrow_schema(self.schema.role_names, dedup=self.dedup)
        else:
            schema = pa.schema(list(self._columns().items()))
        return schema.with_metadata({"marsad.output_schema": str(OUTPUT_SCHEMA), "marsad.model": self.model})

    def _records(self, entry: Entry) -> Iterator[dict[str, Any]]:
        content = self.sink.content
        if content == "answers":
            yield answer_record(entry, dedup=self.dedup)
        elif content == "quarantine":
            if isinstance(entry.answer, Failure):
                yield quarantine_record(entry.row, entry.answer)
        else:
            blank = dict.fromkeys(self._columns())
            yield from ({key: row.get(key) for key in blank} for row in flat_rows(content, entry, self.schema))

    def _columns(self) -> dict[str, pa.DataType]:
        if self.sink.content in {"answers", "quarantine"}:
            raise ValueError(f"{self.sink.content} are no flat table")
        return columns_of(self.sink.content, self.schema, dedup=self.dedup)  # type: ignore[arg-type]

    def _line(self, cells: Iterable[Any]) -> str:
        text = io.StringIO(newline="")
        csv.writer(text, delimiter="\t" if self.sink.format == "tsv" else ",").writerow(cells)
        return text.getvalue()

    def _header(self) -> Sequence[str]:
        if self.sink.content != "answers":
            return list(self._columns())
        return ["id", "model", *LISTS, "error_code", "error_message", *(["duplicate_of"] if self.dedup else [])]

    def _cells(self, record: dict[str, Any]) -> list[Any]:
        """In one line: an answer with its lists as JSON text."""
        if self.sink.content != "answers":
            return list(record.values())
        error = record.get("error", {})
        lists = [json.dumps(record[name], ensure_ascii=False) if name in record else "" for name in LISTS]
        cells = [record["id"], record.get("model"), *lists, error.get("code"), error.get("message")]
        mark = record.get("duplicate_of")
        return [*cells, *([json.dumps(mark, ensure_ascii=False) if mark else ""] if self.dedup else [])]
