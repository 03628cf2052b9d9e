"""A run over files: read, analyse and write at the same time, a few documents in memory, and count what happened."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

from labels.types import Failure
from serving.analyzer import Analyzer
from serving.batch.readers import Row
from serving.batch.writers import Answer, Writer

_PROGRESS_SECONDS = 0.5


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
    `limit` ends the run after that many rows; `progress` is called now and then, and at the end."""
    summary = Summary(analyzer.engine.folder.id)
    start = told = time.monotonic()
    for answer in analyzer.stream(islice(rows, limit)):
        writer.write(answer)
        summary.add(answer)
        now = time.monotonic()
        summary.seconds = now - start
        if now - told > _PROGRESS_SECONDS:
            progress(summary)
            told = now
    progress(summary)
    return summary
