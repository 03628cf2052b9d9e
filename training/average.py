"""One model out of several runs that differ in their seed alone: the mean of their weights.

Runs that set out from the same weights end in the same valley, and the middle of it is better than its sides (Wortsman et
al., Model soups, 2022). It costs nothing when the model answers.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from labels.errors import ConfigError
from labels.folder import SCHEMA
from labels.schema import load_schema
from training.data import load_tokenizer
from training.finetune import RUN_RECORD, set_rules_anew
from training.metrics import Evaluation
from training.model import JointModel, load_joint, save_joint
from training.provenance import read_provenance, write_provenance
from training.train_config import TrainConfig


def average(config: TrainConfig, seeds: Sequence[int], data: Path | None = None) -> Evaluation:
    """The mean of the finished runs of `config` with `seeds` as a run in `config.output`, its decoding rules set on dev.
    ConfigError where a run is absent, or of another configuration, or where heads began by chance: their means are none."""
    if len(set(seeds)) < 2 or len(set(seeds)) < len(seeds):
        raise ConfigError(f"expected two or more different seeds, found {', '.join(map(str, seeds)) or 'none'}")
    if not config.keep_heads:
        raise ConfigError(
            "runs whose heads began by chance cannot be averaged: expected keep_heads = true and a base with heads"
        )
    records = [_record(config.with_seed(seed)) for seed in seeds]
    runs = [config.with_seed(seed).output for seed in seeds]
    schema = load_schema(config.schema)
    models = [load_joint(run, n_tags=len(schema.tags), n_types=len(schema.event_types)) for run in runs]
    _to_mean(models)
    config.output.mkdir(parents=True, exist_ok=True)
    save_joint(models[0], config.output)
    load_tokenizer(str(runs[0])).save_pretrained(config.output)
    shutil.copyfile(runs[0] / SCHEMA, config.output / SCHEMA)
    write_provenance(config.output, [entry for run in runs for entry in read_provenance(run)])
    record = records[0] | {"config": asdict(config), "averaged": [run.name for run in runs]}
    text = json.dumps(record, default=str, ensure_ascii=False, indent=1)
    (config.output / RUN_RECORD).write_text(text + "\n", encoding="utf-8")
    return set_rules_anew(config, data)


def _record(config: TrainConfig) -> dict[str, Any]:
    """That of the finished run of `config`."""
    run = config.output
    try:
        record: dict[str, Any] = json.loads((run / RUN_RECORD).read_text(encoding="utf-8"))
        known = record["config"]
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{run} holds no finished run; train it first (marsad train --seed)") from error
    wanted = json.loads(json.dumps(asdict(config), default=str))
    if other := sorted(key for key in wanted if known.get(key) != wanted[key]):
        raise ConfigError(f"{run} is a run of another configuration: {', '.join(other)} differ; train it again")
    return record


@torch.inference_mode()
def _to_mean(models: Sequence[JointModel]) -> None:
    """Turn the first into the mean of all."""
    states = [model.state_dict() for model in models]
    for name, value in states[0].items():
        if value.is_floating_point():
            value.copy_(torch.stack([state[name].double() for state in states]).mean(0))
