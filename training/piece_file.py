"""The encoded texts: one flat file of piece ids, written as the texts stream by, read by the row without being loaded."""

import hashlib
import json
import logging
import lzma
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from labels.errors import ConfigError

logger = logging.getLogger(__name__)

Pieces = npt.NDArray[np.uint16] | npt.NDArray[np.uint32]

PIECES, HELD_OUT, RECORD = "pieces.bin", "heldout.bin", "pieces.json"
_PARAGRAPHS = 4096  # encoded together


class _Writer:
    """Appends pieces to one file and counts and hashes them."""

    def __init__(self, handle: IO[bytes], tokenizer: Tokenizer, separator: int) -> None:
        self.handle, self.tokenizer, self.separator = handle, tokenizer, separator
        self.kind = np.uint16 if tokenizer.get_vocab_size() <= 2**16 else np.uint32
        self.count, self.digest = 0, hashlib.sha256()
        self.batch: list[str] = []

    def add(self, paragraphs: list[str]) -> None:
        self.batch.extend(paragraphs)
        if len(self.batch) >= _PARAGRAPHS:
            self.flush()

    def flush(self) -> None:
        for encoding in self.tokenizer.encode_batch_fast(self.batch, add_special_tokens=False):
            data = np.array([*encoding.ids, self.separator], dtype=self.kind).tobytes()
            self.handle.write(data)
            self.digest.update(data)
            self.count += len(encoding.ids) + 1
        self.batch.clear()

    def record(self) -> dict[str, str | int]:
        return {"pieces": self.count, "dtype": np.dtype(self.kind).name, "sha256": self.digest.hexdigest()}


def write_pieces(documents: Iterable[list[str]], tokenizer: Tokenizer, separator: int, folder: Path) -> None:
    """Encode every paragraph, `separator` after each, into `folder`: `pieces.bin`, and one document in 256 into
    `heldout.bin`, which is never trained on: its own text decides, so that a later stage over other files leaves it out
    too. 16 bits a piece where the vocabulary fits. Memory does not grow with the texts. The files appear whole or not at
    all; `pieces.json` says what is in them."""
    partials = {name: folder / f"{name}.partial" for name in (PIECES, HELD_OUT)}
    with partials[PIECES].open("wb") as pieces, partials[HELD_OUT].open("wb") as held_out:
        writers = {PIECES: _Writer(pieces, tokenizer, separator), HELD_OUT: _Writer(held_out, tokenizer, separator)}
        for paragraphs in documents:
            writers[HELD_OUT if _is_held_out(paragraphs) else PIECES].add(paragraphs)
        for writer in writers.values():
            writer.flush()
    records = {name: writer.record() for name, writer in writers.items()}
    (folder / RECORD).write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    for name in (HELD_OUT, PIECES):  # the larger comes last: where it is, all is
        partials[name].rename(folder / name)


def _is_held_out(paragraphs: list[str]) -> bool:
    return hashlib.blake2b(paragraphs[0].encode(), digest_size=1).digest() == b"\0"


def open_pieces(folder: Path, name: str = PIECES) -> Pieces:
    """The pieces of `folder`, mapped from disk. A file `.xz`, as it is carried between machines, is unpacked first."""
    path, packed = folder / name, folder / f"{name}.xz"
    if not path.exists() and packed.exists():
        partial = folder / f"{name}.partial"
        with lzma.open(packed) as source, partial.open("wb") as target:
            shutil.copyfileobj(source, target, 2**20)
        partial.rename(path)
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))[name]
        size, kind = int(record["pieces"]), np.dtype(record["dtype"])
        if path.stat().st_size != size * kind.itemsize:
            found = path.stat().st_size // kind.itemsize
            raise ConfigError(f"{path}: holds {found} pieces, {RECORD} says {size}; encode the texts again")
        pieces: Pieces = np.memmap(path, dtype=kind, mode="r") if size else np.zeros(0, dtype=kind)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}; remove the folder and encode the texts again") from error
    return pieces


class Permutation:
    """A pseudo-random order of `range(size)` in constant memory: four Feistel rounds over the smallest even power of two
    that holds it, repeated for a value that falls outside (Black and Rogaway, Ciphers with Arbitrary Finite Domains, 2002)."""

    def __init__(self, size: int, key: tuple[int, ...]) -> None:
        self.size = size
        self.half = max(1, -(-max(1, size - 1).bit_length() // 2))
        self.keys = np.random.SeedSequence(key).generate_state(4, np.uint64)

    def __getitem__(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Where the row of each position, in [0, size), stands."""
        values = self._shuffle(positions.astype(np.uint64))
        while (outside := values >= self.size).any():
            values[outside] = self._shuffle(values[outside])
        return values.astype(np.int64)

    def _shuffle(self, values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        half, mask = np.uint64(self.half), np.uint64((1 << self.half) - 1)
        left, right = values >> half, values & mask
        for key in self.keys:
            mixed = (right + key) * np.uint64(0x9E3779B97F4A7C15)  # the multiplier of splitmix64; overflow wraps
            mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
            left, right = right, left ^ ((mixed >> np.uint64(32)) & mask)
        return (left << half) | right


class PieceRows:
    """The piece file as rows of `length` pieces, [CLS] and [SEP] counted, in an order drawn anew each epoch."""

    def __init__(self, pieces: Pieces, *, length: int, cls: int, sep: int, seed: int) -> None:
        if len(pieces) < length - 2:
            raise ConfigError(f"the texts hold {len(pieces)} pieces, fewer than one row of {length}")
        self.pieces, self.length, self.cls, self.sep, self.seed = pieces, length, cls, sep, seed
        self._order: tuple[int, Permutation] | None = None

    def __len__(self) -> int:
        return len(self.pieces) // (self.length - 2)

    def batch(self, index: int, size: int) -> npt.NDArray[np.int64]:
        """Batch `index` of an endless stream, `(size, length)`: it depends on the seed and the index alone, so that a
        resumed run sees what an uninterrupted one would have seen."""
        rows = np.empty((size, self.length), dtype=np.int64)
        rows[:, 0], rows[:, -1] = self.cls, self.sep
        inner = self.length - 2
        epochs, places = np.divmod(np.arange(index * size, (index + 1) * size), len(self))
        for epoch in np.unique(epochs):
            within = np.flatnonzero(epochs == epoch)
            for slot, row in zip(within, self._order_of(int(epoch))[places[within]], strict=True):
                rows[slot, 1:-1] = self.pieces[row * inner : (row + 1) * inner]
        return rows

    def _order_of(self, epoch: int) -> Permutation:
        if self._order is None or self._order[0] != epoch:
            self._order = (epoch, Permutation(len(self), (self.seed, epoch)))
        return self._order[1]
