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
        # On a watch that runs only while somebody waits: an idle hour says nothing of the pace.
        self._ended: deque[float] = deque(maxlen=_REMEMBERED)
        self._busy = self._since = 0.0

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place for one request. RequestFault where there is none."""
        if self.waiting >= self.most:
            seconds = str(self.seconds_to_wait())
            message = f"{self.waiting} requests wait already, at most {self.most} may; come again in {seconds} s"
            raise RequestFault(Code.OVERLOADED, message, {"retry-after": seconds})
        if not self.waiting:
            self._since = self._clock()
        self.waiting += 1
        counts = True
        try:
            yield
        except RequestFault as fault:
            counts = fault.code == Code.DEADLINE_EXCEEDED  # others were sent away at a glance
            raise
        finally:
            if counts:
                self._ended.append(self._watch())
            self._busy = self._watch()
            self._since = self._clock()
            self.waiting -= 1

    def seconds_to_wait(self) -> int:
        """Until half of those that wait now are answered, at the pace of late; 1 to 30."""
        if len(self._ended) < 2:
            return 1
        each = (self._watch() - self._ended[0]) / len(self._ended)
        return max(1, min(_LONGEST_WAIT, math.ceil(each * self.waiting / 2)))

    def _watch(self) -> float:
        """Seconds in which somebody waited."""
        return self._busy + (self._clock() - self._since if self.waiting else 0.0)
