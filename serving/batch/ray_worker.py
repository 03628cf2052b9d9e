"""What a worker of a Ray cluster does: it opens the model folder once and scores the shards it is given, one after another.
Nothing of Ray is imported here."""

import json
import logging
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from labels.errors import MarsadError
from serving.batch.inputs import InputFile
from serving.batch.job import Request
from serving.batch.ledger import parts_folder
from serving.batch.run import Outcome, run_job
from serving.batch.sinks import Sink
from serving.batch.stages import StageTimes
from serving.batch.summary import Summary
from serving.errors import EngineError, FileError, InUseError, WriteError
from serving.options import open_analyzer

logger = logging.getLogger(__name__)

# Seconds for which a shard that is in use is waited for: a worker that was given up as lost may still be at it, and NFS takes
# 90 to find out that the holder of a lock is gone.
PATIENCE = 180.0
# So often a part is begun again after the worker at it has died. Machines die now and then, but a document that kills whoever
# reads it must not do so for ever.
TRIES = 5
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 10.0  # seconds; each try reads the shard's input once


@dataclass(frozen=True)
class Work:
    """What the shards of a job have in common. Of `request` files and sinks are each shard's own; `environment` are the
    variables that an analyzer reads; `model` is the id that the folder must have; `folder` is where relative paths begin;
    `run` tells this run from others."""

    request: Request
    environment: Mapping[str, str]
    model: str
    folder: Path
    run: str
    patience: float = PATIENCE


class Worker:
    """Made once in each process that Ray starts for the job, called with one shard at a time."""

    def __init__(self, work: Work) -> None:
        """What keeps this machine from the work is told with the first shard: raised here, Ray's traces would bury it."""
        self._work = work
        if work.folder.is_dir():
            os.chdir(work.folder)  # names are shown as they were given, in answers too
        self._stages = StageTimes()
        self._unfit = ""
        try:
            self._analyzer = open_analyzer(dict(work.environment), self._stages)
            found = self._analyzer.engine.folder
            if found.id != work.model:
                raise EngineError(f"{found.path}: is {found.id}, the job is for {work.model}")
        except MarsadError as error:
            self._unfit = f"{socket.gethostname()}: {error}"

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """`unfit` says why this machine can do no shard at all; it is empty otherwise."""
        if self._unfit:
            return {"number": row["number"], "unfit": self._unfit, "outcome": ""}
        outcome = self._score(shard_of(row, self._work.request))
        return {"number": row["number"], "unfit": "", "outcome": json.dumps(outcome_record(outcome))}

    def _score(self, request: Request) -> Outcome:
        """What is wrong with one shard is told of that shard, and the others go on."""
        try:
            self._count_tries(request)
            return self._patient(request)
        except (FileError, WriteError) as error:
            return Outcome("failed", Summary(), error=str(error))
        except Exception as error:
            logger.exception("%s could not be scored", request.output)
            fault = f"{request.output}: {type(error).__name__}: {error} (on {socket.gethostname()}; its log says more)"
            return Outcome("failed", Summary(), error=fault)

    def _count_tries(self, request: Request) -> None:
        """FileError if workers of this run have begun here too often since the last part was finished."""
        folder = parts_folder(request.output)
        if not folder.exists():
            return
        ledger, tries = folder / "ledger.jsonl", folder / "tries"
        line = f"{self._work.run} {ledger.stat().st_size if ledger.exists() else 0}\n"
        begun = tries.read_text(encoding="ascii").splitlines(keepends=True).count(line) if tries.exists() else 0
        if begun >= TRIES:
            raise FileError(f"{request.output}: {begun} workers died at the same part of it; it is left where it is")
        with tries.open("a", encoding="ascii") as handle:
            handle.write(line)

    def _patient(self, request: Request) -> Outcome:
        until, wait = time.monotonic() + self._work.patience, _FIRST_WAIT
        while True:
            try:
                return run_job(request, self._analyzer, self._stages)
            except InUseError:
                if time.monotonic() >= until:
                    raise
            time.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)


def shard_row(number: int, request: Request) -> dict[str, Any]:
    """A shard in plain columns."""
    [file], [sink] = request.files, request.sinks
    output = {"output": str(sink.path), "content": sink.content, "output_format": sink.format}
    return {"number": number, "input": str(file.path), "name": file.name, "input_format": file.format, **output}


def shard_of(row: Mapping[str, Any], common: Request) -> Request:
    """The inverse."""
    file = InputFile(Path(row["input"]), row["input_format"], row["name"])
    sink = Sink(Path(row["output"]), row["content"], row["output_format"])
    return replace(common, files=(file,), sinks=(sink,))


def outcome_record(outcome: Outcome) -> dict[str, Any]:
    return {**vars(outcome), "summary": outcome.summary.record()}


def outcome_of(record: Mapping[str, Any]) -> Outcome:
    """The inverse."""
    return Outcome(**{**record, "summary": Summary.of(record["summary"])})
