"""What one fine-tuning run is."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from labels.schema import DEFAULT_SCHEMA
from training.model import LossWeights


@dataclass(frozen=True)
class TrainConfig:
    """One fine-tuning run. Paths are relative to the working directory; `data:X` is X in the folder given by `--data`.
    `window` and `overlap` are in pieces without [CLS] and [SEP]. `patience` epochs without a better dev score (mean of
    the micro F1 of entities, event types, triggers and roles, of those the model gives) end the run. With `keep_heads` the
    heads go on from those of `base`, a folder with the same schema; else they begin anew."""

    base: str
    output: Path
    train: tuple[str, ...]
    dev: tuple[str, ...]
    schema: Path = DEFAULT_SCHEMA
    epochs: int = 12
    patience: int = 4
    batch_rows: int = 16
    learning_rate: float = 5e-4
    head_learning_rate: float = 1e-3
    warmup_share: float = 0.1
    weight_decay: float = 0.01
    dropout: float = 0.1
    window: int = 126
    overlap: int = 32
    seed: int = 1
    keep_heads: bool = False
    loss: LossWeights = field(default_factory=LossWeights)

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < self.window:
            raise ValueError(f"overlap {self.overlap} must be in [0, window), and window is {self.window}")

    def with_seed(self, seed: int) -> "TrainConfig":
        """The same run with another seed, in a folder of its own: `runs/x` -> `runs/x-s2`."""
        return replace(self, seed=seed, output=self.output.with_name(f"{self.output.name}-s{seed}"))
