"""The loop of pre-training: which rows each step reads, the step itself, progress, checkpoints."""

import json
import logging
import math
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from labels.errors import ConfigError, TrainingError
from training.bases import first_position, longest_row
from training.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint
from training.encoders import encoder_of, flops_per_piece, hidden_parameters
from training.objectives import MaskedLanguageModel, ReplacedPieces, mask_pieces
from training.optimizers import build_optimizers, set_rate, take_step
from training.piece_file import HELD_OUT, PieceRows, Pieces, open_pieces
from training.precision import autocast_dtype
from training.pretrain_config import PretrainConfig
from training.processes import Processes

logger = logging.getLogger(__name__)

REPORT_STEPS = 100
HELD_OUT_ROWS = 2048


class _Batches:
    """The rows of each step: short ones first, long ones over the last `long_share` of the steps."""

    def __init__(self, config: PretrainConfig, pieces: Pieces, tokenizer: PreTrainedTokenizerFast) -> None:
        ends = {"cls": int(tokenizer.cls_token_id), "sep": int(tokenizer.sep_token_id)}
        self.short = PieceRows(pieces, length=config.row_length, seed=config.seed, **ends)
        self.long = PieceRows(pieces, length=config.long_row_length, seed=config.seed + 1, **ends)
        self.short_rows = config.batch_rows
        self.long_rows = max(1, config.batch_rows * config.row_length // config.long_row_length)
        self.turn = round((1 - config.long_share) * config.steps)

    def __getitem__(self, step: int) -> npt.NDArray[np.int64]:
        if step < self.turn:
            return self.short.batch(step, self.short_rows)
        return self.long.batch(step - self.turn, self.long_rows)


@dataclass
class _Progress:
    """Losses since the last report; sums are kept as tensors, so that a GPU is waited for once a report."""

    names: tuple[str, ...]
    steps: int = 0
    since: float = field(default_factory=time.monotonic)
    total: Tensor | None = None

    def add(self, losses: Tensor) -> None:
        self.total = losses.detach().clone() if self.total is None else self.total + losses.detach()
        self.steps += 1

    def take(self, processes: Processes) -> tuple[dict[str, float], float]:
        """Mean losses and seconds a step; starts again."""
        total = torch.zeros(len(self.names)) if self.total is None else self.total
        values = (processes.mean(total) / self.steps).tolist()
        seconds = (time.monotonic() - self.since) / self.steps
        self.steps, self.total = 0, None
        return {name: round(value, 4) for name, value in zip(self.names, values, strict=True)}, seconds


class PretrainingLoop:
    """The steps of a run from its last checkpoint to its end."""

    def __init__(
        self,
        config: PretrainConfig,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        work: Path,
        processes: Processes,
    ) -> None:
        self.config, self.work, self.processes = config, work, processes
        pieces = open_pieces(work)
        self.n_pieces = len(pieces)
        self.longest = longest_row(encoder_of(model)) or config.encoder.max_pieces
        self.first_position = first_position(encoder_of(model))
        self.objective = build_objective(config, model).to(processes.device).train()
        self.optimizers = build_optimizers(
            self.objective,
            hidden_parameters(encoder_of(model)),
            name=config.optimizer,
            learning_rate=config.learning_rate,
            muon_learning_rate=config.muon_learning_rate,
            weight_decay=config.weight_decay,
            compile=config.compile,
        )
        self.first_step = 0
        if (checkpoint := latest_checkpoint(work)) is not None:
            self.first_step = load_checkpoint(checkpoint, self.objective, self.optimizers)
            logger.info("resumed at step %d from %s", self.first_step, checkpoint)
        self.module: nn.Module = self.objective
        self.weights = torch.tensor(self.objective.weights, device=processes.device)
        self.batches = _Batches(config, pieces, tokenizer)
        if config.long_share and self.batches.long_rows % processes.world:
            counts = f"{self.batches.long_rows} rows of {config.long_row_length} pieces (long_row_length)"
            raise ConfigError(f"{counts} cannot be shared among {processes.world} processes; choose another batch_rows")
        self.held_out = _held_out_batches(open_pieces(work, HELD_OUT), config, tokenizer)
        self.mask = int(tokenizer.mask_token_id)
        self.ordinary = torch.ones(model.config.vocab_size, dtype=torch.bool)
        self.ordinary[tokenizer.all_special_ids] = False
        self.ordinary[len(tokenizer) :] = False  # some bases pad their embedding matrix
        self.flops = step_flops(config, self.objective)

    def run(self) -> None:
        """Train in place."""
        if self.processes.first:
            self._announce()
        if self.config.compile:
            self.module = cast("nn.Module", torch.compile(self.objective, dynamic=False))
        self.module = self.processes.together(self.module)
        progress = _Progress(self.objective.names)
        for step in range(self.first_step, self.config.steps):
            torch.manual_seed((self.config.seed << 32) + step)  # what a step draws depends on its number alone
            set_rate(self.optimizers, self.config.rate_at(step))
            losses = self._losses(self.batches[step], (self.config.seed, step))
            (losses * self.weights).sum().backward()
            take_step(self.optimizers, self.objective)
            progress.add(losses)
            self._report(step + 1, progress)

    def _losses(self, rows: npt.NDArray[np.int64], seed: tuple[int, int]) -> Tensor:
        """Of this process's share of the rows."""
        batch = mask_pieces(
            torch.from_numpy(rows), share=self.config.mask_share, ordinary=self.ordinary, mask=self.mask, seed=seed
        )
        if self.config.shift_share and self.objective.training:
            shift, first = self.config.shift_share, self.first_position
            batch = batch.shifted(share=shift, limit=self.longest, first=first, seed=seed)
        batch = batch.part(self.processes.rank, self.processes.world)
        places = None if batch.places is None else batch.places.to(self.processes.device)
        device = self.processes.device
        dtype = autocast_dtype(device) if self.config.precision == "auto" else None
        with nullcontext() if dtype is None else torch.autocast(device.type, dtype):
            losses: Tensor = self.module(batch.ids.to(device), batch.positions.to(device), batch.targets.to(device), places)
        return losses

    @torch.no_grad()
    def _held_out_losses(self) -> dict[str, float]:
        """Of texts that are not trained on, masked in the same way each time."""
        if not len(self.held_out):
            return {}
        self.objective.eval()
        losses = [self._losses(rows, (0, i)) for i, rows in enumerate(self.held_out)]
        self.objective.train()
        mean = self.processes.mean(torch.stack(losses).mean(0)).tolist()
        return {f"held_out_{name}": round(value, 4) for name, value in zip(self.objective.names, mean, strict=True)}

    def _announce(self) -> None:
        config = self.config
        weights = sum(p.numel() for p in encoder_of(self.objective.model).parameters())
        logger.info(
            "%.1f M pieces in the texts, %.1f M to read (%.2f epochs), %d steps of %d pieces",
            self.n_pieces / 1e6,
            config.pieces / 1e6,
            config.pieces / self.n_pieces,
            config.steps,
            config.row_length * config.batch_rows,
        )
        logger.info("encoder of %.1f M weights, on %d x %s", weights / 1e6, self.processes.world, self.processes.device.type)

    def _report(self, done: int, progress: _Progress) -> None:
        last = done == self.config.steps
        checkpoint = done % self.config.checkpoint_steps == 0 or last
        if not checkpoint and done % REPORT_STEPS:
            return
        losses, seconds = progress.take(self.processes)
        if checkpoint:  # before they are looked at: the last step may have spoiled the weights
            losses |= self._held_out_losses()
        if not all(map(math.isfinite, losses.values())):
            kept = latest_checkpoint(self.work)
            raise TrainingError(
                f"the loss is not a number any more at step {done}: lower the learning rates; last state: {kept or 'none'}"
            )
        if checkpoint and self.processes.first:
            save_checkpoint(self.work, done, self.objective, self.optimizers)
        if self.processes.first:
            self._log(done, losses, seconds)
        progress.since = time.monotonic()

    def _log(self, done: int, losses: dict[str, float], seconds: float) -> None:
        pieces = self.config.row_length * self.config.batch_rows
        entry = {"step": done, "pieces": done * pieces, **losses, "pieces_per_second": round(pieces / seconds)}
        entry["gflops"] = round(self.flops * pieces / seconds / 1e9)
        with (self.work / "loss.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(entry) + "\n")
        shown = "  ".join(f"{name} {value:.3f}" for name, value in losses.items())
        left = (self.config.steps - done) * seconds / 60
        logger.info(
            "step %d/%d  %s  %d pieces/s  %d GFLOP/s  %.0f min left",
            done,
            self.config.steps,
            shown,
            entry["pieces_per_second"],
            entry["gflops"],
            left,
        )


def step_flops(config: PretrainConfig, objective: MaskedLanguageModel | ReplacedPieces) -> float:
    """Floating-point operations of the models in one training step, for each piece read."""
    encoder = encoder_of(objective.model)
    embeddings = sum(p.numel() for p in encoder.get_input_embeddings().parameters())
    if isinstance(objective, ReplacedPieces):
        generator = objective.generator.electra
        total = flops_per_piece(encoder, 0, length=config.row_length, mask_share=0.0)
        return total + flops_per_piece(generator, embeddings, length=config.row_length, mask_share=config.mask_share)
    return flops_per_piece(encoder, embeddings, length=config.row_length, mask_share=config.mask_share)


def build_objective(config: PretrainConfig, model: PreTrainedModel) -> MaskedLanguageModel | ReplacedPieces:
    if config.objective == "replaced-pieces":
        return ReplacedPieces(model, generator_share=config.generator_share, detection_weight=config.detection_weight)
    return MaskedLanguageModel(model)


def _held_out_batches(
    pieces: Pieces, config: PretrainConfig, tokenizer: PreTrainedTokenizerFast
) -> list[npt.NDArray[np.int64]]:
    """As many whole batches of short rows as the held-out texts fill, at most HELD_OUT_ROWS rows."""
    if len(pieces) < config.row_length - 2:
        return []
    rows = PieceRows(pieces, length=config.row_length, cls=int(tokenizer.cls_token_id), sep=int(tokenizer.sep_token_id), seed=0)
    return [rows.batch(i, config.batch_rows) for i in range(min(len(rows), HELD_OUT_ROWS) // config.batch_rows)]
