"""The encoder that is measured: how large it is, how much it takes at once, and what tells it from any other."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from labels.errors import ConfigError
from training.bases import longest_row
from training.data import load_tokenizer
from training.model import load_encoder
from training.provenance import read_provenance
from training.served import checkpoint_of

# Of a configuration, what tells where it came from and not what it computes.
_ORIGIN = {"_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version"}


@dataclass(frozen=True)
class Base:
    """`parameters` are those of the encoder without pooler and heads; `computing` leaves out the tables that are only
    looked up (pieces, positions, segments). `longest` is the longest row it takes, [CLS] and [SEP] counted, None where it
    names no limit. `learnt` are the labelled files it was fine-tuned on before, where it says so."""

    name: str
    fingerprint: str
    parameters: int
    computing: int
    longest: int | None
    learnt: tuple[str, ...] = ()

    def check_length(self, pieces: int, option: str) -> None:
        """ConfigError where rows of so many pieces would not fit."""
        if self.longest is not None and pieces > self.longest:
            raise ConfigError(f"{option} makes rows of {pieces} pieces; base {self.name!r} takes at most {self.longest}")

    def warnings(self) -> list[str]:
        """A base that learnt from labels may have learnt those that it is measured on."""
        if not self.learnt:
            return []
        return [
            f"the base was fine-tuned before on {', '.join(self.learnt)}; "
            "where these hold what is measured here, the figures are not of unseen text"
        ]

    def describe(self) -> str:
        return f"{self.name}: encoder of {self.parameters:,} weights, {self.computing:,} without embedding tables"


def describe_base(name: str) -> Base:
    """Load the base once, by a path or a hub id; ConfigError where tokenizer or encoder do not load. The fingerprint is of
    weights, configuration and tokenizer, so that a base made anew under the same name is another one."""
    tokenizer = load_tokenizer(name)
    encoder = load_encoder(name)
    tables = {id(module.weight) for module in encoder.modules() if isinstance(module, nn.Embedding)}
    sizes = {id(weight): weight.numel() for weight in encoder.parameters()}
    config = {key: value for key, value in encoder.config.to_dict().items() if key not in _ORIGIN}  # type: ignore[union-attr, operator]
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    digest.update(tokenizer.backend_tokenizer.to_str().encode())
    for key, weight in sorted(encoder.state_dict().items()):
        digest.update(key.encode())
        digest.update(weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return Base(
        name=name,
        fingerprint=digest.hexdigest()[:16],
        parameters=sum(sizes.values()),
        computing=sum(size for weight, size in sizes.items() if weight not in tables),
        longest=longest_row(encoder),
        learnt=tuple(entry["file"] for entry in read_provenance(Path(checkpoint_of(name))) if entry["stage"] != "pretrain"),
    )
