"""How far a run is, on standard error: a line that renews itself in a terminal, a line now and then in a log."""

import sys
import time
from typing import TextIO

from serving.batch.readers import Source
from serving.batch.score import Summary

_EVERY_TERMINAL, _EVERY_LOG = 0.2, 30.0  # seconds


class Progress:
    """Called after each chunk."""

    def __init__(self, source: Source, stream: TextIO | None = None) -> None:
        self._source = source
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._told = time.monotonic()

    def __call__(self, summary: Summary) -> None:
        now = time.monotonic()
        if now - self._told >= (_EVERY_TERMINAL if self._terminal else _EVERY_LOG):
            self._told = now
            self._write(describe(summary, self._source.share))

    def _write(self, line: str) -> None:
        self._stream.write(f"\r\x1b[2K{line}" if self._terminal else f"{line}\n")
        self._stream.flush()

    def clear(self) -> None:
        if self._terminal:
            self._write("")


def describe(summary: Summary, share: float | None = None) -> str:
    """1,200 documents, 85 a second, 40 % read, 0:21 left"""
    speed = summary.documents / summary.seconds if summary.seconds else 0.0
    parts = [f"{summary.documents:,} documents", f"{speed:,.0f} a second"]
    if share is not None:
        parts.append(f"{100 * share:.0f} % read")
    if share and share < 1:
        minutes, seconds = divmod(round(summary.seconds * (1 - share) / share), 60)
        parts.append(f"{minutes}:{seconds:02} left")
    if errors := sum(summary.errors.values()):
        parts.append(f"{errors:,} errors")
    return ", ".join(parts)
