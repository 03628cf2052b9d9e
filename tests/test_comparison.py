"""What one set of predictions gains on another."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from labels.schema import load_schema
from labels.types import Annotation, Entity, Event, Prediction, Span
from tests.tiny import gold, write_gold
from training.cli import evaluate as command
from training.comparison import compare, gains_markdown
from training.metrics import evaluate_by_schema

SCHEMA = load_schema()
GOLD = [
    Annotation(f"s{i}", "أ" * 30, (Entity("a1", "ACTOR", Span(0, 3)),), (Event("arrest"),), doc=f"d{i // 2}") for i in range(40)
]


def predictions(right: int) -> dict[str, Prediction]:
    """Entities right in the first so many sentences, and in the others with another border; types right throughout."""
    return {
        a.id: Prediction(
            a.id, "m", a.text, entities=(Entity("a1", "ACTOR", Span(0, 3 if i < right else 4)),), event_types={"arrest": 1.0}
        )
        for i, a in enumerate(GOLD)
    }


def test_a_gain_is_the_difference_of_the_figures_that_evaluate_gives() -> None:
    ours, theirs = predictions(30), predictions(20)
    gains = compare(GOLD, ours, theirs, SCHEMA)
    for part in ("entities", "events"):
        one, two = (getattr(evaluate_by_schema(GOLD, each, SCHEMA), part)["micro"].f1.value for each in (theirs, ours))
        assert (gains[part].baseline, gains[part].value) == (one, two)
        assert gains[part].difference.value == pytest.approx(two - one)
    assert gains["entities"].difference.value == pytest.approx(0.25)
    assert 0 < gains["entities"].difference.low < 0.25 < gains["entities"].difference.high
    assert gains["entities"].not_worse == 1.0  # wherever ours is wrong, theirs is as well
    assert gains["events"].difference.low == gains["events"].difference.high == 0


def test_the_interval_of_a_difference_is_narrower_than_those_of_the_figures() -> None:
    ours, theirs = predictions(24), predictions(22)
    [gain] = [compare(GOLD, ours, theirs, SCHEMA)["entities"]]
    f1 = evaluate_by_schema(GOLD, ours, SCHEMA).entities["micro"].f1
    assert gain.difference.high - gain.difference.low < (f1.high - f1.low) / 2


def test_no_records_give_no_division_by_zero() -> None:
    assert compare([], {}, {}, SCHEMA)["entities"].difference.value == 0


def test_the_command_shows_what_is_gained(tmp_path: Path) -> None:
    annotations = gold()
    files = ["--gold", str(write_gold(tmp_path / "gold.jsonl", annotations)), "--pred", str(tmp_path / "gold.jsonl")]
    (tmp_path / "none.jsonl").write_text("".join(f'{{"id": "{a.id}"}}\n' for a in annotations), encoding="utf-8")
    said = CliRunner().invoke(command, [*files, "--baseline", str(tmp_path / "none.jsonl")])
    assert said.exit_code == 0, said.output
    assert "## Gained on none.jsonl" in said.output
    assert "| entities | 0.0 | 100.0 | +100.0 | +100.0 to +100.0 | 100 % of draws |" in said.output
    said = CliRunner().invoke(command, [*files, "--baseline", str(tmp_path / "none.jsonl"), "--json"])
    assert json.loads(said.stdout)["gains"]["entities"]["value"] == 1.0
    (tmp_path / "none.jsonl").write_text('{"id": "stranger"}\n', encoding="utf-8")
    said = CliRunner().invoke(command, [*files, "--baseline", str(tmp_path / "none.jsonl")])
    assert "none.jsonl: 1 ids are not in" in str(said.exception)


def test_a_baseline_without_triggers_is_compared_in_what_it_gives() -> None:
    event = Event("arrest", Span(0, 3))
    triggered = [replace(a, events=(event,)) for a in GOLD]
    ours = {a.id: Prediction(a.id, "m", a.text, events=(event,), event_types={"arrest": 1.0}) for a in triggered}
    theirs = {name: replace(each, events=(replace(event, trigger=None),)) for name, each in ours.items()}
    assert compare(triggered, ours, theirs, SCHEMA).keys() == {"entities", "events"}
    assert compare(triggered, ours, ours, SCHEMA).keys() == {"entities", "events", "triggers", "roles"}


def test_what_the_baseline_lacks_is_told(tmp_path: Path) -> None:
    annotations = gold()
    files = ["--gold", str(write_gold(tmp_path / "gold.jsonl", annotations)), "--pred", str(tmp_path / "gold.jsonl")]
    (tmp_path / "some.jsonl").write_text(f'{{"id": "{annotations[0].id}"}}\n', encoding="utf-8")
    said = CliRunner().invoke(command, [*files, "--baseline", str(tmp_path / "some.jsonl")])
    assert f"some.jsonl: {len(annotations) - 1} records have no answer" in said.output


def test_losses_have_their_sign() -> None:
    shown = gains_markdown(compare(GOLD, predictions(20), predictions(30), SCHEMA), "theirs.jsonl")
    assert "| entities | 75.0 | 50.0 | -25.0 | -" in shown
