"""The texts to pre-train on: read as a stream, weighed, repeated paragraphs dropped."""

import hashlib
import json
import logging
import lzma
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from labels.errors import ConfigError, RecordError

logger = logging.getLogger(__name__)

MIN_PARAGRAPH = 40  # characters; shorter lines are menus, bylines and scraps of mark-up


@dataclass(frozen=True)
class TextSource:
    """One JSONL file (plain or .xz) of `{"id", "text", "category"?}` and the share of its documents to keep. With `match`, a
    regular expression, only documents in which it is found at least `min_matches` times."""

    file: str
    weight: float = 1.0
    categories: dict[str, float] = field(default_factory=dict)
    match: str = ""
    min_matches: int = 1

    def __post_init__(self) -> None:
        try:
            re.compile(self.match)
        except re.error as error:
            raise ValueError(f"texts.{self.file}: match is no regular expression: {error}") from error
        for name, share in [("weight", self.weight), *self.categories.items()]:
            if not 0 <= share <= 1:
                raise ValueError(f"texts.{self.file}: {name} must be in [0, 1], found {share}")


def iter_paragraphs(folder: Path, sources: tuple[TextSource, ...]) -> Iterator[list[str]]:
    """Yield the paragraphs of each kept document, those seen before left out; which documents are kept depends on
    their ids alone, so that the same configuration always gives the same corpus."""
    seen: set[bytes] = set()
    dropped = kept = 0
    for source in sources:
        pattern = re.compile(source.match)
        for number, line in enumerate(_lines(folder / source.file), 1):
            try:
                record = json.loads(line)
                identifier, text = str(record["id"]), str(record["text"])
            except (ValueError, KeyError, TypeError) as error:
                raise RecordError(
                    f"{folder / source.file}:{number}", f"expected an object with id and text: {error}"
                ) from error
            if _draw(identifier) >= source.categories.get(str(record.get("category")), source.weight):
                continue
            if source.match and sum(1 for _ in pattern.finditer(text)) < source.min_matches:
                continue
            paragraphs = []
            for paragraph in map(str.strip, text.splitlines()):
                if len(paragraph) < MIN_PARAGRAPH or paragraph.startswith(("<doc ", "</doc")):
                    continue
                digest = hashlib.blake2b(paragraph.encode(), digest_size=8).digest()
                if digest in seen:
                    dropped += 1
                    continue
                seen.add(digest)
                kept += 1
                paragraphs.append(paragraph)
            if paragraphs:
                yield paragraphs
    logger.info("paragraphs: %d kept, %d repeated ones dropped", kept, dropped)


def _lines(path: Path) -> Iterator[str]:
    try:
        opener: Callable[..., IO[str]] = lzma.open if path.suffix == ".xz" else open
        handle = opener(path, "rt", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    with handle:
        yield from handle


def _draw(identifier: str) -> float:
    """A number in [0, 1) that is a document's own."""
    return int.from_bytes(hashlib.blake2b(identifier.encode(), digest_size=6).digest(), "big") / 2**48
