"""One span convention: half-open, in code points of the text as it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labels.types import Annotation, Event, Span


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (3, 3), (4, 2)], ids=["negative", "empty", "backwards"])
def test_a_span_that_covers_nothing_is_refused(start, end):
    with pytest.raises(ValueError, match=r"0 <= start < end"):
        Span(start, end)


@pytest.mark.parametrize(
    ("text", "start", "end", "surface"),
    [
        ("وصلت قوات إلى سرت", 14, 17, "سرت"),
        ("قَصَفَ الطيران", 0, 6, "قَصَفَ"),
        ("😀 داعش", 2, 6, "داعش"),
        ("العـــراق", 0, 9, "العـــراق"),
        ("نص\r\nحلب", 4, 7, "حلب"),
    ],
    ids=["plain", "diacritics", "emoji", "tatweel", "crlf"],
)
def test_offsets_count_code_points(text, start, end, surface):
    assert Span(start, end).of(text) == surface == text[start:end]


spans = st.tuples(st.integers(0, 30), st.integers(1, 10)).map(lambda pair: Span(pair[0], pair[0] + pair[1]))


@given(spans, spans)
def test_spans_overlap_where_they_share_a_character(one, other):
    shared = set(range(one.start, one.end)) & set(range(other.start, other.end))
    assert one.overlaps(other) == other.overlaps(one) == bool(shared)


@given(spans, st.integers(0, 50))
def test_a_shifted_span_covers_the_same_words_of_the_longer_text(span, by):
    text = "".join(chr(0x620 + i) for i in range(45))
    assert span.shift(by).of("x" * by + text) == span.of(text)


def test_spans_sort_by_start_then_end():
    assert sorted([Span(3, 5), Span(0, 9), Span(3, 4)]) == [Span(0, 9), Span(3, 4), Span(3, 5)]


def test_event_types_name_each_type_once():
    assert Annotation("s", "نص", events=(Event("protest"), Event("arrest"), Event("protest"))).event_types == {
        "protest",
        "arrest",
    }
