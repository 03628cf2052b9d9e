"""The best legal sequence of IOB2 tags.

The likeliest tag of each piece is what a sequence can score at most, and it is legal nearly everywhere. So the likeliest
are taken first, and only where two neighbours are illegal is the best legal sequence of the pieces around them searched
for, of as few as have one that fits the tags on both sides. Each part then scores as high as it can, and so does the
whole. Whether two pieces are one word costs more than the rest together and is asked only where the answer matters.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from labels.borders import Bond

Scores = npt.NDArray[np.float32]

Bonds = Callable[[int], Bond]
"""What ties a piece to the one before it."""


@dataclass(frozen=True, slots=True)
class _Moves:
    """What may follow what: bit `bond` of `barred[from][to]` says that it may not at such a bond, and `cost[bond]`
    `(from, to)` is -inf there and 0 elsewhere. `begins` and `inside` are the tags that begin an entity and those that go on
    with it."""

    begins: frozenset[int]
    inside: frozenset[int]
    barred: Sequence[Sequence[int]]
    cost: Sequence[npt.NDArray[np.float64]]


def best_legal_path(log_probs: Scores, tags: Sequence[str], bonds: Sequence[Bond] | Bonds | None = None) -> list[int]:
    """The likeliest of the paths over `(pieces, tags)` where I-x follows only B-x or I-x. At a piece that goes on with the
    word of the piece before, it must follow them, and O must follow O; behind what leads a piece in, no entity ends."""
    moves = _moves(tuple(tags))
    path: list[int] = log_probs.argmax(axis=1).tolist()
    suspects = [at for at, (a, b) in enumerate(pairwise(path), 1) if moves.barred[a][b]]
    if path and path[0] in moves.inside:
        suspects.insert(0, 0)
    if suspects:
        asked = bonds if bonds is None or callable(bonds) else bonds.__getitem__
        _Mender(log_probs, moves, asked, path).mend(suspects)
    return path


def entity_runs(path: Sequence[int], tags: Sequence[str]) -> list[tuple[int, int]]:
    """First and last piece of each entity of a legal path."""
    moves = _moves(tuple(tags))
    runs = []
    for first in [at for at, tag in enumerate(path) if tag in moves.begins]:
        last = first
        while last + 1 < len(path) and path[last + 1] in moves.inside:
            last += 1
        runs.append((first, last))
    return runs


@lru_cache(maxsize=64)
def _moves(tags: tuple[str, ...]) -> _Moves:
    begins, inside = (frozenset(t for t, tag in enumerate(tags) if tag.startswith(mark)) for mark in ("B-", "I-"))
    pairs = [[(a, b) for b in tags] for a in tags]
    legal = np.array([[not b.startswith("I-") or a[2:] == b[2:] for a, b in row] for row in pairs])
    onward = legal & np.array([[b == a == "O" or b.startswith("I-") for a, b in row] for row in pairs])
    endless = legal & np.array([[a == "O" or b.startswith("I-") for a, b in row] for row in pairs])
    allowed = {Bond.NONE: legal, Bond.WORD: onward, Bond.LEAD: endless}
    barred = sum(~moves << bond for bond, moves in allowed.items())
    return _Moves(begins, inside, barred.tolist(), [np.where(allowed[bond], 0.0, -np.inf) for bond in Bond])


@dataclass(frozen=True, slots=True)
class _Mender:
    """Makes `path`, the likeliest tags, legal."""

    log_probs: Scores
    moves: _Moves
    bonds: Bonds | None
    path: list[int]

    def mend(self, suspects: Sequence[int]) -> None:
        """`suspects` are the pieces that may not be allowed to follow the one before, in order."""
        mended: list[tuple[int, int]] = []  # stretches `[start, end)`, in order, each the best that it can be
        for at in suspects:
            if (mended and at < mended[-1][1]) or self._fits(at):
                continue
            start, end = max(at - 1, 0), at + 1
            grow_left = grow_right = False
            while True:
                size = end - start
                # Twice as long each time, so that even pieces that are illegal throughout take linear time.
                start = max(start - size, 0) if grow_left else start
                end = min(end + size, len(self.path)) if grow_right else end
                while mended and start < mended[-1][1]:  # part of a best stretch need not be the best of that part
                    start, stop = min(start, mended[-1][0]), mended.pop()[1]
                    end = min(max(end, stop + (stop - start)), len(self.path))
                self.path[start:end] = self._best(start, end)
                grow_left, grow_right = not self._fits(start, edge=True), not self._fits(end)
                if not (grow_left or grow_right):
                    break
            mended.append((start, end))

    def _fits(self, at: int, *, edge: bool = False) -> bool:
        """Whether piece `at` may have its tag after that of the piece before; at the `edge` of a stretch the first piece
        of all was seen to."""
        if at == 0:
            return edge or self.path[0] not in self.moves.inside
        if at == len(self.path):
            return True
        barred = self.moves.barred[self.path[at - 1]][self.path[at]]
        # Nothing is asked of a move that is allowed at every bond, or at none.
        return not barred or not (barred >> Bond.NONE & 1 or barred >> self._bond(at) & 1)

    def _bond(self, at: int) -> Bond:
        return Bond.NONE if self.bonds is None else self.bonds(at)

    def _best(self, start: int, end: int) -> list[int]:
        """Viterbi over the pieces `[start, end)` alone."""
        best = self.log_probs[start].astype(np.float64)
        if start == 0:
            best[list(self.moves.inside)] = -np.inf
        back = []
        for at in range(start + 1, end):
            through = best[:, None] + self.moves.cost[self._bond(at)]
            back.append(through.argmax(axis=0))
            best = np.maximum.reduce(through, axis=0) + self.log_probs[at]
        path = [int(best.argmax())]
        for step in reversed(back):
            path.append(int(step[path[-1]]))
        return path[::-1]
