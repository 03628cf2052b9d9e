import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labels.scores import RowScores
from serving.engine import Engine
from serving.errors import EngineError
from serving.scheduler import Cancelled, Scheduler, Share
from tests.folders import TAG_OF, WINDOW, make_folder


class Stub:
    """An engine whose score of a row is its first piece, and which runs only when it is let."""

    def __init__(self, streams: int = 1, budget: int = 64) -> None:
        self.streams, self.token_budget = streams, budget
        self.gate = threading.Semaphore(0)
        self.started = threading.Semaphore(0)
        self.passes: list[list[int]] = []
        self.bad: set[int] = set()

    def width(self, pieces: int) -> int:
        return -(-pieces // 8) * 8

    def places(self, pieces: int) -> int:
        return pieces

    def shape(self, rows):
        return len(rows), max(self.width(len(row)) for row in rows)

    def run(self, rows, stream=0):
        self.passes.append([row[0] for row in rows])
        self.started.release()
        assert self.gate.acquire(timeout=20)
        if self.bad & {row[0] for row in rows}:
            raise ZeroDivisionError("a bad row")
        return [RowScores(events=np.array([row[0]])) for row in rows]

    def open(self, passes: int = 1000) -> None:
        self.gate.release(passes)


@pytest.fixture
def stub():
    made = Stub()
    yield made
    made.open()


def row(name: int, pieces: int = 8) -> list[int]:
    return [name] * pieces


def values(future) -> list[int]:
    return [int(scores.events[0]) for scores in future.result(20)]


def test_a_short_request_does_not_wait_for_the_long_one_before_it(stub):
    scheduler = Scheduler(stub)
    long = scheduler.submit([row(i, 64) for i in range(100)], Share())
    stub.started.acquire(timeout=20)
    short = scheduler.submit([row(1000)], Share())
    stub.open(2)
    assert values(short) == [1000]
    assert stub.passes[:2] == [[0], [1000]]
    assert not long.done()
    stub.open()
    assert values(long) == list(range(100))
    scheduler.close()


def test_rows_of_one_length_run_together_whoever_sent_them(stub):
    scheduler = Scheduler(stub)
    first = scheduler.submit([row(0, 64)], Share())
    stub.started.acquire(timeout=20)
    others = [scheduler.submit([row(i), row(-i, 32)], Share()) for i in range(1, 4)]
    stub.open()
    assert [values(future) for future in (first, *others)] == [[0], [1, -1], [2, -2], [3, -3]]
    scheduler.close()
    assert [sorted(names) for names in stub.passes[1:]] == [[-2, -1], [-3], [1, 2, 3]]


def test_two_streams_share_a_request():
    stub = Stub(streams=2, budget=4096)
    scheduler = Scheduler(stub)
    whole = scheduler.submit([row(i, 64) for i in range(16)], Share())
    for _ in range(2):
        assert stub.started.acquire(timeout=20)
    assert [len(names) for names in stub.passes] == [8, 8]
    stub.open()
    assert values(whole) == list(range(16))
    scheduler.close()


def test_a_bad_row_does_its_pass_no_harm(stub, caplog):
    stub.bad = {2}
    stub.open()
    scheduler = Scheduler(stub)
    bad, good = scheduler.submit([row(1), row(2)], Share()), scheduler.submit([row(3), row(4)], Share())
    assert values(good) == [3, 4]
    with pytest.raises(ZeroDivisionError):
        bad.result(20)
    assert scheduler.alive
    scheduler.close()


def test_a_dropped_share_is_not_read(stub):
    scheduler, share = Scheduler(stub), Share()
    running = scheduler.submit([row(1)], Share())
    stub.started.acquire(timeout=20)
    dropped, kept = scheduler.submit([row(2), row(3, 32)], share), scheduler.submit([row(4)], Share())
    scheduler.drop(share)
    late = scheduler.submit([row(5)], share)
    stub.open()
    for future in (dropped, late):
        with pytest.raises(Cancelled):
            future.result(20)
    assert (values(running), values(kept)) == ([1], [4])
    scheduler.close()
    assert stub.passes == [[1], [4]]


def test_a_share_that_is_dropped_while_it_is_read(stub):
    scheduler, share = Scheduler(stub), Share()
    lot = scheduler.submit([row(1, 64), row(2, 64)], share)
    stub.started.acquire(timeout=20)
    scheduler.drop(share)
    stub.open()
    with pytest.raises(Cancelled):
        lot.result(20)
    scheduler.close()
    assert stub.passes == [[1]]


def test_closing_reads_what_waits_and_takes_no_more(stub):
    scheduler = Scheduler(stub)
    lots = [scheduler.submit([row(i)], Share()) for i in range(5)]
    threading.Timer(0.05, stub.open).start()
    scheduler.close()
    assert [values(lot) for lot in lots] == [[0], [1], [2], [3], [4]]
    assert not scheduler.alive
    with pytest.raises(EngineError, match="has been closed"):
        scheduler.submit([row(1)], Share())


def test_no_rows(stub):
    scheduler = Scheduler(stub)
    assert scheduler.submit([], Share()).result(1) == []
    scheduler.close()


def test_each_pass_is_told(stub):
    stub.open()
    told = []
    scheduler = Scheduler(stub, watch=told.append)
    scheduler.submit([row(1, 5), row(2, 8)], Share()).result(20)
    scheduler.close()
    assert [(done.rows, done.pieces, done.places) for done in told] == [(2, 13, 16)]
    assert told[0].seconds >= 0


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 64), min_size=1, max_size=12), min_size=1, max_size=8),
    st.integers(1, 3),
    st.integers(8, 300),
)
def test_every_row_comes_back_once_and_in_its_place(lots, streams, budget):
    stub = Stub(streams, budget)
    stub.open(10_000)
    scheduler = Scheduler(stub)
    shares = [Share() for _ in lots[::2]]
    with ThreadPoolExecutor(4) as pool:
        numbered = [[row(100 * i + j, length) for j, length in enumerate(lot)] for i, lot in enumerate(lots)]
        futures = list(pool.map(lambda i: scheduler.submit(numbered[i], shares[i // 2]), range(len(lots))))
    for lot, future in zip(numbered, futures, strict=True):
        assert values(future) == [each[0] for each in lot]
    scheduler.close()
    widths = {each[0]: stub.width(len(each)) for lot in numbered for each in lot}
    for names in stub.passes:
        [width] = {widths[name] for name in names}
        assert len(names) == 1 or width * len(names) <= budget


def test_the_real_engine_gives_each_its_own(tmp_path):
    engine = Engine(make_folder(tmp_path), threads=2, precision="f32")
    scheduler = Scheduler(engine)
    rows = {word: engine.encode([f"في {word}"])[0].ids for word in TAG_OF}
    expected = {word: engine.run([pieces])[0].tags for word, pieces in rows.items()}

    def ask(word):
        [scores] = scheduler.submit([rows[word]], Share()).result(20)
        return np.array_equal(scores.tags, expected[word])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, [*rows] * 20))
    with pytest.raises(EngineError, match="plan windows first"):
        scheduler.submit([[5] * (WINDOW + 1)], Share())
    scheduler.close()
