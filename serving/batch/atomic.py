"""Files that are there whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from serving.errors import WriteError


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """Write beside `path`, under one name for all tries, and take its place when all is on the disk. WriteError if it
    cannot; `path` is then as it was."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        try:
            with unfinished.open("wb") as handle:
                yield handle
                handle.flush()
                os.fsync(handle.fileno())
            unfinished.replace(path)
            sync_folder(path.parent)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise WriteError(f"{path}: cannot be written: {error.strerror or error}") from error


def write_atomic(path: Path, data: bytes) -> None:
    with atomic_file(path) as handle:
        handle.write(data)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` last."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
