"""Training state on disk: weights and optimiser moments as safetensors, whole or not there at all."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

STATE = "state.safetensors"


def save_checkpoint(folder: Path, step: int, model: torch.nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> Path:
    """Write `checkpoint-STEP` beside the others, then remove the older ones. A kill at any moment leaves a whole one."""
    target = folder / f"checkpoint-{step}"
    partial = folder / "checkpoint-partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    tensors = {f"model/{name}": value.contiguous() for name, value in model.state_dict().items()}
    for rank, optimizer in enumerate(optimizers):
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{rank}/{index}/{name}": value for name, value in state.items()}
    shared: set[int] = set()
    unique = {}
    for name, value in tensors.items():  # tied weights share their memory, which safetensors refuses
        unique[name] = value.clone() if value.data_ptr() in shared else value
        shared.add(value.data_ptr())
    save_file(unique, partial / STATE, {"step": str(step)})
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    for other in folder.glob("checkpoint-*"):
        if other != target:
            shutil.rmtree(other)
    return target


def latest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint of the highest step, or None."""
    found = {
        int(match[1]): path for path in folder.glob("checkpoint-*") if (match := re.fullmatch(r"checkpoint-(\d+)", path.name))
    }
    return found[max(found)] if found else None


def load_checkpoint(checkpoint: Path, model: torch.nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> int:
    """Put the saved state into `model` and `optimizers`; returns the number of steps done."""
    tensors = load_file(checkpoint / STATE)
    model.load_state_dict({name.removeprefix("model/"): value for name, value in tensors.items() if name.startswith("model/")})
    states: list[dict[int, dict[str, torch.Tensor]]] = [{} for _ in optimizers]
    for name, value in tensors.items():
        if name.startswith("optimizer/"):
            _, rank, index, key = name.split("/")
            states[int(rank)].setdefault(int(index), {})[key] = value
    for optimizer, state in zip(optimizers, states, strict=True):
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return int(checkpoint.name.rsplit("-", 1)[1])
