"""One encoder, its heads, one pass: IOB2 tags per piece, event types per sentence, their triggers per piece, vectors that
link triggers to entities, and where a tokenizer's pieces hide them, the borders of names inside pieces."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from labels.errors import ConfigError
from labels.folder import BORDER_SCORES, EVENT_SCORES, GRAPH, ROLE_KEYS, ROLE_QUERIES, TAG_SCORES, TRIGGER_SCORES
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
PIECE_SCORES = "piece_scores"
"""Scores of pieces for types where the gold names no triggers: no answers, and so in no graph."""
ROLE_WIDTH = 32
"""Numbers in the query and in the key of each role."""
_ROLE_HIDDEN = 128
_ROLES = "role_query.2.weight"  # its rows are roles * ROLE_WIDTH


@dataclass(frozen=True)
class LossWeights:
    """What each part counts in the loss. `triggers` and `roles` need gold triggers; a sentence without them adds nothing
    there. `positive_cap` bounds how much more a present event type counts than an absent one, which is
    sqrt(absent / present)."""

    tags: float = 1.0
    borders: float = 1.0
    events: float = 1.0
    triggers: float = 1.0
    roles: float = 1.0
    positive_cap: float = 3.0


class JointModel(nn.Module):
    """A BERT-like encoder with a tag head and an event head; either is absent when its label set is empty. The border
    head says of a name's first piece how many proclitic letters stand in it before the name; it is absent where
    `n_borders` is 0, that is where pieces begin with the names.

    The event head scores every piece for every type and takes a smooth maximum over the sentence, to which a view of
    the whole sentence is added: an event is named somewhere in its sentence, and gold triggers teach where. With
    `triggers`, where the gold names some, the piece scores are answers of their own, the triggers; without, they are what
    the model found by itself and are not shown. With `n_roles` each piece has a query as a trigger and a key as an entity.
    """

    def __init__(
        self,
        encoder: nn.Module,
        *,
        n_tags: int,
        n_types: int,
        n_borders: int = 0,
        n_roles: int = 0,
        triggers: bool = False,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        width = int(encoder.config.hidden_size)  # type: ignore[union-attr, arg-type]
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.tag_head = nn.Linear(width, n_tags) if n_tags else None
        self.piece_head = nn.Linear(width, n_types) if n_types and not triggers else None
        self.trigger_head = nn.Linear(width, n_types) if n_types and triggers else None
        self.sentence_head = nn.Linear(2 * width, n_types) if n_types else None
        self.border_head = nn.Linear(width, n_borders) if n_borders else None
        linked = bool(n_types and triggers and n_tags and n_roles)
        self.role_query = _projection(width, n_roles * ROLE_WIDTH) if linked else None
        self.role_key = _projection(width, n_roles * ROLE_WIDTH) if linked else None
        self.n_roles = n_roles if linked else 0
        if (head := self.trigger_head or self.piece_head) is not None:
            nn.init.constant_(head.bias, -4.0)  # nearly every piece names no event

    @property
    def names(self) -> list[str]:
        """The scores that are answers, as a served graph gives them, in a fixed order."""
        heads = {
            TAG_SCORES: self.tag_head,
            EVENT_SCORES: self.sentence_head,
            BORDER_SCORES: self.border_head,
            TRIGGER_SCORES: self.trigger_head,
            ROLE_QUERIES: self.role_query,
            ROLE_KEYS: self.role_key,
        }
        return [name for name, head in heads.items() if head is not None]

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        """`(rows, pieces)` ids and mask to `tag_scores` `(rows, pieces, tags)`, `border_scores` `(rows, pieces, letters)`,
        `event_scores` `(rows, types)`, `trigger_scores` (or `piece_scores`, where they are no answers) `(rows, pieces,
        types)`, `role_queries` and `role_keys` `(rows, pieces, roles * ROLE_WIDTH)`."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        hidden = self.dropout(hidden)
        scores = {}
        if self.tag_head is not None:
            scores[TAG_SCORES] = self.tag_head(hidden).float()
        if self.border_head is not None:
            scores[BORDER_SCORES] = self.border_head(hidden).float()
        piece_head = self.trigger_head if self.trigger_head is not None else self.piece_head
        if piece_head is not None and self.sentence_head is not None:
            shown = attention_mask.unsqueeze(-1).to(torch.float32)  # (rows, pieces, 1)
            pieces = piece_head(hidden).float() + (1.0 - shown) * _MASKED
            floats = hidden.float()
            mean = (floats * shown).sum(1) / shown.sum(1)
            top = (floats + (1.0 - shown) * _MASKED).amax(1)
            scores[PIECE_SCORES if self.trigger_head is None else TRIGGER_SCORES] = pieces
            scores[EVENT_SCORES] = (
                torch.logsumexp(pieces, 1) + self.sentence_head(torch.cat([mean, top], -1).to(hidden.dtype)).float()
            )
        if self.role_query is not None and self.role_key is not None:
            scores[ROLE_QUERIES] = self.role_query(hidden).float()
            scores[ROLE_KEYS] = self.role_key(hidden).float()
        return scores


