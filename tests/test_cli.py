import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from labels.records import annotation_record
from marsad import VERBS, cli
from tests.tiny import gold, write_gold


def test_help_lists_every_verb_and_imports_nothing_heavy() -> None:
    code = "import sys, marsad; marsad.cli.main(['--help'], standalone_mode=False); print(sorted(sys.modules), file=sys.stderr)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(verb in result.stdout for verb in VERBS)
    for heavy in ("torch", "transformers", "bentoml", "openvino", "numpy"):
        assert f"'{heavy}'" not in result.stderr


def test_an_unknown_verb_is_a_usage_error() -> None:
    assert CliRunner().invoke(cli, ["fly"]).exit_code == 2


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VERBS, "train", ("training.nothing_there:train", ""))
    monkeypatch.setitem(sys.modules, "training.nothing_there", None)
    with pytest.raises(ModuleNotFoundError):  # a fault of ours stays a fault
        CliRunner().invoke(cli, ["train"], catch_exceptions=False)
    monkeypatch.setitem(VERBS, "train", ("package_that_is_absent:train", ""))
    result = CliRunner().invoke(cli, ["train"])
    assert result.exit_code == 1
    assert "package_that_is_absent" in result.output
    assert "pip install" in result.output


def evaluate(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "marsad", "evaluate", *arguments], capture_output=True, text=True, check=False)


def test_evaluate_from_two_files(tmp_path: Path) -> None:
    annotations = gold()
    gold_file = write_gold(tmp_path / "gold.jsonl", annotations)
    records = [
        {
            "id": a.id,
            "entities": [e | {"text": "x", "score": 0.5} for e in annotation_record(a)["entities"]],
            "event_types": dict.fromkeys(a.event_types, 0.9),
        }
        for a in annotations
    ]
    records[0]["event_types"] = {"arrest": 0.8}
    records[1] = {"id": "t1", "error": {"code": "internal", "message": "m"}}
    predicted = tmp_path / "pred.jsonl"
    predicted.write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in records), encoding="utf-8")
    result = evaluate("--gold", str(gold_file), "--pred", str(predicted), "--json", "-o", str(tmp_path / "report"))
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["failed"] == 1
    assert "1 records hold an error" in result.stderr
    assert report["events"]["micro"]["precision"] == pytest.approx(2 / 3)  # shelling and protest right, arrest wrong
    assert report["events"]["micro"]["recall"] == pytest.approx(2 / 4)
    assert {p.name for p in (tmp_path / "report").iterdir()} == {
        "report.json",
        "report.md",
        "confusion-entities.svg",
        "confusion-events.svg",
        "reliability.svg",
    }
    same = evaluate("--gold", str(gold_file), "--pred", str(gold_file))  # an annotation read as a prediction
    assert "| micro | 100.0 | 100.0 | 100.0 |" in same.stdout


def test_labels_that_the_schema_lacks_are_not_left_out_in_silence(tmp_path: Path) -> None:
    gold_file = write_gold(tmp_path / "gold.jsonl", gold())
    (tmp_path / "own.toml").write_text('[[entity]]\nname = "PERS"\n[[event]]\nname = "flood"\n')
    result = evaluate("--gold", str(gold_file), "--pred", str(gold_file), "--schema", str(tmp_path / "own.toml"))
    assert result.returncode == 2
    assert "gold.jsonl:1: 'ACTOR' is not in schema" in result.stderr


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": "t0", "event_types": {"flood": 0.5}}', "pred.jsonl:1: 'flood' is not in schema"),
        ('{"id": "stray", "event_types": {}}', "not in"),
        ('{"id": "t0"', "pred.jsonl:1: not JSON"),
        ('{"id": "t0", "event_types": {}}\n{"id": "t0", "event_types": {}}', "predicted twice"),
        ('{"id": "t0", "entities": [{"id": "a1", "label": "ACTOR", "start": 5, "end": 2}]}', "entities[0]"),
    ],
    ids=["schema", "stray", "json", "twice", "span"],
)
def test_bad_predictions_are_usage_errors_with_their_place(tmp_path: Path, line: str, message: str) -> None:
    gold_file = write_gold(tmp_path / "gold.jsonl", gold())
    (tmp_path / "pred.jsonl").write_text(line, encoding="utf-8")
    result = evaluate("--gold", str(gold_file), "--pred", str(tmp_path / "pred.jsonl"))
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
