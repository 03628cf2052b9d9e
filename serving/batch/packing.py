"""Packed files: .gz, .xz and .zst, read line by line and written in parts that may stand behind one another."""

import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, cast

import pyarrow as pa

MAX_LINE_BYTES = 64 * 1024 * 1024
"""A longer line is no document: it would have to be held whole."""

BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError, pa.ArrowException)
"""What reading a file that is damaged, cut off or not there may raise."""


def _pack_zstd(data: bytes) -> bytes:
    return pa.Codec("zstd").compress(data, asbytes=True)


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": lambda data: gzip.compress(data, mtime=0),
    ".xz": lzma.compress,
    ".zst": _pack_zstd,
}
"""By the end of a file's name. What two calls give, one behind the other, unpacks to both their texts."""


def unpack(raw: IO[bytes], path: Path) -> io.BufferedIOBase:
    """The bytes of `raw`, unpacked if the name of `path` says that they are packed."""
    if path.suffix == ".gz":
        return gzip.GzipFile(fileobj=raw)
    if path.suffix == ".xz":
        return lzma.LZMAFile(raw)
    if path.suffix == ".zst":
        return io.BufferedReader(pa.CompressedInputStream(pa.PythonFile(raw), "zstd"))  # type: ignore[type-var, arg-type]
    return cast("io.BufferedIOBase", raw)


def bounded_lines(unpacked: io.BufferedIOBase) -> Iterator[bytes]:
    """The lines with their ends; of one longer than MAX_LINE_BYTES the first MAX_LINE_BYTES and one, without its end."""
    while line := unpacked.readline(MAX_LINE_BYTES + 1):
        yield line
        if len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
            while (rest := unpacked.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
                pass
