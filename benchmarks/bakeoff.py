"""Ways to pre-train compared at equal cost: `python -m benchmarks.bakeoff --plan benchmarks/bakeoff.toml --texts FOLDER`.

Each arm is a pre-training run that differs from the plan's `[base]` in the keys it names, and reads as many pieces as the
plan's budget of floating-point operations pays for (those of the model; what the optimiser adds shows in the seconds).
Arms of one vocabulary share one tokenizer and one file of encoded texts. Finished arms are kept under `--work` and not
run again. What an encoder is worth shows in what is learnt on top of it: with `--data` each arm is fine-tuned as the plan's
`[downstream]` says, and arms are listed by the mean of what they reach. An arm whose plan has changed is run again.
"""

import argparse
import copy
import json
import logging
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import tomli_w

from benchmarks.downstream import ENTITIES, EVENTS, NAMES, judge
from benchmarks.machine import describe_machine, machine_lines
from benchmarks.table import markdown_table
from labels.errors import ConfigError
from training.config import load_config
from training.encoders import build_encoder, encoder_of
from training.piece_file import HELD_OUT, PIECES, RECORD
from training.pretrain_config import PretrainConfig
from training.pretrain_loop import build_objective, step_flops
from training.provenance import PROVENANCE

PREPARED = (PIECES, HELD_OUT, RECORD, PROVENANCE, "tokenizer.json", "tokenizer_config.json")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plan", type=Path, default=Path("benchmarks/bakeoff.toml"))
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="folder that `data:` paths of [downstream] start from; else losses alone")
    parser.add_argument("--work", type=Path, default=Path("runs/bakeoff"))
    parser.add_argument("--only", nargs="*", help="names of arms; all by default")
    options = parser.parse_args(arguments)
    plan = tomllib.loads(options.plan.read_text(encoding="utf-8"))
    arms = [arm for arm in plan["arm"] if not options.only or arm["name"] in options.only]
    if not arms:
        raise ConfigError(f"{options.plan}: no arm is named {options.only}")
    machine = describe_machine()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    results = []
    for arm in arms:
        result = run_arm(plan, arm, options.texts, options.work)
        if options.data is not None:
            result |= judge(
                options.work / arm["name"], plan["downstream"], options.data, options.work / f"{arm['name']}-judged"
            )
        results.append(result)
    if options.data is not None:
        results.sort(key=lambda result: -sum(result[measure] for measure in (ENTITIES, EVENTS, NAMES)))
    print("\n".join(machine_lines(machine)))
    print(f"\nBudget of each arm: {plan['flops']:.2g} floating-point operations.\n")
    print(report(results))
    return 0


def run_arm(plan: dict[str, Any], arm: dict[str, Any], texts: Path, work: Path) -> dict[str, Any]:
    """Run one arm, or read what it gave before."""
    output = work / arm["name"]
    result_file = output / "result.json"
    values = _merge(plan["base"], {key: value for key, value in arm.items() if key != "name"})
    asked = {"flops": plan["flops"], **values}
    if result_file.exists():
        found: dict[str, Any] = json.loads(result_file.read_text(encoding="utf-8"))
        if found.get("asked") == asked:
            return found
    shutil.rmtree(output, ignore_errors=True)
    config = _config(values | {"output": str(output)}, work / f"{arm['name']}.toml")
    _share_prepared(config, values, texts, work)
    flops = step_flops(config, build_objective(config, build_encoder(config.encoder, _tokenizer(output))))
    steps = round(plan["flops"] / (flops * config.batch_rows * config.row_length))
    values["pieces"] = steps * config.batch_rows * config.row_length
    path = work / f"{arm['name']}.toml"
    config = _config(values | {"output": str(output), "checkpoint_steps": steps}, path)
    start, kept = output / "work" / "start.npy", work / f"start-{_start_key(config)}.npy"
    if kept.exists():
        start.hardlink_to(kept)
    begun = time.monotonic()
    subprocess.run([sys.executable, "-m", "marsad", "pretrain", "--config", str(path)], check=True)
    seconds = time.monotonic() - begun
    if start.exists() and not kept.exists():
        kept.hardlink_to(start)
    log = [json.loads(line) for line in (output / "work" / "loss.jsonl").read_text().splitlines()]
    model = build_encoder(config.encoder, _tokenizer(output))
    result = {
        "name": arm["name"],
        "asked": asked,
        "pieces": config.pieces,
        "seconds": round(seconds),
        "pieces_per_second": sorted(entry["pieces_per_second"] for entry in log)[len(log) // 2],
        "gflops": sorted(entry["gflops"] for entry in log)[len(log) // 2],
        "weights": sum(p.numel() for p in encoder_of(model).parameters()),
        **{key: value for key, value in log[-1].items() if "loss" in key},
    }
    for checkpoint in (output / "work").glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    result_file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


def _start_key(config: PretrainConfig) -> str:
    """All that the word2vec start depends on: arms that agree in it share one."""
    shape = config.encoder
    neighbours = config.neighbour_start and shape.architecture == "bert"
    return f"{neighbours}-{shape.vocab_size}-{shape.embedding_width or shape.width}-seed-{config.seed}"


def _merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`changes` over `base`, tables merged key by key."""
    merged = copy.deepcopy(base)
    for key, value in changes.items():
        merged[key] = _merge(merged[key], value) if isinstance(value, dict) and key in merged else value
    return merged


def _config(values: dict[str, Any], path: Path) -> PretrainConfig:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(tomli_w.dumps(values), encoding="utf-8")
    return load_config(PretrainConfig, path)


def _share_prepared(config: PretrainConfig, values: dict[str, Any], texts: Path, work: Path) -> None:
    """Hard links to the tokenizer and the encoded texts of this vocabulary, made by the first arm that needs them."""
    shared = work / f"vocabulary-{config.encoder.vocab_size}"
    if not (shared / "work" / PIECES).exists():
        path = work / f"{shared.name}.toml"
        _config(values | {"output": str(shared)}, path)
        command = [sys.executable, "-m", "marsad", "pretrain", "--config", str(path), "--texts", str(texts), "--prepare"]
        subprocess.run(command, check=True)
    (config.output / "work").mkdir(parents=True)
    for name in PREPARED:
        (config.output / "work" / name).hardlink_to(shared / "work" / name)


def _tokenizer(output: Path) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(output / "work" / "tokenizer.json"))


def report(results: list[dict[str, Any]]) -> str:
    """One row an arm; F1 in per cent."""
    judged = [measure for measure in (ENTITIES, EVENTS, NAMES) if measure in results[0]]
    rows = [
        [
            result["name"],
            f"{result['weights'] / 1e6:.1f}",
            f"{result['pieces'] / 1e6:.2f}",
            f"{result['seconds']:,}",
            f"{result['pieces_per_second']:,}",
            f"{result['gflops']:,}",
            f"{result['held_out_loss']:.3f}" if "held_out_loss" in result else "",
            *(f"{100 * result[measure]:.1f}" for measure in judged),
        ]
        for result in results
    ]
    head = ["arm", "M weights", "M pieces", "seconds", "pieces/s, median", "GFLOP/s, median", "masked loss, held-out texts"]
    return markdown_table([*head, *judged], rows)


if __name__ == "__main__":
    sys.exit(main())
