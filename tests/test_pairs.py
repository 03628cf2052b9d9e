"""Brackets and quotes of a name."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labels.pairs import opens, pair_up, unpaired
from labels.types import Span

CASES = {
    "whole": ("قناة «الحدث» قالت", "قناة «الحدث»", "قناة «الحدث»"),
    "closing mark behind": ("قناة «الحدث» قالت", "قناة «الحدث", "قناة «الحدث»"),
    "closing mark a word away": ("جماعة (أنصار الشريعة) هناك", "جماعة (أنصار", "جماعة (أنصار الشريعة)"),
    "no closing mark": ("قناة «الحدث قالت", "قناة «الحدث", "قناة"),
    "closing mark on another line": ("قناة «الحدث\nقالت»", "قناة «الحدث", "قناة"),
    "another pair between": ("قناة (الحدث «أمس»)", "قناة (الحدث", "قناة"),
    "opening mark last": ("سعيد عمرو (35 عاما)", "سعيد عمرو (", "سعيد عمرو"),
    "opening mark first": ("هي «داعش» أيضا", "«داعش", "داعش"),
    "closing mark last": ("هي «داعش» أيضا", "داعش»", "داعش"),
    "opening mark before": ("«القاعدة» في اليمن", "القاعدة» في اليمن", "«القاعدة» في اليمن"),
    "two-way quotes": ('كتيبة "خالد" هنا', 'كتيبة "خالد', 'كتيبة "خالد"'),
    "two-way quotes, both": ('كتيبة "خالد" هنا', 'كتيبة "خالد"', 'كتيبة "خالد"'),
    "two-way quote last": ('قال سرت" ثم', 'سرت"', "سرت"),
    "nothing but marks": ("«» هنا", "«", "«"),
    "nested": ("حركة (فتح «الياسر») قالت", "حركة (فتح «الياسر", "حركة (فتح «الياسر»)"),
}


@pytest.mark.parametrize(("text", "found", "expected"), CASES.values(), ids=CASES)
def test_a_name_has_both_marks_or_none(text, found, expected):
    start = text.index(found)
    assert pair_up(Span(start, start + len(found)), text, Span(0, len(text))).of(text) == expected


def test_a_name_does_not_grow_into_its_neighbours():
    text = "قناة «الحدث اليوم» قالت"
    assert pair_up(Span(0, 11), text, Span(0, 13)).of(text) == "قناة"
    text = "«سرت» هنا"
    assert pair_up(Span(1, 8), text, Span(1, 9)).of(text) == "سرت"


@pytest.mark.parametrize(
    ("text", "place", "expected"), [('قال "سرت', 4, True), ('سرت" قال', 3, False), ('أ"ب', 1, False), ("(", 0, True)]
)
def test_a_two_way_quote_opens_before_a_word(text, place, expected):
    assert opens(place, text) is expected


@settings(deadline=None)
@given(st.text('اب «»()"\n1', min_size=1, max_size=24), st.data())
def test_the_span_is_paired_or_as_it_was(text, data):
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    within = Span(data.draw(st.integers(0, start)), data.draw(st.integers(end, len(text))))
    mended = pair_up(Span(start, end), text, within)
    assert within.start <= mended.start < mended.end <= within.end
    assert mended == Span(start, end) or unpaired(mended, text) is None
    if unpaired(Span(start, end), text) is None:
        assert mended == Span(start, end)
