"""Where a name begins inside a piece.

Arabic writes و ف ب ك ل onto the next word, and many a tokenizer makes one piece of such a letter and the beginning of
the name: `وبنغازي` is cut into `وب` and `##نغازي`. Tags can then say only that the name begins in `وب`. A model may say
besides how many letters of that piece stand before the name. What "letters" are is defined here and nowhere else, for
those who count them in the gold and for those who take them off an answer.
"""

import re
import unicodedata
from collections.abc import Sequence
from enum import IntEnum
from operator import itemgetter

MAX_PROCLITICS = 3
"""The most letters that stand before one name: a conjunction, a preposition, and one to spare."""

_PROCLITICS = frozenset("\u0648\u0641\u0628\u0643\u0644")  # wa-, fa-, bi-, ka-, li-; the first lam of لل is a li- as well
_TATWEEL = "\u0640"
# All but characters that are surely neither white space nor marks. Others that are neither only cost a closer look.
_DOUBTFUL = re.compile("[^\\w!-/:-@\\[-`{-~\u060c\u061b\u061f\u00ab\u00bb\u2013\u2014\u2018-\u201d\u2026]|\u0640")


def is_mark(character: str) -> bool:
    """A diacritic or a tatweel: part of the letter before it as written, and no letter itself."""
    return character == _TATWEEL or unicodedata.category(character) == "Mn"


def is_unlettered(character: str) -> bool:
    """A mark, or a sign that is not seen at all."""
    return is_mark(character) or unicodedata.category(character) == "Cf"


def trim_pieces(offsets: Sequence[tuple[int, int]], text: str) -> list[tuple[int, int]]:
    """The offsets without white space on either side and without marks in front. Byte-level and SentencePiece
    tokenizers count the space before a word to its first piece, and one that keeps diacritics may begin a piece with
    that of the letter before; no name begins or ends there. A piece of nothing else becomes empty, as special ones are."""
    if not offsets:
        return []
    starts, ends = zip(*offsets, strict=True)
    # All first and all last characters are taken and looked at in one go: most texts have nothing to trim.
    edges = "".join(itemgetter(-1, *starts)(text + ".")) + "".join(itemgetter(0, *ends)("." + text))
    if not _DOUBTFUL.search(edges):
        return list(offsets)
    return [
        (start, end)
        if start < end and text[start].isalnum() and text[start] != _TATWEEL and not text[end - 1].isspace()
        else _trim(start, end, text)
        for start, end in offsets
    ]


def _trim(start: int, end: int, text: str) -> tuple[int, int]:
    while start < end and (text[start].isspace() or is_unlettered(text[start])):
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end


def name_starts(piece: tuple[int, int], text: str) -> list[int]:
    """Where a name may begin in a trimmed `piece`: at its start, after one proclitic letter with the marks that belong
    to it, after two ... There is always a letter left: (0, 2) of `وبنغازي` -> [0, 1], (0, 7) -> [0, 1, 2]; (0, 5) of
    `لِـبنان` -> [0, 3, 4]."""
    at, end = piece
    starts = [at]
    while len(starts) <= MAX_PROCLITICS and at < end and unicodedata.normalize("NFKC", text[at]) in _PROCLITICS:
        at += 1
        while at < end and is_unlettered(text[at]):
            at += 1
        if at == end or not text[at].isalnum():
            break
        starts.append(at)
    return starts


class Bond(IntEnum):
    """What ties a piece to the one before it. A WORD goes on: a name has both pieces or neither. A LEAD has come before:
    a proclitic or an opening mark, with which no name ends."""

    NONE = 0
    WORD = 1
    LEAD = 2


def bond(before: tuple[int, int], after: tuple[int, int], text: str) -> Bond:
    """What ties two neighbouring pieces in writing: nothing where more than marks stands between them, LEAD where the word
    up to the second is proclitics, else WORD. `و|ل|داعش` leads twice, `باكستان|ي` is one word."""
    for sign in text[before[1] : after[0]]:
        if sign.isspace() or not is_unlettered(sign):  # mostly it is white space, which needs no looking up
            return Bond.NONE
    last = before[1] - 1
    while last > before[0] and is_unlettered(text[last]):  # a diacritic is a part of its letter
        last -= 1
    if not (text[after[0]].isalnum() and text[last].isalnum()):
        return Bond.NONE
    start = before[0]
    while start > 0 and (text[start - 1].isalnum() or is_unlettered(text[start - 1])):
        start -= 1
    return Bond.LEAD if after[0] in name_starts((start, after[1]), text)[1:] else Bond.WORD


def is_one_word(before: tuple[int, int], after: tuple[int, int], text: str) -> bool:
    """Whether two neighbouring pieces are parts of one word, proclitics apart."""
    return bond(before, after, text) is Bond.WORD
