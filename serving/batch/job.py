"""What decides the bytes of an output. Two runs with equal jobs give equal bytes; parts of one are never put to another's."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from labels import __version__
from serving.analyzer import Analyzer
from serving.batch.columns import Columns
from serving.batch.inputs import InputContent, InputFile
from serving.batch.sinks import OUTPUT_SCHEMA, Sink

# A part is full with so many rows or characters of text: what a killed run loses, and what a stopped one still does.
PART_ROWS = 1000
PART_CHARACTERS = 250_000

IdRule = Literal["unique", "any", "required"]


@dataclass(frozen=True)
class Request:
    """What is asked for. The first of `sinks` is the output; the parts of all wait beside it. `ids`: `unique` makes up those
    that are missing and refuses a row whose id stood before, `any` lets ids stand again, `required` refuses rows without one
    as well. `limit` ends after so many rows. `dedup` is the similarity from which a document is marked as a copy of an earlier
    one. `max_errors` stops the run when more rows than that have no answer."""

    files: Sequence[InputFile]
    sinks: Sequence[Sink]
    columns: Columns = field(default_factory=Columns)
    delimiter: str | None = None
    ids: IdRule = "unique"
    limit: int | None = None
    dedup: float | None = None
    max_errors: int | None = None
    part_rows: int = PART_ROWS
    part_characters: int = PART_CHARACTERS
    force: bool = False
    restart: bool = False

    @property
    def output(self) -> Path:
        return self.sinks[0].path

    @property
    def resumable(self) -> bool:
        """Standard input cannot be read a second time."""
        return not any(file.is_stdin for file in self.files)


def job_record(request: Request, contents: Sequence[InputContent], analyzer: Analyzer) -> dict[str, Any]:
    """The job as JSON: inputs by content, options, model, and what else could change a byte."""
    columns = request.columns
    engine = analyzer.engine
    return {
        "input": {each.name: {"bytes": each.bytes, "sha256": each.sha256} for each in contents},
        "model": {"id": engine.folder.id, "device": engine.device, "precision": engine.precision},
        "options": {
            "order": [each.name for each in contents],  # rows are counted through the files
            "formats": [file.format for file in request.files],
            "columns": {"id": columns.id, "text": columns.text, "published": columns.published, "source": columns.source},
            "delimiter": request.delimiter,
            "ids": request.ids,
            "limit": request.limit,
            "dedup": request.dedup,
            "max_characters": analyzer.max_characters,
            "thresholds": dict(sorted(analyzer.thresholds.items())),
            "outputs": [[sink.path.name, sink.content, sink.format] for sink in request.sinks],
            "part": [request.part_rows, request.part_characters],
        },
        "marsad": {"version": __version__, "output_schema": OUTPUT_SCHEMA},
    }


def fingerprint(job: Mapping[str, Any]) -> str:
    """64 hexadecimal digits that change with anything in the job."""
    return hashlib.sha256(json.dumps(job, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def differences(before: Mapping[str, Any], now: Mapping[str, Any], path: str = "") -> list[str]:
    """What changed, each with where it is, what it was and what it is."""
    found = []
    for key in [*before, *(key for key in now if key not in before)]:
        was, is_now = before.get(key), now.get(key)
        where = f"{path}{key}"
        if isinstance(was, Mapping) and isinstance(is_now, Mapping):
            found += differences(was, is_now, f"{where}: ")
        elif was != is_now:
            found.append(f"{where} was {_shown(was)}, is {_shown(is_now)}")
    return found


def _shown(value: Any) -> str:
    if value is None:
        return "not set"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 64 else f"{text[:61]}..."
