"""Thresholds of a run, in place of the model folder's."""

import json

import pytest
from click.testing import CliRunner

from serving.batch.cli import score
from serving.errors import SettingsError
from serving.tag import tag
from serving.thresholds import parse_thresholds
from tests.folders import make_folder

TYPES = ("airstrike", "protest")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", {}),
        ("0.3", {"airstrike": 0.3, "protest": 0.3}),
        ("0.3, protest=0.9", {"airstrike": 0.3, "protest": 0.9}),
        ("protest=0.9,0.3", {"airstrike": 0.3, "protest": 0.3}),
    ],
)
def test_what_is_given(given, expected):
    assert parse_thresholds(given, TYPES, "here") == expected


@pytest.mark.parametrize("given", ["0", "1", "nan", "flood=0.5", "airstrike=", "=0.5x", "airstrike=2", "high"])
def test_what_is_refused(given):
    with pytest.raises(SettingsError, match="here: expected P or TYPE=P, P between 0 and 1, TYPE one of airstrike, protest"):
        parse_thresholds(given, TYPES, "here")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("model")).path


def types(model, *options: str) -> dict[str, float]:
    result = CliRunner().invoke(tag, ["--text", "غارة على داعش", "--json", "--model", str(model), *options])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["event_types"]


def test_a_run_sees_more_or_less(model):
    assert list(types(model)) == ["airstrike"]
    assert list(types(model, "--threshold", "0.01")) == ["airstrike", "protest"]
    assert types(model, "--threshold", "0.01", "--threshold", "airstrike=0.99").keys() == {"protest"}


def test_the_environment_says_it_too(model, monkeypatch):
    monkeypatch.setenv("MARSAD_THRESHOLDS", "protest=0.01")
    assert list(types(model)) == ["airstrike", "protest"]
    assert list(types(model, "--threshold", "0.5")) == ["airstrike"]


def test_a_bad_threshold_ends_the_run_before_it_begins(model, tmp_path):
    (tmp_path / "in.jsonl").write_text('{"id": "d", "text": "x"}\n', encoding="utf-8")
    arguments = [
        str(tmp_path / "in.jsonl"),
        "-o",
        str(tmp_path / "out.jsonl"),
        "--model",
        str(model),
        "--threshold",
        "flood=0.5",
    ]
    result = CliRunner().invoke(score, arguments)
    assert result.exit_code == 2
    assert "found 'flood=0.5'" in result.output
    assert not (tmp_path / "out.jsonl").exists()
