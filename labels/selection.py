"""Which sentences to annotate next: those that the model is unsure of, unlike each other and unlike what is annotated.

Each step takes the sentence with the highest product of its doubt and of its distance from the nearest one taken or
annotated before: the traversal of Sener and Savarese (Active Learning for Convolutional Neural Networks: A Core-Set
Approach, 2018), weighed by doubt. Distance is the cosine's over hashed words, so that no model is needed for it.
"""

import re
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from labels.errors import RecordError
from labels.records import parse_prediction, read_jsonl
from labels.types import Failure, Prediction

WIDTH = 1024
DOUBT_FLOOR = 0.1  # a sentence that the model is sure of can still be far from all others
TYPE_FLOOR = 0.2

Vectors = npt.NDArray[np.float32]
_WORD = re.compile(r"[^\W\d_]+")
_PROCLITIC = re.compile(r"^(?:[وف](?=\w{3}))?(?:[بكل](?=\w{3}))?(?:ال|ل(?=ل))?(?=\w\w)")


@dataclass(frozen=True)
class Selection:
    """How many to take. `quotas` are filled first, each among sentences whose score of that event type is at least
    TYPE_FLOOR; then `plain` among those where no type reaches it, `random` blindly, and the rest by doubt and distance
    alone."""

    count: int
    quotas: Mapping[str, int] = field(default_factory=dict)
    plain: int = 0
    random: int = 0
    per_document: int = 2
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence of the pool and what the model says of it, at thresholds low enough to show what it nearly said."""

    id: str
    doc: str
    text: str
    prediction: Prediction

    @property
    def doubt(self) -> float:
        """In [0, 1]: how near a type's score is to one half, or how low that of the least sure entity, whichever is more."""
        types = [1 - abs(2 * score - 1) for score in self.prediction.event_types.values()]
        entities = [1 - entity.score for entity in self.prediction.entities]
        return max([*types, *entities], default=0.0)


def read_candidates(records: Mapping[str, Mapping[str, Any]], predictions: Path) -> list[Candidate]:
    """The records of a pool, each with its line of `predictions`; those that got no answer are left out."""
    found = []
    for where, line in read_jsonl(predictions):
        prediction = parse_prediction(line, where)
        if isinstance(prediction, Failure):
            continue
        record = records.get(prediction.id)
        if record is None:
            raise RecordError(where, f"expected the id of a sentence of the pool, found {prediction.id!r}")
        found.append(Candidate(prediction.id, str(record.get("doc", prediction.id)), str(record["text"]), prediction))
    return found


def select(pool: Sequence[Candidate], annotated: Iterable[str], selection: Selection) -> list[tuple[Candidate, str]]:
    """Candidates in the order taken, each with the reason: a type's name, `plain`, `random` or `doubt`."""
    chooser = _Chooser(pool, annotated, selection)
    taken: list[tuple[Candidate, str]] = []
    groups: list[tuple[str, int, npt.NDArray[np.bool_]]] = []
    highest = np.array([max(c.prediction.event_types.values(), default=0.0) for c in pool])
    # First, over all that is free: what is drawn blindly stands for the whole pool.
    groups.append(("random", selection.random, np.ones(len(pool), dtype=np.bool_)))
    for name, quota in selection.quotas.items():
        scores = np.array([c.prediction.event_types.get(name, 0.0) for c in pool])
        groups.append((name, quota, scores >= TYPE_FLOOR))
    groups.append(("plain", selection.plain, highest < TYPE_FLOOR))
    groups.append(("doubt", selection.count, np.ones(len(pool), dtype=np.bool_)))
    for reason, quota, allowed in groups:
        for _ in range(min(quota, selection.count - len(taken))):
            chosen = chooser.draw(allowed) if reason == "random" else chooser.take(allowed)
            if chosen is None:
                break
            taken.append((pool[chosen], reason))
    return taken


class _Chooser:
    """What is still free, and how far each is from all that is taken."""

    def __init__(self, pool: Sequence[Candidate], annotated: Iterable[str], selection: Selection) -> None:
        texts = [candidate.text for candidate in pool]
        known = list(annotated)
        weights = _weights([*texts, *known])
        self.vectors = _embed(texts, weights)
        self.near = np.zeros(len(pool), dtype=np.float32)
        for start in range(0, len(known), 256):
            others = _embed(known[start : start + 256], weights)
            self.near = np.maximum(self.near, (self.vectors @ others.T).max(axis=1))
        self.doubt = DOUBT_FLOOR + np.array([candidate.doubt for candidate in pool], dtype=np.float32)
        before = set(known)  # said so, and not left to the distance: `draw` does not look at that
        self.free = np.array([text not in before for text in texts], dtype=np.bool_)
        self.docs = [candidate.doc for candidate in pool]
        self.members: dict[str, list[int]] = {}
        for i, doc in enumerate(self.docs):
            self.members.setdefault(doc, []).append(i)
        self.left = dict.fromkeys(self.members, selection.per_document)
        self.random = np.random.default_rng(selection.seed)

    def take(self, allowed: npt.NDArray[np.bool_]) -> int | None:
        worth = np.where(self.free & allowed, self.doubt * (1 - self.near), -1.0)
        best = int(worth.argmax()) if len(worth) else -1
        return self._taken(best) if best >= 0 and worth[best] > 0 else None

    def draw(self, allowed: npt.NDArray[np.bool_]) -> int | None:
        free = np.flatnonzero(self.free & allowed)
        return self._taken(int(self.random.choice(free))) if len(free) else None

    def _taken(self, index: int) -> int:
        self.near = np.maximum(self.near, self.vectors @ self.vectors[index])
        self.free[index] = False
        doc = self.docs[index]
        self.left[doc] -= 1
        if self.left[doc] <= 0:
            self.free[self.members[doc]] = False
        return index


def _words(text: str) -> list[int]:
    """Hashed words without article and proclitics, so that `والموصل` is near `الموصل`."""
    return [zlib.crc32(_PROCLITIC.sub("", word).encode()) % WIDTH for word in _WORD.findall(text)]


def _weights(texts: Sequence[str]) -> Vectors:
    counts = Counter(word for text in texts for word in set(_words(text)))
    found = np.array([counts[word] for word in range(WIDTH)], dtype=np.float32)
    return np.log((1 + len(texts)) / (1 + found)).astype(np.float32)


def _embed(texts: Sequence[str], weights: Vectors) -> Vectors:
    vectors = np.zeros((len(texts), WIDTH), dtype=np.float32)
    for i, text in enumerate(texts):
        for word, count in Counter(_words(text)).items():
            vectors[i, word] = count * weights[word]
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(norms, np.float32(1e-9))  # type: ignore[no-any-return]
