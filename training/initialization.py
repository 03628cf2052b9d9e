"""Where pre-training starts: word2vec for the pieces, and a first layer that already looks at its neighbours.

A small post-norm BERT with random attention spends its first millions of pieces near the unigram loss: attention is
uniform, so what a masked position hears of its context is an average that says little, and there is little gradient to
sharpen it. Here positions are sinusoids in dimensions of their own, and the four (or more) heads of the first layer
begin by attending to offsets -1, +1, -2, +2 ..., whose content they add to the residual: an n-gram model from the
first step, which training then improves. The idea of beginning attention near a useful pattern is that of Trockman and
Kolter, Mimetic Initialization of Self-Attention Layers, 2023.
"""

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import PreTrainedModel

SCALE = 0.06  # standard deviation of pieces and positions; layer normalisation follows, so that only their ratio counts
SHARPNESS = 2.2  # weight of the position match before the softmax
ECHO = 1.2  # how much of each neighbour's content the first layer adds


def position_width(width: int) -> int:
    """How many of the `width` dimensions carry the position and nothing else."""
    return width // 4


@torch.no_grad()
def start_pieces(model: PreTrainedModel, piece_vectors: npt.NDArray[np.float32]) -> None:
    """Set the piece embeddings alone, `(vocab, embedding width)` of standard deviation 1, at the scale of the others."""
    scale = float(model.config.initializer_range)
    model.get_input_embeddings().weight.copy_(torch.from_numpy(piece_vectors) * scale)  # type: ignore[operator]


@torch.no_grad()
def start_from_neighbours(model: PreTrainedModel, piece_vectors: npt.NDArray[np.float32] | None, seed: int) -> None:
    """Set embeddings and first layer of a fresh model; `piece_vectors` `(vocab, width - position_width)` or None."""
    weights = dict(model.named_parameters())
    width, own = model.config.hidden_size, position_width(model.config.hidden_size)
    content = width - own
    words, positions = (weights[f"bert.embeddings.{kind}_embeddings.weight"] for kind in ("word", "position"))
    words[:, content:] = 0.0
    if piece_vectors is not None:
        words[:, :content] = torch.from_numpy(piece_vectors) * SCALE
    positions.zero_()
    positions[:, content:] = _sinusoids(len(positions), own) * SCALE
    weights["bert.embeddings.token_type_embeddings.weight"].zero_()
    names = ("self.query", "self.key", "self.value", "output.dense")
    query, key, value, output = (weights[f"bert.encoder.layer.0.attention.{name}.weight"] for name in names)
    for weight in (query, key, value, output):
        weight.mul_(0.25)
    heads, head_width = model.config.num_attention_heads, width // model.config.num_attention_heads
    draw = torch.Generator().manual_seed(seed)
    used = min(own, head_width)
    size = SHARPNESS * math.sqrt(math.sqrt(head_width) / used)
    for head in range(heads):
        rows = slice(head * head_width, (head + 1) * head_width)
        offset = (head // 2 + 1) * (-1 if head % 2 == 0 else 1)
        query[rows][:used, content:] += size * _rotation(own, offset)[:used]
        key[rows][:used, content:] += size * torch.eye(own)[:used]
        basis = torch.linalg.qr(torch.randn(content, head_width, generator=draw))[0]  # (content, head width), orthonormal
        value[rows, :content] += basis.T
        output[:content, rows] += ECHO * math.sqrt(content / head_width) / heads * 2 * basis
    transform = weights["cls.predictions.transform.dense.weight"]
    transform.mul_(0.5).add_(torch.eye(width))


def _frequencies(own: int) -> Tensor:
    return math.pi / 2 * torch.logspace(0, -2, own // 2)


def _sinusoids(count: int, own: int) -> Tensor:
    """`(count, own)`: sine and cosine of each frequency side by side, of unit amplitude times sqrt(2)."""
    angles = torch.arange(count)[:, None] * _frequencies(own)[None]
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1) * math.sqrt(2)


def _rotation(own: int, offset: int) -> Tensor:
    """The matrix that turns the position vector of i into that of i + offset."""
    matrix = torch.zeros(own, own)
    for i, frequency in enumerate(_frequencies(own)):
        s, c = math.sin(frequency * offset), math.cos(frequency * offset)
        matrix[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = torch.tensor([[c, s], [-s, c]])
    return matrix
