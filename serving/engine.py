"""A model folder that runs on this machine: texts to pieces, pieces to scores.

Analysis has three stages, each of which can be tested and timed alone: `Engine.encode`, `Engine.run`, and the
decoding in `labels/decode.py`, which evaluation uses as well. Which rows run together `serving/scheduler.py` says.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from labels.borders import trim_pieces
from labels.folder import (
    EVENT_SCORES,
    PIECE_OUTPUTS,
    TOKENIZER,
    ModelFolder,
)
from labels.scores import RowScores
from serving.devices import Device, Precision, load_graph
from serving.errors import EngineError
from serving.graph import check_outputs

# Padded pieces in one pass, `longest row * rows`. On a CPU more gains nothing and costs memory; what a GPU would like best has
# not been measured.
TOKEN_BUDGET, GPU_TOKEN_BUDGET = 1024, 2048
# OpenVINO prepares its kernels for each shape it meets. So that there are not too many, rows are padded to a multiple of 8
# places, and passes to one of these numbers of rows, at most an eighth of them empty.
_PAD_TO = 8
_ROWS = (*range(1, 17), *range(18, 33, 2), *range(36, 65, 4), *range(72, 129, 8), *range(144, 257, 16))


@dataclass(frozen=True, slots=True)
class Pieces:
    """One text as the model reads it, [CLS] and [SEP] not among them. `offsets` are half-open, in code points of the
    text, and trimmed; `unknown` are the indexes of pieces the vocabulary has no better name for than [UNK]."""

    ids: Sequence[int]
    offsets: Sequence[tuple[int, int]]
    unknown: Sequence[int] = ()


class Engine:
    """Holds the graph and the tokenizer of one model folder. Safe to share between threads, each of which runs on a stream
    of its own: `streams` passes go on at a time, one core each."""

    def __init__(
        self,
        folder: ModelFolder,
        *,
        device: Device = "cpu",
        threads: int | None = None,
        precision: Precision = "auto",
        token_budget: int | None = None,
    ) -> None:
        """`threads` None takes all cores that this process may use. `precision` auto is the fastest that the device has: bf16
        on newer processors, else f32. `token_budget` None is that of the device. EngineError if the files do not load
        or the graph is not the one the schema asks for."""
        self.folder = folder
        self.token_budget = token_budget or (GPU_TOKEN_BUDGET if device == "cuda" else TOKEN_BUDGET)
        self.tokenizer = _load_tokenizer(folder)
        self._before, self._after = _special_pieces(self.tokenizer)
        # A CPU computes most on a stream for each core, a GPU on one.
        self.streams = 1 if device == "cuda" else threads or _cores()
        self._graph = load_graph(folder, device=device, threads=threads, precision=precision, streams=self.streams)
        self.device = device
        self.precision = self._graph.precision
        self._outputs = check_outputs(folder, self._graph.outputs)
        self._turns = [threading.Lock() for _ in range(self.streams)]
        # A unigram model does not tell the name of its own; in those of SentencePiece it is this.
        self._unknown = self.tokenizer.token_to_id(getattr(self.tokenizer.model, "unk_token", None) or "<unk>")

    def encode(self, texts: Sequence[str]) -> list[Pieces]:
        """One `Pieces` for each text, in order. The texts must be Unicode text: no lone surrogates."""
        encodings = self.tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [
            Pieces(
                ids=ids,
                offsets=trim_pieces(encoding.offsets, text),
                unknown=[i for i, piece in enumerate(ids) if piece == self._unknown] if self._unknown in ids else (),
            )
            for text, encoding in zip(texts, encodings, strict=True)
            for ids in (encoding.ids,)  # asked for once: each time makes a new list
        ]

    def forward(self, rows: Sequence[Sequence[int]]) -> list[RowScores]:
        """Scores of each row of piece ids, in order, one pass after another on the first stream."""
        scores: dict[int, RowScores] = {}
        for batch in plan_batches([self.width(len(row)) for row in rows], self.token_budget):
            scores |= zip(batch, self.run([rows[i] for i in batch]), strict=True)
        return [scores[i] for i in range(len(rows))]

    def width(self, pieces: int) -> int:
        """Places that a row of so many pieces takes in a pass: 12 pieces and two special ones take 16; never more than the
        model has positions. EngineError for more pieces than the window has."""
        most = self.folder.manifest.window
        if pieces > most:
            raise EngineError(f"a row has {pieces} pieces, the model reads {most}; plan windows first")
        return min(-(-self.places(pieces) // _PAD_TO) * _PAD_TO, self.places(most))

    def places(self, pieces: int) -> int:
        """So many pieces and the special ones around them."""
        return pieces + len(self._before) + len(self._after)

    def shape(self, rows: Sequence[Sequence[int]]) -> tuple[int, int]:
        """Height and width of the pass that reads them together."""
        width = max(self.width(len(row)) for row in rows)
        return _padded_rows(len(rows), self.token_budget // width), width

    def run(self, rows: Sequence[Sequence[int]], stream: int = 0) -> list[RowScores]:
        """One pass of the graph: the scores of each row, in order. A row has at most `manifest.window` pieces; special pieces
        are put around it here and taken off the scores again. A stream that is in use is waited for."""
        ids = np.full(self.shape(rows), self.folder.manifest.pad_id, dtype=np.int64)
        mask = np.zeros_like(ids)
        mask[len(rows) :, 0] = 1  # a row of nothing but padding would divide by zero
        for i, row in enumerate(rows):
            whole = [*self._before, *row, *self._after]
            ids[i, : len(whole)] = whole
            mask[i, : len(whole)] = 1
        with self._turns[stream]:
            given = self._graph.run(ids, mask, stream)
        found = {name: given[name] for name in self._outputs}
        first = len(self._before)
        events = found.get(EVENT_SCORES)
        return [
            RowScores(
                events=None if events is None else events[i],
                **{part: found[name][i, first : first + len(row)] for part, name in PIECE_OUTPUTS.items() if name in found},
            )
            for i, row in enumerate(rows)
        ]


def plan_batches(widths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Indexes of rows to run together, all of one width: width times rows stays within `budget`, a row wider than that goes
    alone. plan_batches([8, 16, 8], 16) -> [1], [0, 2]."""
    batch: list[int] = []
    for i in sorted(range(len(widths)), key=lambda i: -widths[i]):
        if batch and (widths[batch[0]] != widths[i] or widths[i] * (len(batch) + 1) > budget):
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def _padded_rows(rows: int, most: int) -> int:
    """The next of _ROWS, or `most` where that is nearer: a full pass has no empty rows."""
    return min([number for number in (*_ROWS, most) if number >= rows], default=rows)


def _cores() -> int:
    """Those this process may run on, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _load_tokenizer(folder: ModelFolder) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_file(str(folder.path / TOKENIZER))
    except Exception as error:  # the library raises bare Exception
        raise EngineError(f"{folder.path}: {TOKENIZER} cannot be loaded: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    # A text that holds "[SEP]" means those five characters, not the end of a sentence.
    tokenizer.encode_special_tokens = True
    return tokenizer


def _special_pieces(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """The ids that the post-processor puts before and after a text."""
    encoding = tokenizer.encode("1")
    real = [i for i, special in enumerate(encoding.special_tokens_mask) if not special]
    if not real:
        raise EngineError("the tokenizer makes no piece of '1'; it cannot be used")
    return encoding.ids[: real[0]], encoding.ids[real[-1] + 1 :]
