"""Decoding asks only what the answer needs; here it is held to the answers of asking everything."""

import itertools

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from labels import borders, decode, events, path
from labels.borders import Bond
from labels.errors import AlignmentError
from labels.schema import load_schema
from labels.scores import RowScores, SentenceScores, merge_rows
from labels.types import Span
from labels.windows import merge_windows
from tests import plain_reading as plain

SCHEMA = load_schema()
TAGS = SCHEMA.tags

# Words with and without proclitics, diacritics, tatweel; ligatures, Latin, digits, signs, marks that show nothing.
WORDS = [
    "داعش",
    "وبنغازي",
    "ولِلجيش",
    "باكستاني",
    "لله",
    "ﷲ",
    "بَلدٌ",
    "فـلان",
    "ـ",
    "NATO",
    "و",
    "ب",
    "2016",
    "😀",
    "👍🏽",
    "\u200c",
]
BETWEEN = ["", " ", " ", "  ", "، ", "-", ".", "\u064e", "\u0640", "\u200f", "\u00a0", "(", " (", ")", " «", "» ", '"', "\n"]

texts = st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(BETWEEN)), min_size=1, max_size=12).map(
    lambda parts: "".join(map("".join, parts))
)


@st.composite
def cut_texts(draw, *, trimmed=True):
    """A text and pieces of it in order, some of it in none, some pieces empty, some twice as those of a ligature are."""
    text = draw(texts)
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=2 * len(text))) | {0, len(text)})
    kinds = st.sampled_from(["piece"] * 12 + ["gap", "empty", "twice"])
    offsets = []
    for start, end in itertools.pairwise(cuts):
        kind = draw(kinds)
        offsets += {"gap": [], "empty": [(0, 0), (start, end)], "twice": [(start, end)] * 2}.get(kind, [(start, end)])
    return text, plain.trim_pieces(offsets, text) if trimmed else offsets


