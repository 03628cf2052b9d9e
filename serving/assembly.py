"""What was read in the sentences of a document, put together into its prediction."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from labels.reading import Reading
from labels.schema import LabelSchema
from labels.types import Document, Entity, Event, Failure, Prediction, Span

_ARABIC_LETTER = re.compile(
    "[\u0620-\u063f\u0641-\u064a\u066e-\u06d3\u06d5\u06ee-\u06ff\u0750-\u077f\u08a0-\u08c7\ufb50-\ufdff\ufe70-\ufefc]"
)


@dataclass(frozen=True, slots=True)
class SentenceReading:
    """What is kept of a sentence: what was found in it, and what a reader of the answer should be warned of."""

    reading: Reading
    windows: int
    unknown: int


@dataclass(slots=True)
class Draft:
    """A document on its way: its sentences and, as they come, what was read in each. A Failure has none and is done."""

    row: Document | Failure
    sentences: Sequence[Span] = ()
    read: list[SentenceReading | None] = field(init=False)
    left: int = field(init=False)

    def __post_init__(self) -> None:
        self.left = len(self.sentences)
        self.read = [None] * self.left

    @property
    def text(self) -> str:
        return self.row.text if isinstance(self.row, Document) else ""

    def take(self, first: int, read: Sequence[SentenceReading]) -> None:
        """What was read in the sentences from the index `first` on."""
        self.read[first : first + len(read)] = read
        self.left = max(0, self.left - len(read))  # nothing, once it was given up

    def give_up(self, failure: Failure) -> None:
        """Nothing more is waited for."""
        self.row, self.left = failure, 0


def assemble(document: Document, draft: Draft, model: str, schema: LabelSchema) -> Prediction:
    """Spans of sentences become spans of the text; entities are numbered through the document."""
    read = [each for each in draft.read if each is not None]
    prefixes = {label.name: label.prefix for label in schema.entities}
    entities: list[Entity] = []
    events: list[Event] = []
    highest: dict[str, float] = {}
    counts: Counter[str] = Counter()
    for number, (sentence, each) in enumerate(zip(draft.sentences, read, strict=True)):
        ids = []
        for found in each.reading.entities:
            prefix = prefixes[found.label]
            counts[prefix] += 1
            ids.append(f"{prefix}{counts[prefix]}")
            entities.append(Entity(ids[-1], found.label, found.span.shift(sentence.start), found.score, number))
        for event in each.reading.events:
            trigger = event.trigger and event.trigger.shift(sentence.start)
            roles = {name: tuple(ids[i] for i in filled) for name, filled in event.roles.items()}
            events.append(Event(event.type, trigger, roles, event.score, number))
        for kind, score in each.reading.types.items():
            highest[kind] = max(score, highest.get(kind, 0.0))
    return Prediction(
        id=document.id,
        model=model,
        text=document.text,
        sentences=tuple(draft.sentences),
        entities=tuple(entities),
        events=tuple(events),
        event_types={kind: highest[kind] for kind in schema.event_types if kind in highest},
        warnings=tuple(_warnings(document.text, read)),
    )


def _warnings(text: str, sentences: Sequence[SentenceReading]) -> Iterator[str]:
    """What a reader of the answer should know."""
    if not sentences:
        yield "empty text"
    elif not _ARABIC_LETTER.search(text):
        yield "no Arabic letters"
    if windowed := sum(each.windows > 1 for each in sentences):
        yield f"{_count(windowed, 'sentence')} read in windows"
    if unknown := sum(each.unknown for each in sentences):
        yield f"{_count(unknown, 'character')} unknown to the tokenizer"
    if shared := sum(each.reading.shared for each in sentences):
        yield f"{_count(shared, 'name')} left out that shared a character with a likelier one"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
