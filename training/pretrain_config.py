"""What one pre-training run is: the encoder's shape, the texts, the objective, the schedule."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from training.encoders import Architecture, EncoderConfig
from training.objectives import Objective
from training.optimizers import OptimizerName
from training.pretrain_data import TextSource

__all__ = ["EncoderConfig", "PretrainConfig"]


@dataclass(frozen=True)
class PretrainConfig:
    """One pre-training run. `pieces` counts every piece read, repeats included; the learning rates rise over
    `warmup_steps`, stay, and fall to zero over the last `decay_share` of the steps. Over the last `long_share` of the
    steps rows are `long_row_length`, fewer to a batch. A `shift_share` of the rows begin at another position than 0, drawn
    for each. `batch_rows` is of all processes together. With `base`, an id or a path, weights and tokenizer are taken
    from there and `encoder` is not looked at."""

    output: Path
    texts: tuple[TextSource, ...]
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    base: str = ""
    objective: str = "masked-lm"
    pieces: int = 30_000_000
    row_length: int = 64
    batch_rows: int = 32
    long_row_length: int = 128
    long_share: float = 0.0
    shift_share: float = 0.0
    optimizer: str = "adamw"
    learning_rate: float = 7e-4
    muon_learning_rate: float = 2e-3
    warmup_steps: int = 500
    decay_share: float = 0.3
    weight_decay: float = 0.01
    mask_share: float = 0.2
    generator_share: float = 0.25
    detection_weight: float = 50.0
    word2vec_start: bool = True
    neighbour_start: bool = True
    compile: bool = False
    precision: str = "auto"
    checkpoint_steps: int = 500
    seed: int = 1

    def __post_init__(self) -> None:
        for length in (self.row_length, self.long_row_length):
            if not self.base and length > self.encoder.max_pieces:
                raise ValueError(f"rows of {length} exceed encoder.max_pieces {self.encoder.max_pieces}")
        shares = {name: getattr(self, name) for name in ("mask_share", "decay_share", "long_share", "shift_share")}
        if not all(0 <= share <= 1 for share in shares.values()) or not 0 < self.mask_share < 1:
            raise ValueError(f"{', '.join(f'{name} {share}' for name, share in shares.items())}: expected shares of 1")
        for key, value, known in (
            ("encoder.architecture", self.encoder.architecture, get_args(Architecture)),
            ("objective", self.objective, get_args(Objective)),
            ("optimizer", self.optimizer, get_args(OptimizerName)),
            ("precision", self.precision, ("auto", "float32")),
        ):
            if value not in known:
                raise ValueError(f"{key} must be one of {', '.join(known)}; found {value!r}")

    @property
    def steps(self) -> int:
        return max(1, self.pieces // (self.row_length * self.batch_rows))

    def rate_at(self, step: int) -> float:
        """The share of the peak learning rate at `step`, in (0, 1]."""
        rise = min(1.0, (step + 1) / max(1, self.warmup_steps))
        fall = min(1.0, (self.steps - step) / max(1.0, self.decay_share * self.steps))
        return rise * fall
