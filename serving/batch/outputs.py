"""The files that a run leaves: those asked for, the rows without an answer, and the summary that says what they come from."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from serving.batch.atomic import write_atomic
from serving.batch.job import Request, fingerprint
from serving.batch.joining import join_parts
from serving.batch.ledger import Ledger, job_of, open_ledger, parts_folder
from serving.batch.sinks import Sink
from serving.errors import FileError

_JOINING = "joining"


def quarantine_of(output: Path) -> Path:
    return output.with_name(f"{output.name}.quarantine.jsonl")


def summary_of(output: Path) -> Path:
    return output.with_name(f"{output.name}.summary.json")


def files_of(request: Request) -> list[Sink]:
    """All that is written in parts, the quarantine last."""
    return [*request.sinks, Sink(quarantine_of(request.output), "quarantine", "jsonl")]


def check_outputs(request: Request, job: Mapping[str, Any]) -> None:
    """FileError if a file of output may not be written: an input, twice the same, one that is there and not to be replaced."""
    inputs = {file.path.resolve() for file in request.files if not file.is_stdin}
    for beside in (quarantine_of(request.output), summary_of(request.output)):
        if beside.resolve() in inputs:
            raise FileError(
                f"{beside}: is one of the inputs, and would be written beside {request.output}; choose another name"
            )
    seen: set[Path] = set()
    for sink in request.sinks:
        path = sink.path.resolve()
        if path in inputs:
            raise FileError(f"{sink.path}: is one of the inputs; choose another name")
        if path in seen:
            raise FileError(f"{sink.path}: is asked for twice; choose another name")
        seen.add(path)
        if path.is_dir() or not path.parent.is_dir():
            raise FileError(f"{sink.path}: {'is a folder' if path.is_dir() else 'its folder is not there'}")
        if path.exists() and not request.force and not _being_joined(request.output, job):
            raise FileError(f"{sink.path}: exists already; choose another name, or give --force to replace it")


def finished_before(output: Path, job: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The summary of a run that did this very job, if its files are as it left them."""
    try:
        record = json.loads(summary_of(output).read_bytes())
        if record["job"] != fingerprint(job):
            return None
        same = all(_hash(output.parent / name) == digest for name, digest in record["outputs"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return record if same else None


def finish(ledger: Ledger, request: Request, job: Mapping[str, Any]) -> None:
    """Put the parts together, each file in one step, then write the summary, then drop the parts. Killed between two steps, it
    is done again from the first, with the same bytes."""
    write_atomic(ledger.folder / _JOINING, b"")
    outputs = {}
    for number, sink in enumerate(files_of(request)):
        if sink.content == "quarantine" and not ledger.summary.failed:
            sink.path.unlink(missing_ok=True)  # of an output that is replaced
            continue
        join_parts(ledger, number, sink)
        outputs[os.path.relpath(sink.path, request.output.parent)] = _hash(sink.path)
    record = {"model": job["model"]["id"], **ledger.summary.record(), "job": fingerprint(job), "outputs": outputs}
    record |= {"marsad": job["marsad"]}
    write_atomic(summary_of(request.output), json.dumps(record, ensure_ascii=False, indent=1).encode() + b"\n")
    ledger.remove()


def drop_leftovers(output: Path, job: Mapping[str, Any]) -> None:
    """Parts of a run that was killed when it had finished all but to drop them."""
    if parts_folder(output).exists() and job_of(output) in (None, job):
        with open_ledger(output, job) as ledger:
            ledger.remove()


def show_quarantine(ledger: Ledger, request: Request) -> None:
    """The rows without an answer so far, for a run that stops before its end."""
    if ledger.summary.failed:
        *others, quarantine = files_of(request)
        join_parts(ledger, len(others), quarantine)


def _being_joined(output: Path, job: Mapping[str, Any]) -> bool:
    return job_of(output) == job and (parts_folder(output) / _JOINING).exists()


def _hash(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