def _projection(width: int, size: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, _ROLE_HIDDEN), nn.GELU(), nn.Linear(_ROLE_HIDDEN, size))


def joint_loss(
    scores: dict[str, Tensor],
    *,
    tags: Tensor | None,
    types: Tensor | None,
    triggers: Tensor | None,
    weights: LossWeights,
    positive_weight: Tensor | None,
    borders: Tensor | None = None,
    pairs: Tensor | None = None,
    roles: Tensor | None = None,
) -> Tensor:
    """`tags` and `borders` `(rows, pieces)` with -100 where nothing is asked; `types` `(rows, types)` in {0, 1};
    `triggers` `(rows, pieces, types)` in {0, 1}, or -100 where the gold does not say; `pairs` `(pairs, 5)`: row, first and
    last piece of a trigger, first and last of an entity; `roles` `(pairs, roles)` in {0, 1}, or -100 where the entity's
    label cannot fill the role."""
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
        pieces = scores.get(TRIGGER_SCORES, scores.get(PIECE_SCORES))
        if triggers is not None and weights.triggers and pieces is not None:
            known = triggers >= 0
            if known.any():
                # Summed over types and averaged over pieces: a piece has 12 chances to be wrong, not a twelfth of one.
                each = nn.functional.binary_cross_entropy_with_logits(pieces[known], triggers[known], reduction="mean")
                total = total + weights.triggers * each * triggers.shape[-1]
    if pairs is not None and roles is not None and len(pairs) and ROLE_QUERIES in scores:
        logits = pair_logits(scores[ROLE_QUERIES], scores[ROLE_KEYS], pairs, roles.shape[1])
        asked = roles >= 0
        if asked.any():
            total = total + weights.roles * nn.functional.binary_cross_entropy_with_logits(logits[asked], roles[asked])
    return total


def pair_logits(queries: Tensor, keys: Tensor, pairs: Tensor, n_roles: int) -> Tensor:
    """`(pairs, roles)`; the same figures as `labels.events.role_logits`, for all pairs at once."""
    row, *ends = pairs.unbind(1)

    def mean(vectors: Tensor, first: Tensor, last: Tensor) -> Tensor:
        sums = nn.functional.pad(vectors.cumsum(1), (0, 0, 1, 0))
        total = sums[row, last + 1] - sums[row, first]
        return (total / (last + 1 - first).unsqueeze(1)).view(len(pairs), n_roles, -1)

    return (mean(queries, ends[0], ends[1]) * mean(keys, ends[2], ends[3])).sum(-1)


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
    a border head, and of what size, and whether triggers and roles were learnt, is for the saved heads to say: it follows
    from tokenizer and gold, not from the labels."""
    encoder = load_encoder(str(folder))
    try:
        heads = _heads_of(folder)
        n_borders = len(heads["border_head.weight"]) if "border_head.weight" in heads else 0
        n_roles = len(heads[_ROLES]) // ROLE_WIDTH if _ROLES in heads else 0
        triggers = "trigger_head.weight" in heads
        model = JointModel(encoder, n_tags=n_tags, n_types=n_types, n_borders=n_borders, n_roles=n_roles, triggers=triggers)
        missing, unexpected = model.load_state_dict(heads, strict=False)
    except (OSError, RuntimeError) as error:
        raise ConfigError(f"{folder / HEADS}: does not fit {n_tags} tags and {n_types} event types: {error}") from error
    if unexpected or any(not name.startswith(_ENCODER) for name in missing):
        raise ConfigError(f"{folder / HEADS}: does not fit {n_tags} tags and {n_types} event types")
    return model.eval()


def take_heads(model: JointModel, base: Path) -> None:
    """Let the heads begin as those of `base`, the folder of a run or a served one, are; ConfigError if there are others, or
    of other sizes."""
    try:
        heads = _heads_of(base)
        missing, unexpected = model.load_state_dict(heads, strict=False)
    except (OSError, RuntimeError) as error:
        raise ConfigError(f"the heads of base {str(base)!r} do not fit this run: {error}") from error
    if absent := sorted({*unexpected, *(name for name in missing if not name.startswith(_ENCODER))}):
        raise ConfigError(f"the heads of base {str(base)!r} are not those of this run, which differ in {', '.join(absent)}")
