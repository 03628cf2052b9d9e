"""What one set of predictions gains on another."""

import json
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


def test_losses_have_their_sign() -> None:
    shown = gains_markdown(compare(GOLD, predictions(20), predictions(30), SCHEMA), "theirs.jsonl")
    assert "| entities | 75.0 | 50.0 | -25.0 | -" in shown
