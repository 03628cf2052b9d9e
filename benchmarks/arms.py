"""Ways to read documents that `benchmarks/throughput.py` compares."""

import threading
from collections.abc import Sequence
from typing import Any, Protocol

from labels.folder import ModelFolder
from labels.types import Document, Failure, Prediction, Span
from serving.analyzer import Analyzer
from serving.engine import Engine
from serving.errors import EngineError
from serving.scheduler import Pass
from serving.watch import Watch

STAGES = ("split", "encode", "forward", "decode", "assemble")

# What was read in one sentence: (document, start, end) to {(label, start, end)} and {type}.
Reading = tuple[frozenset[tuple[str, int, int]], frozenset[str]]
Readings = dict[tuple[int, int, int], Reading]


class Arm(Protocol):
    """One way to read documents. `run` is timed, `readings` is not."""

    name: str

    def run(self, documents: Sequence[Document]) -> Any: ...

    def readings(self, answer: Any) -> Readings: ...


class Stopwatch(Watch):
    """Adds up the seconds of each stage over all threads, and what the passes of the graph held."""

    def __init__(self) -> None:
        self._adding = threading.Lock()
        self.reset()

    def reset(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self.pieces = self.places = 0

    def stage(self, name: str, seconds: float) -> None:
        with self._adding:
            self.seconds[name] += seconds

    def ran(self, done: Pass) -> None:
        with self._adding:
            self.seconds["forward"] += done.seconds
            self.pieces += done.pieces
            self.places += done.places


class MarsadArm:
    """The analyzer as the server and `marsad score` use it."""

    def __init__(self, engine: Engine, name: str) -> None:
        self.name = name
        self.engine = engine
        self.watch = Stopwatch()
        self.analyzer = Analyzer(engine, watch=self.watch)

    def run(self, documents: Sequence[Document]) -> list[Prediction]:
        answers = self.analyzer.analyze(documents)
        for answer in answers:
            if isinstance(answer, Failure):
                raise EngineError(f"document {answer.id!r} was not read: {answer.message}")
        return answers  # type: ignore[return-value]

    def readings(self, answer: list[Prediction]) -> Readings:
        found: Readings = {}
        for i, prediction in enumerate(answer):
            for number, span in enumerate(prediction.sentences):
                entities = [e for e in prediction.entities if e.sentence == number]
                types = frozenset(event.type for event in prediction.events if event.sentence == number)
                found[i, span.start, span.end] = frozenset((e.label, e.span.start, e.span.end) for e in entities), types
        return found


class TorchArm:
    """The baseline; torch is imported here and no earlier."""

    def __init__(self, folder: ModelFolder, name: str, *, batch_rows: int, threads: int | None) -> None:
        from benchmarks.baseline import PlainTorch

        self.name = name
        self.plain = PlainTorch(folder, batch_rows=batch_rows, threads=threads)

    def run(self, documents: Sequence[Document]) -> list[tuple[int, Span, Prediction]]:
        return self.plain.run(documents)

    def readings(self, answer: list[tuple[int, Span, Prediction]]) -> Readings:
        return {
            (i, at.start, at.end): (
                frozenset((e.label, e.span.start + at.start, e.span.end + at.start) for e in prediction.entities),
                frozenset(prediction.event_types),
            )
            for i, at, prediction in answer
        }
