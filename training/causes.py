"""Why triggers and roles were wrong: each error under the one cause that comes first."""

from collections import Counter
from collections.abc import Mapping, Sequence

from labels.types import Annotation, Event, Prediction, Span

Pair = tuple[Annotation, Prediction]

RIGHT = "right"
TRIGGER_CAUSES = (RIGHT, "wrong border", "wrong type", "missed", "made up")
ROLE_CAUSES = (
    RIGHT,
    "trigger missed",
    "trigger of wrong type",
    "entity missed",
    "wrong border",
    "wrong role",
    "not linked",
    "made up",
)


def trigger_causes(pairs: Sequence[Pair]) -> dict[str, int]:
    """Of gold triggers, and last of predicted ones that touch no gold trigger."""
    counts: Counter[str] = Counter()
    for annotation, prediction in pairs:
        found = [(event.type, event.trigger) for event in prediction.events if event.trigger]
        gold = [(event.type, event.trigger) for event in annotation.events if event.trigger]
        counts.update(trigger_cause(kind, span, found) for kind, span in gold)
        counts["made up"] += sum(not any(span.overlaps(other) for _, other in gold) for _, span in found)
    return {cause: counts[cause] for cause in TRIGGER_CAUSES}


def trigger_cause(kind: str, span: Span, found: Sequence[tuple[str, Span]]) -> str:
    """Why the gold trigger of `kind` at `span` is or is not among the predicted ones."""
    if (kind, span) in found:
        return RIGHT
    if any(other == kind and place.overlaps(span) for other, place in found):
        return "wrong border"
    return "wrong type" if any(place.overlaps(span) for _, place in found) else "missed"


def role_causes(pairs: Sequence[Pair]) -> dict[str, int]:
    """Of gold role fillings, each counted by event type, role and entity span, and last of predicted ones that gold has
    under no role of that type."""
    counts: Counter[str] = Counter()
    for annotation, prediction in pairs:
        gold, found = fillings(annotation), fillings(prediction)
        counts.update(role_cause(key, annotation, prediction, found) for key in gold)
        known = {(kind, span) for kind, _, span in gold}
        counts["made up"] += sum((kind, span) not in known for kind, _, span in found)
    return {cause: counts[cause] for cause in ROLE_CAUSES}


Filling = tuple[str, str, Span]


def fillings(record: Annotation | Prediction) -> set[Filling]:
    """Event type, role and entity span of every filled role."""
    spans: Mapping[str, Span] = {entity.id: entity.span for entity in record.entities}
    return {
        (event.type, role, spans[name])
        for event in record.events
        for role, names in event.roles.items()
        for name in names
        if name in spans
    }


def role_cause(key: Filling, annotation: Annotation, prediction: Prediction, found: set[Filling]) -> str:
    """Why the gold filling `key` is or is not among the predicted ones, `found`."""
    kind, role, span = key
    if key in found:
        return RIGHT
    if kind not in {event.type for event in prediction.events}:
        own = [event for event in annotation.events if event.type == kind]
        return "trigger of wrong type" if _touched(own, prediction.events) else "trigger missed"
    spans = {entity.span for entity in prediction.entities}
    if span not in spans:
        return "wrong border" if any(span.overlaps(other) for other in spans) else "entity missed"
    return "wrong role" if any(k == kind and s == span and r != role for k, r, s in found) else "not linked"


def _touched(gold: Sequence[Event], found: Sequence[Event]) -> bool:
    return any(a.trigger and b.trigger and a.trigger.overlaps(b.trigger) for a in gold for b in found)
