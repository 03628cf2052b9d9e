"""Documents to a pool of sentences that somebody may annotate."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labels.copies import Copies
from labels.records import parse_document, read_jsonl
from labels.sentences import split_sentences

MIN_LETTERS = 15
_LETTER = re.compile(r"[^\W\d_]")


@dataclass(frozen=True)
class PoolRules:
    """Which sentences of a document come into the pool: its first `lead`, and `others` more of the rest, drawn by the
    document's id and `seed`. Documents in which `match` is found less than `min_matches` times are left out, and so are
    those of `exclude` and sentences that are nearly one of `copies`."""

    source: str = ""
    lead: int = 3
    others: int = 2
    match: str = ""
    min_matches: int = 1
    share: float = 1.0
    exclude: frozenset[str] = frozenset()
    copies: Copies = field(default_factory=lambda: Copies(()))
    seed: int = 1


def pool_sentences(path: Path, rules: PoolRules) -> Iterator[dict[str, Any]]:
    """Records of `id` (`document#number`), `doc`, `source`, `start` (of the sentence in its document) and `text`."""
    pattern = re.compile(rules.match)
    for where, record in read_jsonl(path):
        document = parse_document(record, where)
        if document.id in rules.exclude or _draw(document.id, rules.seed) >= rules.share:
            continue
        if rules.match and sum(1 for _ in pattern.finditer(document.text)) < rules.min_matches:
            continue
        for number in _chosen(document.id, len(spans := split_sentences(document.text)), rules):
            span = spans[number]
            text = span.of(document.text)
            if len(_LETTER.findall(text)) >= MIN_LETTERS and text not in rules.copies:
                yield {
                    "id": f"{document.id}#{number}",
                    "doc": document.id,
                    "source": rules.source or path.name.split(".")[0],
                    "start": span.start,
                    "text": text,
                }


def _chosen(document: str, sentences: int, rules: PoolRules) -> Iterable[int]:
    rest = range(rules.lead, sentences)
    others = sorted(rest, key=lambda number: _draw(f"{document}#{number}", rules.seed))[: rules.others]
    return [*range(min(rules.lead, sentences)), *sorted(others)]


def _draw(identifier: str, seed: int) -> float:
    """A number in [0, 1) that is the identifier's own."""
    digest = hashlib.blake2b(identifier.encode(), digest_size=6, key=seed.to_bytes(8, "big")).digest()
    return int.from_bytes(digest, "big") / 2**48
