"""Answers to files: JSONL as HTTP gives them, Parquet with nested columns, CSV with JSON in its cells.

A CSV row is one document: `id`, `model`, then `sentences`, `entities`, `events`, `event_types` and `warnings` as JSON
text, then `error_code` and `error_message`, which are empty where there is an answer.
"""

import csv
import gzip
import json
import lzma
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal, Protocol, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from labels.records import failure_record, prediction_record
from labels.types import Failure, Prediction
from serving.errors import FileError

OutputFormat = Literal["jsonl", "parquet", "csv"]
Answer = Prediction | Failure

_LISTS = ("sentences", "entities", "events", "event_types", "warnings")
_ROW_GROUP = 1000  # documents held before Parquet writes them


class Writer(Protocol):
    """Writes answers in the order it gets them."""

    def write(self, answer: Answer) -> None: ...

    def finish(self) -> None: ...


def output_format(path: Path, given: OutputFormat | None = None) -> OutputFormat:
    """That asked for, or that of the name. FileError if neither tells."""
    packed = path.suffix in {".gz", ".xz"}
    suffix = (Path(path.stem).suffix if packed else path.suffix).lower().removeprefix(".")
    found = given or {"ndjson": "jsonl"}.get(suffix, suffix)
    if found not in get_args(OutputFormat):
        known = ", ".join(get_args(OutputFormat))
        raise FileError(f"{path}: cannot tell the format by the name; give --output-format, one of {known}")
    if packed and found == "parquet":
        raise FileError(f"{path}: Parquet is packed already; leave {path.suffix} off the name")
    return found  # type: ignore[return-value]


@contextmanager
def open_writer(path: Path, kind: OutputFormat, roles: Sequence[str], *, force: bool = False) -> Iterator[Writer]:
    """A writer whose file appears at `path` only when all has been written; until then, and if it is not, nothing there
    changes. `roles` are those of the model's schema. FileError if there is a file already and not `force`."""
    if path.exists() and not force:
        raise FileError(f"{path}: exists already; choose another name, or give --force to replace it")
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        raw = unfinished.open("wb")
    except OSError as error:
        raise FileError(f"{path}: cannot be written: {error.strerror}") from error
    try:
        with raw:
            packed = _pack(raw, path)
            writer = _WRITERS[kind](packed, roles)
            try:
                yield writer
            finally:  # also where the run failed: Parquet's writer wants to be closed before its file
                writer.finish()
                if packed is not raw:
                    packed.close()
            raw.flush()
            os.fsync(raw.fileno())
        unfinished.replace(path)
    except OSError as error:
        raise FileError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        unfinished.unlink(missing_ok=True)


class JsonlWriter:
    """One object a line."""

    def __init__(self, handle: IO[bytes], _: Sequence[str]) -> None:
        self._handle = handle

    def write(self, answer: Answer) -> None:
        self._handle.write(json.dumps(_record(answer), ensure_ascii=False).encode() + b"\n")

    def finish(self) -> None:
        pass


class CsvWriter:
    """One row a document; see the head of this file."""

    def __init__(self, handle: IO[bytes], _: Sequence[str]) -> None:
        self._handle = handle
        self._rows = csv.writer(self)
        self._rows.writerow(["id", "model", *_LISTS, "error_code", "error_message"])

    def write(self, answer: Answer | str) -> None:
        if isinstance(answer, str):  # from csv.writer, which takes this object for its file
            self._handle.write(answer.encode())
            return
        record = _record(answer)
        error = record.get("error", {})
        lists = [json.dumps(record[name], ensure_ascii=False) if name in record else "" for name in _LISTS]
        self._rows.writerow([record["id"], record.get("model"), *lists, error.get("code"), error.get("message")])

    def finish(self) -> None:
        pass


class ParquetWriter:
    """Nested columns; `error` is null where there is an answer, the others are null where there is none."""

    def __init__(self, handle: IO[bytes], roles: Sequence[str]) -> None:
        self._schema = parquet_schema(roles)
        self._table = pq.ParquetWriter(handle, self._schema, compression="zstd")
        self._held: list[dict[str, Any]] = []

    def write(self, answer: Answer) -> None:
        record = _record(answer)
        if "event_types" in record:
            record["event_types"] = list(record["event_types"].items())
        self._held.append(record)
        if len(self._held) == _ROW_GROUP:
            self._flush()

    def finish(self) -> None:
        self._flush()
        self._table.close()

    def _flush(self) -> None:
        if self._held:
            self._table.write_table(pa.Table.from_pylist(self._held, schema=self._schema))
            self._held = []


def parquet_schema(roles: Sequence[str]) -> pa.Schema:
    """The columns of a prediction record, and `error`."""
    text, whole, score = pa.string(), pa.int64(), pa.float64()
    span: dict[str, pa.DataType] = {"start": whole, "end": whole}
    entity = {"id": text, "label": text, **span, "text": text, "score": score, "sentence": whole}
    trigger = _struct({**span, "text": text})
    event: dict[str, pa.DataType] = {"type": text, "score": score, "sentence": whole, "trigger": trigger}
    event |= {role: pa.list_(text) for role in roles}
    return pa.schema(
        [
            pa.field("id", text),
            pa.field("model", text),
            pa.field("sentences", pa.list_(_struct(span))),
            pa.field("entities", pa.list_(_struct(entity))),
            pa.field("events", pa.list_(_struct(event))),
            pa.field("event_types", pa.map_(text, score)),
            pa.field("warnings", pa.list_(text)),
            pa.field("error", _struct({"code": text, "message": text})),
        ]
    )


def _struct(fields: Mapping[str, pa.DataType]) -> pa.StructType:
    return pa.struct([pa.field(name, kind) for name, kind in fields.items()])


_WRITERS: dict[OutputFormat, type[JsonlWriter] | type[CsvWriter] | type[ParquetWriter]] = {
    "jsonl": JsonlWriter,
    "csv": CsvWriter,
    "parquet": ParquetWriter,
}


def _record(answer: Answer) -> dict[str, Any]:
    return prediction_record(answer) if isinstance(answer, Prediction) else failure_record(answer)


def _pack(raw: IO[bytes], path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return gzip.GzipFile(fileobj=raw, mode="wb", filename="", mtime=0)  # type: ignore[return-value]
    return lzma.LZMAFile(raw, "wb") if path.suffix == ".xz" else raw
