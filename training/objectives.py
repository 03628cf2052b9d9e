"""What an encoder is pre-trained to do: guess hidden pieces, or tell which pieces were exchanged.

Both are modules from a masked batch to a vector of losses, so that compiling, autocasting and running on several
processes are the same for both.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from transformers import ElectraConfig, ElectraForMaskedLM, PreTrainedModel

from training.encoders import encoder_of, head_of

Objective = Literal["masked-lm", "replaced-pieces"]

IGNORED = -100


@dataclass(frozen=True)
class MaskedBatch:
    """`ids` `(rows, length)` after masking; `positions` `(masked,)` into the flattened rows; `targets` `(masked,)`, -100
    where a row had fewer ordinary pieces than are masked in each; `places` `(rows, length)`, which position embedding each
    piece gets, or None for those from 0 on."""

    ids: Tensor
    positions: Tensor
    targets: Tensor
    places: Tensor | None = None

    def part(self, rank: int, world: int) -> "MaskedBatch":
        """The rows of one process of `world`: every row has as many masked pieces, so that the mean over processes is the
        mean over the batch."""
        rows, length = self.ids.shape
        share, each = rows // world, len(self.positions) // rows
        first = rank * share
        masked = slice(first * each, (first + share) * each)
        places = None if self.places is None else self.places[first : first + share]
        return MaskedBatch(
            self.ids[first : first + share], self.positions[masked] - first * length, self.targets[masked], places
        )

    def shifted(self, *, share: float, limit: int, first: int, seed: tuple[int, int]) -> "MaskedBatch":
        """The batch with a `share` of its rows beginning at any position up to which they fit under `limit`, the others at
        `first`, from which the encoder counts: so that short rows teach far positions too."""
        count, length = self.ids.shape
        draw = np.random.default_rng([*seed, 1])
        starts = draw.integers(0, max(1, limit - length + 1), count) * (draw.random(count) < share)
        return replace(self, places=first + torch.from_numpy(starts)[:, None] + torch.arange(length)[None])


def mask_pieces(rows: Tensor, *, share: float, ordinary: Tensor, mask: int, seed: tuple[int, int]) -> MaskedBatch:
    """Hide the same number of pieces in each row of `(rows, length)`, only `ordinary` ones (a bool for each id): 80 % become
    [MASK], 10 % another piece, 10 % stay. The number is fixed so that every step has the same shapes."""
    count, length = rows.shape
    draw = torch.Generator().manual_seed(int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0] >> 1))
    scores = torch.rand(rows.shape, generator=draw).masked_fill(~ordinary[rows], 2.0)
    each = max(1, int(share * length))
    chosen = scores.argsort(dim=1)[:, :each]  # (rows, each)
    positions = (chosen + torch.arange(count)[:, None] * length).flatten()
    targets = rows.flatten()[positions]
    fate = torch.rand(len(positions), generator=draw)
    others = ordinary.nonzero().flatten()
    other = others[torch.randint(len(others), (len(positions),), generator=draw)]
    shown = torch.where(fate < 0.8, torch.full_like(targets, mask), torch.where(fate < 0.9, other, targets))
    ids = rows.flatten().scatter(0, positions, shown).view_as(rows)
    return MaskedBatch(ids, positions, torch.where(ordinary[targets], targets, torch.full_like(targets, IGNORED)))


class MaskedLanguageModel(nn.Module):
    """Devlin et al., 2019. The head sees the masked positions only."""

    names = ("loss",)

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    @property
    def weights(self) -> tuple[float, ...]:
        return (1.0,)

    def forward(self, ids: Tensor, positions: Tensor, targets: Tensor, places: Tensor | None = None) -> Tensor:
        """`(1,)`: the mean over all masked positions, an unasked one counting 0."""
        return _masked_loss(_masked_logits(self.model, ids, positions, places), targets)[None]


class ReplacedPieces(nn.Module):
    """Clark et al., ELECTRA, 2020: a small generator fills what is masked, the encoder says of every piece whether it is
    the one that stood there. Both share their piece embeddings."""

    names = ("generator_loss", "detection_loss")

    def __init__(self, model: PreTrainedModel, *, generator_share: float, detection_weight: float) -> None:
        super().__init__()
        self.model = model
        self.detection_weight = detection_weight
        config = model.config
        embeddings: Any = encoder_of(model).get_input_embeddings()
        width = max(64, int(config.hidden_size * generator_share) // 32 * 32)
        self.generator = ElectraForMaskedLM(
            ElectraConfig(
                vocab_size=config.vocab_size,
                embedding_size=embeddings.weight.shape[1],
                hidden_size=width,
                num_hidden_layers=config.num_hidden_layers,
                num_attention_heads=width // 32,
                intermediate_size=4 * width,
                max_position_embeddings=config.max_position_embeddings,
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
                pad_token_id=config.pad_token_id,
            )
        )
        self.generator.set_attn_implementation("eager")
        self.generator.electra.embeddings.word_embeddings.weight = embeddings.weight
        self.generator.generator_lm_head.weight = embeddings.weight
        self.detector = nn.Sequential(
            nn.Linear(config.hidden_size, config.hidden_size), nn.GELU(), nn.Linear(config.hidden_size, 1)
        )
        for parameter in [p for p in model.parameters() if id(p) not in {id(q) for q in encoder_of(model).parameters()}]:
            parameter.requires_grad_(False)  # the model's own head for masked pieces is not used

    @property
    def weights(self) -> tuple[float, ...]:
        return (1.0, self.detection_weight)

    def forward(self, ids: Tensor, positions: Tensor, targets: Tensor, places: Tensor | None = None) -> Tensor:
        """`(2,)`: the generator's loss over masked positions, the detector's over all."""
        logits = _masked_logits(self.generator, ids, positions, places)
        asked = targets != IGNORED
        with torch.no_grad():
            noise = torch.rand_like(logits, dtype=torch.float32).clamp_(1e-9, 1 - 1e-9)
            drawn = (logits.float() - torch.log(-torch.log(noise))).argmax(-1)  # one draw from the softmax
            original = ids.flatten().scatter(0, positions, torch.where(asked, targets, ids.flatten()[positions]))
            filled = original.scatter(0, positions, torch.where(asked, drawn, original[positions]))
            replaced = (filled != original).float()
        hidden = encoder_of(self.model)(input_ids=filled.view_as(ids), **_placed(places)).last_hidden_state
        detection = nn.functional.binary_cross_entropy_with_logits(self.detector(hidden).flatten().float(), replaced)
        return torch.stack([_masked_loss(logits, targets), detection])


def _placed(places: Tensor | None) -> dict[str, Tensor]:
    return {} if places is None else {"position_ids": places}


def _masked_logits(model: PreTrainedModel, ids: Tensor, positions: Tensor, places: Tensor | None) -> Tensor:
    """`(masked, vocab)`."""
    hidden = encoder_of(model)(input_ids=ids, **_placed(places)).last_hidden_state  # (rows, length, width)
    logits: Tensor = head_of(model)(hidden.flatten(0, 1)[positions])
    return logits


def _masked_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """The sum over what is asked by the number of masked positions, which is the same in every process and step."""
    total = nn.functional.cross_entropy(logits.float(), targets, ignore_index=IGNORED, reduction="sum")
    return total / len(targets)
