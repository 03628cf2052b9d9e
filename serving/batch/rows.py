"""A row of the input on its way to the output."""

import base64
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from labels.types import Document, Failure, Prediction
from serving.batch.near_duplicates import Mark

Answer = Prediction | Failure

_SHOWN_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Row:
    """What a reader made of one row: a document, or why there is none. `file` and `line` (from 1; the row's number in
    Parquet; none for a whole file) say where it stood. `raw` is the row as it was found, kept where there is no document;
    `generated` says that its id was made up."""

    item: Document | Failure
    file: str
    line: int | None = None
    raw: bytes | Mapping[str, Any] | None = None
    generated: bool = False

    @property
    def where(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"

    @property
    def characters(self) -> int:
        """Of the text; 0 where there is none."""
        return len(self.item.text) if isinstance(self.item, Document) else 0


@dataclass(frozen=True, slots=True)
class Entry:
    """A row with its answer, and what it is a near copy of."""

    row: Row
    answer: Answer
    mark: Mark | None = None


def quarantine_record(row: Row, failure: Failure) -> dict[str, Any]:
    """A row that got no answer, as one who mends it wants to see it: place, reason and the row itself. A row that is not
    UTF-8 stands as `row_base64`; of one of more than a mebibyte the beginning stands there and `row_bytes` says its length
    as far as it was read."""
    record = {"file": row.file, "line": row.line, "id": failure.id, "code": str(failure.code), "message": failure.message}
    if isinstance(row.raw, bytes):
        return record | _shown(row.raw)
    if row.raw is not None:
        return record | {"row": _plain(row.raw)}
    return record | {"row": _plain(asdict(row.item)) if isinstance(row.item, Document) else None}


def _shown(raw: bytes) -> dict[str, Any]:
    cut = {} if len(raw) <= _SHOWN_BYTES else {"row_bytes": len(raw)}
    raw = raw[:_SHOWN_BYTES].removesuffix(b"\n").removesuffix(b"\r")
    try:
        return {"row": raw.decode("utf-8", "strict" if not cut else "ignore"), **cut}
    except UnicodeDecodeError:
        return {"row_base64": base64.b64encode(raw).decode(), **cut}


def _plain(value: Any) -> Any:
    """As JSON can hold it; half a surrogate pair as its escape."""
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return str(value).encode("utf-8", "backslashreplace").decode()
