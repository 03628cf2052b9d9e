"""What the corpus in the repository promises of itself."""

from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest
from click.testing import CliRunner

from labels.cli import labels
from labels.records import parse_annotation, read_annotations, read_jsonl
from labels.schema import load_schema

CORPUS = Path(__file__).parent.parent / "labels" / "corpus"
FILES = [CORPUS / f"{split}.jsonl" for split in ("train", "train-2", "dev", "test")]
STAND_OFF = sorted((CORPUS.parent / "standoff").glob("*.jsonl"))


def test_the_checker_finds_no_error() -> None:
    result = CliRunner().invoke(labels, ["check", *map(str, FILES)])
    assert result.exit_code == 0, result.output


def test_size_and_balance() -> None:
    annotations = [a for file in FILES for a in read_annotations(file)]
    events = Counter(e.type for a in annotations for e in a.events)
    assert len(annotations) >= 600
    assert all(events[name] >= 30 for name in load_schema().event_types), events
    assert sum(not a.events for a in annotations) >= len(annotations) / 3
    assert all(e.trigger is not None for a in annotations for e in a.events)


def test_every_split_holds_every_type_and_no_story_is_in_two() -> None:
    splits = [read_annotations(file) for file in FILES]
    for split in splits:
        assert {e.type for a in split for e in a.events} == set(load_schema().event_types)
    stories = [{a.doc for a in split} for split in splits]
    assert not any(one & other for one, other in combinations(stories, 2))


@pytest.mark.parametrize("file", STAND_OFF, ids=lambda file: file.name)
def test_stand_off_labels_hold_no_text_and_stay_within_their_sentence(file: Path) -> None:
    schema = load_schema()
    records = [record for _, record in read_jsonl(file)]
    assert len({record["id"] for record in records}) == len(records)
    assert file.read_text(encoding="utf-8").isascii()
    for record in records:
        assert record.keys() == {"id", "doc", "source", "start", "length", "sha256", "entities", "events"}
        blank = {key: record[key] for key in ("id", "entities", "events")} | {"text": "x" * record["length"]}
        annotation = parse_annotation(blank, file.name)
        assert {e.label for e in annotation.entities} <= set(schema.entity_labels)
        assert annotation.event_types <= set(schema.event_types)
        names = {e.id for e in annotation.entities}
        assert all(set(filled) <= names for event in annotation.events for filled in event.roles.values())
