"""A run over files: read, analyse, write, in chunks of bounded size, and count what happened."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

from labels.types import Document, Failure, Prediction
from serving.analyzer import GROUP_CHARACTERS, Analyzer
from serving.batch.readers import Row
from serving.batch.writers import Answer, Writer

CHUNK_DOCUMENTS = 256


@dataclass
class Summary:
    """What a run did. `entities` are by label, `events` by type, `errors` by code; `generated_ids` counts documents that
    came without an id. The one thing here that changes: it is counted up while the run goes on."""

    model: str
    documents: int = 0
    sentences: int = 0
    entities: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    warned: int = 0
    generated_ids: int = 0
    seconds: float = 0.0

    def add(self, answer: Answer) -> None:
        self.documents += 1
        if isinstance(answer, Failure):
            self.errors[str(answer.code)] += 1
            return
        self.sentences += len(answer.sentences)
        self.entities.update(entity.label for entity in answer.entities)
        self.events.update(event.type for event in answer.events)
        self.warned += bool(answer.warnings)

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self) | {
            "entities": dict(self.entities),
            "events": dict(self.events),
            "errors": dict(self.errors),
            "seconds": round(self.seconds, 2),
        }


def score_rows(
    rows: Iterable[Row],
    analyzer: Analyzer,
    writer: Writer,
    *,
    limit: int | None = None,
    progress: Callable[[Summary], None] = lambda _: None,
) -> Summary:
    """Write one answer for each row, in order: what a reader could not make a document of goes through as it came.
    `limit` ends the run after that many rows; `progress` is called after each chunk."""
    summary = Summary(analyzer.engine.folder.id)
    start = time.monotonic()
    for chunk in _chunks(islice(rows, limit)):
        for answer in _answer(chunk, analyzer):
            writer.write(answer)
            summary.add(answer)
        summary.seconds = time.monotonic() - start
        progress(summary)
    return summary


def _answer(chunk: list[Row], analyzer: Analyzer) -> list[Prediction | Failure]:
    answers = iter(analyzer.analyze([row for row in chunk if isinstance(row, Document)]))
    return [row if isinstance(row, Failure) else next(answers) for row in chunk]


def _chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Up to CHUNK_DOCUMENTS rows, ended sooner by many characters: memory holds one chunk and its answers."""
    chunk: list[Row] = []
    size = 0
    for row in rows:
        chunk.append(row)
        size += len(row.text) if isinstance(row, Document) else 0
        if len(chunk) == CHUNK_DOCUMENTS or size >= GROUP_CHARACTERS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
