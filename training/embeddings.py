"""A start for the encoder's piece embeddings: word2vec over the same pieces, learnt in a minute.

From a random start a small BERT spends its first millions of pieces finding out which pieces are alike; this is
what word2vec finds at a hundredth of the cost.
"""

import logging
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from training.piece_file import Pieces

logger = logging.getLogger(__name__)


class _Rows:
    """The piece array as word2vec's sentences: re-iterable, as gensim passes over it once an epoch."""

    def __init__(self, pieces: Pieces, length: int = 1000) -> None:
        self.pieces, self.length = pieces, length

    def __iter__(self) -> Iterator[list[str]]:
        for start in range(0, len(self.pieces), self.length):
            yield [str(piece) for piece in self.pieces[start : start + self.length]]


def word2vec_embeddings(pieces: Pieces, *, vocab_size: int, width: int, seed: int, epochs: int = 2) -> npt.NDArray[np.float32]:
    """CBOW vectors of every piece, `(vocab_size, width)`, centred, each scaled to standard deviation 1 (rare pieces
    would else be too short to be heard beside positions); a piece the array does not hold keeps a random vector of the
    same scale. One worker, so that a seed gives one result."""
    from gensim.models import Word2Vec

    model = Word2Vec(_Rows(pieces), vector_size=width, window=5, min_count=5, epochs=epochs, sg=0, workers=1, seed=seed)
    vectors = np.random.default_rng(seed).normal(0.0, 1.0, (vocab_size, width)).astype(np.float32)
    known = np.array([int(key) for key in model.wv.index_to_key])
    learnt = model.wv.vectors - model.wv.vectors.mean(axis=0)
    vectors[known] = learnt / learnt.std(axis=1, keepdims=True)
    logger.info("word2vec start: %d of %d pieces", len(known), vocab_size)
    return vectors
