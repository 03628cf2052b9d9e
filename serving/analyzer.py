"""Documents to predictions: split into sentences, read each in windows where it is long, decode, and give every document
its own answer in its own place.

The sentences of a call are cut into portions. A portion is tokenized and decoded on a small pool of threads and waits for
its scores with the scheduler in between, so that one is read by the graph while another is decoded; a call has a few of
them under way at a time and no more, however many documents it has.
"""

import asyncio
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self, TypeVar

from labels.folder import ModelFolder
from labels.sentences import split_sentences
from labels.types import Document, Failure, Prediction
from serving.assembly import Draft, assemble
from serving.defaults import DEFAULT_MODEL, MAX_CHARACTERS
from serving.devices import Device, Precision
from serving.engine import Engine
from serving.errors import INTERNAL_MESSAGE, Code, SettingsError
from serving.portions import Part, portions
from serving.refusal import refuse
from serving.scheduler import Cancelled, Scheduler, Share
from serving.sentence_reader import Pending, SentenceReader
from serving.thresholds import check_thresholds
from serving.watch import Watch

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

# Portions under way at a time for each stream, of all calls together, but one for each call: so many that passes are full, so
# few that the scores of what is half read take little memory.
_AHEAD = 4

Row = Document | Failure
Answer = Prediction | Failure

_CLOSED = "the analyzer has been closed; open another, or keep this one open while answers are taken"
_NOT_SHIPPED = (
    "an Analyzer stays in the process that opened it, as it has threads and a compiled model: call Analyzer.open() inside each"
    " worker process, once, where the documents are read (docs/python.md)"
)


