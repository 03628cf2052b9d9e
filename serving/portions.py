"""Sentences of many documents cut into portions of bounded size, so that no document keeps a thread from another's."""

from collections.abc import Iterable, Iterator

from serving.assembly import Draft

# Characters of the sentences that are tokenized, and later decoded, in one go.
PORTION_CHARACTERS = 12_000
PORTION_DRAFTS = 256

Part = tuple[Draft, int, int]
"""Sentences `[first, last)` of a draft."""


def portions(drafts: Iterable[Draft]) -> Iterator[list[Part]]:
    """All sentences in order, up to PORTION_CHARACTERS together, of at most PORTION_DRAFTS documents; a longer sentence makes
    a portion alone. Documents without sentences leave a portion empty."""
    portion: list[Part] = []
    size = count = 0
    for draft in drafts:
        count += 1
        first = 0
        for number, span in enumerate(draft.sentences):
            if size and size + span.end - span.start > PORTION_CHARACTERS:
                if first < number:
                    portion.append((draft, first, number))
                yield portion
                portion, size, count, first = [], 0, 1, number
            size += span.end - span.start
        if first < len(draft.sentences):
            portion.append((draft, first, len(draft.sentences)))
        if count == PORTION_DRAFTS:
            yield portion
            portion, size, count = [], 0, 0
    if count:
        yield portion
