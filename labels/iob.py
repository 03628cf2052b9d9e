"""Entity spans as IOB2 tags over pieces, and back."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from labels.errors import AlignmentError
from labels.types import Entity, Span

Offsets = Sequence[tuple[int, int]]
"""Half-open code-point offsets of each piece; a piece without text (special) has start == end."""


class Misfit(StrEnum):
    """Why tags over these pieces cannot carry an entity exactly."""

    INSIDE_PIECE = "border inside a piece"
    SHARED_PIECE = "piece shared with another entity"
    NO_PIECE = "no piece covers it"


@dataclass(frozen=True, slots=True)
class Tagging:
    """One tag a piece, and the entities these tags do not carry exactly."""

    tags: tuple[str, ...]
    misfits: tuple[tuple[Entity, Misfit], ...]


def encode_tags(entities: Sequence[Entity], offsets: Offsets) -> Tagging:
    """Tag every piece that an entity touches. An entity whose border lies inside a piece is tagged all the same (the
    nearest the pieces allow) and named among the misfits; one whose pieces are taken or that has none is left out."""
    tags = ["O"] * len(offsets)
    misfits: list[tuple[Entity, Misfit]] = []
    for entity in sorted(entities, key=lambda e: e.span):
        touched = [i for i, (start, end) in enumerate(offsets) if max(start, entity.span.start) < min(end, entity.span.end)]
        if not touched:
            misfits.append((entity, Misfit.NO_PIECE))
            continue
        if any(tags[i] != "O" for i in touched):
            misfits.append((entity, Misfit.SHARED_PIECE))
            continue
        if offsets[touched[0]][0] < entity.span.start or offsets[touched[-1]][1] > entity.span.end:
            misfits.append((entity, Misfit.INSIDE_PIECE))
        for rank, i in enumerate(touched):
            tags[i] = f"{'I' if rank else 'B'}-{entity.label}"
    return Tagging(tuple(tags), tuple(misfits))


@dataclass(frozen=True, slots=True)
class TaggedSpan:
    """A run of pieces `[first, last]` under one label, and the characters it covers."""

    label: str
    span: Span
    first: int
    last: int


def decode_tags(tags: Sequence[str], offsets: Offsets) -> list[TaggedSpan]:
    """Strict IOB2: a span is B-x and the I-x that follow it; an I-x that continues nothing is no span. Pieces without
    text neither break nor extend one."""
    if len(tags) != len(offsets):
        raise AlignmentError(f"{len(tags)} tags for {len(offsets)} pieces")
    spans: list[TaggedSpan] = []
    open_at: int | None = None
    last = 0

    def close() -> None:
        if open_at is not None:
            label = tags[open_at][2:]
            spans.append(TaggedSpan(label, Span(offsets[open_at][0], offsets[last][1]), open_at, last))

    for i, (tag, (start, end)) in enumerate(zip(tags, offsets, strict=True)):
        if start == end:
            continue
        if open_at is not None and tag == f"I-{tags[open_at][2:]}":
            last = i
            continue
        close()
        open_at, last = (i, i) if tag.startswith("B-") else (None, 0)
    close()
    return spans
