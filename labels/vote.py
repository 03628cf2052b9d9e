"""What most annotators, or most models, mark alike in the same sentences."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from labels.errors import RecordError
from labels.types import Annotation, Entity, Event, Span

Key = tuple[str, Span]
"""What an entity is, whoever marked it: its label and borders."""


@dataclass(frozen=True)
class Vote:
    """`annotations` in the first voter's order; `absent` sentences were not marked by every voter and are left out."""

    annotations: tuple[Annotation, ...]
    absent: int


def vote(voters: Sequence[Sequence[Annotation]], needed: int = 0) -> Vote:
    """Keep what at least `needed` of the voters mark: 0 stands for more than half of them, and no less can be asked for,
    since two marks that exclude each other could then both be kept. A text that differs is a RecordError."""
    majority = len(voters) // 2 + 1
    needed = needed or majority
    if not majority <= needed <= len(voters):
        raise ValueError(f"of {len(voters)} voters {majority} to {len(voters)} can be asked for, found {needed}")
    by_id = [{each.id: each for each in voter} for voter in voters]
    common = set(by_id[0]).intersection(*by_id[1:])
    for identifier in (each.id for each in voters[0] if each.id in common):
        if len({known[identifier].text for known in by_id}) > 1:
            raise RecordError(identifier, "expected the same text from every voter, found texts that differ")
    kept = tuple(_agreed([known[each.id] for known in by_id], needed) for each in voters[0] if each.id in common)
    return Vote(kept, len(set().union(*by_id) - common))


def _agreed(marked: Sequence[Annotation], needed: int) -> Annotation:
    counts = Counter(key for annotation in marked for key in {_key(e) for e in annotation.entities})
    spans = sorted((span, label) for (label, span), number in counts.items() if number >= needed)
    names: dict[Key, str] = {}
    for span, label in spans:
        names[label, span] = f"{label[0].lower()}{1 + sum(name[0] == label[0].lower() for name in names.values())}"
    entities = tuple(Entity(name, label, span) for (label, span), name in names.items())
    return Annotation(
        id=marked[0].id,
        text=marked[0].text,
        entities=entities,
        events=tuple(_events(marked, needed, names)),
        doc=marked[0].doc,
        source=marked[0].source,
    )


def _events(marked: Sequence[Annotation], needed: int, names: Mapping[Key, str]) -> list[Event]:
    """A type that enough voters see is kept even where they differ on its words: it then has the trigger most often
    named, of equals the shortest, then the first, and the roles that enough voters give an event of that type."""
    types = Counter(name for annotation in marked for name in annotation.event_types)
    triggers = Counter((e.type, e.trigger) for each in marked for e in _once(each.events))
    events = []
    for name in sorted(name for name, number in types.items() if number >= needed):
        found = {trigger: number for (kind, trigger), number in triggers.items() if kind == name}
        agreed = [trigger for trigger, number in found.items() if number >= needed]
        chosen = agreed or [min(found, key=lambda t: (-found[t], t is None, *((t.end - t.start, t.start) if t else ())))]
        events += [Event(name, trigger, _roles(marked, needed, name, trigger, names, of_any=not agreed)) for trigger in chosen]
    return sorted(events, key=lambda e: (e.trigger is None, e.trigger or Span(0, 1), e.type))


def _once(events: Sequence[Event]) -> list[Event]:
    return list({(e.type, e.trigger): e for e in events}.values())


def _roles(
    marked: Sequence[Annotation], needed: int, name: str, trigger: Span | None, names: Mapping[Key, str], *, of_any: bool
) -> dict[str, tuple[str, ...]]:
    """Each voter speaks by his events of that type on words in common with the trigger, or by all of that type."""
    counts: Counter[tuple[str, Key]] = Counter()
    roles: dict[str, None] = {}
    for annotation in marked:
        keys = {e.id: _key(e) for e in annotation.entities}
        said = set()
        for event in annotation.events:
            if event.type == name and (of_any or event.trigger == trigger or _meet(event.trigger, trigger)):
                roles |= dict.fromkeys(event.roles)
                said |= {(role, keys[i]) for role, ids in event.roles.items() for i in ids if i in keys}
        counts.update(said)
    kept = sorted(((role, key) for (role, key), number in counts.items() if number >= needed), key=lambda x: x[1][1])
    return {role: tuple(names[key] for r, key in kept if r == role and key in names) for role in roles}


def _meet(one: Span | None, other: Span | None) -> bool:
    return one is not None and other is not None and one.overlaps(other)


def _key(entity: Entity) -> Key:
    return entity.label, entity.span
