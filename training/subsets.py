"""Figures on part of the records, or of the names: of one source, seen in training or not, written onto a proclitic or not.

A predicted name belongs to a subset by its own surface and place, as a gold one does, so that precision has a meaning there.
"""

from typing import Any
from unicodedata import combining

from labels.types import Annotation, Entity, Prediction

Keys = set[tuple[str, Any]]
"""A label, or the name of a subset, and what else must be the same for a prediction to be right."""

Sets = tuple[Keys, Keys]
"""Gold, predicted."""


def record_subsets(annotation: Annotation, sets: Sets) -> Sets:
    """The keys of a record, each under the name of the record's source; none of a record without source."""
    if annotation.source is None:
        return set(), set()
    name = f"source {annotation.source}"
    return {(name, key) for key in sets[0]}, {(name, key) for key in sets[1]}


def entity_subsets(annotation: Annotation, prediction: Prediction, known: frozenset[str] | None) -> Sets:
    """Entities under the names of all subsets they are in."""

    def keys(entities: tuple[Entity, ...]) -> Keys:
        return {(name, (e.label, e.span)) for e in entities for name in _subsets(e, annotation, known)}

    return keys(annotation.entities), keys(prediction.entities)


def _subsets(entity: Entity, annotation: Annotation, known: frozenset[str] | None) -> list[str]:
    before = [c for c in annotation.text[max(0, entity.span.start - 3) : entity.span.start] if not combining(c)]  # وَ
    names = ["attached to a proclitic" if before and before[-1].isalpha() else "not attached"]
    if known is not None:
        names.append("seen in training" if entity.span.of(annotation.text) in known else "unseen in training")
    if annotation.source is not None:
        names.append(f"source {annotation.source}")
    return names
