"""Which items are learnt from and which are measured: blocks of neighbours, folds of them, a part held back.

Folds come in two kinds. Sentences of a running text go into contiguous ones: the sentences of an article are neighbours in
its file, so that a cut through the whole file parts few articles, and a drawn sentence would leave the rest of its article
to learn from. Rows that are independent are dealt out by class, because a file may be sorted by class.
"""

import random
from collections.abc import Hashable, Sequence
from itertools import pairwise

from labels.errors import ConfigError


def number_blocks(documents: Sequence[Hashable | None], size: int) -> list[int]:
    """The block of each item, ascending. Neighbours of one document share a block; items without one make blocks of
    `size` neighbours: number_blocks(["a", "a", None, None, None], 2) -> [0, 0, 1, 1, 2]."""
    if size < 1:
        raise ConfigError(f"expected blocks of at least 1 sentence, found {size}")
    numbers: list[int] = []
    length = 0
    for i, document in enumerate(documents):
        new = i == 0 or document != documents[i - 1] or (document is None and length == size)
        numbers.append(numbers[-1] + new if numbers else 0)
        length = 1 if new else length + 1
    return numbers


def contiguous_folds(blocks: Sequence[int], count: int) -> list[range]:
    """`count` runs of whole blocks that together are all items, as near to equal length as the blocks allow."""
    starts = [i for i in range(1, len(blocks)) if blocks[i] != blocks[i - 1]]
    if not 2 <= count <= len(starts) + 1:
        raise ConfigError(f"expected 2 to {len(starts) + 1} folds, as there are {len(starts) + 1} blocks; found {count}")
    cuts = [0]
    first = 0
    for number in range(1, count):
        left = count - number - 1  # cuts that must still find a place behind this one
        options = range(first, len(starts) - left)
        chosen = min(options, key=lambda i: abs(starts[i] - number * len(blocks) / count))
        cuts.append(starts[chosen])
        first = chosen + 1
    return [range(start, end) for start, end in pairwise([*cuts, len(blocks)])]


def dealt_folds(groups: Sequence[Hashable], classes: Sequence[Hashable], count: int) -> list[list[int]]:
    """`count` lists of items that together are all items, each with its share of every class; the items of a group stay
    together. The deal depends on the items alone and not on a run's seed: every run has the same folds."""
    members: dict[Hashable, list[int]] = {}
    for i, group in enumerate(groups):
        members.setdefault(group, []).append(i)
    if not 2 <= count <= len(members):
        raise ConfigError(f"expected 2 to {len(members)} folds, as there are {len(members)} different texts; found {count}")
    order = list(members)
    random.Random(0).shuffle(order)
    ranks = {name: rank for rank, name in enumerate(dict.fromkeys(classes))}
    # Sorted by class (that of a group's first item) and dealt like cards, so that no fold has two more of one than another.
    order.sort(key=lambda group: ranks[classes[members[group][0]]])
    return [sorted(i for group in order[fold::count] for i in members[group]) for fold in range(count)]


def drawn(groups: Sequence[Hashable], count: int) -> list[int]:
    """About `count` items, whole groups of them, in their order: the same ones at every call, and more of them with a
    larger `count`."""
    members: dict[Hashable, list[int]] = {}
    for i, group in enumerate(groups):
        members.setdefault(group, []).append(i)
    order = list(members)
    random.Random(0).shuffle(order)
    found: list[int] = []
    for group in order:
        if len(found) >= count:
            break
        found += members[group]
    return sorted(found)


def hold_last(items: Sequence[int], blocks: Sequence[int], share: float) -> tuple[list[int], list[int]]:
    """`items`, without and with only their last whole blocks, which are at least `share` of them. At least one block
    stays on either side."""
    starts = [0, *(i for i in range(1, len(items)) if blocks[items[i]] != blocks[items[i - 1]])]
    if len(starts) < 2:
        raise ConfigError("expected at least two blocks of sentences to learn from, one to choose the epoch on; found one")
    wanted = len(items) * (1 - share)
    cut = max((start for start in starts[1:] if start <= wanted), default=starts[1])
    return list(items[:cut]), list(items[cut:])
