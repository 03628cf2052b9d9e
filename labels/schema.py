"""What is looked for, as data: entity labels, event types, roles. The default is `schema.toml` beside this file; a user
brings his own, with any labels and types and either part absent, and everything follows."""

import hashlib
import json
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from labels.errors import SchemaError

DEFAULT_SCHEMA = Path(__file__).with_name("schema.toml")

_LABEL = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
# Keys of an event or entity record, which a role may not be called.
_RESERVED = {"type", "trigger", "score", "sentence", "id", "label", "start", "end", "text"}


@dataclass(frozen=True)
class EntityLabel:
    """`prefix` begins the ids of its mentions: a1, a2 ..."""

    name: str
    prefix: str
    gloss_en: str = ""
    gloss_ar: str = ""
    definition: str = ""


@dataclass(frozen=True)
class EventType:
    """`acled` is a sub-event type of ACLED, `plover` an event and mode of PLOVER; empty where none fits."""

    name: str
    gloss_en: str = ""
    gloss_ar: str = ""
    definition: str = ""
    acled: str = ""
    plover: str = ""


@dataclass(frozen=True)
class Role:
    """`labels` are the entity labels that may fill it."""

    name: str
    labels: tuple[str, ...]
    gloss_en: str = ""
    gloss_ar: str = ""
    definition: str = ""


@dataclass(frozen=True)
class LabelSchema:
    """An ordered set of labels; the order is that of a model's outputs."""

    name: str
    entities: tuple[EntityLabel, ...] = ()
    events: tuple[EventType, ...] = ()
    roles: tuple[Role, ...] = ()
    text: str = field(default="", compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.entities and not self.events:
            raise SchemaError(f"schema {self.name!r} has neither entity labels nor event types")
        for kind, names in (("entity", self.entity_labels), ("event", self.event_types), ("role", self.role_names)):
            for name in names:
                if not _LABEL.fullmatch(name):
                    raise SchemaError(f"schema {self.name!r}: {kind} name {name!r} must match {_LABEL.pattern}")
            if len(set(names)) < len(names):
                raise SchemaError(f"schema {self.name!r}: an {kind} name appears twice in {', '.join(names)}")
        prefixes = [label.prefix for label in self.entities]
        for label in self.entities:
            if not _LABEL.fullmatch(label.prefix) or prefixes.count(label.prefix) > 1:
                expected = f"one of its own that matches {_LABEL.pattern}"
                raise SchemaError(f"schema {self.name!r}: {label.name} has the prefix {label.prefix!r}; expected {expected}")
        for role in self.roles:
            unknown = set(role.labels) - set(self.entity_labels)
            if unknown or role.name in _RESERVED:
                problem = f"takes unknown labels {sorted(unknown)}" if unknown else "has a name that a record needs"
                raise SchemaError(f"schema {self.name!r}: role {role.name!r} {problem}")

    @cached_property
    def entity_labels(self) -> tuple[str, ...]:
        return tuple(label.name for label in self.entities)

    @cached_property
    def event_types(self) -> tuple[str, ...]:
        return tuple(event.name for event in self.events)

    @cached_property
    def role_names(self) -> tuple[str, ...]:
        return tuple(role.name for role in self.roles)

    def check(self, entity_labels: Iterable[str], event_types: Iterable[str], where: str) -> None:
        """SchemaError with its place for a label that the schema lacks; where it has none of that kind at all, such labels are
        nobody's matter."""
        for names, known in ((entity_labels, self.entity_labels), (event_types, self.event_types)):
            for name in names if known else ():
                if name not in known:
                    raise SchemaError(f"{where}: {name!r} is not in schema {self.name!r}, which has {', '.join(known)}")

    @cached_property
    def tags(self) -> tuple[str, ...]:
        """IOB2 tags in the order of a model's outputs: O, B-x, I-x, B-y ...; empty without entity labels."""
        if not self.entities:
            return ()
        return ("O", *(f"{mark}-{name}" for name in self.entity_labels for mark in "BI"))

    @cached_property
    def fingerprint(self) -> str:
        """Changes when a name, or the order of names, changes; definitions may be reworded."""
        names = [self.entity_labels, self.event_types, [(role.name, role.labels) for role in self.roles]]
        return hashlib.sha256(json.dumps(names).encode()).hexdigest()[:16]

    def entity(self, name: str) -> EntityLabel:
        for label in self.entities:
            if label.name == name:
                return label
        raise SchemaError(f"unknown entity label {name!r}; known: {', '.join(self.entity_labels) or 'none'}")


def load_schema(path: Path = DEFAULT_SCHEMA) -> LabelSchema:
    """Read a schema file; SchemaError says what in it is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SchemaError(f"{path}: cannot be read: {error}") from error
    return parse_schema(text, str(path))


def parse_schema(text: str, where: str = "schema") -> LabelSchema:
    """Build a schema from TOML text."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SchemaError(f"{where}: not TOML: {error}") from error
    known = {"name", "entity", "event", "role"}
    if unknown := sorted(values.keys() - known):
        raise SchemaError(f"{where}: unknown key {unknown[0]!r}; known: {', '.join(sorted(known))}")
    for kind in ("entity", "event", "role"):
        tables = values.get(kind, [])
        if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
            raise SchemaError(f"{where}: expected each {kind} as a table under [[{kind}]], found {str(tables)[:60]}")
    prefixes = _prefixes([str(item.get("name", "")) for item in values.get("entity", [])])
    try:
        return LabelSchema(
            name=str(values.get("name", Path(where).stem)),
            entities=tuple(
                EntityLabel(**({"prefix": prefixes[str(item.get("name", ""))]} | item)) for item in values.get("entity", [])
            ),
            events=tuple(EventType(**item) for item in values.get("event", [])),
            roles=tuple(Role(**_role(item)) for item in values.get("role", [])),
            text=text,
        )
    except TypeError as error:  # a missing or unknown key of a table
        raise SchemaError(f"{where}: {str(error).replace('__init__() ', '')}") from error
    except SchemaError as error:
        raise SchemaError(f"{where}: {error}") from error


def _role(item: dict[str, Any]) -> dict[str, Any]:
    return item | {"labels": tuple(item["labels"])} if "labels" in item else item


def _prefixes(names: list[str]) -> dict[str, str]:
    """The label's first letter, or the whole label where two begin alike: ACTOR a, LOCATION l; PER per, PLACE place."""
    firsts = [name[:1].lower() for name in names]
    return {name: first if firsts.count(first) == 1 else name.lower() for name, first in zip(names, firsts, strict=True)}
