"""What a model says of a row of pieces, and of a sentence that was read in one row or several."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from labels.decode import Scores
from labels.folder import PIECE_OUTPUTS
from labels.iob import Offsets
from labels.types import Span
from labels.windows import merge_windows


@dataclass(frozen=True, slots=True)
class RowScores:
    """Logits of one row, None where the model has no such head: `tags` `(pieces, tags)`, `events` `(types,)`, `borders`
    `(pieces, letters)`, `triggers` `(pieces, types)`; `queries` and `keys` `(pieces, roles * width)` are vectors whose
    products say which entity has which role in which event."""

    tags: Scores | None = None
    events: Scores | None = None
    borders: Scores | None = None
    triggers: Scores | None = None
    queries: Scores | None = None
    keys: Scores | None = None


@dataclass(frozen=True, slots=True)
class SentenceScores(RowScores):
    """Those of a whole sentence, whose pieces lie at `offsets`; its `events` are `(windows, types)`."""

    offsets: Offsets = ()


def merge_rows(offsets: Offsets, windows: Sequence[Span], rows: Sequence[RowScores]) -> SentenceScores:
    """The rows of a sentence's windows, in order, as one. A sentence without pieces has no windows, and no scores."""
    if len(rows) == len(windows) == 1:  # as for nearly all sentences: nothing to put together, and nothing is copied
        [row], length = rows, windows[0].end - windows[0].start
        parts = (row.tags, row.borders, row.triggers, row.queries, row.keys)
        if all(part is None or len(part) == length for part in parts):
            stacked = None if row.events is None else row.events[None]
            return SentenceScores(row.tags, stacked, row.borders, row.triggers, row.queries, row.keys, offsets)

    def merged(part: str) -> Scores | None:
        present = [scores for row in rows if (scores := getattr(row, part)) is not None]
        return merge_windows(windows, present) if present else None

    events = [row.events for row in rows if row.events is not None]
    whole = {part: merged(part) for part in PIECE_OUTPUTS}
    return SentenceScores(**whole, events=np.stack(events) if events else None, offsets=offsets)
