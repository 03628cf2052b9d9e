"""The encoders that can be pre-trained here: plain Hugging Face architectures, so that `AutoModel` loads what comes out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import (
    AutoModelForMaskedLM,
    BertConfig,
    BertForMaskedLM,
    ElectraConfig,
    ElectraForMaskedLM,
    MegatronBertConfig,
    MegatronBertForMaskedLM,
    ModernBertConfig,
    ModernBertForMaskedLM,
    PreTrainedModel,
)

from labels.errors import ConfigError
from training.tokenizer import piece_id

Architecture = Literal["bert", "megatron-bert", "electra", "modernbert"]

_MULTIPLE = 64  # widths of feed-forward layers are rounded to this: matrix units like whole tiles


@dataclass(frozen=True)
class EncoderConfig:
    """Shape of the encoder; `max_pieces` is the longest input it will ever take.

    `architecture`: `bert` normalises after each block, `megatron-bert` before it; `electra` is `bert` with embeddings
    of `embedding_width`, projected to `width`; `modernbert` normalises before, rotates queries and keys by their position
    and gates its feed-forward layers. `feed_forward` 0 takes 4 * width, of modernbert 8/3 * width, which costs the same.
    `local_pieces` above 0 lets two of three modernbert layers see only that many neighbours."""

    architecture: str = "bert"
    vocab_size: int = 24_000
    layers: int = 6
    width: int = 256
    heads: int = 4
    max_pieces: int = 256
    embedding_width: int = 0
    feed_forward: int = 0
    local_pieces: int = 0
    initializer_range: float = 0.02

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"encoder.width {self.width} is no multiple of encoder.heads {self.heads}")
        if self.embedding_width and self.architecture != "electra":
            raise ValueError(f"encoder.embedding_width is for electra, found architecture {self.architecture!r}")

    @property
    def inner(self) -> int:
        if self.feed_forward:
            return self.feed_forward
        if self.architecture == "modernbert":
            return max(1, round(8 / 3 * self.width / _MULTIPLE)) * _MULTIPLE
        return 4 * self.width


def build_encoder(shape: EncoderConfig, tokenizer: Tokenizer) -> PreTrainedModel:
    """A fresh masked language model of `shape`; attention in plain matrix products, whose backward pass is faster on a CPU
    than the fused kernel's at these lengths."""
    pad, cls, sep = (piece_id(tokenizer, piece) for piece in ("[PAD]", "[CLS]", "[SEP]"))
    common: dict[str, Any] = {
        "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": shape.width,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.inner,
        "max_position_embeddings": shape.max_pieces,
        "initializer_range": shape.initializer_range,
        "pad_token_id": pad,
    }
    no_dropout: dict[str, Any] = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    model: PreTrainedModel
    match shape.architecture:
        case "bert":
            model = BertForMaskedLM(BertConfig(**common, **no_dropout))
        case "megatron-bert":
            model = MegatronBertForMaskedLM(MegatronBertConfig(**common, **no_dropout))
        case "electra":
            embedding = shape.embedding_width or shape.width
            model = ElectraForMaskedLM(ElectraConfig(**common, **no_dropout, embedding_size=embedding))
        case "modernbert":
            model = ModernBertForMaskedLM(
                ModernBertConfig(
                    **common,
                    local_attention=shape.local_pieces or 2 * shape.max_pieces,
                    layer_types=[
                        "sliding_attention" if shape.local_pieces and i % 3 else "full_attention" for i in range(shape.layers)
                    ],
                    bos_token_id=cls,
                    eos_token_id=sep,
                    cls_token_id=cls,
                    sep_token_id=sep,
                )
            )
        case other:
            raise ConfigError(f"architecture {other!r} is not known")
    model.set_attn_implementation("eager")
    _leave_segments(model)
    return model


def _leave_segments(model: PreTrainedModel) -> None:
    """Rows have one segment: its embedding is added to every piece, which positions can do as well, and its gradient
    would be added up in one row, for which the cores have to wait for each other."""
    for name, parameter in model.named_parameters():
        if name.endswith("token_type_embeddings.weight"):
            parameter.requires_grad_(False)


def load_masked_lm(base: str) -> PreTrainedModel:
    """The masked language model of a folder or hub id, to be trained further."""
    try:
        model: PreTrainedModel = AutoModelForMaskedLM.from_pretrained(base, trust_remote_code=False, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise ConfigError(f"base {base!r} cannot be loaded as a masked language model: {error}") from error
    model.set_attn_implementation("eager")
    _leave_segments(model)
    return model


def encoder_of(model: PreTrainedModel) -> PreTrainedModel:
    """The part that `AutoModel` loads."""
    encoder = model.base_model
    if encoder is model or not isinstance(encoder, PreTrainedModel):
        raise ConfigError(f"{type(model).__name__} has no encoder apart from its head")
    return encoder


def head_of(model: PreTrainedModel) -> Callable[[Tensor], Tensor]:
    """What makes `(masked, vocab)` logits of `(masked, width)` hidden vectors: the modules beside the encoder, in order."""
    encoder = encoder_of(model)
    parts = [module for module in model.children() if module is not encoder]
    return nn.Sequential(*parts)


def hidden_parameters(encoder: nn.Module) -> list[nn.Parameter]:
    """The matrices between embeddings and head."""
    return [p for name, p in encoder.named_parameters() if p.ndim == 2 and "embeddings." not in name]


def flops_per_piece(encoder: nn.Module, head_weights: int, *, length: int, mask_share: float) -> float:
    """Floating-point operations of one training step for one piece: two for each weight forward and four backward, those of
    the head only where a piece is masked, and the two products of attention."""
    config: Any = encoder.config
    weights = sum(p.numel() for p in hidden_parameters(encoder))
    attention = 12 * config.num_hidden_layers * config.hidden_size * length
    return float(6 * (weights + head_weights * mask_share) + attention)
