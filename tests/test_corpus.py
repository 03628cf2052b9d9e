"""What the corpus in the repository promises of itself."""

from collections import Counter
from pathlib import Path

from click.testing import CliRunner

from labels.cli import labels
from labels.records import read_annotations
from labels.schema import load_schema

CORPUS = Path(__file__).parent.parent / "labels" / "corpus"
FILES = [CORPUS / f"{split}.jsonl" for split in ("train", "dev", "test")]


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
    assert not (stories[0] & stories[1] | stories[0] & stories[2] | stories[1] & stories[2])
