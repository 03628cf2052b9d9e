"""How much may wait. What comes past that is sent away at once, with the time after which it is worth coming again."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from serving.errors import Code
from serving.replies import RequestFault

# The pace is that of the requests that ended last.
_REMEMBERED = 64
_LONGEST_WAIT = 30


class Admission:
    """Counts the requests of one process that are being answered or wait for it. For one event loop, not for threads."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.most = most
        self.waiting = 0
        self._clock = clock
        self._ended: deque[float] = deque(maxlen=_REMEMBERED)

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place for one request. RequestFault where there is none."""
        if self.waiting >= self.most:
            seconds = str(self.seconds_to_wait())
            message = f"{self.waiting} requests wait already, at most {self.most} may; come again in {seconds} s"
            raise RequestFault(Code.OVERLOADED, message, {"retry-after": seconds})
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1
            self._ended.append(self._clock())

    def seconds_to_wait(self) -> int:
        """Until half of those that wait now are answered, at the pace of late; 1 to 30."""
        if len(self._ended) < 2:
            return 1
        each = (self._clock() - self._ended[0]) / len(self._ended)
        return max(1, min(_LONGEST_WAIT, math.ceil(each * self.waiting / 2)))
