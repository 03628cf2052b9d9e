"""An annotation as annotation tools see it: marked spans, and arrows from triggers to the names that fill their roles."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from labels.errors import RecordError
from labels.inline import canonical
from labels.schema import LabelSchema
from labels.types import Annotation, Entity, Event, Span


@dataclass(frozen=True, slots=True)
class Mark:
    """A span with an entity label or an event type. `id` is the tool's."""

    id: str
    label: str
    span: Span


@dataclass(frozen=True, slots=True)
class Arrow:
    """From a trigger's mark to an entity's; `label` is the role."""

    label: str
    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Graph:
    """`lost` counts events that have no trigger, which no tool has a place for."""

    marks: tuple[Mark, ...]
    arrows: tuple[Arrow, ...]
    lost: int = 0


def to_graph(annotation: Annotation) -> Graph:
    """Entities keep their ids; events are e1, e2 ... in their order."""
    marks = [Mark(entity.id, entity.label, entity.span) for entity in annotation.entities]
    taken = {mark.id for mark in marks}
    arrows = []
    lost = 0
    for number, event in enumerate(annotation.events, 1):
        if event.trigger is None:
            lost += 1
            continue
        name = f"e{number}"
        while name in taken:
            name += "_"
        marks.append(Mark(name, event.type, event.trigger))
        arrows += [Arrow(role, name, target) for role, targets in event.roles.items() for target in targets]
    return Graph(tuple(marks), tuple(arrows), lost)


def from_graph(
    identity: Annotation, marks: Sequence[Mark], arrows: Iterable[Arrow], schema: LabelSchema, where: str
) -> Annotation:
    """`identity` (id, text, doc, source) with what was marked. RecordError where a label is not the schema's, or an arrow does
    not lead from a trigger to a name that can fill its role."""
    entities = {m.id: Entity(m.id, m.label, m.span) for m in marks if m.label in schema.entity_labels}
    triggers = {m.id: m for m in marks if m.label in schema.event_types}
    for mark in marks:
        if mark.id not in entities and mark.id not in triggers:
            known = ", ".join((*schema.entity_labels, *schema.event_types))
            raise RecordError(where, f"mark {mark.id!r} has the label {mark.label!r}; expected one of {known}")
        if mark.span.end > len(identity.text):
            length = len(identity.text)
            raise RecordError(where, f"mark {mark.id!r} ends at {mark.span.end}, the text has {length} characters")
    roles: dict[str, dict[str, list[str]]] = {name: {role: [] for role in schema.role_names} for name in triggers}
    labels = {role.name: role.labels for role in schema.roles}
    for arrow in arrows:
        if arrow.label not in labels:
            raise RecordError(where, f"arrow {arrow.label!r}: expected one of {', '.join(labels) or 'no roles'}")
        if arrow.source not in triggers or arrow.target not in entities:
            raise RecordError(
                where, f"arrow {arrow.label!r}: expected a trigger to a name, found {arrow.source} to {arrow.target}"
            )
        if entities[arrow.target].label not in labels[arrow.label]:
            found = entities[arrow.target].label
            raise RecordError(where, f"arrow {arrow.label!r} leads to {found}; expected {' or '.join(labels[arrow.label])}")
        if arrow.target not in roles[arrow.source][arrow.label]:
            roles[arrow.source][arrow.label].append(arrow.target)
    events = tuple(
        Event(mark.label, mark.span, {role: tuple(names) for role, names in roles[name].items()})
        for name, mark in triggers.items()
    )
    whole = Annotation(identity.id, identity.text, tuple(entities.values()), events, identity.doc, identity.source)
    return canonical(whole, schema)
