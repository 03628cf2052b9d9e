"""Who is read next. The rows of all callers wait here, sorted by length, and run together in passes of the engine.

A caller has a share, and the share that has been read the least leads the next pass: a request of one sentence waits for
the passes that are running, not for the thousand sentences that came before it. A pass is filled up with rows of the same
padded width, whoever sent them: so little is padded, and a row is always computed in the same way. At another width, in
bf16, a score would now and then come out another, and a client might get another answer on a busy day.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from labels.scores import RowScores
from serving.engine import Engine
from serving.errors import EngineError

logger = logging.getLogger(__name__)

# Rows are shared out over idle streams only while each gets this many padded pieces.
_LEAST_PASS = 256


class Cancelled(Exception):  # noqa: N818  # not a fault: the caller has gone
    """The rows will not be read, as their share was dropped."""


@dataclass(slots=True)
class _Lot:
    """Rows that were handed in together and go back together."""

    future: Future[list[RowScores]]
    scores: list[RowScores | None]
    left: int
    settled: bool = False


@dataclass(frozen=True, slots=True)
class _Row:
    pieces: Sequence[int]
    lot: _Lot
    index: int


class Share:
    """One caller's rows that wait, by padded width. `read` is how many padded pieces it has had, and rises to where the
    others stand when it comes back after a pause."""

    __slots__ = ("dropped", "read", "rows")

    def __init__(self) -> None:
        self.read = 0
        self.rows: dict[int, deque[_Row]] = {}
        self.dropped = False


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass of the graph was: rows, pieces in them, and places, padded ones included. Special pieces are no padding.
    `seconds` are those of the graph alone."""

    rows: int
    pieces: int
    places: int
    seconds: float


@dataclass(slots=True)
class _Queue:
    """Shares that have rows waiting, and how many padded pieces those are. `clock` is where the last leader stood."""

    shares: list[Share] = field(default_factory=list)
    places: int = 0
    clock: int = 0


class Scheduler:
    """Runs an engine on as many threads as it has streams. Safe to use from any thread."""

    def __init__(self, engine: Engine, *, watch: Callable[[Pass], None] = lambda _: None) -> None:
        """`watch` is told of each pass, on the thread that ran it."""
        self.engine = engine
        self._watch = watch
        self._queue = _Queue()
        self._wake = threading.Condition()
        self._closed = False
        self._idle = 0  # threads without a pass
        self._threads = [
            threading.Thread(target=self._serve, args=(stream,), name=f"marsad-engine-{stream}", daemon=True)
            for stream in range(engine.streams)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def alive(self) -> bool:
        """Whether all rows that come will be read."""
        return not self._closed and all(thread.is_alive() for thread in self._threads)

    def submit(self, rows: Sequence[Sequence[int]], share: Share) -> Future[list[RowScores]]:
        """The scores of each row, in order, once all are read. The future holds Cancelled where the share was dropped, and
        the exception of a row that cannot be read; other lots are none the worse for that."""
        future: Future[list[RowScores]] = Future()
        widths = [self.engine.width(len(row)) for row in rows]
        if not rows:
            future.set_result([])
            return future
        lot = _Lot(future, [None] * len(rows), len(rows))
        with self._wake:
            if self._closed:
                raise EngineError("the engine has been closed")
            if share.dropped:
                future.set_exception(Cancelled())
                return future
            if not share.rows:
                share.read = max(share.read, self._queue.clock)
                self._queue.shares.append(share)
            for index, (row, width) in enumerate(zip(rows, widths, strict=True)):
                share.rows.setdefault(width, deque()).append(_Row(row, lot, index))
            self._queue.places += sum(widths)
            self._wake.notify_all()
        return future

    def drop(self, share: Share) -> None:
        """Forget the rows of a share that still wait; those in a pass that is running are read for nobody."""
        with self._wake:
            share.dropped = True
            waiting = [row for bucket in share.rows.values() for row in bucket]
            self._queue.places -= sum(width * len(bucket) for width, bucket in share.rows.items())
            share.rows.clear()
            if share in self._queue.shares:
                self._queue.shares.remove(share)
        for lot in {id(row.lot): row.lot for row in waiting}.values():
            self._settle(lot, Cancelled())

    def close(self) -> None:
        """Read what waits, then end the threads. Nothing may be submitted after."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        for thread in self._threads:
            thread.join()

    def _serve(self, stream: int) -> None:
        while rows := self._next():
            began = time.perf_counter()
            try:
                scores: list[RowScores | Exception] = list(self.engine.run([row.pieces for row in rows], stream))
            except Exception:
                logger.warning("a pass of %d rows failed, trying each alone", len(rows), exc_info=True)
                scores = [self._alone(row, stream) for row in rows]
            seconds = time.perf_counter() - began
            for row, found in zip(rows, scores, strict=True):
                self._deliver(row, found)
            pieces = sum(self.engine.places(len(row.pieces)) for row in rows)
            height, width = self.engine.shape([row.pieces for row in rows])
            self._watch(Pass(len(rows), pieces, height * width, seconds))

    def _alone(self, row: _Row, stream: int) -> RowScores | Exception:
        try:
            [scores] = self.engine.run([row.pieces], stream)
        except Exception as error:
            return error
        return scores

    def _deliver(self, row: _Row, found: RowScores | Exception) -> None:
        if isinstance(found, Exception):
            self._settle(row.lot, found)
            return
        with self._wake:
            row.lot.scores[row.index] = found
            row.lot.left -= 1
            done = not row.lot.left
        if done:
            self._settle(row.lot, None)

    def _settle(self, lot: _Lot, error: Exception | None) -> None:
        """Once, whichever thread comes first: a lot may be dropped while its last row is being read."""
        with self._wake:
            if lot.settled:
                return
            lot.settled = True
        if not lot.future.set_running_or_notify_cancel():
            return
        if error is not None:
            lot.future.set_exception(error)
        else:
            lot.future.set_result([scores for scores in lot.scores if scores is not None])

    def _next(self) -> list[_Row]:
        """Rows of the next pass; none once the scheduler is closed and nothing waits."""
        with self._wake:
            self._idle += 1
            while not self._queue.shares:
                if self._closed:
                    return []
                self._wake.wait()
            rows = self._fill()
            self._idle -= 1
            self._queue.shares = [share for share in self._queue.shares if share.rows]
            return rows

    def _fill(self) -> list[_Row]:
        shares = sorted(self._queue.shares, key=lambda share: share.read)
        self._queue.clock = shares[0].read
        # Of the leader's widths the one of which most rows wait: the others fill up meanwhile.
        width = max(shares[0].rows, key=lambda each: sum(len(share.rows.get(each, ())) for share in shares) * each)
        budget = min(self.engine.token_budget, max(_LEAST_PASS, -(-self._queue.places // self._idle)))
        room = max(1, budget // width)
        taken: list[_Row] = []
        for share in shares:
            taken += self._draw(share, width, room - len(taken))
        return taken

    def _draw(self, share: Share, width: int, most: int) -> list[_Row]:
        """Up to `most` rows of a width out of a share, which pays for them."""
        bucket = share.rows.get(width)
        if not bucket or most <= 0:
            return []
        drawn = [bucket.popleft() for _ in range(min(most, len(bucket)))]
        if not bucket:
            del share.rows[width]
        share.read += width * len(drawn)
        self._queue.places -= width * len(drawn)
        return drawn
