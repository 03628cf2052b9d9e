"""How near pre-training comes to what the processor can multiply: `python -m benchmarks.training_speed --config X.toml`.

Every way runs in a process of its own, on pieces drawn at random, which cost what real ones do; no texts are needed. Ways
take turns, round after round, so that a busy minute of the machine falls on all. Model operations are those of
`training.encoders.flops_per_piece`; the machine's rate is the best of several bfloat16 (float32 where the processor has none)
products of 2048 x 2048, in the same run.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.machine import describe_machine, machine_lines
from benchmarks.table import Spread, markdown_table, write_json
from training.config import load_config
from training.pretrain_config import PretrainConfig

WAYS = {
    "as configured": "",
    "memory handed back to the kernel": "memory",
    "not compiled": "compile",
    "torch's fused attention": "attention",
    "torch's Muon, one matrix at a time": "muon",
    "AdamW": "adamw",
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path("training/configs/encoder.toml"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10, help="timed steps of each way in each round")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--way", choices=list(WAYS.values()), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.way is not None:
        print(json.dumps(measure(load_config(PretrainConfig, options.config), options.way, options.steps)))
        return 0
    machine = describe_machine()
    found: dict[str, list[dict[str, float]]] = {name: [] for name in WAYS}
    for _ in range(options.rounds):
        for name, way in WAYS.items():
            command = [sys.executable, "-m", "benchmarks.training_speed", "--config", str(options.config)]
            command += ["--steps", str(options.steps), "--way", way]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
    print("\n".join(machine_lines(machine)))
    print(f"\n{options.rounds} rounds of {options.steps} steps; median (lowest to highest).\n")
    print(report(found))
    if options.json:
        write_json(options.json, {"machine": machine, "ways": found})
    return 0


def measure(config: PretrainConfig, way: str, steps: int) -> dict[str, float]:
    """Milliseconds of each part of a step (medians), pieces a second, and the machine's rate beside it."""
    import torch

    from training.encoders import build_encoder, encoder_of, hidden_parameters
    from training.memory import keep_freed_memory
    from training.objectives import mask_pieces
    from training.optimizers import build_optimizers, set_rate, take_step
    from training.precision import autocast_dtype
    from training.pretrain_loop import build_objective, step_flops
    from training.tokenizer import train_tokenizer

    if way != "memory":
        keep_freed_memory()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    config = replace(
        config, compile=config.compile and way != "compile", optimizer="adamw" if way == "adamw" else config.optimizer
    )
    model = build_encoder(config.encoder, train_tokenizer(["و"], 10, 1))  # for its special pieces
    model.resize_token_embeddings(config.encoder.vocab_size, mean_resizing=False)
    if way == "attention":
        model.set_attn_implementation("sdpa")
    objective = build_objective(config, model).to(device).train()
    rates = {"learning_rate": 1e-4, "muon_learning_rate": 1e-4, "weight_decay": 0.01}
    hidden = hidden_parameters(encoder_of(model))
    optimizers = build_optimizers(objective, hidden, name=config.optimizer, compile=config.compile, **rates)
    if way == "muon" and config.optimizer == "muon":
        optimizers[1] = torch.optim.Muon(hidden, lr=1e-4, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
        optimizers[1].param_groups[0]["peak"] = 1e-4
    module = torch.compile(objective, dynamic=False) if config.compile else objective
    dtype = autocast_dtype(device)
    ordinary = torch.arange(config.encoder.vocab_size) >= 5
    weights = torch.tensor(objective.weights, device=device)
    times: list[tuple[float, float, float]] = []
    for step in range(steps + 4):
        rows = torch.randint(5, config.encoder.vocab_size, (config.batch_rows, config.row_length))
        batch = mask_pieces(rows, share=config.mask_share, ordinary=ordinary, mask=4, seed=(0, step))
        begun = time.perf_counter()
        with torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None):
            losses = module(batch.ids.to(device), batch.positions.to(device), batch.targets.to(device))
        loss = (losses * weights).sum()
        loss.item()
        forward = time.perf_counter()
        loss.backward()
        backward = time.perf_counter()
        set_rate(optimizers, 1.0)
        take_step(optimizers, objective)
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append((forward - begun, backward - forward, time.perf_counter() - backward))
    parts = [statistics.median(part) for part in zip(*times[4:], strict=True)]  # the first steps compile
    pieces = config.batch_rows * config.row_length / sum(parts)
    rate = _matrix_rate(device, dtype or torch.float32)
    names = dict(zip(("forward_ms", "backward_ms", "optimizer_ms"), (1e3 * part for part in parts), strict=True))
    flops = step_flops(config, objective) * pieces
    return names | {"pieces_per_second": pieces, "gflops": flops / 1e9, "matrix_gflops": rate / 1e9, "share": flops / rate}


def _matrix_rate(device: "torch.device", dtype: "torch.dtype") -> float:  # noqa: F821
    """Operations a second of the best of several products."""
    import torch

    left, right = (torch.randn(2048, 2048, device=device).to(dtype) for _ in range(2))
    out, best = torch.empty_like(left), float("inf")
    for _ in range(12):
        begun = time.perf_counter()
        torch.mm(left, right, out=out)
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begun)
    return 2 * 2048**3 / best


def report(found: dict[str, list[dict[str, float]]]) -> str:
    """One row a way."""
    rows = []
    for name, runs in found.items():
        spread = {key: Spread.of([run[key] for run in runs]) for key in runs[0]}
        parts = [f"{spread[key].median:,.0f}" for key in ("forward_ms", "backward_ms", "optimizer_ms")]
        rates = [spread[key].show() for key in ("pieces_per_second", "gflops", "matrix_gflops")]
        rows.append([name, *parts, *rates, f"{100 * spread['share'].median:.0f} %"])
    head = ["way", "forward ms", "backward ms", "optimiser ms", "pieces/s", "model GFLOP/s", "matrix GFLOP/s", "share"]
    return markdown_table(head, rows)


if __name__ == "__main__":
    sys.exit(main())
