"""One encoder, its heads, one pass: IOB2 tags per piece, event types per sentence, and where a tokenizer's pieces hide
them, the borders of names inside pieces."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from labels.errors import ConfigError
from labels.folder import GRAPH
from training.served import checkpoint_of, fill, graph_weights, needs_graph

HEADS = "heads.safetensors"
_ENCODER = "encoder."
DROPOUTS = (
    "hidden_dropout_prob",  # BERT, RoBERTa, XLM-R, ELECTRA, MegatronBERT
    "attention_probs_dropout_prob",
    "attention_dropout",  # ModernBERT, DistilBERT
    "mlp_dropout",
    "embedding_dropout",
    "dropout",
)
"""What configurations call the dropout inside an encoder."""
_MASKED = -1e4  # far below any score, yet finite in bfloat16


@dataclass(frozen=True)
class LossWeights:
    """What each part counts in the loss. `triggers` needs gold triggers; a sentence without them adds nothing there.
    `positive_cap` bounds how much more a present event type counts than an absent one: sqrt(absent / present), capped."""

    tags: float = 1.0
    borders: float = 1.0
    events: float = 1.0
    triggers: float = 1.0
    positive_cap: float = 3.0


class JointModel(nn.Module):
    """A BERT-like encoder with a tag head and an event head; either is absent when its label set is empty. The border
    head says of a name's first piece how many proclitic letters stand in it before the name; it is absent where
    `n_borders` is 0, that is where pieces begin with the names.

    The event head scores every piece for every type and takes a smooth maximum over the sentence, to which a view of
    the whole sentence is added: an event is named somewhere in its sentence, and gold triggers teach where. What the
    piece scores say is also why a type was given.
    """

    def __init__(self, encoder: nn.Module, *, n_tags: int, n_types: int, n_borders: int = 0, dropout: float = 0.1) -> None:
        super().__init__()
        width = int(encoder.config.hidden_size)  # type: ignore[union-attr, arg-type]
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.tag_head = nn.Linear(width, n_tags) if n_tags else None
        self.piece_head = nn.Linear(width, n_types) if n_types else None
        self.sentence_head = nn.Linear(2 * width, n_types) if n_types else None
        self.border_head = nn.Linear(width, n_borders) if n_borders else None
        if self.piece_head is not None:
            nn.init.constant_(self.piece_head.bias, -4.0)  # nearly every piece names no event

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        """`(rows, pieces)` ids and mask to `tag_scores` `(rows, pieces, tags)`, `border_scores` `(rows, pieces, letters)`,
        `event_scores` `(rows, types)` and `piece_scores` `(rows, pieces, types)`."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        hidden = self.dropout(hidden)
        scores = {}
        if self.tag_head is not None:
            scores["tag_scores"] = self.tag_head(hidden).float()
        if self.border_head is not None:
            scores["border_scores"] = self.border_head(hidden).float()
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
    borders: Tensor | None = None,
) -> Tensor:
    """`tags` and `borders` `(rows, pieces)` with -100 where nothing is asked; `types` `(rows, types)` in {0, 1};
    `triggers` `(rows, pieces, types)` in {0, 1}, or -100 where the gold does not say."""
    total = next(iter(scores.values())).new_zeros(())
    if tags is not None and "tag_scores" in scores:
        total = total + weights.tags * nn.functional.cross_entropy(
            scores["tag_scores"].flatten(0, 1), tags.flatten(), ignore_index=-100
        )
    if borders is not None and "border_scores" in scores:
        asked = borders >= 0
        if asked.any():  # a batch may be without a name, and the mean over none is no number
            total = total + weights.borders * nn.functional.cross_entropy(scores["border_scores"][asked], borders[asked])
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
    """Any BERT that `AutoModel` loads, by path or hub id, without code from the hub, or that of a served model folder; its
    pooler is not wanted. `dropout` takes the place of what the base was pre-trained with: ours without any, which on
    little gold learns it by heart."""
    if not Path(base).exists() and base.startswith((".", "/", "runs/", "models/")):
        raise ConfigError(f"base {base!r} is no folder; pre-train it first (marsad pretrain) or name a hub id")
    folder = checkpoint_of(base)
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        for name in DROPOUTS:
            if dropout is not None and hasattr(config, name):
                setattr(config, name, dropout)
        if needs_graph(base):
            encoder = AutoModel.from_config(config, trust_remote_code=False)
        else:
            encoder = AutoModel.from_pretrained(folder, config=config, trust_remote_code=False, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise ConfigError(f"base {base!r} cannot be loaded as an encoder: {error}") from error
    if hasattr(encoder, "pooler"):
        encoder.pooler = None
    if needs_graph(base):
        weights = graph_weights(Path(base) / GRAPH)
        own = {name.removeprefix(_ENCODER): value for name, value in weights.items() if name.startswith(_ENCODER)}
        fill(encoder, own, Path(base) / GRAPH)
    return encoder  # type: ignore[no-any-return]


def save_joint(model: JointModel, folder: Path) -> None:
    """The encoder as a plain `AutoModel` folder, the heads beside it."""
    model.encoder.save_pretrained(folder)  # type: ignore[operator]
    heads = {name: value.contiguous() for name, value in model.state_dict().items() if not name.startswith(_ENCODER)}
    save_file(heads, folder / HEADS)


def _heads_of(folder: Path) -> dict[str, Tensor]:
    if not needs_graph(str(folder)):
        return load_file(Path(checkpoint_of(str(folder))) / HEADS)
    weights = graph_weights(folder / GRAPH)
    return {name: torch.from_numpy(value) for name, value in weights.items() if not name.startswith(_ENCODER)}


def load_joint(folder: Path, *, n_tags: int, n_types: int) -> JointModel:
    """The inverse of `save_joint`, for the folder of a run or a served one; another label set is an error. Whether there is
    a border head, and of what size, is for the saved heads to say: it follows from tokenizer and gold, not from the
    labels."""
    encoder = load_encoder(str(folder))
    try:
        heads = _heads_of(folder)
        n_borders = len(heads["border_head.weight"]) if "border_head.weight" in heads else 0
        model = JointModel(encoder, n_tags=n_tags, n_types=n_types, n_borders=n_borders)
        missing, unexpected = model.load_state_dict(heads, strict=False)
    except (OSError, RuntimeError) as error:
        raise ConfigError(f"{folder / HEADS}: does not fit {n_tags} tags and {n_types} event types: {error}") from error
    if unexpected or any(not name.startswith(_ENCODER) for name in missing):
        raise ConfigError(f"{folder / HEADS}: does not fit {n_tags} tags and {n_types} event types")
    return model.eval()
