"""Sentences that are another's copy, or nearly: newspapers print the same agency report with a word changed here and there.

What is learnt from must not hold copies of what is measured on, and to leave out the documents of the latter is not enough.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable

from labels.spelling import normalised_words

SHARED_BY_BOTH = 0.4
SHARED_BY_SHORTER = 0.6

Runs = frozenset[tuple[str, ...]]


class Copies:
    """Tells whether a text is nearly one of `texts`: two texts are copies where they share SHARED_BY_BOTH of all their runs
    of three words (of two, in texts under five words), or SHARED_BY_SHORTER of the runs of the shorter one. Spellings that
    differ between newspapers count as one."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._runs = [_runs(text) for text in texts]
        self._holding: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for number, runs in enumerate(self._runs):
            for run in runs:
                self._holding[run].append(number)

    def __contains__(self, text: str) -> bool:
        runs = _runs(text)
        shared = Counter(number for run in runs for number in self._holding.get(run, ()))
        return any(self._is_copy(runs, self._runs[number], count) for number, count in shared.items())

    @staticmethod
    def _is_copy(one: Runs, other: Runs, shared: int) -> bool:
        shorter = min(len(one), len(other))
        return shared >= SHARED_BY_SHORTER * shorter or shared >= SHARED_BY_BOTH * (len(one) + len(other) - shared)


def _runs(text: str) -> Runs:
    words = normalised_words(text)
    length = 3 if len(words) >= 5 else 2
    return frozenset(tuple(words[i : i + length]) for i in range(len(words) + 1 - length))
