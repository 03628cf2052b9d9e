"""Every single error of a comparison, with its cause, for a person to read: what to annotate next, and what to mend."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from labels.types import Annotation, Entity, Prediction, Span
from training.causes import RIGHT, fillings, role_cause, trigger_cause

MADE_UP = "made up"


def list_errors(gold: Sequence[Annotation], predicted: Mapping[str, Prediction]) -> Iterator[dict[str, Any]]:
    """One record an error, in the order of the gold: `part` (entity, event type, trigger, role), `label`, `cause`, and the
    mentions `gold` and `predicted`, either of which may be None. A predicted mention that overlaps a gold one is told with
    that one's error, not again as made up."""
    empty = Prediction("", "", "")
    for annotation in gold:
        prediction = predicted.get(annotation.id, empty)
        for part, errors in (
            ("entity", _entity_errors(annotation, prediction)),
            ("event type", _type_errors(annotation, prediction)),
            ("trigger", _trigger_errors(annotation, prediction)),
            ("role", _role_errors(annotation, prediction)),
        ):
            for label, cause, there, found in errors:
                yield {
                    "id": annotation.id,
                    "source": annotation.source,
                    "part": part,
                    "label": label,
                    "cause": cause,
                    "gold": _mention(there, annotation.text),
                    "predicted": _mention(found, annotation.text),
                    "text": annotation.text,
                }


_Error = tuple[str, str, Span | None, Span | None]  # label, cause, gold, predicted


def _mention(span: Span | None, text: str) -> dict[str, Any] | None:
    return None if span is None else {"start": span.start, "end": span.end, "text": span.of(text)}


def _entity_errors(annotation: Annotation, prediction: Prediction) -> Iterator[_Error]:
    exact = {(e.label, e.span) for e in prediction.entities}
    for entity in annotation.entities:
        if (entity.label, entity.span) not in exact:
            near = [e for e in prediction.entities if e.span.overlaps(entity.span)]
            yield (entity.label, _entity_cause(entity, near), entity.span, near[0].span if near else None)
    for found in prediction.entities:
        if not any(found.span.overlaps(e.span) for e in annotation.entities):
            yield (found.label, MADE_UP, None, found.span)


def _entity_cause(entity: Entity, near: Sequence[Entity]) -> str:
    if not near:
        return "missed"
    return "wrong label" if any(e.span == entity.span for e in near) else "wrong border"


def _type_errors(annotation: Annotation, prediction: Prediction) -> Iterator[_Error]:
    for name in sorted(annotation.event_types - prediction.event_types.keys()):
        trigger = next((e.trigger for e in annotation.events if e.type == name), None)
        yield (name, "missed", trigger, None)
    for name in sorted(prediction.event_types.keys() - annotation.event_types):
        trigger = next((e.trigger for e in prediction.events if e.type == name), None)
        yield (name, MADE_UP, None, trigger)


def _trigger_errors(annotation: Annotation, prediction: Prediction) -> Iterator[_Error]:
    found = [(e.type, e.trigger) for e in prediction.events if e.trigger]
    if _without_triggers(prediction):
        return
    spans = [e.trigger for e in annotation.events if e.trigger]
    for event in annotation.events:
        if event.trigger and (cause := trigger_cause(event.type, event.trigger, found)) != RIGHT:
            near = next((span for _, span in found if span.overlaps(event.trigger)), None)
            yield (event.type, cause, event.trigger, near)
    for kind, span in found:
        if not any(span.overlaps(other) for other in spans):
            yield (kind, MADE_UP, None, span)


def _without_triggers(prediction: Prediction) -> bool:
    """Whether this is of a model that gives types alone, which has no triggers and roles to be judged."""
    return bool(prediction.events) and all(event.trigger is None for event in prediction.events)


def _role_errors(annotation: Annotation, prediction: Prediction) -> Iterator[_Error]:
    if _without_triggers(prediction):
        return
    gold, found = fillings(annotation), fillings(prediction)
    for key in sorted(gold):
        if (cause := role_cause(key, annotation, prediction, found)) != RIGHT:
            yield (f"{key[0]} {key[1]}", cause, key[2], None)
    known = {(kind, span) for kind, _, span in gold}
    for kind, role, span in sorted(found):
        if (kind, span) not in known:
            yield (f"{kind} {role}", MADE_UP, None, span)
