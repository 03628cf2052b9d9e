"""The mean of runs that differ in their seed."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from labels.errors import ConfigError
from labels.folder import ModelFolder
from labels.schema import load_schema
from tests.tiny import tiny_config
from training.average import average
from training.export import export_run
from training.finetune import train
from training.model import load_joint
from training.train_config import TrainConfig

SEEDS = (1, 2)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    root = tmp_path_factory.mktemp("average")
    base = dataclasses.replace(tiny_config(root, epochs=1), output=root / "base")
    train(base)
    config = dataclasses.replace(base, base=str(base.output), output=root / "run", keep_heads=True)
    for seed in SEEDS:
        train(config.with_seed(seed))
    return config


def weights(folder: Path) -> dict[str, torch.Tensor]:
    schema = load_schema()
    return load_joint(folder, n_tags=len(schema.tags), n_types=len(schema.event_types)).state_dict()


def test_each_weight_is_the_mean_of_the_runs(config: TrainConfig) -> None:
    found = average(config, SEEDS)
    one, two, mean = (weights(folder) for folder in (*(config.with_seed(seed).output for seed in SEEDS), config.output))
    assert any(not torch.equal(one[name], two[name]) for name in one)
    for name, value in mean.items():
        torch.testing.assert_close(value, (one[name] + two[name]) / 2, msg=name)
    record = json.loads((config.output / "run.json").read_text(encoding="utf-8"))
    assert record["averaged"] == ["run-s1", "run-s2"]
    assert record["dev"]["entities"]["micro"]["f1"]["value"] == found.entities["micro"].f1.value
    export_run(config.output, config.output.parent / "model", name="mean")
    folder = ModelFolder.open(config.output.parent / "model")
    assert folder.rules.thresholds.keys() == set(load_schema().event_types)
    assert [item["stage"] for item in folder.manifest.data] == ["train", "dev"]


def test_the_command_says_what_the_mean_reaches_on_dev(config: TrainConfig, tmp_path: Path) -> None:
    from training.cli import average as command

    file = tmp_path / "x.toml"
    lines = [
        f"{key} = {json.dumps(value)}" for key, value in json.loads(json.dumps(dataclasses.asdict(config), default=str)).items()
    ]
    file.write_text("\n".join(line for line in lines if not line.startswith("loss")), encoding="utf-8")
    said = CliRunner().invoke(command, ["--config", str(file), "--seed", "1", "--seed", "2"])
    assert said.exit_code == 0, said.output
    assert "run on dev" in said.output


@pytest.mark.parametrize(
    ("changes", "seeds", "message"),
    [
        ({}, (1,), "two or more different seeds, found 1"),
        ({}, (1, 1), "two or more different seeds, found 1, 1"),
        ({}, (1, 3), r"run-s3 holds no finished run; train it first"),
        ({"keep_heads": False}, SEEDS, "keep_heads = true"),
        ({"epochs": 2, "dropout": 0.2}, SEEDS, r"run-s1 is a run of another configuration: dropout, epochs differ"),
    ],
    ids=["one", "twice", "absent", "heads by chance", "another configuration"],
)
def test_what_cannot_be_averaged_is_refused(config: TrainConfig, changes: dict, seeds: tuple[int, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        average(dataclasses.replace(config, **changes), seeds)
