"""Scores to entities and event types."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from labels.borders import Bond
from labels.decode import (
    DecodingRules,
    best_legal_path,
    decode_entities,
    decode_event_types,
    event_probabilities,
    grow_over_marks,
)
from labels.errors import AlignmentError
from labels.types import Span

TAGS = ("O", "B-A", "I-A", "B-L", "I-L")


def scores_for(*tags, strength=9.0):
    """Scores that clearly want these tags."""
    rows = np.zeros((len(tags), len(TAGS)), dtype=np.float32)
    for i, tag in enumerate(tags):
        rows[i, TAGS.index(tag)] = strength
    return rows


def test_entities_come_with_label_span_and_score():
    text = "شن داعش هجوما في سرت"
    offsets = [(0, 0), (0, 2), (3, 7), (8, 13), (14, 16), (17, 20), (0, 0)]
    found = decode_entities(scores_for("O", "O", "B-A", "O", "O", "B-L", "O"), TAGS, offsets, text)
    assert [(each.label, each.span.of(text)) for each in found] == [("A", "داعش"), ("L", "سرت")]
    assert all(0.99 < each.score <= 1 for each in found)


def test_the_score_is_the_geometric_mean_of_its_pieces():
    scores = np.log(np.array([[0.1, 0.9, 1e-9, 1e-9, 1e-9], [0.6, 1e-9, 0.4, 1e-9, 1e-9]], dtype=np.float32))
    scores[1, 0] = np.log(0.3)
    found = decode_entities(scores, TAGS, [(0, 2), (2, 4)], "سرتة")
    assert found[0].span == Span(0, 4)
    assert found[0].score == pytest.approx((0.9 * 0.4 / 0.7) ** 0.5, abs=1e-4)


def test_a_temperature_softens_scores_and_moves_no_span():
    offsets = [(0, 2), (2, 4)]
    sharp = decode_entities(scores_for("B-A", "I-A"), TAGS, offsets, "سرتة")
    soft = decode_entities(scores_for("B-A", "I-A"), TAGS, offsets, "سرتة", temperature=4.0)
    assert sharp[0].span == soft[0].span == Span(0, 4)
    assert soft[0].score < sharp[0].score


def test_no_pieces_no_entities():
    assert decode_entities(np.zeros((2, 5), dtype=np.float32), TAGS, [(0, 0), (0, 0)], "") == []


@pytest.mark.parametrize(
    ("text", "end", "grown"),
    [
        ("سرتُ.", 3, "سرتُ"),
        ("داعشــ في", 4, "داعشــ"),
        ("سرت", 3, "سرت"),
        ("سرت في", 3, "سرت"),
        ("سرتُّ", 3, "سرتُّ"),
    ],
    ids=["diacritic", "tatweel", "end of text", "space", "two marks"],
)
def test_marks_after_the_last_letter_belong_to_the_name(text, end, grown):
    assert grow_over_marks(Span(0, end), text).of(text) == grown


def test_growing_stops_at_the_next_entity():
    text = "سرتــداعش"
    found = decode_entities(scores_for("B-L", "B-A"), TAGS, [(0, 3), (3, 9)], text)
    assert [each.span for each in found] == [Span(0, 3), Span(3, 9)]


matrices = hnp.arrays(np.float32, st.tuples(st.integers(1, 5), st.just(5)), elements=st.floats(-20, 0, width=32))


def legal(path, bonds=()):
    names = ["O", *(TAGS[t] for t in path)]
    if not all(not b.startswith("I-") or a[2:] == b[2:] for a, b in itertools.pairwise(names)):
        return False
    ties = list(zip(names[1:], names[2:], bonds[1:], strict=False))
    return all(tie is not Bond.WORD or b.startswith("I-") or a == b == "O" for a, b, tie in ties) and all(
        tie is not Bond.LEAD or b.startswith("I-") or a == "O" for a, b, tie in ties
    )


@given(matrices, st.lists(st.sampled_from(Bond), min_size=5, max_size=5) | st.none())
@settings(deadline=None)
def test_the_path_is_the_best_of_all_legal_ones(log_probs, bonds):
    bonds = bonds and bonds[: len(log_probs)]
    path = best_legal_path(log_probs, TAGS, bonds)
    assert legal(path, bonds or ())

    def total(candidate):
        return float(sum(log_probs[i, t].astype(np.float64) for i, t in enumerate(candidate)))

    best = max(total(each) for each in itertools.product(range(5), repeat=len(log_probs)) if legal(each, bonds or ()))
    assert total(path) == pytest.approx(best, abs=1e-4)


@given(matrices, st.lists(st.booleans(), min_size=5, max_size=5))
@settings(deadline=None)
def test_entities_never_overlap_and_lie_in_the_text(scores, special):
    text = "".join("سـ"[i % 2] for i in range(2 * len(scores)))
    offsets = [(0, 0) if special[i] else (2 * i, 2 * i + 1) for i in range(len(scores))]
    found = decode_entities(scores, TAGS, offsets, text)
    assert all(0 < each.score <= 1 and each.span.end <= len(text) for each in found)
    assert all(a.span.end <= b.span.start for a, b in itertools.pairwise(found))


def test_whole_words_are_of_one_entity_or_of_none():
    text = "وباكستاني اعتقل بسرت"
    offsets = [(0, 1), (1, 8), (8, 9), (10, 15), (16, 17), (17, 20)]  # the conjunction, a word in two, a word, bi-, a name
    scores = scores_for("O", "B-L", "O", "O", "O", "B-L")
    scores[1, TAGS.index("O")] = scores[1].max() - 0.1  # all but as likely
    halves = decode_entities(scores, TAGS, offsets, text)
    assert [each.span.of(text) for each in halves] == ["باكستان", "سرت"]
    assert [each.span.of(text) for each in decode_entities(scores, TAGS, offsets, text, whole_words=True)] == ["سرت"]
    scores[2, TAGS.index("I-L")] = scores[2].max() + 1
    whole = decode_entities(scores, TAGS, offsets, text, whole_words=True)
    assert [each.span.of(text) for each in whole] == ["باكستاني", "سرت"]  # the proclitics stay outside


def test_two_proclitics_are_no_part_of_the_name():
    text = "عاد ولداعش وَلِحلب"
    offsets = [(0, 3), (4, 5), (5, 6), (6, 10), (11, 12), (13, 14), (15, 18)]
    scores = scores_for("O", "O", "O", "B-A", "O", "O", "B-L")
    found = decode_entities(scores, TAGS, offsets, text, whole_words=True)
    assert [each.span.of(text) for each in found] == ["داعش", "حلب"]


def test_a_proclitic_alone_is_no_name():
    text = "من أصل باكستاني"
    offsets = [(0, 2), (3, 6), (7, 8), (8, 15)]
    scores = scores_for("O", "O", "B-A", "O")
    scores[3, TAGS.index("I-A")] = scores[3].max() - 1
    cut = decode_entities(scores, TAGS, offsets, text)
    assert [each.span.of(text) for each in cut] == ["ب"]
    whole = decode_entities(scores, TAGS, offsets, text, whole_words=True)
    assert [each.span.of(text) for each in whole] == ["باكستاني"]


@pytest.mark.parametrize(
    ("text", "tags", "expected"),
    [
        ("وكالة «رويترز» قالت", ("B-A", "I-A", "I-A", "O", "O"), ["وكالة «رويترز»"]),
        ("حسين عمرو (30 عاما)", ("B-A", "I-A", "I-A", "O", "O", "O"), ["حسين عمرو"]),
        ("«داعش» في حلب", ("O", "B-A", "I-A", "O", "B-L"), ["داعش", "حلب"]),
        ("«داعش» سوريا", ("O", "B-A", "I-A", "I-A"), ["«داعش» سوريا"]),
        ("سرت» قالت «طرابلس", ("B-L", "I-L", "O", "B-L", "I-L"), ["سرت", "طرابلس"]),
    ],
    ids=["closed", "cut", "outside", "opened", "edges"],
)
def test_marks_come_in_pairs(text, tags, expected):
    offsets = [(match.start(), match.end()) for match in re.finditer(r"\w+|[^\w\s]", text)]
    scores = scores_for(*tags)
    loose = decode_entities(scores, TAGS, offsets, text)
    assert [each.span.of(text) for each in loose] != expected
    paired = decode_entities(scores, TAGS, offsets, text, paired_marks=True)
    assert [each.span.of(text) for each in paired] == expected


@pytest.mark.parametrize(("doubt", "expected"), [(1.0, ["جماعة (أنصار الشريعة)"]), (-1.0, ["جماعة", "أنصار الشريعة"])])
def test_no_name_ends_with_an_opening_mark(doubt, expected):
    text = "جماعة (أنصار الشريعة)"
    offsets = [(0, 5), (6, 7), (7, 12), (13, 20), (20, 21)]
    scores = scores_for("B-A", "I-A", "B-A", "I-A", "O")
    scores[2, TAGS.index("I-A")] = 5 + doubt
    scores[1, TAGS.index("O")] = 5 - doubt
    assert [each.span.of(text) for each in decode_entities(scores, TAGS, offsets, text, paired_marks=True)] == expected


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(AlignmentError, match=r"\(2, 5\) for 1 pieces"):
        decode_entities(np.zeros((2, 5), dtype=np.float32), TAGS, [(0, 1)], "س")
    with pytest.raises(AlignmentError, match="for 2 event types"):
        decode_event_types(np.zeros(3, dtype=np.float32), ["a", "b"], DecodingRules())


def test_the_best_window_speaks_for_its_sentence():
    probabilities = event_probabilities(np.array([[0.0, -3.0], [-3.0, 2.0]], dtype=np.float32))
    assert probabilities.tolist() == pytest.approx([0.5, 1 / (1 + np.exp(-2))], abs=1e-6)


def test_probabilities_of_extreme_scores_do_not_overflow():
    assert event_probabilities(np.array([[-500.0, 500.0]], dtype=np.float32)).tolist() == [0.0, 1.0]


def test_a_type_is_answered_from_its_threshold_on():
    rules = DecodingRules(thresholds={"a": 0.75})
    found = decode_event_types(np.array([0.75, 0.5, 0.25], dtype=np.float32), ["a", "b", "c"], rules)
    assert found == {"a": 0.75, "b": 0.5}


@pytest.mark.parametrize(
    "values", [{"thresholds": {"a": 0.0}}, {"thresholds": {"a": 1.0}}, {"temperature": 0.0}, {"tag_temperature": -1.0}]
)
def test_rules_that_mean_nothing_are_refused(values):
    with pytest.raises(ValueError, match="must be"):
        DecodingRules(**values)
