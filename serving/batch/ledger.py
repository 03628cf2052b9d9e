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
from serving.errors import FileError, InUseError, WriteError

_LOCK, _JOB, _LEDGER = "lock", "job.json", "ledger.jsonl"


def parts_folder(output: Path) -> Path:
    return output.with_name(output.name + PARTS_SUFFIX)


class Ledger:
    """Made by `open_ledger`. `rows` of the input are done, in `parts` parts; `summary` counts them; `finished` says that
    there are no more. What it holds does not grow with the parts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.parts = self.rows = 0
        self.summary = Summary()
        self.finished = False
        self._length = _length(folder / _LEDGER)
        for line in _read_lines(folder / _LEDGER):
            self._count(line["rows"], Summary.of(line["counts"]), last=line["last"])

    def commit(self, files: Sequence[bytes], counts: Summary, *, last: bool) -> None:
        """Add a part: `files` are the bytes it has in each file of output. WriteError if the disk does not take it; the part
        does not count then. InUseError if another run has added one, which only a file system whose locks do not hold lets
        happen."""
        for number, data in enumerate(files):
            if data:
                write_atomic(self.part(self.parts, number), data)
        hashes = [hashlib.sha256(data).hexdigest() if data else None for data in files]
        line = {"rows": counts.documents, "sha256": hashes, "counts": counts.record(), "last": last}
        if _length(self.folder / _LEDGER) != self._length:
            raise InUseError(f"{self.folder}: another run writes there too; end one of them and run the same again")
        data = json.dumps(line).encode() + b"\n"
        _append(self.folder / _LEDGER, self._length, data)
        self._length += len(data)
        self._count(counts.documents, counts, last=last)

    def parts_of(self, number: int) -> Iterator[bytes]:
        """What each part has in the output's file `number`, in order. FileError if it is not what was written."""
        for part, line in enumerate(_read_lines(self.folder / _LEDGER)):
            if (digest := line["sha256"][number]) is None:
                continue
            file = self.part(part, number)
            try:
                data = file.read_bytes()
            except OSError as error:
                raise FileError(f"{file}: cannot be read: {error.strerror or error}; begin again with --restart") from error
            if hashlib.sha256(data).hexdigest() != digest:
                raise FileError(f"{file}: is not what the run wrote there; begin again with --restart")
            yield data

    def part(self, part: int, number: int) -> Path:
        """Where the part lies of the output's file `number`."""
        return self.folder / f"{part:06}.{number}"

    def remove(self) -> None:
        """The output is in its place; the parts are done with."""
        shutil.rmtree(self.folder)

    def _count(self, rows: int, counts: Summary, *, last: bool) -> None:
        self.parts += 1
        self.rows += rows
        self.summary += counts
        self.finished = last


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
        _cut_torn(folder / _LEDGER)
        yield Ledger(folder)


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
            raise InUseError(f"{folder}: is in use by {holder}; wait for it, or choose another output")
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


def _length(file: Path) -> int:
    """In bytes, by opening it: NFS would else tell what it was a while ago."""
    if not file.exists():
        return 0
    with file.open("rb") as handle:
        return os.fstat(handle.fileno()).st_size


def _append(file: Path, length: int, line: bytes) -> None:
    """To the end of the file, which is of that length, onto the disk; or the file is as it was."""
    try:
        with file.open("ab") as handle:
            handle.write(line)
            handle.flush()
            os.fsync(handle.fileno())
        if not length:
            sync_folder(file.parent)
    except OSError as error:
        os.truncate(file, length)
        raise WriteError(f"{file}: cannot be written: {error.strerror or error}") from error


def _read_lines(file: Path) -> Iterator[dict[str, Any]]:
    """The lines that are whole."""
    if not file.exists():
        return
    with file.open("rb") as handle:
        for raw in handle:
            if (line := _parse(raw)) is None:
                return
            yield line


def _cut_torn(file: Path) -> None:
    """Take off what a crash left of a line that was being written, and all behind it."""
    if not file.exists():
        return
    length = 0
    with file.open("rb") as handle:
        for raw in handle:
            if _parse(raw) is None:
                break
            length += len(raw)
    if length < file.stat().st_size:
        os.truncate(file, length)


def _parse(raw: bytes) -> dict[str, Any] | None:
    if not raw.endswith(b"\n"):
        return None
    try:
        line: dict[str, Any] = json.loads(raw)
    except ValueError:
        return None
    return line
