"""Figures on part of the records or names, counted by hand."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from labels.records import annotation_record, write_jsonl
from labels.types import Annotation, Entity, Event, Prediction, Span
from training.cli import evaluate as command
from training.metrics import Evaluation, evaluate
from training.report import report_markdown

TEXT = "وصلوا إلى بغداد وَالموصل وحلب"
BAGHDAD, MOSUL, ALEPPO = (Span(TEXT.index(word), TEXT.index(word) + len(word)) for word in ("بغداد", "الموصل", "حلب"))


def place(number: int, span: Span) -> Entity:
    return Entity(f"l{number}", "LOCATION", span)


def annotation(name: str, spans: list[Span], types: list[str], source: str | None) -> Annotation:
    return Annotation(name, TEXT, tuple(map(place, range(9), spans)), tuple(Event(t) for t in types), source=source)


GOLD = [
    annotation("a", [BAGHDAD, MOSUL], ["protest"], "ant"),
    annotation("b", [ALEPPO], [], "sanad"),
    annotation("c", [BAGHDAD], ["arrest"], None),
]


def predict(name: str, spans: list[Span], types: list[str]) -> Prediction:
    return Prediction(name, "m", "", entities=tuple(map(place, range(9), spans)), event_types=dict.fromkeys(types, 0.9))


PREDICTED = {
    p.id: p for p in (predict("a", [BAGHDAD], ["protest"]), predict("b", [ALEPPO, MOSUL], ["arrest"]), predict("c", [], []))
}


def run(known: frozenset[str] | None = None) -> Evaluation:
    return evaluate(
        GOLD, PREDICTED, entity_labels=("LOCATION",), event_types=("arrest", "protest"), known_names=known, rounds=10
    )


def figures(result: Evaluation, part: str) -> dict[str, tuple[float, float, int]]:
    return {name: (score.precision, score.recall, score.support) for name, score in result.subsets[part].items()}


def test_names_are_parted_by_what_stands_before_them() -> None:
    found = figures(run(), "entities")
    assert found["not attached"] == (1.0, 0.5, 2)  # one of the two Baghdads
    assert found["attached to a proclitic"] == (0.5, 0.5, 2)  # also behind a proclitic with its vowel
    assert "seen in training" not in found


def test_names_are_parted_by_whether_training_had_them() -> None:
    found = figures(run(frozenset({"بغداد"})), "entities")
    assert found["seen in training"] == (1.0, 0.5, 2)
    assert found["unseen in training"] == (0.5, 0.5, 2)


def test_records_are_parted_by_source_and_those_without_one_left_out() -> None:
    result = run()
    assert figures(result, "entities")["source ant"] == (1.0, 0.5, 2)
    assert figures(result, "events") == {"source ant": (1.0, 1.0, 1), "source sanad": (0.0, 0.0, 0)}
    assert "triggers" not in result.subsets
    assert "| source ant | 100.0 | 50.0 | 66.7 |" in report_markdown(result, "x")


def test_the_subsets_of_a_part_add_up() -> None:
    result = run(frozenset({"حلب"}))
    for one, other in (("attached to a proclitic", "not attached"), ("seen in training", "unseen in training")):
        found = result.subsets["entities"]
        assert found[one].support + found[other].support == result.entities["micro"].support


def test_command_takes_the_names_from_annotated_files(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "gold.jsonl", map(annotation_record, GOLD))
    write_jsonl(tmp_path / "train.jsonl", [annotation_record(annotation("t", [ALEPPO], [], None))])
    arguments = ["--gold", "gold.jsonl", "--pred", "gold.jsonl", "--trained-on", "train.jsonl", "--json"]
    result = CliRunner().invoke(command, [str(tmp_path / a) if a.endswith("jsonl") else a for a in arguments])
    assert result.exit_code == 0, result.output
    subsets = json.loads(result.stdout)["subsets"]["entities"]
    assert subsets["seen in training"]["support"] == 1
    assert subsets["unseen in training"]["f1"]["value"] == pytest.approx(1.0)
