"""The optimisers of pre-training: AdamW alone, or Muon for the hidden matrices and AdamW for the rest."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn
from torch.optim import AdamW, Optimizer

from training.muon import StackedMuon

OptimizerName = Literal["adamw", "muon"]


def build_optimizers(
    module: nn.Module,
    hidden: Sequence[nn.Parameter],
    *,
    name: str,
    learning_rate: float,
    muon_learning_rate: float,
    weight_decay: float,
    compile: bool = False,  # noqa: A002
) -> list[Optimizer]:
    """`hidden` are the matrices that Muon takes. Its steps are scaled to the size of AdamW's
    (Liu et al., Muon is Scalable for LLM Training, 2025), so that both rates are of one kind."""
    own = {id(p) for p in hidden} if name == "muon" else set()
    rest = [p for p in module.parameters() if id(p) not in own]
    groups = [
        {"params": [p for p in rest if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizers: list[Optimizer] = [AdamW(groups, lr=learning_rate, betas=(0.9, 0.98), fused=True)]
    if own:
        optimizers.append(StackedMuon(hidden, lr=muon_learning_rate, weight_decay=weight_decay, compile=compile))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return optimizers


def set_rate(optimizers: Sequence[Optimizer], share: float) -> None:
    """Bring every group to `share` of its peak learning rate."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * share


def take_step(optimizers: Sequence[Optimizer], module: nn.Module, *, clip: float = 1.0) -> None:
    """Clip the gradients of all together, move, and forget the gradients."""
    torch.nn.utils.clip_grad_norm_(module.parameters(), clip)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
