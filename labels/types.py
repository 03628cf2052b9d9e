"""The shapes that cross between rooms. Offsets are half-open `[start, end)`, in Unicode code points of the text exactly
as given: `text[start:end]` is the surface. Values are never edited; a stage returns new ones."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """`[start, end)`, not empty."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValueError(f"a span needs 0 <= start < end, found [{self.start}, {self.end})")

    def of(self, text: str) -> str:
        """The surface this span covers."""
        return text[self.start : self.end]

    def overlaps(self, other: "Span") -> bool:
        return self.start < other.end and other.start < self.end

    def shift(self, by: int) -> "Span":
        return Span(self.start + by, self.end + by)


@dataclass(frozen=True, slots=True)
class Document:
    """What a reader hands in. `published` is an ISO date."""

    id: str
    text: str
    published: str | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Entity:
    """One mention. `score` in [0, 1]; 1 for gold. `sentence` indexes the prediction's sentences."""

    id: str
    label: str
    span: Span
    score: float = 1.0
    sentence: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """One happening: `roles` maps a role's name to entity ids of the same sentence. `trigger` is None while the model
    has no trigger head."""

    type: str
    trigger: Span | None = None
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    score: float = 1.0
    sentence: int = 0


@dataclass(frozen=True, slots=True)
class Annotation:
    """A gold sentence. `doc` names the document it is from: splits are made by it."""

    id: str
    text: str
    entities: tuple[Entity, ...] = ()
    events: tuple[Event, ...] = ()
    doc: str | None = None
    source: str | None = None

    @property
    def event_types(self) -> frozenset[str]:
        return frozenset(event.type for event in self.events)


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model says of one document. `event_types` holds the highest score of each type that passed its
    threshold; `warnings` tells what the reader should know (read in windows, no Arabic letters ...)."""

    id: str
    model: str
    text: str
    sentences: tuple[Span, ...] = ()
    entities: tuple[Entity, ...] = ()
    events: tuple[Event, ...] = ()
    event_types: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """What stands in a prediction's place when its document cannot be read. `code` is for programs, `message` for people."""

    id: str | None
    code: str
    message: str
