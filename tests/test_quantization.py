"""The comparison of int8 with bf16: what it refuses, what it calibrates on, and the rule it judges by. NNCF is not needed."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.quantization import MOST_MOVED, calibration_rows, main, quantise, timings, verdict
from labels.errors import ConfigError
from labels.folder import INPUT_IDS, INPUT_MASK, ModelFolder
from tests.folders import OVERLAP, WINDOW, make_folder
from tests.tiny import gold, write_gold


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return make_folder(tmp_path_factory.mktemp("model"))


def test_a_missing_package_is_named(folder: ModelFolder, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("benchmarks.quantization.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="pip install nncf"):
        quantise(folder, ["داعش"], tmp_path / "int8")
    known, judged = (write_gold(tmp_path / name, gold()) for name in ("train.jsonl", "dev.jsonl"))
    assert main(["--model", str(folder.path), "--calibrate", str(known), "--gold", str(judged)]) == 2
    assert "benchmarks.quantization: quantising needs NNCF" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--gold", "train.jsonl"], "different files"),
        (["--gold", "dev.jsonl", "--repeats", "4"], "--repeats of 5 or more"),
        (["--gold", "dev.jsonl", "--sentences", "0"], "--sentences of 1 or more"),
        ([], "--gold"),
    ],
)
def test_arguments_that_make_no_comparison_are_refused(more: list[str], message: str, capsys) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--model", "m", "--calibrate", "train.jsonl", *more])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_rows_to_calibrate_on_are_whole_and_windowed(folder: ModelFolder) -> None:
    rows = list(calibration_rows(folder, ["داعش في الموصل", "في " * (2 * WINDOW), ""]))
    widths = [row[INPUT_IDS].shape[1] for row in rows]
    assert widths[0] == 3 + 2
    assert len(rows) >= 1 + (2 * WINDOW) // (WINDOW - OVERLAP)
    assert max(widths) <= WINDOW + 2
    assert all((row[INPUT_MASK] == 1).all() and row[INPUT_IDS].dtype == np.int64 for row in rows)
    assert {int(row[INPUT_IDS][0, 0]) for row in rows} == {2}  # [CLS]


def test_arms_take_turns_and_the_first_pass_is_not_counted() -> None:
    calls = []

    class Fake:
        def __init__(self, name: str) -> None:
            self.name = name

        def run(self, ids, mask, stream=0):
            calls.append((self.name, ids.shape))
            return {}

    found = timings({"a": Fake("a"), "b": Fake("b")}, 100, 5, [(2, 8)])  # type: ignore[dict-item]
    assert {name: len(spent) for name, spent in found["2 x 8"].items()} == {"a": 5, "b": 5}
    assert [name for name, _ in calls[:6]] == ["a", "b", "b", "a", "a", "b"]
    assert {shape for _, shape in calls} == {(2, 8)}


@pytest.mark.parametrize(
    ("events", "spent", "said"),
    [
        (80.0, [5.0, 5.0, 6.0], "int8 may be adopted"),
        (80.0 - 2 * MOST_MOVED, [5.0, 5.0, 6.0], "F1 of events moves by -0.6 points"),
        (80.0 + 2 * MOST_MOVED, [5.0, 5.0, 6.0], "F1 of events moves by +0.6 points"),
        (80.0, [8.0, 9.5, 9.9], "not clearly faster than bf16 on batches of 2 x 8"),
    ],
    ids=["better", "less exact", "other answers", "as slow"],
)
def test_the_rule(events: float, spent: list[float], said: str) -> None:
    scores = {
        "bf16": {"entities": 82.0, "events": 80.0, "triggers": 60.0},
        "int8": {"entities": 82.1, "events": events, "triggers": 61.0},
    }
    assert said in verdict(scores, {"2 x 8": {"bf16": [9.0, 10.0, 11.0], "int8": spent}}, "int8", "bf16")
