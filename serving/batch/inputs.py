"""The files that are read: found by name, told apart by form, bound to their content."""

import glob
import hashlib
import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from serving.batch.packing import PACKERS
from serving.errors import FileError

InputFormat = Literal["jsonl", "csv", "tsv", "parquet", "txt"]

STDIN = Path("-")
PARTS_SUFFIX = ".parts"
"""Of the folder beside an output in which its parts wait."""

_SUFFIXES: dict[str, InputFormat] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".txt": "txt",
}


@dataclass(frozen=True, slots=True)
class InputFile:
    """`name` begins the ids that are made up for its documents, and is the id of a text file."""

    path: Path
    format: InputFormat
    name: str

    @property
    def is_stdin(self) -> bool:
        return self.path == STDIN


@dataclass(frozen=True, slots=True)
class InputContent:
    """What a file held when the run began. `state` tells cheaply whether it was touched since."""

    name: str
    bytes: int
    sha256: str
    state: tuple[int, int, int] = (0, 0, 0)


def find_inputs(paths: Sequence[str | Path], input_format: InputFormat | None = None) -> list[InputFile]:
    """`paths` are files, folders (their files of the format asked for, else .txt, at any depth), patterns with `*`, or `-`
    for standard input. FileError if one cannot be used or a file is named twice."""
    found = [file for path in paths for file in _expand(path, input_format)]
    seen: dict[Path, InputFile] = {}
    for file in found:
        if (twin := seen.setdefault(file.path.resolve(), file)) is not file:
            raise FileError(f"{file.path}: is named twice (as {twin.path} as well); each document would be scored twice")
    names = Counter(file.name for file in found)
    found = [file if names[file.name] == 1 else replace(file, name=file.path.as_posix()) for file in found]
    return [replace(file, name=readable(file.name)) for file in found]


def readable(name: str) -> str:
    """A file's name as text: bytes that are no UTF-8, as in archives of old systems, stand as a backslash and their number."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def known_format(path: Path) -> InputFormat | None:
    """What the name says, if it says anything: news.csv.gz is csv."""
    suffix = Path(path.stem).suffix if path.suffix in PACKERS else path.suffix
    return _SUFFIXES.get(suffix.lower())


def content_of(file: InputFile) -> InputContent:
    """Read the whole file once for its hash. FileError if it cannot be read."""
    try:
        state = state_of(file.path)
        with file.path.open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise FileError(f"{file.path}: cannot be read: {error.strerror or error}") from error
    return InputContent(file.name, state[1], digest, state)


def state_of(path: Path) -> tuple[int, int, int]:
    """Inode, size in bytes and time of change in nanoseconds."""
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _expand(path: str | Path, input_format: InputFormat | None) -> list[InputFile]:
    given = Path(path)
    if given == STDIN:
        if input_format == "parquet" or (input_format is None and sys.stdin.isatty()):
            raise FileError("standard input: expected documents from a file or another program, and no Parquet")
        return [InputFile(STDIN, input_format or "jsonl", "stdin")]
    if given.is_dir():
        wanted = input_format or "txt"
        inside = [file for file in sorted(given.rglob("*")) if known_format(file) == wanted and _is_input(file)]
        if not inside:
            raise FileError(f"{given}: no .{wanted} file in this folder; other forms are taken with --input-format")
        return [InputFile(file, wanted, file.relative_to(given).as_posix()) for file in inside]
    if given.exists():
        if not given.is_file():
            raise FileError(f"{given}: is a pipe or a device, which can be read once only; give it as standard input (-)")
        return [InputFile(given, input_format or _format_of(given), given.name)]
    matches = [match for match in sorted(glob.glob(str(path), recursive=True)) if Path(match).is_file()]
    if not matches:
        raise FileError(f"{given}: no such file")
    return [InputFile(Path(match), input_format or _format_of(Path(match)), Path(match).as_posix()) for match in matches]


def _is_input(file: Path) -> bool:
    """Not the unfinished output of a run that writes into the folder it reads."""
    return file.is_file() and not any(parent.suffix == PARTS_SUFFIX for parent in file.parents)


def _format_of(path: Path) -> InputFormat:
    if found := known_format(path):
        return found
    known = ", ".join(get_args(InputFormat))
    raise FileError(f"{path}: cannot tell the format by the name; give --input-format, one of {known}")
