"""Documents that say nearly word for word what an earlier one said, as archives full of agency copies have them.

A text is the set of its runs of three words, and the similarity of two texts is the Jaccard index of their sets: what they
share, over what either has. Kept of a text are a MinHash signature, whose places agree with those of another in that
proportion, and the bands of it by which the few earlier texts worth comparing are found.

What is marked depends on the texts and their order alone: not on the process, PYTHONHASHSEED or the processor. A run that
looks at the same texts again finds the same.
"""

import hashlib
from array import array
from dataclasses import dataclass
from typing import Any

import numpy as np

from labels.spelling import normalised_words
from serving.errors import SettingsError

LOWEST = 0.3
"""The lowest threshold. Beneath it texts of one kind, such as weather reports, are all alike."""
FEWEST_SHINGLES = 16
"""With fewer a text is compared as a whole: there one other word, a town or a number, makes it other news."""

_WORDS = 3  # a shingle
_PLACES = 120  # of a signature; a similarity of 0.8 is estimated with a standard deviation of 0.03 or less
_SEED = 1
_CERTAINTY = 0.99  # that two texts as similar as the threshold share a band


@dataclass(frozen=True, slots=True)
class Mark:
    """`of` is the id of the earlier document, which is itself not marked; `similarity` is estimated, in [0, 1]."""

    of: str
    similarity: float


class NearDuplicates:
    """Asked of each document in turn, and remembers those that were new."""

    def __init__(self, threshold: float = 0.8) -> None:
        """`threshold` is the similarity from which on a document is marked, in [LOWEST, 1]. SettingsError if it is not, or
        if the package that makes signatures is missing."""
        if not LOWEST <= threshold <= 1:
            raise SettingsError(f"near-duplicates: expected a similarity between {LOWEST} and 1, found {threshold}")
        self.threshold = threshold
        self._rensa = _load_rensa()
        self._bands = self._rensa.RMinHashLSH(threshold, _PLACES, _count_bands(threshold))
        self._originals: list[str] = []
        self._signatures = array("I")  # one after another, _PLACES each: a list of them would take twice the memory
        self._short: dict[bytes, str] = {}

    def look(self, identity: str, text: str) -> Mark | None:
        """The most similar earlier document that is itself not marked, the first of equals, if it is similar enough.
        Otherwise this one is remembered. Ids need not differ. A text without words is like no other."""
        words = normalised_words(text)
        found = shingles(words)
        if len(found) < FEWEST_SHINGLES:
            return self._look_whole(identity, words)
        sketch = self._rensa.RMinHash(_PLACES, _SEED)
        sketch.update(found)
        signature = np.array(sketch.digest(), dtype=np.uint32)
        if candidates := sorted(self._bands.query(sketch)):
            known = np.frombuffer(self._signatures, dtype=np.uint32).reshape(-1, _PLACES)[candidates]
            similarities = (known == signature).sum(axis=1) / _PLACES
            best = int(similarities.argmax())  # of equals the first
            if similarities[best] >= self.threshold:
                return Mark(self._originals[candidates[best]], round(float(similarities[best]), 3))
        self._bands.insert(len(self._originals), sketch)
        self._originals.append(identity)
        self._signatures.frombytes(signature.tobytes())
        return None

    def _look_whole(self, identity: str, words: list[str]) -> Mark | None:
        if not words:
            return None
        digest = hashlib.blake2b(" ".join(words).encode(), digest_size=16).digest()
        if digest in self._short:
            return Mark(self._short[digest], 1.0)
        self._short[digest] = identity
        return None


def shingles(words: list[str]) -> list[str]:
    """Each run of three words once, in order of first place; none of fewer than three words."""
    return list(dict.fromkeys(map(" ".join, zip(*(words[start:] for start in range(_WORDS)), strict=False))))


def _count_bands(threshold: float) -> int:
    """The fewest bands, of equally many places, of which two texts as similar as `threshold` share one with _CERTAINTY:
    fewer bands are longer, take less memory and let fewer texts through to be compared."""
    divisors = (bands for bands in range(1, _PLACES + 1) if _PLACES % bands == 0)
    return next(bands for bands in divisors if 1 - (1 - threshold ** (_PLACES // bands)) ** bands >= _CERTAINTY)


def _load_rensa() -> Any:
    try:
        import rensa
    except ImportError as error:
        raise SettingsError("marking near-duplicates needs the package rensa: pip install 'marsad[dedup]'") from error
    return rensa
