"""Thresholds for a precision."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labels.types import Annotation, Event, Prediction
from training.metrics import evaluate
from training.operating_points import FEWEST, WANTED, operating_lines, operating_points
from training.report import report_markdown

TYPES = ("airstrike", "arrest")


def pairs_of(answers: list[tuple[float, bool]]) -> list[tuple[Annotation, Prediction]]:
    """A record an answer, right or made up."""
    return [
        (
            Annotation(f"s{i}", "نص", (), (Event("airstrike"),) if right else ()),
            Prediction(f"s{i}", "m", "نص", event_types={"airstrike": score}),
        )
        for i, (score, right) in enumerate(answers)
    ]


def test_the_lowest_threshold_with_the_precision() -> None:
    answers = [(0.9, True)] * 10 + [(0.8, False)] + [(0.7, True)] * 9 + [(0.6, False)] * 30
    points = operating_points(pairs_of(answers), TYPES)
    assert points.keys() == {"airstrike", "micro"}
    assert [(point.wanted, point.threshold) for point in points["micro"]] == [(0.8, 0.7), (0.9, 0.7), (0.95, 0.7)]
    assert points["micro"][0].precision == pytest.approx(19 / 20)
    assert points["micro"][0].recall == 1.0
    assert points["micro"][0].answers == 20
    assert "| micro | 0.7000 (recall 100.0) | 0.7000 (recall 100.0) | 0.7000 (recall 100.0) |" in operating_lines(points)


def test_equal_scores_are_taken_together_or_not_at_all() -> None:
    answers = [(0.9, True)] * 12 + [(0.5, True)] * 3 + [(0.5, False)] * 20
    assert {point.threshold for point in operating_points(pairs_of(answers), TYPES)["micro"]} == {0.9}


def test_of_few_answers_nothing_is_read_off() -> None:
    assert operating_points(pairs_of([(0.9, True)] * (FEWEST - 1)), TYPES) == {}
    assert operating_points(pairs_of([(0.9, False)] * 50), TYPES) == {}


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9]), st.booleans()), max_size=60))
def test_each_point_holds_what_it_says(answers: list[tuple[float, bool]]) -> None:
    for point in operating_points(pairs_of(answers), TYPES).get("micro", ()):
        taken = [right for score, right in answers if score >= point.threshold]
        assert len(taken) == point.answers >= FEWEST
        assert sum(taken) / len(taken) == pytest.approx(point.precision)
        assert point.precision >= point.wanted
        assert point.wanted in WANTED


def test_the_report_shows_them() -> None:
    pairs = pairs_of([(0.9, True)] * 20)
    result = evaluate([a for a, _ in pairs], {p.id: p for _, p in pairs}, entity_labels=(), event_types=TYPES, rounds=2)
    assert "## Thresholds of event types for a precision" in report_markdown(result, "x")


def test_a_threshold_is_shown_so_that_it_takes_in_its_own_answers() -> None:
    points = operating_points(pairs_of([(0.99997, True)] * 20), TYPES)
    assert "| micro | 0.9999 (recall 100.0) |" in operating_lines(points)[-1]
