"""Arabic news as sentences, offsets kept.

A line break always ends a sentence: headlines, datelines and bullet lines carry no stop. Within a line one ends at
`. ! ? ؟ ۔`, with the quotes and brackets that close after it. `؛` and `:` end none; what is long is read in windows.

A stop ends no sentence where nothing was said yet, where a comma follows (`«كفى!»، قال`), alone in brackets (`(!)`),
between digits (`3.5`), in addresses (`www.un.org`, `العربية.نت`), after an abbreviation or initial (`د. علي`, `أ. ف. ب.`,
`إن.بي.سي`, `جورج دبليو. بوش`, `U.S. Army`), in a question or cry that the sentence quotes (`لافتات «أين الحكومة؟» في بغداد`),
and after the number of a list item that opens a line. An abbreviation that follows a number is a unit or an era, and a stop
after it does end (`عام 2001م. حمل`). `..`, `...` and `…` are a pause in news copy more often than an end, so they end a
sentence only where its line ends. With no space after it a stop ends a sentence before an Arabic word
if a space, a number, a closing mark or a word of three letters stands before it (`الوجوه .كابيلوت`, `غيرهم.وأشار`).
"""

import re
import unicodedata
from collections.abc import Iterator

from labels.types import Span

_LINE = re.compile(r"[^\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")
_STOPS = re.compile(r"[.!?؟…۔](?:\s*+[.!?؟…۔])*")
_SAID = re.compile(r"\w")
# Marks that show nothing: zero-width characters, bidirectional controls, a byte order mark.
_INVISIBLE = "\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff"
_UNSEEN = re.compile(f"[\\s{_INVISIBLE}]*")
_SEEN = re.compile(f"[^\\s{_INVISIBLE}]")
_HIDDEN = re.compile(f"[{_INVISIBLE}]")
_LIST_NUMBER = re.compile(r"\d{1,3}\s{0,3}")

_CLOSERS = "»)]}›"
_QUOTES = "\"“”„'’‘"  # close or open, as they stand
_OPENERS = "«([{‹"
_COMMAS = "،؛,;:"

_LOOK_BACK = 24  # letters and marks; longer is no abbreviation
# Eras and measures: after a number they end a sentence like any word. Other abbreviations are single letters.
_UNITS = frozenset({"م", "ه", "هـ", "كم", "كلم", "سم", "ملم", "كغ", "كغم", "كج"})
# Spelt-out Latin letters of three characters; shorter ones are known by their length: إن.بي.سي
_LETTER_NAMES = frozenset({"إيه", "ايه", "آيه", "إتش", "اتش", "إكس", "اكس", "جيه", "كيه", "كيو", "واي", "زيد", "دبليو"})
# Shorter ones that are, before a stop, hardly ever words: بي. بي. سي.
_SHORT_NAMES = frozenset({"إف", "إل", "إم", "إس", "آر", "دي", "بي", "تي", "سي", "جي", "آي", "إن"})
_DOCTORS = frozenset({"بد", "لد", "كد", "الد", "بالد", "للد"})  # د. with what is written onto it
_LONGEST_QUOTE = 200  # characters; a longer one is sentences of its own, and would be looked through again for each of them
# Words that begin with the letter of a conjunction and go on with what stood before.
_NO_CONJUNCTION = frozenset({"في", "فى", "فوق", "فور", "وسط", "وراء", "وفق"})
_DOMAINS = frozenset({"نت", "كوم", "أورغ", "اورغ"})
_TITLES = frozenset({"mr", "mrs", "ms", "dr", "prof", "st", "gen", "col", "lt", "capt", "maj", "sgt", "adm", "sen", "gov"})
_LATIN = _TITLES | {"jr", "sr", "vs", "eg", "ie", "vol", "pp", "inc", "ltd", "co", "corp"}


def split_sentences(text: str) -> list[Span]:
    """Sentences in order, not overlapping, without white space or invisible marks at their edges; every other character
    of `text` lies in one. Time grows with the length of the text alone."""
    return [sentence for line in _LINE.finditer(text) for sentence in _split_line(text, line.start(), line.end())]


