"""Articles to measure with: a user's own, or invented ones of the sentences written for this project."""

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

from labels.errors import RecordError
from labels.records import parse_document, read_annotations, read_jsonl
from labels.types import Document

CORPUS = Path(__file__).resolve().parent.parent / "labels" / "corpus"
SHORTEST, LONGEST = 5, 15  # sentences an article
PARAGRAPH = 3  # sentences to a line
_STOPS = ".!?؟…"


def invented_articles(seed: int) -> Iterator[Document]:
    """Articles without end, the same for a seed, each of other sentences than itself but made of the same stock."""
    sentences = [annotation.text for file in sorted(CORPUS.glob("*.jsonl")) for annotation in read_annotations(file)]
    if len(sentences) < LONGEST:
        raise RecordError(str(CORPUS), f"expected at least {LONGEST} sentences to make articles of, found {len(sentences)}")
    draw = random.Random(seed)
    for number in itertools.count(1):
        yield Document(f"article-{number}", _join(draw.sample(sentences, draw.randint(SHORTEST, LONGEST))))


def documents_of(path: Path | None, seed: int) -> Iterator[Document]:
    """Those of the JSONL file `path`, over and over; invented ones where there is none."""
    if path is None:
        return invented_articles(seed)
    read = [parse_document(record, where) for where, record in read_jsonl(path)]
    if not read:
        raise RecordError(str(path), "expected one document a line, found none")
    return itertools.cycle(read)


def _join(sentences: list[str]) -> str:
    """In paragraphs; a sentence without a stop, as headlines are, gets its own line, or the next would grow into it."""
    text = ""
    for number, sentence in enumerate(sentences, 1):
        ends = sentence.rstrip()[-1:] in _STOPS and number % PARAGRAPH
        text += sentence + (" " if ends else "\n")
    return text.strip()
