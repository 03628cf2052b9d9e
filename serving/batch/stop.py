"""Asked to stop: once politely, twice at once."""

import os
import signal
import sys
from types import FrameType, TracebackType
from typing import Any


class Stop:
    """Between `with` and its end SIGINT and SIGTERM only set `signal`, so that the part under way can be finished; the second
    ends the process where it stands, which the ledger is made for."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Stop":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, _: FrameType | None) -> None:
        if self.signal is not None:
            os._exit(128 + number)
        self.signal = number
        os.write(sys.stderr.fileno(), b"\nstopping, what is finished is kept; once more to stop at once\n")
