from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labels.types import Annotation, Entity, Event, Prediction, Span
from training.calibrate import ends_with_words, has_paired_marks
from training.metrics import evaluate, seqeval_report
from training.report import confusion_svg, report_json, report_markdown

LABELS = ("ACTOR", "LOCATION")
TYPES = ("airstrike", "arrest", "protest")


def entity(label: str, start: int, end: int) -> Entity:
    return Entity("x", label, Span(start, end))


def annotation(number: int, entities: list[Entity], types: list[str], doc: str | None = None) -> Annotation:
    return Annotation(f"s{number}", "أ" * 30, tuple(entities), tuple(Event(t) for t in types), doc=doc)


def prediction(number: int, entities: list[Entity], types: list[str]) -> Prediction:
    return Prediction(f"s{number}", "m", "أ" * 30, entities=tuple(entities), event_types=dict.fromkeys(types, 0.9))


GOLD = [
    annotation(0, [entity("ACTOR", 0, 3), entity("LOCATION", 5, 8)], ["airstrike"]),
    annotation(1, [entity("ACTOR", 2, 6)], ["arrest", "protest"]),
    annotation(2, [], []),
]
PREDICTED = {
    p.id: p
    for p in [
        prediction(0, [entity("ACTOR", 0, 3), entity("ACTOR", 5, 8)], ["airstrike"]),  # label wrong
        prediction(1, [entity("ACTOR", 2, 5)], ["arrest"]),  # border wrong; a type missed
        prediction(2, [entity("LOCATION", 1, 2)], ["protest"]),  # both invented
    ]
}


def test_hand_counted() -> None:
    result = evaluate(GOLD, PREDICTED, entity_labels=LABELS, event_types=TYPES, rounds=50)
    actor, location, micro = (result.entities[name] for name in ("ACTOR", "LOCATION", "micro"))
    assert (actor.precision, actor.recall, actor.support) == (pytest.approx(1 / 3), pytest.approx(1 / 2), 2)
    assert (location.precision, location.recall, location.f1.value) == (0.0, 0.0, 0.0)
    assert micro.f1.value == pytest.approx(2 * 1 / (4 + 3))
    assert result.entities["macro"].f1.value == pytest.approx((0.4 + 0) / 2)
    assert result.events["micro"].f1.value == pytest.approx(2 * 2 / (3 + 3))
    assert result.events["macro"].f1.value == pytest.approx((1 + 1 + 0) / 3)
    assert result.exact_set is not None
    assert result.exact_set.value == pytest.approx(1 / 3)
    assert result.entity_confusion["LOCATION"]["ACTOR"] == 1
    assert result.entity_confusion["ACTOR"]["(borders)"] == 1
    assert result.entity_confusion["(none)"]["LOCATION"] == 1
    assert result.event_confusion["protest"]["(none)"] == 1
    assert result.event_confusion["(none)"]["protest"] == 1


def test_a_model_that_finds_no_event_misses_its_triggers() -> None:
    """Else the epoch in which it finds none would be measured by fewer parts, and could come out as the best."""
    event = Event("airstrike", Span(0, 3), {}, 1.0)
    gold = [replace(GOLD[0], events=(event,))]
    nothing = {"s0": replace(PREDICTED["s0"], events=(), event_types={})}
    typed = {"s0": replace(PREDICTED["s0"], events=(replace(event, trigger=None),))}
    found = [evaluate(gold, each, entity_labels=LABELS, event_types=TYPES, rounds=2) for each in (nothing, typed)]
    assert found[0].triggers["micro"].f1.value == 0.0
    assert found[1].triggers == {}  # of a model without triggers


def test_a_missing_prediction_counts_as_empty_and_is_counted() -> None:
    result = evaluate(GOLD, {"s0": PREDICTED["s0"]}, entity_labels=LABELS, event_types=TYPES, rounds=10)
    assert result.failed == 2
    assert result.entities["ACTOR"].recall == pytest.approx(1 / 2)


def test_a_draw_without_a_label_says_nothing_of_it() -> None:
    """Twelve types, a document each, and everything right: no draw holds them all, and no interval may say otherwise."""
    types = [f"t{i}" for i in range(12)]
    gold = [replace(annotation(i, [], [name]), doc=f"d{i}") for i, name in enumerate(types)]
    right = {a.id: prediction(i, [], [name]) for i, (a, name) in enumerate(zip(gold, types, strict=True))}
    found = evaluate(gold, right, entity_labels=(), event_types=types).events
    assert {(score.f1.value, score.f1.low, score.f1.high) for score in found.values()} == {(1.0, 1.0, 1.0)}


