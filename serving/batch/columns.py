"""What the fields of a document are called in the files, and a document made of named values."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from labels.types import Document, Failure
from serving.errors import Code
from serving.wire import shorten


@dataclass(frozen=True, slots=True)
class Columns:
    """Only that of the text must be there."""

    id: str = "id"
    text: str = "text"
    published: str = "published"
    source: str = "source"

    def document(self, values: Mapping[str, Any], where: str, made_up: str) -> Document | Failure:
        """A whole number is taken as an id, as tables have them; `made_up` is the id where there is none; dates of a table
        become text."""
        identity = identity_of(values.get(self.id), made_up)
        if not isinstance(identity, str) or has_surrogates(identity):
            return invalid(made_up, where, self.id, "a string", identity)
        text = values.get(self.text)
        if not isinstance(text, str):
            return invalid(identity, where, self.text, "a string", text)
        others = {"published": _dated(values.get(self.published)), "source": values.get(self.source)}
        for name, value in others.items():
            if value is not None and (not isinstance(value, str) or has_surrogates(value)):
                return invalid(identity, where, getattr(self, name), "a string or null", value)
        return Document(identity, text, **others)


def identity_of(found: Any, made_up: str) -> Any:
    if found is None or found == "":
        return made_up
    return str(found) if type(found) is int else found


def has_surrogates(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def unreadable(identity: str | None, message: str) -> Failure:
    return Failure(identity, Code.UNREADABLE, message)


def invalid(identity: str, where: str, field: str, expected: str, found: Any) -> Failure:
    shown = "nothing" if found is None else shorten(found)
    return Failure(identity, Code.INVALID_DOCUMENT, f"{where}: field {field!r}: expected {expected}, found {shown}")


def _dated(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.date().isoformat()
    return value.isoformat() if isinstance(value, date) else value