def _split_line(text: str, start: int, end: int) -> Iterator[Span]:
    """Cut `[start, end)` at its ends; a remainder that says nothing, such as ` ***`, stays with the sentence before it."""
    cuts = list(_ends(text, start, end))
    if cuts and not _SAID.search(text, cuts[-1], end):
        cuts.pop()
    for first, last in zip([start, *cuts], [*cuts, end], strict=True):
        if span := _trim(text, first, last):
            yield span


def _ends(text: str, start: int, end: int) -> Iterator[int]:
    """Where sentences end before the end of their line."""
    first = said = _SAID.search(text, start, end)
    begin = start  # of the sentence
    quotes, counted = 0, start  # straight quotes so far: an odd number means that one is open
    for stops in _STOPS.finditer(text, start, end):
        if (
            first is None
            or said is None
            or said.start() > stops.start()
            or _LIST_NUMBER.fullmatch(text, first.start(), stops.start())
        ):
            continue
        quotes += text.count('"', counted, stops.end())
        counted = stops.end()
        after = _skip_closers(text, stops.end(), end, open_quote=quotes % 2 == 1)
        if _is_end(text, start, stops, after, end) and not (
            stops[0] != "." and after > stops.end() and _is_within(text, begin, stops.start(), after, end)
        ):
            yield after
            begin = after
            said = _SAID.search(text, after, end)


def _skip_closers(text: str, at: int, end: int, *, open_quote: bool) -> int:
    """The place behind the quotes and brackets that close after a stop: brackets also over a space, a quote that could
    open as well only where it stands on the stop's side."""
    reached = at
    while at < end:
        sign = text[at]
        if sign in _CLOSERS:
            reached = at + 1
        elif sign in _QUOTES and at == reached:
            glued = at + 1 < end and text[at + 1].isalnum()
            if glued and not (sign == '"' and open_quote):
                break
            open_quote = open_quote and sign != '"'
            reached = at + 1
        elif not (sign.isspace() or _HIDDEN.match(sign)):
            break
        at += 1
    return reached


def _is_end(text: str, start: int, stops: re.Match[str], after: int, end: int) -> bool:
    """Whether a sentence ends with `stops`, whose closing marks reach to `after`, in the line `[start, end)`."""
    seen = _UNSEEN.match(text, after, end)
    following = seen.end() if seen else after
    if following >= end or text[following] in _COMMAS:
        return False  # the line's end needs no cut; a comma carries on
    before = _last_seen(text, start, stops.start())
    sole = before >= start and text[before] in _OPENERS and stops.end() < after
    pause = stops[0] != "." and all(sign in ".…" or sign.isspace() for sign in stops[0])
    if sole or pause:
        return False
    spaced = any(text[i].isspace() for i in range(after, following))
    if stops[0] != ".":
        return spaced or not text[following].isascii() or text[following] in '"(['  # else an address: ?id=
    return _is_full_stop(text, start, stops.start(), following, glued=not spaced and after == stops.end())


def _is_full_stop(text: str, start: int, at: int, following: int, *, glued: bool) -> bool:
    """Whether the single dot at `at`, the next thing seen being at `following`, ends a sentence."""
    before = _last_seen(text, start, at)
    if before < start:
        return False
    sign = text[following]
    if "a" <= sign <= "z":
        return False
    word, preceded_by = _word_ending_at(text, start, before)
    apart = before < at - 1 and any(text[i].isspace() for i in range(before + 1, at))
    if glued and not _is_arabic(sign):
        return not (sign.isalnum() or sign in "/_@-")
    if not word:
        return True
    if word.isascii() and not glued:
        return not (len(word) == 1 or word.lower() in _LATIN) or (_is_arabic(sign) and word.lower() not in _TITLES)
    next_word = _word_from(text, following)
    if not glued and (word.removeprefix("و") in _DOCTORS or _is_letter_name(word)):
        return next_word[:1] == "و" and len(next_word) > 3  # as in بي بي سي. وأضاف
    if word in _UNITS or len(word) == 1 or (len(word) == 2 and word[0] == "و"):  # ود. is و and د.
        measures = word in _UNITS and preceded_by.isdigit()
        return measures and not (sign.isdigit() or sign in _OPENERS or (glued and len(next_word) < 3))
    return not glued or apart or word.isascii() or _ends_before_glued(word, next_word)


