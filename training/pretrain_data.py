"""Texts to one long array of pieces: read, weighed, repeated paragraphs dropped, encoded, cut into rows."""

import hashlib
import json
import logging
import lzma
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from labels.errors import ConfigError, RecordError
from training.tokenizer import piece_id

logger = logging.getLogger(__name__)

MIN_PARAGRAPH = 40  # characters; shorter lines are menus, bylines and scraps of mark-up


@dataclass(frozen=True)
class TextSource:
    """One JSONL file (plain or .xz) of `{"id", "text", "category"?}` and the share of its documents to keep."""

    file: str
    weight: float = 1.0
    categories: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, share in [("weight", self.weight), *self.categories.items()]:
            if not 0 <= share <= 1:
                raise ValueError(f"texts.{self.file}: {name} must be in [0, 1], found {share}")


def iter_paragraphs(folder: Path, sources: tuple[TextSource, ...]) -> Iterator[list[str]]:
    """Yield the paragraphs of each kept document, those seen before left out; which documents are kept depends on
    their ids alone, so that the same configuration always gives the same corpus."""
    seen: set[bytes] = set()
    dropped = kept = 0
    for source in sources:
        for number, line in enumerate(_lines(folder / source.file), 1):
            try:
                record = json.loads(line)
                identifier, text = str(record["id"]), str(record["text"])
            except (ValueError, KeyError, TypeError) as error:
                raise RecordError(
                    f"{folder / source.file}:{number}", f"expected an object with id and text: {error}"
                ) from error
            if _draw(identifier) >= source.categories.get(str(record.get("category")), source.weight):
                continue
            paragraphs = []
            for paragraph in map(str.strip, text.splitlines()):
                if len(paragraph) < MIN_PARAGRAPH or paragraph.startswith(("<doc ", "</doc")):
                    continue
                digest = hashlib.blake2b(paragraph.encode(), digest_size=8).digest()
                if digest in seen:
                    dropped += 1
                    continue
                seen.add(digest)
                kept += 1
                paragraphs.append(paragraph)
            if paragraphs:
                yield paragraphs
    logger.info("paragraphs: %d kept, %d repeated ones dropped", kept, dropped)


def _lines(path: Path) -> Iterator[str]:
    try:
        opener: Callable[..., IO[str]] = lzma.open if path.suffix == ".xz" else open
        handle = opener(path, "rt", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    with handle:
        yield from handle


def _draw(identifier: str) -> float:
    """A number in [0, 1) that is a document's own."""
    return int.from_bytes(hashlib.blake2b(identifier.encode(), digest_size=6).digest(), "big") / 2**48


def encode_texts(documents: Iterator[list[str]], tokenizer: Tokenizer, path: Path) -> npt.NDArray[np.uint16]:
    """Encode every document as pieces with [SEP] after each paragraph, in one array saved at `path`."""
    if tokenizer.get_vocab_size() > 2**16:
        raise ConfigError(f"a vocabulary of {tokenizer.get_vocab_size()} does not fit the 16-bit piece array")
    separator = piece_id(tokenizer, "[SEP]")
    chunks: list[npt.NDArray[np.uint16]] = []
    batch: list[str] = []

    def flush() -> None:
        for encoding in tokenizer.encode_batch_fast(batch, add_special_tokens=False):
            chunks.append(np.array([*encoding.ids, separator], dtype=np.uint16))
        batch.clear()

    for paragraphs in documents:
        batch.extend(paragraphs)
        if len(batch) >= 4096:
            flush()
    flush()
    pieces = np.concatenate(chunks) if chunks else np.zeros(0, dtype=np.uint16)
    np.save(path, pieces)
    return pieces


class PieceRows:
    """The piece array as rows of `length` pieces, [CLS] and [SEP] counted, in an order drawn anew each epoch."""

    def __init__(self, pieces: npt.NDArray[np.uint16], *, length: int, cls: int, sep: int, seed: int) -> None:
        if len(pieces) < length - 2:
            raise ConfigError(f"the texts hold {len(pieces)} pieces, fewer than one row of {length}")
        self.pieces, self.length, self.cls, self.sep, self.seed = pieces, length, cls, sep, seed
        self._epoch, self._order = -1, np.zeros(0, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.pieces) // (self.length - 2)

    def batch(self, index: int, size: int) -> npt.NDArray[np.int64]:
        """Batch `index` of an endless stream, `(size, length)`: it depends on the seed and the index alone, so that a
        resumed run sees what an uninterrupted one would have seen."""
        rows = np.empty((size, self.length), dtype=np.int64)
        rows[:, 0], rows[:, -1] = self.cls, self.sep
        inner = self.length - 2
        for slot in range(size):
            epoch, position = divmod(index * size + slot, len(self))
            start = int(self._order_of(epoch)[position]) * inner
            rows[slot, 1:-1] = self.pieces[start : start + inner]
        return rows

    def _order_of(self, epoch: int) -> npt.NDArray[np.int64]:
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = np.random.default_rng((self.seed, epoch)).permutation(len(self))
        return self._order