def test_interval_holds_the_value_and_narrows_with_more_data() -> None:
    few = evaluate(GOLD, PREDICTED, entity_labels=LABELS, event_types=TYPES)
    gold = [Annotation(f"{a.id}-{i}", a.text, a.entities, a.events) for i in range(60) for a in GOLD]
    predicted = {a.id: PREDICTED[a.id.split("-")[0]] for a in gold}
    many = evaluate(gold, predicted, entity_labels=LABELS, event_types=TYPES)
    for result in (few, many):
        f1 = result.entities["micro"].f1
        assert f1.low <= f1.value <= f1.high
    width = [r.entities["micro"].f1.high - r.entities["micro"].f1.low for r in (few, many)]
    assert width[1] < width[0] / 3


def test_resampling_draws_whole_documents() -> None:
    one = [Annotation(a.id, a.text, a.entities, a.events, doc="d") for a in GOLD]
    f1 = evaluate(one, PREDICTED, entity_labels=LABELS, event_types=TYPES).entities["micro"].f1
    assert f1.low == f1.value == f1.high  # one document: every draw is the same


spans = st.lists(st.tuples(st.sampled_from(LABELS), st.integers(0, 24), st.integers(1, 5)), max_size=6)


def without_overlaps(items: list[tuple[str, int, int]]) -> list[Entity]:
    kept: list[Entity] = []
    for label, start, length in items:
        found = entity(label, start, start + length)
        if not any(found.span.overlaps(k.span) for k in kept):
            kept.append(found)
    return kept


@given(st.lists(st.tuples(spans, spans), min_size=1, max_size=4))
def test_counts_agree_with_seqeval(pairs: list[tuple[list, list]]) -> None:
    gold = [annotation(i, without_overlaps(truth), []) for i, (truth, _) in enumerate(pairs)]
    predicted = {f"s{i}": prediction(i, without_overlaps(guess), []) for i, (_, guess) in enumerate(pairs)}
    ours = evaluate(gold, predicted, entity_labels=LABELS, event_types=(), rounds=2).entities
    if not any(a.entities for a in gold) and not any(p.entities for p in predicted.values()):
        assert ours["micro"].f1.value == 0.0
        return
    theirs = seqeval_report(gold, predicted)
    for name in (*LABELS, "micro avg"):
        if name in theirs:
            score = ours[name.removesuffix(" avg")]
            assert score.f1.value == pytest.approx(theirs[name]["f1-score"])
            assert score.precision == pytest.approx(theirs[name]["precision"])
            assert score.recall == pytest.approx(theirs[name]["recall"])


def test_report_shows_every_label_and_the_picture_every_count() -> None:
    result = evaluate(GOLD, PREDICTED, entity_labels=LABELS, event_types=TYPES, rounds=10)
    text = report_markdown(result, "title")
    assert all(f"| {name} |" in text for name in (*LABELS, *TYPES, "micro", "macro"))
    assert '"exact_set"' in report_json(result)
    picture = confusion_svg(result.event_confusion, "events <gold>")
    assert "events &lt;gold&gt;" in picture
    assert picture.count("<rect") == 1 + len(result.event_confusion) ** 2


def test_no_records_give_no_division_by_zero() -> None:
    result = evaluate([], {}, entity_labels=LABELS, event_types=TYPES)
    assert result.records == 0
    assert np.isfinite(result.entities["micro"].f1.value)


@pytest.mark.parametrize(
    ("text", "end", "whole"), [("في حلب.", 6, True), ("في حلبي", 6, False), ("حلب", 3, True), ("في حلبِ", 6, True)]
)
def test_whether_names_of_gold_end_where_words_end(text: str, end: int, whole: bool) -> None:
    places = Annotation("x", text, (entity("LOCATION", max(0, end - 3), end),))
    assert ends_with_words([places]) is whole
    right = Annotation("y", "حلب", (entity("LOCATION", 0, 3),))
    assert ends_with_words([places, *[right] * 100])  # one slip in a hundred
    assert not ends_with_words([])


@pytest.mark.parametrize(("end", "paired"), [(12, True), (11, False), (5, True)])
def test_whether_names_of_gold_hold_marks_in_pairs(end: int, paired: bool) -> None:
    one = Annotation("x", "قناة «الحدث» هنا", (entity("ACTOR", 0, end),))
    assert has_paired_marks([one]) is paired
    assert has_paired_marks([one, *[Annotation("y", "حلب", (entity("LOCATION", 0, 3),))] * 100])
    assert not has_paired_marks([])
