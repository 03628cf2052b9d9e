"""Two-column files, a word and its IOB2 tag a line, as other tools read and write them. Sentences are parted by blank
lines. Labels are whatever the tags say; events have no place here."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from labels.errors import RecordError
from labels.iob import Misfit, decode_tags, encode_tags
from labels.types import Annotation, Entity

# Zero-width and bidirectional marks, a byte order mark: some published files have them at the edges of words.
INVISIBLE = "\u061c\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"

_COLUMNS = re.compile(r"[ \t]+")
_TAG = re.compile(r"O|[BI]-\S+")
_WORD = re.compile(r"\S+")
_DOCUMENT = "-DOCSTART-"


@dataclass(frozen=True, slots=True)
class ConllFile:
    """What a file held: each sentence, or the error of a line that cannot be read, with the `file:line` where it begins.
    `repaired` counts the I- tags that continued nothing and were read as B-; `unseen` the words of invisible marks alone,
    which were left out."""

    items: tuple[tuple[str, Annotation | RecordError], ...]
    repaired: int = 0
    unseen: int = 0

    @property
    def annotations(self) -> tuple[Annotation, ...]:
        """The sentences; raises the first error there is."""
        for _, item in self.items:
            if isinstance(item, RecordError):
                raise item
        return tuple(item for _, item in self.items if isinstance(item, Annotation))


@dataclass(frozen=True, slots=True)
class TaggedWords:
    """A sentence's words with their tags, and the entities that these tags do not carry."""

    words: tuple[tuple[str, str], ...]
    misfits: tuple[tuple[Entity, Misfit], ...]


def read_conll(path: Path, *, strict: bool = False) -> ConllFile:
    """Sentences as words joined by one space, with ids FILE#0, FILE#1 … and entities e1, e2 …; `-DOCSTART-` lines part
    documents. Of more than two columns the first and the last count. With `strict` an I- tag that continues nothing, as in
    IOB1, is an error; without, it is read as B- and counted. A line that cannot be read is passed over and its error kept."""
    try:
        lines = path.read_bytes().decode("utf-8-sig").split("\n")
    except OSError as error:
        raise RecordError(str(path), f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RecordError(str(path), f"not UTF-8: {error.reason} at byte {error.start}") from error
    reader = _Reader(path, strict)
    for number, line in enumerate(lines, 1):
        try:
            reader.read(line, f"{path}:{number}")
        except RecordError as error:
            reader.items.append((error.where, error))
    reader.end_sentence()
    return ConllFile(tuple(reader.items), reader.repaired, reader.unseen)


def tag_words(annotation: Annotation) -> TaggedWords:
    """The words between white space, cut once more at the borders of entities, so that a proclitic outside a name is a
    word of its own. Which white space there was, and where there was none, is not kept."""
    borders = {border for entity in annotation.entities for border in (entity.span.start, entity.span.end)}
    offsets: list[tuple[int, int]] = []
    for word in _WORD.finditer(annotation.text):
        cuts = [word.start(), *sorted(border for border in borders if word.start() < border < word.end()), word.end()]
        offsets += pairwise(cuts)
    tagging = encode_tags(annotation.entities, offsets)
    words = (annotation.text[start:end] for start, end in offsets)
    return TaggedWords(tuple(zip(words, tagging.tags, strict=True)), tagging.misfits)


def write_conll(path: Path, annotations: Iterable[Annotation]) -> tuple[tuple[Entity, Misfit], ...]:
    """Write one word and tag a line, parted by a tab, a `-DOCSTART-` line before each new document; returns the entities
    that are lost because another one has their words."""
    lost: list[tuple[Entity, Misfit]] = []
    doc: str | None = None
    with path.open("w", encoding="utf-8", newline="\n") as handle:
        for annotation in annotations:
            tagged = tag_words(annotation)
            lost += tagged.misfits
            if annotation.doc is not None and annotation.doc != doc:
                handle.write(f"{_DOCUMENT}\tO\n\n")
            doc = annotation.doc
            handle.writelines(f"{word}\t{tag}\n" for word, tag in tagged.words)
            handle.write("\n")
    return tuple(lost)


class _Reader:
    """The sentence being read, and those that are done."""

    def __init__(self, path: Path, strict: bool) -> None:
        self.stem = path.stem
        self.strict = strict
        self.items: list[tuple[str, Annotation | RecordError]] = []
        self.repaired = 0
        self.unseen = 0
        self.documents = 0
        self.sentences = 0
        self.begun = ""
        self.words: list[str] = []
        self.tags: list[str] = []

    def read(self, raw: str, where: str) -> None:
        line = raw.strip(f" \t\r{INVISIBLE}")
        if not line:
            # A tag-less line of marks parts sentences like a blank one.
            self.end_sentence()
            return
        columns = _COLUMNS.split(line)
        if columns[0] == _DOCUMENT:
            self.end_sentence()
            self.documents += 1
            return
        word, tag = columns[0].strip(INVISIBLE), columns[-1].strip(INVISIBLE)
        if len(columns) == 1 and _TAG.fullmatch(tag) and raw.lstrip(INVISIBLE)[:1] in {" ", "\t"}:
            word = ""  # a word of marks alone before its tag
        elif len(columns) == 1 or not _TAG.fullmatch(tag):
            raise RecordError(where, f"expected a word and a tag, O, B-x or I-x; found {line[:60]!r}")
        if not word:
            self.unseen += 1
            return
        tag = self.legal(tag, where)
        self.begun = self.begun if self.words else where
        self.words.append(word)
        self.tags.append(tag)

    def legal(self, tag: str, where: str) -> str:
        """The tag, or B- where I- continues nothing."""
        if not tag.startswith("I-") or (self.tags and self.tags[-1] in {tag, f"B-{tag[2:]}"}):
            return tag
        if self.strict:
            before = self.tags[-1] if self.tags else "the start of a sentence"
            raise RecordError(where, f"expected B-{tag[2:]} after {before}, found {tag}; IOB1 is read without strict")
        self.repaired += 1
        return f"B-{tag[2:]}"

    def end_sentence(self) -> None:
        if not self.words:
            return
        offsets, at = [], 0
        for word in self.words:
            offsets.append((at, at + len(word)))
            at += len(word) + 1
        entities = tuple(
            Entity(f"e{number}", tagged.label, tagged.span) for number, tagged in enumerate(decode_tags(self.tags, offsets), 1)
        )
        doc = f"{self.stem}-{self.documents}" if self.documents else None
        annotation = Annotation(f"{self.stem}#{self.sentences}", " ".join(self.words), entities, doc=doc)
        self.items.append((self.begun, annotation))
        self.sentences += 1
        self.words, self.tags = [], []