@st.composite
def tag_scores(draw, length, tags=TAGS, *, rounded=False):
    """Scores that lean to O by more or less, so that names are few or many; `rounded` ones have ties among them."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    scores = random.normal(0, 3, (length, len(tags)))
    scores[:, 0] += draw(st.sampled_from([-2.0, 0.0, 3.0, 6.0]))
    return (np.round(scores) if rounded else scores).astype(np.float32)


@st.composite
def normal(draw, *shape):
    return np.random.default_rng(draw(st.integers(0, 2**32))).normal(0, 2, shape).astype(np.float32)


def total(log_probs, found):
    return float(sum(log_probs[i, t].astype(np.float64) for i, t in enumerate(found)))


@settings(deadline=None, max_examples=150)
@given(st.data(), st.integers(1, 60))
def test_mending_the_likeliest_path_gives_the_best_one(data, length):
    tags = data.draw(st.sampled_from([TAGS, ("O", "B-A", "I-A"), ("O", "B-A", "I-A", "B-L", "I-L", "B-N", "I-N")]))
    log_probs = plain.log_softmax(data.draw(tag_scores(length, tags, rounded=data.draw(st.booleans()))))
    bonds = data.draw(st.none() | st.lists(st.sampled_from(Bond), min_size=length, max_size=length))
    fast, slow = path.best_legal_path(log_probs, tags, bonds), plain.best_legal_path(log_probs, tags, bonds)
    ties = [Bond.NONE, *bonds[1:]] if bonds else [Bond.NONE] * length
    names = ["O", *(tags[t] for t in fast)]
    assert all(plain.is_legal(a, b, tie) for (a, b), tie in zip(itertools.pairwise(names), ties, strict=True))
    # Equal but for paths that are equally good.
    assert fast == slow or total(log_probs, fast) == pytest.approx(total(log_probs, slow), abs=1e-9)
    event("mended" if fast != log_probs.argmax(axis=1).tolist() else "likeliest")


def test_pieces_that_are_all_illegal_take_linear_time():
    tags = ("O", "B-A", "I-A", "B-L", "I-L")
    scores = np.zeros((4000, 5), dtype=np.float32)
    scores[:, 1] = 0.2
    scores[::2, 2] = scores[1::2, 4] = 1.0  # I-A I-L I-A I-L ...
    asked = []
    found = path.best_legal_path(scores, tags, lambda at: Bond(bool(asked.append(at))))
    assert total(scores, found) == pytest.approx(total(scores, plain.best_legal_path(scores, tags)), abs=1e-3)
    assert len(asked) < 10 * len(scores)


def test_words_are_looked_at_only_where_a_name_begins_or_ends():
    scores = np.zeros((50, len(TAGS)), dtype=np.float32)
    scores[:, 0] = 5.0
    scores[20, 1] = scores[21, 2] = 9.0
    asked = []
    found = path.best_legal_path(scores, TAGS, lambda at: Bond(bool(asked.append(at))))
    assert path.entity_runs(found, TAGS) == [(20, 21)]
    assert asked == [20, 22]


@settings(deadline=None, max_examples=150)
@given(cut_texts(trimmed=False))
def test_pieces_are_trimmed_alike(cut):
    text, offsets = cut
    assert borders.trim_pieces(offsets, text) == plain.trim_pieces(offsets, text)


@settings(deadline=None)
@given(st.text(max_size=20), st.data())
def test_pieces_of_any_characters_are_trimmed_alike(text, data):
    place = st.tuples(*[st.integers(0, len(text))] * 2).map(sorted).map(tuple)
    offsets = data.draw(st.lists(place, max_size=6))
    assert borders.trim_pieces(offsets, text) == plain.trim_pieces(offsets, text)


@settings(deadline=None, max_examples=200)
@given(cut_texts())
def test_words_are_joined_alike(cut):
    text, offsets = cut
    pieces = [(start, end) for start, end in offsets if start < end]
    for before, after in itertools.pairwise(pieces):
        assert borders.bond(before, after, text) is plain.bond(before, after, text)


@settings(deadline=None, max_examples=150)
@given(cut_texts(), st.data())
def test_entities_are_the_same(cut, data):
    text, offsets = cut
    scores = data.draw(tag_scores(len(offsets)))
    options = {
        "temperature": data.draw(st.sampled_from([1.0, 1.17])),
        "borders": data.draw(st.none() | normal(len(offsets), 4)),
        "whole_words": data.draw(st.booleans()),
        "paired_marks": data.draw(st.booleans()),
    }
    slow = plain.decode_entities(scores, TAGS, offsets, text, **options)
    fast = decode.decode_entities(scores, TAGS, offsets, text, **options)
    assert [(each.label, each.span) for each in fast] == [(each.label, each.span) for each in slow]
    assert [each.score for each in fast] == pytest.approx([each.score for each in slow], abs=1e-6)


@settings(deadline=None, max_examples=150)
@given(cut_texts(), st.data())
def test_events_are_the_same(cut, data):
    text, offsets = cut
    triggers = data.draw(st.none() | normal(len(offsets), len(SCHEMA.event_types)))
    linked = data.draw(st.booleans())
    queries, keys = (data.draw(normal(len(offsets), 2 * len(SCHEMA.roles))) if linked else None for _ in range(2))
    scores = SentenceScores(offsets=offsets, triggers=triggers, queries=queries, keys=keys)
    begins = data.draw(st.sets(st.integers(0, len(text) - 1), max_size=5))
    label = st.sampled_from(SCHEMA.entity_labels)
    entities = [decode.ScoredSpan(data.draw(label), Span(begin, min(begin + 3, len(text))), 0.5) for begin in sorted(begins)]
    chosen = data.draw(st.sets(st.sampled_from(SCHEMA.event_types), max_size=3))
    types = {name: 0.8 for name in SCHEMA.event_types if name in chosen}
    rules = decode.DecodingRules(
        trigger_threshold=data.draw(st.sampled_from([0.3, 0.8, 0.999])),
        trigger_temperature=1.17,
        role_thresholds={"agents": 0.4, "targets": data.draw(st.sampled_from([0.1, 0.9]))},
        role_temperature=1.7,
    )
    fast = events.decode_events(types, entities, scores, text, SCHEMA, rules)
    slow = plain.decode_events(types, entities, scores, text, SCHEMA, rules)
    assert [(each.type, each.trigger, each.roles) for each in fast] == [(each.type, each.trigger, each.roles) for each in slow]
    assert [each.score for each in fast] == pytest.approx([each.score for each in slow], abs=1e-6)


@settings(deadline=None)
@given(cut_texts(), st.sampled_from([0.2, 0.5, 0.9]), st.data())
def test_triggers_are_the_same(cut, threshold, data):
    text, offsets = cut
    probabilities = plain.sigmoid(data.draw(normal(len(offsets))))
    fast = events.trigger_runs(probabilities, offsets, text, threshold)
    slow = plain.trigger_runs(probabilities, offsets, text, threshold)
    assert [(run.first, run.last) for run in fast] == [(run.first, run.last) for run in slow]
    assert [run.score for run in fast] == pytest.approx([run.score for run in slow], abs=1e-6)


@settings(deadline=None)
@given(st.data(), st.dictionaries(st.sampled_from("abcd"), st.sampled_from([0.1, 0.3, 0.7])))
def test_types_are_the_same(data, thresholds):
    """A probability that is its threshold, as near as 32 bits come to it, among them."""
    likely = st.sampled_from([0.1, 0.3, 0.5, 0.7]) | st.floats(0, 1, width=32)
    probabilities = np.array(data.draw(st.lists(likely, min_size=4, max_size=4)), dtype=np.float32)
    rules = decode.DecodingRules(thresholds=thresholds)
    assert decode.decode_event_types(probabilities, "abcd", rules) == plain.decode_event_types(probabilities, "abcd", rules)


def test_the_scores_of_a_single_window_are_its_own():
    row = RowScores(tags=np.ones((3, 5), dtype=np.float32), events=np.ones(4, dtype=np.float32))
    merged = merge_rows([(0, 1)] * 3, [Span(0, 3)], [row])
    assert merged.tags is row.tags
    np.testing.assert_array_equal(merged.tags, merge_windows([Span(0, 3)], [row.tags]))
    assert merged.events.shape == (1, 4)
    assert (merged.borders, merged.triggers, merged.queries, merged.keys) == (None,) * 4
    with pytest.raises(AlignmentError, match="3 score rows for a window of 4 pieces"):
        merge_rows([(0, 1)] * 4, [Span(0, 4)], [row])
