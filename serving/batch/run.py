"""A run: read, analyse and write at the same time, in parts that count once they are whole."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from serving.analyzer import Analyzer
from serving.batch.inputs import content_of, state_of
from serving.batch.job import Request, job_record
from serving.batch.ledger import Ledger, open_ledger
from serving.batch.outputs import check_outputs, drop_leftovers, files_of, finish, finished_before, show_quarantine
from serving.batch.scoring import answer_rows
from serving.batch.sinks import Encoder
from serving.batch.source import Source
from serving.batch.stages import StageTimes
from serving.batch.summary import Summary
from serving.errors import FileError

Asked = Callable[[], bool]
State = Literal["done", "stopped", "failed"]
Told = Callable[[Summary, Summary, float | None], None]


@dataclass(frozen=True)
class Outcome:
    """How a run ended: `done`; `stopped` as it was asked to; `failed` as more rows were bad than may be. The two latter can go
    on. `resumed` rows were there from earlier goes; `already` says that all was, and nothing had to be done. `error` is why one
    of several outputs could not be made at all while the others went on."""

    state: State
    summary: Summary
    resumed: int = 0
    already: bool = False
    error: str | None = None


def run_job(
    request: Request,
    analyzer: Analyzer,
    stages: StageTimes,
    *,
    asked: Asked = lambda: False,
    told: Told = lambda *_: None,
) -> Outcome:
    """Score what is asked for, or go on where an earlier run of the same job was cut off. `asked` is looked at after each part
    and ends the run there; `told` hears what was done before, what this go has done, and the share of the input that is read.
    FileError where it may not or cannot be done, WriteError where the disk does not take it; what was finished stays."""
    source = Source(request.files, request.columns, request.delimiter)
    contents = [content_of(file) for file in request.files if not file.is_stdin]
    job = job_record(request, contents, analyzer)
    if request.resumable and not request.restart and (record := finished_before(request.output, job)):
        drop_leftovers(request.output, job)
        return Outcome("done", Summary.of(record), already=True)
    check_outputs(request, job)
    with open_ledger(request.output, job, restart=request.restart or not request.resumable) as ledger:
        resumed = ledger.rows
        if not ledger.finished and not asked() and not _too_many(ledger, request):
            _score(request, analyzer, stages, ledger, source, asked=asked, told=told)
        if not ledger.finished:
            show_quarantine(ledger, request)
            return Outcome("failed" if _too_many(ledger, request) else "stopped", ledger.summary, resumed)
        if _too_many(ledger, request):  # found in the last part
            show_quarantine(ledger, request)
            return Outcome("failed", ledger.summary, resumed)
        for file, content in zip((file for file in request.files if not file.is_stdin), contents, strict=True):
            if state_of(file.path) != content.state:
                raise FileError(f"{file.path}: was changed while it was read; begin again with --restart")
        finish(ledger, request, job)
        return Outcome("done", ledger.summary, resumed)


def stream_job(
    request: Request, analyzer: Analyzer, write: Callable[[bytes], object], scratch: Path, *, asked: Asked, told: Told
) -> Summary:
    """Score straight to another program: each answer is written as soon as it is there, and nothing is kept to go on from."""
    source = Source(request.files, request.columns, request.delimiter)
    folder = analyzer.engine.folder
    encoder = Encoder(request.sinks[0], folder.schema, folder.id, request.dedup is not None)
    here, before, began = Summary(), Summary(), time.monotonic()
    write(encoder.encode([], first=True))
    for entry in answer_rows(islice(source, request.limit), request, analyzer, scratch):
        write(encoder.encode([entry], first=False))
        here.add(entry)
        here.seconds = time.monotonic() - began
        told(before, here, source.share)
        if asked():
            break
    return here


def _score(
    request: Request, analyzer: Analyzer, stages: StageTimes, ledger: Ledger, source: Source, *, asked: Asked, told: Told
) -> None:
    """Parts from where the ledger ends until all are done, or `asked`, or too many rows are bad."""
    folder = analyzer.engine.folder
    encoders = [Encoder(sink, folder.schema, folder.id, request.dedup is not None) for sink in files_of(request)]
    before, here = Summary.of(ledger.summary.record()), Summary()
    began = part_began = time.monotonic()
    stages.take()
    taken: list[list[Any]] = [[] for _ in encoders]
    part = Summary()

    def commit(*, last: bool) -> None:
        nonlocal part, part_began
        now = time.monotonic()
        part.seconds, part_began, part.stages = now - part_began, now, stages.take()
        first = ledger.parts == 0
        sealed = [encoder.seal(pieces, first=first) for encoder, pieces in zip(encoders, taken, strict=True)]
        ledger.commit(sealed, part, last=last)
        for pieces in taken:
            pieces.clear()
        part = Summary()

    for entry in answer_rows(islice(source, request.limit), request, analyzer, ledger.folder, skip=ledger.rows):
        for encoder, pieces in zip(encoders, taken, strict=True):
            pieces.extend(encoder.take(entry))
        part.add(entry)
        here.add(entry)
        here.seconds = time.monotonic() - began
        told(before, here, source.share)
        if part.documents == request.part_rows or part.characters >= request.part_characters:
            commit(last=False)
            if asked() or _too_many(ledger, request):
                return
    commit(last=True)


def _too_many(ledger: Ledger, request: Request) -> bool:
    return request.max_errors is not None and ledger.summary.failed > request.max_errors