def _is_letter_name(word: str) -> bool:
    """Whether it is the name of a Latin letter, with و or ال before it or not; زيد is a man's more often."""
    return not {word, word.removeprefix("و"), word.removeprefix("ال")}.isdisjoint(_LETTER_NAMES - {"زيد"} | _SHORT_NAMES)


def _is_within(text: str, begin: int, stop: int, after: int, end: int) -> bool:
    """Whether the quote or bracket that closes behind a `؟` or `!` at `stop` is a part of a sentence that goes on: it neither
    began the sentence that is from `begin` nor was announced by a colon, and no word with و or ف follows."""
    begin = max(begin, stop - _LONGEST_QUOTE)
    opener = next((i for i in range(stop - 1, begin - 1, -1) if text[i] in _OPENERS or text[i] in _QUOTES), begin)
    before = _last_seen(text, begin, opener)
    if before < begin or text[before] == ":":
        return False
    seen = _UNSEEN.match(text, after, end)
    following = _word_from(text, seen.end() if seen else after)
    return len(following) > 1 and (following[0] not in "وف" or following in _NO_CONJUNCTION)


def _ends_before_glued(word: str, following: str) -> bool:
    """Whether `word.following`, both Arabic and with no space, are two sentences. Two letters are rather a Latin letter's
    name (`بي.بي`, `وبي.بي`) than a word, but not before a word that و is joined to (`به.وأول`)."""
    if following in _DOMAINS or not {word, word.removeprefix("و")}.isdisjoint(_LETTER_NAMES):
        return False
    if len(following) == 1:
        return following == "و"
    if len(word) == 2:
        return len(following) > 3 and following[0] == "و"
    return not (len(word) == 3 and word[0] == "و" and (len(following) == 2 or following in _LETTER_NAMES))


def _word_ending_at(text: str, start: int, last: int) -> tuple[str, str]:
    """The letters of one script that end with `text[last]`, diacritics taken out, and the character before them past
    white space, "" for none. A word longer than any abbreviation may come cut short."""
    at = last
    letters: list[str] = []
    latin = text[last].isascii()
    while at >= start and last - at < _LOOK_BACK and (text[at].isalpha() or unicodedata.combining(text[at])):
        if text[at].isascii() != latin:  # وDr. is و and Dr.
            break
        if text[at].isalpha():
            letters.append(text[at])
        at -= 1
    before = at
    while before >= start and at - before < _LOOK_BACK and text[before].isspace():
        before -= 1
    return "".join(reversed(letters)), text[before] if before >= start else ""


def _word_from(text: str, at: int) -> str:
    """The letters from `at` on; a word longer than any abbreviation may come cut short."""
    letters = []
    for sign in text[at : at + _LOOK_BACK]:
        if sign.isalpha():
            letters.append(sign)
        elif not unicodedata.combining(sign):
            break
    return "".join(letters)


def _last_seen(text: str, start: int, end: int) -> int:
    """The place of the last visible character of `[start, end)`, or one before `start`."""
    at = end - 1
    while at >= start and not _SEEN.match(text[at]):
        at -= 1
    return at


def _is_arabic(sign: str) -> bool:
    return sign.isalpha() and "\u0600" <= sign <= "\ufefc" and unicodedata.bidirectional(sign) == "AL"


def _trim(text: str, start: int, end: int) -> Span | None:
    """`[start, end)` without what is not seen at its edges; None where nothing is seen."""
    first = _SEEN.search(text, start, end)
    return Span(first.start(), _last_seen(text, first.start(), end) + 1) if first else None
