"""What a run did, counted; parts of it add up."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from labels.types import Failure
from serving.batch.rows import Entry


@dataclass
class Summary:
    """`entities` are by label, `events` by type, `errors` by code; `generated_ids` counts documents that came without an id,
    `duplicates` those marked as near copies, `characters` those of all texts. `seconds` is the time the run took, that of
    earlier goes included; `stages` are the seconds of one thread that each stage took. The one thing here that changes: it is
    counted up while the run goes on."""

    documents: int = 0
    characters: int = 0
    sentences: int = 0
    entities: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    warned: int = 0
    generated_ids: int = 0
    duplicates: int = 0
    seconds: float = 0.0
    stages: Counter[str] = field(default_factory=Counter)

    @property
    def failed(self) -> int:
        """Documents without an answer."""
        return self.errors.total()

    def add(self, entry: Entry) -> None:
        self.documents += 1
        self.characters += entry.row.characters
        self.generated_ids += entry.row.generated
        self.duplicates += entry.mark is not None
        answer = entry.answer
        if isinstance(answer, Failure):
            self.errors[str(answer.code)] += 1
            return
        self.sentences += len(answer.sentences)
        self.entities.update(entity.label for entity in answer.entities)
        self.events.update(event.type for event in answer.events)
        self.warned += bool(answer.warnings)

    def __iadd__(self, other: "Summary") -> "Summary":
        for each in fields(self):
            mine, theirs = getattr(self, each.name), getattr(other, each.name)
            if isinstance(mine, Counter):
                mine.update(theirs)
            else:
                setattr(self, each.name, mine + theirs)
        return self

    def record(self) -> dict[str, Any]:
        """As JSON; names in order, seconds with three digits."""
        record: dict[str, Any] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, Counter):
                value = {key: _short(value[key]) for key in sorted(value)}
            record[each.name] = _short(value)
        return record

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Summary":
        """The inverse of `record`; other keys are passed over."""
        values: dict[str, Any] = {each.name: record[each.name] for each in fields(cls) if each.name in record}
        for name, value in values.items():
            if isinstance(value, dict):
                values[name] = Counter(value)
        return cls(**values)


def _short(value: Any) -> Any:
    return round(value, 3) if isinstance(value, float) else value
