"""The folder in which the parts of an unfinished output wait, and the ledger that says which of them count.

    OUT.parts/lock          held by the run that is at work
    OUT.parts/job.json      what is being done: parts of another job are never mixed in
    OUT.parts/ledger.jsonl  a line for each finished part: rows, hashes of its files, counts
    OUT.parts/000012.0      the twelfth part of the first file of output

A part's files are on the disk before its line is written, and its line before the next part begins; so what the ledger
says is true whenever the run is killed, and what it does not say is done again.
"""

import fcntl
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from serving.batch.atomic import sync_folder, write_atomic
from serving.batch.inputs import PARTS_SUFFIX
from serving.batch.job import differences
from serving.batch.summary import Summary
from serving.errors import FileError, WriteError

_LOCK, _JOB, _LEDGER = "lock", "job.json", "ledger.jsonl"


def parts_folder(output: Path) -> Path:
    return output.with_name(output.name + PARTS_SUFFIX)


class Ledger:
    """Made by `open_ledger`. `rows` of the input are done, in `parts` parts; `summary` counts them; `finished` says that
    there are no more."""

    def __init__(self, folder: Path, lines: Sequence[Mapping[str, Any]]) -> None:
        self.folder = folder
        self._lines = list(lines)
        self.finished = bool(lines) and bool(lines[-1]["last"])
        self.rows = sum(line["rows"] for line in lines)
        self.summary = Summary()
        for line in lines:
            self.summary += Summary.of(line["counts"])

    @property
    def parts(self) -> int:
        return len(self._lines)

    def commit(self, files: Sequence[bytes], counts: Summary, *, last: bool) -> None:
        """Add a part: `files` are the bytes it has in each file of output. WriteError if the disk does not take it; the part
        does not count then."""
        for number, data in enumerate(files):
            write_atomic(self.part(self.parts, number), data)
        hashes = [hashlib.sha256(data).hexdigest() for data in files]
        line = {"rows": counts.documents, "sha256": hashes, "counts": counts.record(), "last": last}
        data = json.dumps(line).encode() + b"\n"
        file = self.folder / _LEDGER
        length = file.stat().st_size if file.exists() else 0
        try:
            with file.open("ab") as handle:
                handle.write(data)
                handle.flush()
                os.fsync(handle.fileno())
        except OSError as error:
            os.truncate(file, length)
            raise WriteError(f"{file}: cannot be written: {error.strerror or error}") from error
        self._lines.append(line)
        self.rows += counts.documents
        self.summary += counts
        self.finished = last

    def read_part(self, part: int, number: int) -> bytes:
        """FileError if it is not what was written."""
        file = self.part(part, number)
        try:
            data = file.read_bytes()
        except OSError as error:
            raise FileError(f"{file}: cannot be read: {error.strerror or error}; begin again with --restart") from error
        if hashlib.sha256(data).hexdigest() != self._lines[part]["sha256"][number]:
            raise FileError(f"{file}: is not what the run wrote there; begin again with --restart")
        return data

    def part(self, part: int, number: int) -> Path:
        """Where the part lies of the output's file `number`."""
        return self.folder / f"{part:06}.{number}"

    def remove(self) -> None:
        """The output is in its place; the parts are done with."""
        shutil.rmtree(self.folder)


@contextmanager
def open_ledger(output: Path, job: Mapping[str, Any], *, restart: bool = False) -> Iterator[Ledger]:
    """The ledger of the run that writes `output`, and the only one while it is open. FileError if another run has it, or if
    the parts that are there are of another job and not to be dropped (`restart`)."""
    folder = parts_folder(output)
    try:
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)
    except OSError as error:
        raise FileError(f"{folder}: cannot be made: {error.strerror or error}") from error
    with _locked(folder):
        if restart:
            for file in folder.iterdir():
                if file.name != _LOCK:
                    file.unlink()
        _check_job(folder, job, output)
        yield Ledger(folder, _read_lines(folder / _LEDGER))


def job_of(output: Path) -> dict[str, Any] | None:
    """The job whose parts wait beside `output`, if any do."""
    file = parts_folder(output) / _JOB
    found: dict[str, Any] | None = json.loads(file.read_bytes()) if file.is_file() else None
    return found


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    file = folder / _LOCK
    with file.open("a+b") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            current = file.exists() and file.stat().st_ino == os.fstat(handle.fileno()).st_ino
        except BlockingIOError:
            current = False
        if not current:  # held, or of a run that has just ended and taken its folder along
            handle.seek(0)
            holder = handle.read().decode(errors="replace").strip() or "another run"
            raise FileError(f"{folder}: is in use by {holder}; wait for it, or choose another output")
        handle.truncate(0)
        handle.write(f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        handle.flush()
        yield


def _check_job(folder: Path, job: Mapping[str, Any], output: Path) -> None:
    file = folder / _JOB
    if not file.exists():
        write_atomic(file, json.dumps(job, ensure_ascii=False, indent=1).encode() + b"\n")
        return
    try:
        before = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise FileError(f"{file}: cannot be read: {error}; begin again with --restart") from error
    if changed := differences(before, job):
        shown = "; ".join(changed[:5]) + (f"; and {len(changed) - 5} more" if len(changed) > 5 else "")
        raise FileError(f"{output}: its unfinished parts are of another job: {shown}; --restart drops them and begins again")


def _read_lines(file: Path) -> list[dict[str, Any]]:
    """The lines that are whole. What a crash left of one more is cut off."""
    data = file.read_bytes() if file.exists() else b""
    lines: list[dict[str, Any]] = []
    length = 0
    for raw in data.splitlines(keepends=True):
        try:
            line = json.loads(raw)
        except ValueError:
            break
        if not raw.endswith(b"\n"):
            break
        lines.append(line)
        length += len(raw)
    if length < len(data):
        os.truncate(file, length)
    return lines
