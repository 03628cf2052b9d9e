"""Documents to predictions: split into sentences, read each in windows where it is long, run all rows of many documents
together, decode, and give every document its own answer in its own place."""

import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from labels.reading import Reading, read_sentence
from labels.scores import RowScores, merge_rows
from labels.sentences import split_sentences
from labels.types import Document, Entity, Event, Failure, Prediction, Span
from labels.windows import plan_windows
from serving.engine import Engine, Pieces
from serving.errors import INTERNAL_MESSAGE, Code, EngineError

logger = logging.getLogger(__name__)

MAX_CHARACTERS = 1_000_000
# Characters of the documents that are held as pieces and scores at one time; a longer document makes a group alone.
GROUP_CHARACTERS = 200_000

_ARABIC_LETTER = re.compile(
    "[\u0620-\u063f\u0641-\u064a\u066e-\u06d3\u06d5\u06ee-\u06ff\u0750-\u077f\u08a0-\u08c7\ufb50-\ufdff\ufe70-\ufefc]"
)


@dataclass(frozen=True, slots=True)
class _Sentence:
    """A sentence of the document at index `document`; its pieces' offsets count from the sentence's start."""

    document: int
    span: Span
    pieces: Pieces
    windows: list[Span]


class Analyzer:
    """Answers with one engine. Safe to share between threads."""

    def __init__(
        self, engine: Engine, *, max_characters: int = MAX_CHARACTERS, thresholds: Mapping[str, float] | None = None
    ) -> None:
        """`thresholds` take the place of the folder's own for the event types they name."""
        self.engine = engine
        self.max_characters = max_characters
        self._schema = engine.folder.schema
        rules = engine.folder.rules
        self._rules = replace(rules, thresholds={**rules.thresholds, **(thresholds or {})})
        self._prefixes = {label.name: label.prefix for label in self._schema.entities}

    def analyze(self, documents: Sequence[Document]) -> list[Prediction | Failure]:
        """One answer a document, in the documents' order. A document that cannot be read gets a Failure in its place
        and does its neighbours no harm; nothing is raised for one."""
        answers: dict[int, Prediction | Failure] = {}
        for i, document in enumerate(documents):
            if failure := self._refuse(document):
                answers[i] = failure
        for group in _groups(documents, [i for i in range(len(documents)) if i not in answers]):
            answers |= zip(group, self._answer([documents[i] for i in group]), strict=True)
        results = [answers[i] for i in range(len(documents))]
        if [result.id for result in results] != [document.id for document in documents]:
            raise EngineError("answers and documents are not in one order; this is a fault of the program, please report it")
        return results

    def _refuse(self, document: Document) -> Failure | None:
        if len(document.text) > self.max_characters:
            message = f"text has {len(document.text)} characters, at most {self.max_characters} are read; split the document"
            return Failure(document.id, Code.TEXT_TOO_LONG, message)
        try:
            document.text.encode()
        except UnicodeEncodeError as error:
            found = f"U+{ord(document.text[error.start]):04X} at character {error.start}"
            message = f"text is not Unicode text: lone surrogate {found}; decode the source again"
            return Failure(document.id, Code.INVALID_TEXT, message)
        return None

    def _answer(self, documents: Sequence[Document]) -> Sequence[Prediction | Failure]:
        """All together, and if that fails, each alone, so that only the one at fault has no answer."""
        try:
            return self._predict(documents)
        except Exception:
            if len(documents) > 1:
                logger.warning("%d documents could not be analysed together, trying each alone", len(documents), exc_info=True)
                return [answer for document in documents for answer in self._answer([document])]
            logger.exception("document %r could not be analysed", documents[0].id)
            return [Failure(documents[0].id, Code.INTERNAL, INTERNAL_MESSAGE)]

    def _predict(self, documents: Sequence[Document]) -> list[Prediction]:
        sentences = self._read(documents)
        rows = [sentence.pieces.ids[window.start : window.end] for sentence in sentences for window in sentence.windows]
        scores = iter(self.engine.forward(rows))
        by_document: list[list[tuple[_Sentence, Reading]]] = [[] for _ in documents]
        for sentence in sentences:
            text = sentence.span.of(documents[sentence.document].text)
            reading = self._decode(sentence, [next(scores) for _ in sentence.windows], text)
            by_document[sentence.document].append((sentence, reading))
        return [self._assemble(document, read) for document, read in zip(documents, by_document, strict=True)]

    def _read(self, documents: Sequence[Document]) -> list[_Sentence]:
        spans = [(i, span) for i, document in enumerate(documents) for span in split_sentences(document.text)]
        pieces = self.engine.encode([span.of(documents[i].text) for i, span in spans])
        manifest = self.engine.folder.manifest
        return [
            _Sentence(i, span, read, plan_windows(len(read.ids), manifest.window, manifest.overlap))
            for (i, span), read in zip(spans, pieces, strict=True)
        ]

    def _decode(self, sentence: _Sentence, rows: Sequence[RowScores], text: str) -> Reading:
        scores = merge_rows(sentence.pieces.offsets, sentence.windows, rows)
        return read_sentence(scores, text, self._schema, self._rules)

    def _assemble(self, document: Document, read: Sequence[tuple[_Sentence, Reading]]) -> Prediction:
        entities: list[Entity] = []
        events: list[Event] = []
        highest: dict[str, float] = {}
        counts: Counter[str] = Counter()
        shared = 0
        for number, (sentence, reading) in enumerate(read):
            shared += reading.shared
            ids = []
            for found in reading.entities:
                prefix = self._prefixes[found.label]
                counts[prefix] += 1
                ids.append(f"{prefix}{counts[prefix]}")
                span = found.span.shift(sentence.span.start)
                entities.append(Entity(ids[-1], found.label, span, found.score, number))
            for event in reading.events:
                trigger = event.trigger and event.trigger.shift(sentence.span.start)
                roles = {name: tuple(ids[i] for i in filled) for name, filled in event.roles.items()}
                events.append(Event(event.type, trigger, roles, event.score, number))
            for kind, score in reading.types.items():
                highest[kind] = max(score, highest.get(kind, 0.0))
        return Prediction(
            id=document.id,
            model=self.engine.folder.id,
            text=document.text,
            sentences=tuple(sentence.span for sentence, _ in read),
            entities=tuple(entities),
            events=tuple(events),
            event_types={kind: highest[kind] for kind in self._schema.event_types if kind in highest},
            warnings=tuple(_warnings(document.text, [sentence for sentence, _ in read], shared)),
        )


def _groups(documents: Sequence[Document], indexes: Iterable[int]) -> Iterator[list[int]]:
    """Neighbours together, up to GROUP_CHARACTERS."""
    group: list[int] = []
    size = 0
    for i in indexes:
        if group and size + len(documents[i].text) > GROUP_CHARACTERS:
            yield group
            group, size = [], 0
        group.append(i)
        size += len(documents[i].text)
    if group:
        yield group


def _warnings(text: str, sentences: Sequence[_Sentence], shared: int) -> Iterator[str]:
    """What a reader of the answer should know."""
    if not sentences:
        yield "empty text"
    elif not _ARABIC_LETTER.search(text):
        yield "no Arabic letters"
    if windowed := sum(len(sentence.windows) > 1 for sentence in sentences):
        yield f"{_count(windowed, 'sentence')} read in windows"
    unknown = sum(end - start for s in sentences for start, end in (s.pieces.offsets[i] for i in s.pieces.unknown))
    if unknown:
        yield f"{_count(unknown, 'character')} unknown to the tokenizer"
    if shared:
        yield f"{_count(shared, 'name')} left out that shared a character with a likelier one"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
