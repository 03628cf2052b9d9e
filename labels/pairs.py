"""Brackets and quotes come in pairs: a name that holds one mark of a pair holds the other.

A model that reads piece by piece ends `وكالة «رويترز»` before the last mark, or takes the opening bracket of an age for
the end of a name. In annotated names both are slips.
"""

from labels.types import Span

PAIRS = {"(": ")", "[": "]", "{": "}", "«": "»", "“": "”", "‘": "’", "‹": "›", '"': '"'}
REACH = 40
"""How many characters behind a name its closing mark is looked for."""

_OPENING = {closing: opening for opening, closing in PAIRS.items()}
_LONE = '"'  # opens and closes


def opens(place: int, text: str) -> bool:
    """Whether the character at `place` opens a pair. One that may do either opens where a word follows and none precedes."""
    sign = text[place]
    if sign != _LONE:
        return sign in PAIRS
    return not (place and text[place - 1].isalnum()) and text[place + 1 : place + 2].isalnum()


def unpaired(span: Span, text: str) -> int | None:
    """The place of the first mark in the span whose partner is outside it, if there is one."""
    waiting: list[int] = []
    for place in range(span.start, span.end):
        sign = text[place]
        if waiting and sign in _OPENING and text[waiting[-1]] == _OPENING[sign]:
            waiting.pop()
        elif opens(place, text):
            waiting.append(place)
        elif sign in _OPENING:
            return min([place, *waiting])
    return waiting[0] if waiting else None


def pair_up(span: Span, text: str, within: Span) -> Span:
    """The span grown to the partner of a mark that it holds alone, or, where there is none in reach or the mark stands at an
    edge, cut so as to be without it. It does not grow beyond `within`; a span of nothing but marks stays as it is."""
    mended = span
    for _ in range(span.end - span.start):
        place = unpaired(mended, text)
        if place is None:
            return mended
        start, end = _mend(mended, place, text, within)
        if not _lettered(text[start:end]):
            break
        mended = Span(start, end)
    return span


def _mend(span: Span, place: int, text: str, within: Span) -> tuple[int, int]:
    if not _lettered(text[span.start : place]):
        return _strip(place + 1, span.end, text)
    if _lettered(text[place + 1 : span.end]):
        if opens(place, text):
            end = text.find(PAIRS[text[place]], span.end, min(span.end + REACH, within.end))
            if end >= 0 and not any(sign in PAIRS or sign == "\n" for sign in text[span.end : end]):
                return span.start, end + 1
        elif span.start > within.start and text[span.start - 1] == _OPENING[text[place]]:
            return span.start - 1, span.end
    return _strip(span.start, place, text)


def _lettered(text: str) -> bool:
    return any(map(str.isalnum, text))


def _strip(start: int, end: int, text: str) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end
