"""Words in the form in which two spellings of them are the same: to compare texts, never to read them."""

import re
import unicodedata

# Harakat, Quranic signs, tatweel; zero-width and bidirectional marks.
_MARKS = re.compile(
    "[\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed\u08d3-\u08ff"
    "\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]+"
)
_WORD = re.compile(r"[^\W_]+")
# Spellings that differ between newspapers: alef with and without hamza, final yeh and heh, Persian letters, digits.
_FOLDS = [(letter, "\u0627") for letter in "\u0622\u0623\u0625\u0671\u0672\u0673"]
_FOLDS += [("\u0649", "\u064a"), ("\u06cc", "\u064a"), ("\u0629", "\u0647"), ("\u06a9", "\u0643")]
_FOLDS += [(chr(zero + digit), str(digit)) for zero in (0x0660, 0x06F0) for digit in range(10)]


def normalised_words(text: str) -> list[str]:
    """Letters and digits, in the form in which two spellings of a word are the same; nothing else."""
    text = _MARKS.sub("", unicodedata.normalize("NFKC", text)).lower()
    for old, new in _FOLDS:
        text = text.replace(old, new)  # far quicker than str.translate
    return _WORD.findall(text)
