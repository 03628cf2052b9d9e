"""Entity spans as IOB2 tags over pieces, and back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from labels.borders import name_starts
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
    """One tag a piece, and the entities that tags do not carry exactly. `borders` maps the first piece of each tagged
    entity to the number of proclitic letters that stand in it before the name: mostly none; `proclitic` are the
    entities where there are some."""

    tags: tuple[str, ...]
    misfits: tuple[tuple[Entity, Misfit], ...]
    borders: Mapping[int, int] = field(default_factory=dict)
    proclitic: tuple[Entity, ...] = ()


def encode_tags(entities: Sequence[Entity], offsets: Offsets, text: str | None = None) -> Tagging:
    """Tag every piece that an entity touches. An entity whose border lies inside a piece is tagged all the same (the
    nearest the pieces allow) and named among the misfits; one whose pieces are taken or that has none is left out.
    With `text`, which the trimmed offsets point into, the proclitic letters in a name's first piece are counted, and
    where they account for the border it is no misfit."""
    tags = ["O"] * len(offsets)
    misfits: list[tuple[Entity, Misfit]] = []
    borders: dict[int, int] = {}
    proclitic: list[Entity] = []
    for entity in sorted(entities, key=lambda e: e.span):
        touched = [i for i, (start, end) in enumerate(offsets) if max(start, entity.span.start) < min(end, entity.span.end)]
        if not touched:
            misfits.append((entity, Misfit.NO_PIECE))
            continue
        if any(tags[i] != "O" for i in touched):
            misfits.append((entity, Misfit.SHARED_PIECE))
            continue
        first = touched[0]
        starts = [offsets[first][0]] if text is None else name_starts(offsets[first], text)
        letters = starts.index(entity.span.start) if entity.span.start in starts else 0
        if starts[letters] < entity.span.start or offsets[touched[-1]][1] > entity.span.end:
            misfits.append((entity, Misfit.INSIDE_PIECE))
        elif letters:
            proclitic.append(entity)
        if starts[letters] >= entity.span.start:
            borders[first] = letters
        for rank, i in enumerate(touched):
            tags[i] = f"{'I' if rank else 'B'}-{entity.label}"
    return Tagging(tuple(tags), tuple(misfits), borders, tuple(proclitic))


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
