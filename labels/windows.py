"""A sentence longer than the model's input is read in overlapping windows; each piece is scored where it has the most
context. Training, evaluation and serving plan the same windows."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from labels.errors import AlignmentError
from labels.types import Span


def plan_windows(n_pieces: int, size: int, overlap: int) -> list[Span]:
    """Windows over `[0, n_pieces)`, at most `size` long, neighbours sharing at least `overlap` pieces, of near-equal
    length: plan_windows(10, 6, 2) -> [0, 6) [4, 10). No pieces, no window."""
    if not 0 <= overlap < size:
        raise ValueError(f"windows need 0 <= overlap < size, found overlap {overlap} and size {size}")
    if n_pieces <= 0:
        return []
    if n_pieces <= size:
        return [Span(0, n_pieces)]
    count = -(-(n_pieces - overlap) // (size - overlap))
    starts = [round(i * (n_pieces - size) / (count - 1)) for i in range(count)]
    return [Span(start, start + size) for start in starts]


def owned_parts(windows: Sequence[Span]) -> list[Span]:
    """The part of each window that answers for its pieces: neighbours share their overlap half and half, so the parts
    tile the whole."""
    parts = []
    for i, window in enumerate(windows):
        start = window.start if i == 0 else (window.start + windows[i - 1].end) // 2
        end = window.end if i == len(windows) - 1 else (windows[i + 1].start + window.end) // 2
        parts.append(Span(start, end))
    return parts


def merge_windows(windows: Sequence[Span], scores: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """Per-piece scores of each window, `(window pieces, labels)`, to those of the whole, `(pieces, labels)`."""
    for window, rows in zip(windows, scores, strict=True):
        if len(rows) != window.end - window.start:
            raise AlignmentError(f"{len(rows)} score rows for a window of {window.end - window.start} pieces")
    return np.concatenate(
        [
            rows[part.start - window.start : part.end - window.start]
            for window, part, rows in zip(windows, owned_parts(windows), scores, strict=True)
        ]
    )
