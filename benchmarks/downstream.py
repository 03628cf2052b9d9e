"""What an encoder is worth: F1 of what is learnt on top of it, by one recipe for all encoders that are compared."""

import json
import logging
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import tomli_w

from benchmarks import ner
from benchmarks.seeds import run_seed
from labels.errors import ConfigError
from training.config import load_config
from training.finetune import resolve
from training.train_config import TrainConfig

logger = logging.getLogger(__name__)

ENTITIES, EVENTS, NAMES = "entities", "event types", "names"


def judge(encoder: Path, plan: Mapping[str, Any], data: Path, work: Path) -> dict[str, float]:
    """Micro F1 in [0, 1] of `entities` and `event types` on `plan["gold"]`, after training as `plan["train"]` (keys of
    `marsad train`) says, and of `names` in the folds of `plan["names"]` (options of `benchmarks.ner`). Epoch and
    thresholds of the first two are chosen on what they are measured on, alike for all. What is in `work` is not done again."""
    work.mkdir(parents=True, exist_ok=True)
    file = work / "events.toml"
    file.write_text(tomli_w.dumps(plan["train"] | {"base": str(encoder), "output": str(work / "events")}), encoding="utf-8")
    gold = {"dev": resolve(plan["gold"], data)}
    scores = run_seed(load_config(TrainConfig, file), data, gold).scores["dev"]
    return {
        ENTITIES: scores["entity micro F1"],
        EVENTS: scores["event micro F1"],
        NAMES: _names(encoder, plan["names"], data, work),
    }


def _names(encoder: Path, options: Mapping[str, Any], data: Path, work: Path) -> float:
    """Mean over the seeds."""
    report = work / "names.json"
    listed = {"base": encoder, "work": work / "names", "json": report, **options, "train": resolve(options["train"], data)}
    arguments = []
    for name, value in listed.items():
        values = value if isinstance(value, list) else [value]
        arguments += [f"--{name.replace('_', '-')}", *map(str, values)]
    logger.info("python -m benchmarks.ner %s", " ".join(arguments))
    if code := _quietly(arguments):
        raise ConfigError(f"benchmarks.ner ended with {code} on {encoder}; what it said stands above")
    seeds = json.loads(report.read_text(encoding="utf-8"))["seeds"].values()
    return float(sum(seed["words"]["entities"]["micro"]["f1"]["value"] for seed in seeds) / len(seeds))


def _quietly(arguments: list[str]) -> int:
    """Its report goes to standard error: here standard output is the table of all arms."""
    with redirect_stdout(sys.stderr):
        return ner.main(arguments)
