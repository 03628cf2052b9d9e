"""How far a run is: a line that renews itself in a terminal; elsewhere nothing, but a line now and then in a verbose log."""

import logging
import sys
import time
from typing import TextIO

from serving.batch.summary import Summary

logger = logging.getLogger(__name__)

_EVERY_TERMINAL, _EVERY_LOG = 0.2, 30.0  # seconds


class Progress:
    """Called after each document with what was done before this go, what this go has done, and the share of the input read."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._told = time.monotonic()
        self._first: float | None = None

    def __call__(self, before: Summary, here: Summary, share: float | None) -> None:
        if self._first is None:
            self._first = share
        now = time.monotonic()
        if now - self._told >= (_EVERY_TERMINAL if self._terminal else _EVERY_LOG):
            self._told = now
            line = describe(before, here, share, self._first)
            if self._terminal:
                self._write(line)
            else:
                logger.debug("%s", line)

    def _write(self, line: str) -> None:
        self._stream.write(f"\r\x1b[2K{line}")
        self._stream.flush()

    def clear(self) -> None:
        if self._terminal:
            self._write("")


def describe(before: Summary, here: Summary, share: float | None = None, first: float | None = None) -> str:
    """1,200 documents, 85 a second, 40 % read, 0:21 left. The speed is that of this go, which began at the share `first`."""
    speed = here.documents / here.seconds if here.seconds else 0.0
    parts = [f"{before.documents + here.documents:,} documents", f"{speed:,.0f} a second"]
    if share is not None:
        parts.append(f"{100 * share:.0f} % read")
        gained = share - (first or 0.0)
        if gained > 0 and share < 1:
            minutes, seconds = divmod(round(here.seconds * (1 - share) / gained), 60)
            hours, minutes = divmod(minutes, 60)
            parts.append(f"{hours}:{minutes:02}:{seconds:02} left" if hours else f"{minutes}:{seconds:02} left")
    if errors := before.failed + here.failed:
        parts.append(f"{errors:,} errors")
    return ", ".join(parts)
