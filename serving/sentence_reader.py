"""Sentences to what was read in them: tokenized and decoded on a pool of threads, with the scheduler in between."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from labels.decode import DecodingRules
from labels.reading import read_sentence
from labels.scores import RowScores, merge_rows
from labels.types import Span
from labels.windows import plan_windows
from serving.assembly import SentenceReading
from serving.engine import Engine, Pieces
from serving.scheduler import Cancelled, Scheduler, Share
from serving.watch import Watch

Pending = Future[list[SentenceReading]]
"""What was read in each of some sentences, once it is there."""


class SentenceReader:
    """Shares engine, scheduler and pool with whoever else uses them."""

    def __init__(
        self, engine: Engine, rules: DecodingRules, scheduler: Scheduler, pool: ThreadPoolExecutor, watch: Watch
    ) -> None:
        self._engine, self._rules, self._scheduler, self._pool, self._watch = engine, rules, scheduler, pool, watch

    def start(self, texts: Sequence[str], share: Share) -> Pending:
        """Begin to read; one sentence at fault fails them all."""
        done: Pending = Future()
        if not texts:
            done.set_result([])
            return done

        def encode() -> None:
            if share.dropped:
                raise Cancelled
            with self._watch.timed("encode"):
                pieces = self._engine.encode(texts)
                manifest = self._engine.folder.manifest
                windows = [plan_windows(len(each.ids), manifest.window, manifest.overlap) for each in pieces]
                rows = [each.ids[w.start : w.end] for each, planned in zip(pieces, windows, strict=True) for w in planned]
            scores = self._scheduler.submit(rows, share)
            scores.add_done_callback(lambda found: self._attempt(done, lambda: decode(pieces, windows, found.result())))

        def decode(pieces: Sequence[Pieces], windows: Sequence[Sequence[Span]], found: Sequence[RowScores]) -> None:
            if share.dropped:
                raise Cancelled
            scores = iter(found)
            with self._watch.timed("decode"):
                read = [
                    self._read(text, each, planned, [next(scores) for _ in planned])
                    for text, each, planned in zip(texts, pieces, windows, strict=True)
                ]
            done.set_result(read)

        self._attempt(done, encode)
        return done

    def _attempt(self, done: Pending, work: Callable[[], None]) -> None:
        """`work` on the pool; what it raises goes into `done`."""

        def attempt() -> None:
            try:
                work()
            except Exception as error:
                done.set_exception(error)

        try:
            self._pool.submit(attempt)
        except RuntimeError as error:  # the pool has been closed
            done.set_exception(error)

    def _read(self, text: str, pieces: Pieces, windows: Sequence[Span], rows: Sequence[RowScores]) -> SentenceReading:
        scores = merge_rows(pieces.offsets, windows, rows)
        unknown = sum(end - start for start, end in (pieces.offsets[i] for i in pieces.unknown))
        reading = read_sentence(scores, text, self._engine.folder.schema, self._rules)
        return SentenceReading(reading, len(windows), unknown)
