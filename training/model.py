"""One encoder, two heads, one pass: IOB2 tags per piece and event types per sentence."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from labels.errors import ConfigError

HEADS = "heads.safetensors"
_MASKED = -1e4  # far below any score, yet finite in bfloat16


@dataclass(frozen=True)
class LossWeights:
    """What each part counts in the loss. `triggers` needs gold triggers; a sentence without them adds nothing there.
    `positive_cap` bounds how much more a present event type counts than an absent one: sqrt(absent / present), capped."""

    tags: float = 1.0
    events: float = 1.0
    triggers: float = 1.0
    positive_cap: float = 3.0


class JointModel(nn.Module):
    """A BERT-like encoder with a tag head and an event head; either is absent when its label set is empty.

    The event head scores every piece for every type and takes a smooth maximum over the sentence, to which a view of
    the whole sentence is added: an event is named somewhere in its sentence, and gold triggers teach where. What the
    piece scores say is also why a type was given.
    """

    def __init__(self, encoder: nn.Module, *, n_tags: int, n_types: int, dropout: float = 0.1) -> None:
        super().__init__()
        width = int(encoder.config.hidden_size)  # type: ignore[union-attr, arg-type]
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.tag_head = nn.Linear(width, n_tags) if n_tags else None
        self.piece_head = nn.Linear(width, n_types) if n_types else None
        self.sentence_head = nn.Linear(2 * width, n_types) if n_types else None
        if self.piece_head is not None:
            nn.init.constant_(self.piece_head.bias, -4.0)  # nearly every piece names no event

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        """`(rows, pieces)` ids and mask to `tag_scores` `(rows, pieces, tags)`, `event_scores` `(rows, types)` and
        `piece_scores` `(rows, pieces, types)`."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        hidden = self.dropout(hidden)
        scores = {}
        if self.tag_head is not None:
            scores["tag_scores"] = self.tag_head(hidden).float()
        if self.piece_head is not None and self.sentence_head is not None:
            shown = attention_mask.unsqueeze(-1).to(torch.float32)  # (rows, pieces, 1)
            pieces = self.piece_head(hidden).float() + (1.0 - shown) * _MASKED
            floats = hidden.float()
            mean = (floats * shown).sum(1) / shown.sum(1)
            top = (floats + (1.0 - shown) * _MASKED).amax(1)
            scores["piece_scores"] = pieces
            scores["event_scores"] = (
                torch.logsumexp(pieces, 1) + self.sentence_head(torch.cat([mean, top], -1).to(hidden.dtype)).float()
            )
        return scores


def joint_loss(
    scores: dict[str, Tensor],
    *,
    tags: Tensor | None,
    types: Tensor | None,
    triggers: Tensor | None,
    weights: LossWeights,
    positive_weight: Tensor | None,
) -> Tensor:
    """`tags` `(rows, pieces)` with -100 where nothing is asked; `types` `(rows, types)` in {0, 1}; `triggers`
    `(rows, pieces, types)` in {0, 1}, or -100 where the gold does not say."""
    total = next(iter(scores.values())).new_zeros(())
    if tags is not None and "tag_scores" in scores:
        total = total + weights.tags * nn.functional.cross_entropy(
            scores["tag_scores"].flatten(0, 1), tags.flatten(), ignore_index=-100
        )
    if types is not None and "event_scores" in scores:
        total = total + weights.events * nn.functional.binary_cross_entropy_with_logits(
            scores["event_scores"], types, pos_weight=positive_weight
        )
        if triggers is not None and weights.triggers:
            known = triggers >= 0
            if known.any():
                # Summed over types and averaged over pieces: a piece has 12 chances to be wrong, not a twelfth of one.
                each = nn.functional.binary_cross_entropy_with_logits(
                    scores["piece_scores"][known], triggers[known], reduction="mean"
                )
                total = total + weights.triggers * each * triggers.shape[-1]
    return total


def load_encoder(base: str, dropout: float | None = None) -> nn.Module:
    """Any BERT that `AutoModel` loads, by path or hub id, without code from the hub; its pooler is not wanted. `dropout`
    takes the place of what the base was pre-trained with: ours without any, which on little gold learns it by heart."""
    if not Path(base).exists() and base.startswith((".", "/", "runs/", "models/")):
        raise ConfigError(f"base {base!r} is no folder; pre-train it first (marsad pretrain) or name a hub id")
    try:
        config = AutoConfig.from_pretrained(base, trust_remote_code=False)
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
            if dropout is not None and hasattr(config, name):
                setattr(config, name, dropout)
        encoder = AutoModel.from_pretrained(base, config=config, trust_remote_code=False, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise ConfigError(f"base {base!r} cannot be loaded as an encoder: {error}") from error
    if hasattr(encoder, "pooler"):
        encoder.pooler = None
    return encoder  # type: ignore[no-any-return]


def save_joint(model: JointModel, folder: Path) -> None:
    """The encoder as a plain `AutoModel` folder, the heads beside it."""
    model.encoder.save_pretrained(folder)  # type: ignore[operator]
    heads = {name: value.contiguous() for name, value in model.state_dict().items() if not name.startswith("encoder.")}
    save_file(heads, folder / HEADS)


def load_joint(folder: Path, *, n_tags: int, n_types: int) -> JointModel:
    """The inverse of `save_joint`; a folder of another label set is an error."""
    model = JointModel(load_encoder(str(folder)), n_tags=n_tags, n_types=n_types)
    try:
        missing, unexpected = model.load_state_dict(load_file(folder / HEADS), strict=False)
    except (OSError, RuntimeError) as error:
        raise ConfigError(f"{folder / HEADS}: does not fit {n_tags} tags and {n_types} event types: {error}") from error
    if unexpected or any(not name.startswith("encoder.") for name in missing):
        raise ConfigError(f"{folder / HEADS}: does not fit {n_tags} tags and {n_types} event types")
    return model.eval()
