"""Where names begin inside pieces: the letters that may be taken off, and the mending of spans."""

import unicodedata

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from labels.borders import MAX_PROCLITICS, Bond, bond, name_starts, trim_pieces
from labels.decode import decode_entities, mend_start
from labels.errors import AlignmentError
from labels.iob import encode_tags
from labels.types import Entity, Span

TAGS = ("O", "B-A", "I-A")


def letters(count, of=4):
    """Border scores that want `count`."""
    return np.eye(of, dtype=np.float32)[count]


@pytest.mark.parametrize(
    ("text", "piece", "starts"),
    [
        ("وبنغازي", (0, 2), [0, 1]),
        ("وبنغازي", (0, 7), [0, 1, 2]),
        ("للجيش", (0, 3), [0, 1, 2]),
        ("الجيش", (0, 5), [0]),
        ("و", (0, 1), [0]),
        ("لِـبنان", (0, 7), [0, 3, 4]),
        ("لِـ", (0, 3), [0]),
        ("ل\u200fداعش", (0, 6), [0, 2]),
        ("فوكبلل", (0, 6), [0, 1, 2, 3]),
        ("ل«داعش»", (0, 7), [0]),
        ("\ufedf\ufe96", (0, 2), [0, 1]),
        ("", (0, 0), [0]),
    ],
    ids=[
        "half a word",
        "whole word",
        "lam-lam",
        "none",
        "one letter",
        "marks",
        "marks only",
        "unseen",
        "many",
        "quote",
        "forms",
        "empty",
    ],
)
def test_places_where_a_name_may_begin(text, piece, starts):
    assert name_starts(piece, text) == starts


@pytest.mark.parametrize(
    ("text", "piece", "trimmed"),
    [
        ("في سرت", (2, 6), (3, 6)),
        ("سرت في", (0, 4), (0, 3)),
        ("لِداعش", (1, 6), (2, 6)),
        ("ـداعش", (0, 5), (1, 5)),
        ("سرتُ", (0, 4), (0, 4)),
        ("سرت ", (3, 4), (4, 4)),
        ("َ", (0, 1), (1, 1)),
        (".", (0, 1), (0, 1)),
        ("x", (0, 0), (0, 0)),
    ],
    ids=["space before", "space after", "mark before", "tatweel", "mark after", "space only", "mark only", "point", "special"],
)
def test_pieces_are_trimmed(text, piece, trimmed):
    assert trim_pieces([piece], text) == [trimmed]


arabic = st.text("وفبكلادعشني َُِّـ\u200f «.1")


@given(arabic, st.data())
@settings(deadline=None)
def test_trimming_twice_is_trimming_once_and_loses_no_letter(text, data):
    start = data.draw(st.integers(0, len(text)))
    piece = (start, data.draw(st.integers(start, len(text))))
    [trimmed] = trim_pieces([piece], text)
    assert trim_pieces([trimmed], text) == [trimmed]
    assert piece[0] <= trimmed[0] <= trimmed[1] <= piece[1]
    lost = text[piece[0] : trimmed[0]] + text[trimmed[1] : piece[1]]
    assert all(c == "ـ" or c.isspace() or unicodedata.category(c) in {"Mn", "Cf"} for c in lost)


@given(arabic.filter(bool), st.data())
@settings(deadline=None)
def test_mending_takes_off_proclitics_and_nothing_else(text, data):
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    [piece] = trim_pieces([(start, data.draw(st.integers(start + 1, end)))], text)
    assume(piece[0] < piece[1])
    span = Span(piece[0], end)
    scores = np.array(data.draw(st.lists(st.floats(-9, 9, width=32), min_size=2, max_size=4)), dtype=np.float32)
    mended = mend_start(span, piece, scores, text)
    assert mended.end == span.end
    if mended != span:
        taken = [c for c in text[span.start : mended.start] if unicodedata.category(c) not in {"Mn", "Cf"} and c != "ـ"]
        assert 0 < len(taken) <= min(MAX_PROCLITICS, len(scores) - 1)
        assert set(taken) <= set("وفبكل")
        assert mended.start < piece[1]
        assert text[mended.start].isalnum()


words = st.lists(st.sampled_from(["داعش", "بنغازي", "لجيش", "بَلد", "فـلان"]), min_size=1, max_size=3)


@given(st.lists(st.sampled_from(["و", "لِ", "بـ", "فَـ"]), max_size=MAX_PROCLITICS), words, st.integers(1, 4))
@settings(deadline=None)
def test_what_is_counted_in_gold_is_taken_off_in_decoding(proclitics, name, step):
    """Any cut of a word into pieces: what training asks, scored perfectly, gives the gold span, wherever it is asked."""
    front, surface = "".join(proclitics), " ".join(name)
    text = front + surface
    offsets = trim_pieces([(i, min(i + step, len(text))) for i in range(0, len(text), step)], text)
    gold = Entity("a1", "A", Span(len(front), len(text)))
    tagging = encode_tags([gold], offsets, text)
    assert not tagging.misfits
    tags = np.array([[9.0 * (tag == each) for each in TAGS] for tag in tagging.tags], dtype=np.float32)
    borders = np.zeros((len(offsets), 4), dtype=np.float32)
    for piece, count in tagging.borders.items():
        borders[piece, count] = 1.0
    [found] = decode_entities(tags, TAGS, offsets, text, borders=borders)
    assert found.span == gold.span


@pytest.mark.parametrize(
    ("text", "before", "after", "expected"),
    [
        ("مُحَمَّد", (0, 2), (2, 8), Bond.WORD),
        ("مُحَمَّد", (0, 1), (2, 8), Bond.WORD),
        ("وَلُبنان", (0, 2), (2, 8), Bond.LEAD),
        ("،َ داعش", (0, 2), (3, 7), Bond.NONE),
    ],
)
def test_a_diacritic_does_not_part_a_word(text, before, after, expected):
    assert bond(before, after, text) is expected


def test_a_count_that_the_piece_does_not_allow_is_passed_over():
    text = "بيروت"
    assert mend_start(Span(0, 5), (0, 5), letters(3), text) == Span(0, 5)
    scores = np.array([0.1, 0.2, 9.0, 9.0], dtype=np.float32)
    assert mend_start(Span(0, 5), (0, 5), scores, text) == Span(1, 5)


def test_border_scores_of_another_length_are_refused():
    scores = np.zeros((1, 3), dtype=np.float32)
    for borders in (np.zeros((2, 4), dtype=np.float32), np.zeros((1, 0), dtype=np.float32), np.zeros(1, dtype=np.float32)):
        with pytest.raises(AlignmentError, match="border scores"):
            decode_entities(scores, TAGS, [(0, 1)], "س", borders=borders)


def test_border_scores_are_those_of_the_first_piece_in_the_text():
    """Pieces without text are left out before tags are read, and border scores must be counted with them."""
    text = "قال وبنغازي"
    offsets = [(0, 0), (0, 3), (4, 6), (6, 11), (0, 0)]
    tags = np.array([[0, 9, 0], [9, 0, 0], [0, 9, 0], [0, 0, 9], [0, 9, 0]], dtype=np.float32)
    borders = np.stack([letters(2), letters(3), letters(1), letters(2), letters(2)])
    [found] = decode_entities(tags, TAGS, offsets, text, borders=borders)
    assert found.span.of(text) == "بنغازي"