class Analyzer:
    """Answers with one engine. Safe to share between threads, not between processes."""

    def __init__(
        self,
        engine: Engine,
        *,
        max_characters: int = MAX_CHARACTERS,
        thresholds: Mapping[str, float] | None = None,
        watch: Watch | None = None,
    ) -> None:
        """`thresholds` take the place of the folder's own for the event types they name; SettingsError for what is none."""
        self.engine = engine
        self.max_characters = max_characters
        self._watch = watch or Watch()
        self._schema = engine.folder.schema
        rules = engine.folder.rules
        chosen = check_thresholds(thresholds or {}, self._schema.event_types)
        self._rules = replace(rules, thresholds={**rules.thresholds, **chosen})
        self._process = os.getpid()
        self._closed = False
        self._scheduler = Scheduler(engine, watch=self._watch.ran)
        self._pool = ThreadPoolExecutor(max(2, engine.streams), thread_name_prefix="marsad-reader")
        self._reader = SentenceReader(engine, self._rules, self._scheduler, self._pool, self._watch)
        self._calls = 0
        self._counting = threading.Lock()

    @classmethod
    def open(
        cls,
        model: str | Path | None = None,
        *,
        device: Device = "cpu",
        threads: int | None = None,
        precision: Precision = "auto",
        thresholds: Mapping[str, float] | None = None,
        max_characters: int = MAX_CHARACTERS,
    ) -> Self:
        """An analyzer on the model folder `model`, or on the one that ships. `threads` None takes all cores of the process,
        `precision` auto the fastest that the device has. `thresholds`, between 0 and 1, are of the event types they name.
        Close it, or use `with`. MarsadError says what of this cannot be used."""
        for name, given in {"threads": threads, "max_characters": max_characters}.items():
            if given is not None and given < 1:
                raise SettingsError(f"{name}: expected 1 or more, found {given}")
        folder = ModelFolder.open(Path(DEFAULT_MODEL if model is None else model))
        engine = Engine(folder, device=device, threads=threads, precision=precision)
        return cls(engine, max_characters=max_characters, thresholds=thresholds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        """Asked by pickle, and by what ships closures with it."""
        raise TypeError(_NOT_SHIPPED)

    @property
    def thresholds(self) -> Mapping[str, float]:
        """That of each event type: the folder's, or what was set in its place."""
        return self._rules.thresholds

    @property
    def alive(self) -> bool:
        """Whether what comes will be answered."""
        return self._scheduler.alive

    def close(self) -> None:
        """Finish what has begun and end the threads. What comes after is a RuntimeError."""
        self._closed = True
        self._scheduler.close()
        self._pool.shutdown()

    def analyze(self, rows: Sequence[Row]) -> list[Answer]:
        """One answer a document, in the documents' order. A document that cannot be read gets a Failure in its place
        and does its neighbours no harm; nothing is raised for one. A Failure among the rows is its own answer."""
        return list(self.stream(rows))

    def stream(self, rows: Iterable[Row]) -> Generator[Answer, None, None]:
        """The same for any number of documents, of which a few are held at a time: each answer comes as soon as it and all
        before it are there."""
        with self._call() as share:
            for step in self._steps(rows, share):
                if isinstance(step, Future):
                    wait([step])
                else:
                    yield step

    async def analyze_async(self, rows: Sequence[Row]) -> list[Answer]:
        """As `analyze`, for an event loop, which goes on meanwhile. Cancelled, it gives up what has not been read yet."""
        answers: list[Answer] = []
        with self._call() as share:
            steps = self._steps(rows, share)

            def advance() -> Pending | None:
                for step in steps:
                    if isinstance(step, Future):
                        return step
                    answers.append(step)
                return None

            while (pending := await self.run(advance)) is not None:
                done = asyncio.wrap_future(pending)
                # What it holds is asked for in `advance`, or by nobody where the call is given up meanwhile.
                done.add_done_callback(lambda each: each.cancelled() or each.exception())
                await asyncio.wait([done])
        return answers

    async def run(self, work: Callable[[], Result]) -> Result:
        """`work` on one of the analyzer's threads, after what waits there."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    @contextmanager
    def _call(self) -> Iterator[Share]:
        if self._closed:
            raise RuntimeError(_CLOSED)
        if os.getpid() != self._process:  # threads do not live on in a fork: nobody would ever answer
            raise RuntimeError(_NOT_SHIPPED)
        share = Share()
        with self._counting:
            self._calls += 1
        try:
            yield share
        finally:
            with self._counting:
                self._calls -= 1
            self._scheduler.drop(share)

    def _ahead(self) -> int:
        """Portions that one call may have under way just now."""
        return max(1, _AHEAD * self.engine.streams // max(1, self._calls))

    def _steps(self, rows: Iterable[Row], share: Share) -> Iterator[Pending | Answer]:
        """What has to be done before it can go on, and answers, in order."""
        drafts: deque[Draft] = deque()
        under_way: deque[tuple[list[Part], Pending]] = deque()
        coming = portions(self._open(rows, drafts))
        while True:
            while len(under_way) < self._ahead() and (portion := next(coming, None)) is not None:
                under_way.append((portion, self._start(portion, share)))
            if not under_way:
                break
            yield under_way[0][1]
            yield from self._settle(*under_way.popleft(), share)
            yield from self._conclude(drafts)
        yield from self._conclude(drafts)

    def _open(self, rows: Iterable[Row], drafts: deque[Draft]) -> Iterator[Draft]:
        for row in rows:
            drafts.append(self._draft(row))
            yield drafts[-1]

    def _draft(self, row: Row) -> Draft:
        if isinstance(row, Failure):
            return Draft(row)
        if not isinstance(row, Document):
            raise TypeError(f"expected Documents, found {type(row).__name__}; a text becomes one by Document(id, text)")
        if failure := refuse(row, self.max_characters):
            return Draft(failure)
        try:
            with self._watch.timed("split"):
                return Draft(row, split_sentences(row.text))
        except Exception:
            return Draft(_fault(row))

    def _start(self, portion: list[Part], share: Share) -> Pending:
        texts = [span.of(draft.text) for draft, first, last in portion for span in draft.sentences[first:last]]
        return self._reader.start(texts, share)

    def _settle(self, portion: list[Part], done: Pending, share: Share) -> Iterator[Pending]:
        """Put what was read into the drafts. If it failed, read each document's part alone, so that only the one at fault
        has no answer."""
        try:
            read = iter(done.result())
        except Cancelled:
            raise
        except Exception as error:
            if self._closed:  # not the document's fault
                raise RuntimeError(_CLOSED) from error
            if len(portion) == 1:
                [(draft, _, _)] = portion
                logger.error("document %r could not be analysed", draft.row.id, exc_info=error)
                draft.give_up(Failure(draft.row.id, Code.INTERNAL, INTERNAL_MESSAGE))
                return
            logger.warning("%d documents could not be analysed together, trying each alone", len(portion), exc_info=error)
            for part in portion:
                alone = self._start([part], share)
                yield alone
                yield from self._settle([part], alone, share)
            return
        for draft, first, last in portion:
            draft.take(first, [next(read) for _ in range(first, last)])

    def _conclude(self, drafts: deque[Draft]) -> Iterator[Answer]:
        """The answers of all that is read through, up to the first that is not."""
        while drafts and not drafts[0].left:
            yield self._answer(drafts.popleft())

    def _answer(self, draft: Draft) -> Answer:
        if isinstance(draft.row, Failure):
            return draft.row
        try:
            with self._watch.timed("assemble"):
                return assemble(draft.row, draft, self.engine.folder.id, self._schema)
        except Exception:
            return _fault(draft.row)


def _fault(document: Document) -> Failure:
    """Called where an exception is being handled."""
    logger.exception("document %r could not be analysed", document.id)
    return Failure(document.id, Code.INTERNAL, INTERNAL_MESSAGE)
