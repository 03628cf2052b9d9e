"""One process or several: what `torchrun` started, and what each of them is to do."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import nn

from labels.errors import ConfigError


@dataclass(frozen=True)
class Processes:
    """The place of this process among `world`."""

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the one that writes files and speaks."""
        return self.rank == 0

    def wait(self) -> None:
        """Until all are here."""
        if self.world > 1:
            dist.barrier()

    def together(self, module: nn.Module) -> nn.Module:
        """`module` with its gradients averaged over all processes."""
        if self.world == 1:
            return module
        devices = [self.device.index] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(module, device_ids=devices)

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """The mean of `values` over all processes."""
        if self.world > 1:
            dist.all_reduce(values)
            values /= self.world
        return values


@contextmanager
def join_processes(batch_rows: int) -> Iterator[Processes]:
    """Meet the others that `torchrun` started, over NCCL where each has a GPU and gloo elsewhere; alone without it.
    `batch_rows` must be shared out evenly."""
    world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if batch_rows % world:
        raise ConfigError(f"batches of {batch_rows} rows cannot be shared among {world} processes; choose a multiple")
    device = torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
    if world == 1:
        yield Processes(0, 1, device)
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    # The first process may encode a terabyte while the others wait for it.
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(days=2))
    try:
        yield Processes(rank, world, device)
    finally:
        dist.destroy_process_group()
