"""Annotations and predictions as JSON objects, one a line. An error names file, line and field."""

import json
import lzma
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NoReturn

from labels.errors import RecordError
from labels.types import Annotation, Document, Entity, Event, Failure, Prediction, Span

EVENT_KEYS = frozenset({"type", "trigger", "score", "sentence", "id", "text"})
"""Keys of an event record that are not roles."""


def read_jsonl(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield `("file:line", object)` of a plain file or an `.xz` one; blank lines are passed over, anything else that is not
    an object is an error."""
    # Decoded line by line: a text reader decodes ahead, and would blame an earlier line.
    for number, line in enumerate(_lines(path), 1):
        where = f"{path}:{number}"
        record = parse_line(line, where, first=number == 1)
        if record is not None:
            yield where, record


def _lines(path: Path) -> Iterator[bytes]:
    opener: Callable[..., IO[bytes]] = lzma.open if path.suffix == ".xz" else open
    try:
        with opener(path, "rb") as handle:
            yield from handle
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise RecordError(str(path), f"cannot be read: {getattr(error, 'strerror', None) or error}") from error


def parse_line(line: bytes, where: str, *, first: bool = False) -> dict[str, Any] | None:
    """One object from one line of a file, None from a blank one. The `first` line may begin with a byte order mark."""
    try:
        text = line.decode("utf-8-sig" if first else "utf-8")
    except UnicodeDecodeError as error:
        raise RecordError(where, f"not UTF-8: {error.reason} at byte {error.start}") from error
    return parse_object(text, where) if text.strip() else None


def parse_object(line: str, where: str) -> dict[str, Any]:
    """One JSON object from one line."""
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise RecordError(where, f"not JSON: {error.msg} at column {error.colno}") from error
    except (RecursionError, ValueError) as error:  # brackets in brackets without end, a number of thousands of digits
        raise RecordError(where, f"not JSON that can be read: {error}") from error
    if not isinstance(value, dict):
        raise RecordError(where, f"expected a JSON object, found {type(value).__name__}")
    return value


def read_annotations(path: Path) -> list[Annotation]:
    """A gold file."""
    return [parse_annotation(record, where) for where, record in read_jsonl(path)]


def write_jsonl(path: Path, records: Iterable[Mapping[str, Any]]) -> int:
    """Write one object a line, Arabic as it is; returns the number written."""
    count = 0
    with path.open("w", encoding="utf-8", newline="\n") as handle:
        for record in records:
            handle.write(json.dumps(record, ensure_ascii=False) + "\n")
            count += 1
    return count


def parse_document(record: Mapping[str, Any], where: str) -> Document:
    """A document record: `id` and `text` are strings, `published` and `source` strings or absent; other keys are the
    user's own and are left alone."""
    optional = {key: _optional_text(record, key, where) for key in ("published", "source")}
    return Document(_text(record, "id", where), _text(record, "text", where), **optional)


def parse_annotation(record: Mapping[str, Any], where: str) -> Annotation:
    """A gold record. Spans must lie in the text and references be of the right shape; what they mean is the checker's
    business."""
    text = _text(record, "text", where)
    entities = tuple(
        Entity(
            id=_text(item, "id", f"{where}, entities[{i}]"),
            label=_text(item, "label", f"{where}, entities[{i}]"),
            span=_span(item.get("start"), item.get("end"), text, f"{where}, entities[{i}]"),
            score=_score(item, f"{where}, entities[{i}]"),
            sentence=_index(item, f"{where}, entities[{i}]"),
        )
        for i, item in enumerate(_objects(record, "entities", where))
    )
    events = tuple(_event(item, text, f"{where}, events[{i}]") for i, item in enumerate(_objects(record, "events", where)))
    return Annotation(
        id=_text(record, "id", where),
        text=text,
        entities=entities,
        events=events,
        doc=_optional_text(record, "doc", where),
        source=_optional_text(record, "source", where),
    )


def parse_prediction(record: Mapping[str, Any], where: str) -> Prediction | Failure:
    """A line that `prediction_record` or `failure_record` wrote. A prediction does not carry its text, so its offsets
    are not checked against one here."""
    if "error" in record:
        error = record["error"]
        if not isinstance(error, dict):
            _wrong(where, "error", "an object", error)
        return Failure(record.get("id"), _text(error, "code", where), _text(error, "message", where))
    types = record.get("event_types")
    if types is None:  # an annotation read as a prediction: its events say it
        types = {item.get("type"): item.get("score", 1.0) for item in _objects(record, "events", where)}
    if not isinstance(types, dict) or not all(type(value) in {int, float} for value in types.values()):
        _wrong(where, "event_types", "an object of type to score", types)
    return Prediction(
        id=_text(record, "id", where),
        model=str(record.get("model", "")),
        text="",
        sentences=tuple(
            _span(s.get("start"), s.get("end"), None, f"{where}, sentences") for s in _objects(record, "sentences", where)
        ),
        entities=tuple(
            Entity(
                id=_text(item, "id", f"{where}, entities[{i}]"),
                label=_text(item, "label", f"{where}, entities[{i}]"),
                span=_span(item.get("start"), item.get("end"), None, f"{where}, entities[{i}]"),
                score=_score(item, f"{where}, entities[{i}]"),
                sentence=_index(item, f"{where}, entities[{i}]"),
            )
            for i, item in enumerate(_objects(record, "entities", where))
        ),
        events=tuple(_event(item, None, f"{where}, events[{i}]") for i, item in enumerate(_objects(record, "events", where))),
        event_types={str(key): float(value) for key, value in types.items()},
        warnings=tuple(str(item) for item in record.get("warnings", ())),
    )


def annotation_record(annotation: Annotation) -> dict[str, Any]:
    """The inverse of `parse_annotation`."""
    record: dict[str, Any] = {"id": annotation.id}
    record |= {key: value for key in ("doc", "source") if (value := getattr(annotation, key)) is not None}
    return record | {
        "text": annotation.text,
        "entities": [{"id": e.id, "start": e.span.start, "end": e.span.end, "label": e.label} for e in annotation.entities],
        "events": [
            {"type": e.type, "trigger": [e.trigger.start, e.trigger.end] if e.trigger else None}
            | {name: list(ids) for name, ids in e.roles.items()}
            for e in annotation.events
        ],
    }


def prediction_record(prediction: Prediction) -> dict[str, Any]:
    """The output contract: the same object in HTTP and in files. Scores have four digits."""
    text = prediction.text
    return {
        "id": prediction.id,
        "model": prediction.model,
        "sentences": [{"start": s.start, "end": s.end} for s in prediction.sentences],
        "entities": [
            {
                "id": e.id,
                "label": e.label,
                "start": e.span.start,
                "end": e.span.end,
                "text": e.span.of(text),
                "score": round(e.score, 4),
                "sentence": e.sentence,
            }
            for e in prediction.entities
        ],
        "events": [
            {
                "type": e.type,
                "score": round(e.score, 4),
                "sentence": e.sentence,
                "trigger": {"start": e.trigger.start, "end": e.trigger.end, "text": e.trigger.of(text)} if e.trigger else None,
            }
            | {name: list(ids) for name, ids in e.roles.items()}
            for e in prediction.events
        ],
        "event_types": {name: round(score, 4) for name, score in prediction.event_types.items()},
        "warnings": list(prediction.warnings),
    }


def failure_record(failure: Failure) -> dict[str, Any]:
    """What stands in the place of a prediction."""
    return {"id": failure.id, "error": {"code": failure.code, "message": failure.message}}


def _event(item: Mapping[str, Any], text: str | None, where: str) -> Event:
    trigger = item.get("trigger")
    if isinstance(trigger, dict):
        trigger = [trigger.get("start"), trigger.get("end")]
    if trigger is not None and not (isinstance(trigger, list) and len(trigger) == 2):
        _wrong(where, "trigger", "[start, end] or null", trigger)
    roles = {}
    for key, value in item.items():
        if key in EVENT_KEYS:
            continue
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            _wrong(where, key, "a list of entity ids", value)
        roles[key] = tuple(value)
    return Event(
        type=_text(item, "type", where),
        trigger=None if trigger is None else _span(trigger[0], trigger[1], text, f"{where}, trigger"),
        roles=roles,
        score=_score(item, where),
        sentence=_index(item, where),
    )


def _span(start: Any, end: Any, text: str | None, where: str) -> Span:
    if type(start) is not int or type(end) is not int:
        _wrong(where, "start and end", "whole numbers", (start, end))
    if not 0 <= start < end or (text is not None and end > len(text)):
        limit = "" if text is None else f" <= {len(text)} (the text's length)"
        raise RecordError(where, f"expected 0 <= start < end{limit}, found [{start}, {end})")
    return Span(start, end)


def _text(record: Mapping[str, Any], key: str, where: str) -> str:
    value = record.get(key)
    if not isinstance(value, str):
        _wrong(where, key, "a string", value)
    return _unicode(value, key, where)


def _optional_text(record: Mapping[str, Any], key: str, where: str) -> str | None:
    value = record.get(key)
    if value is not None and not isinstance(value, str):
        _wrong(where, key, "a string or null", value)
    return None if value is None else _unicode(value, key, where)


def _unicode(value: str, key: str, where: str) -> str:
    """The string, unless JSON escapes left half a surrogate pair in it, which no file or tokenizer takes."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        message = f"field {key!r}: expected Unicode text, found half a surrogate pair at character {error.start}"
        raise RecordError(where, message) from error
    return value


def _score(item: Mapping[str, Any], where: str) -> float:
    value = item.get("score", 1.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        _wrong(where, "score", "a number in [0, 1]", value)
    return float(value)


def _index(item: Mapping[str, Any], where: str) -> int:
    value = item.get("sentence", 0)
    if type(value) is not int or value < 0:
        _wrong(where, "sentence", "the number of a sentence, from 0", value)
    return value


def _objects(record: Mapping[str, Any], key: str, where: str) -> list[dict[str, Any]]:
    value = record.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        _wrong(where, key, "a list of objects", value)
    return value


def _wrong(where: str, field: str, expected: str, found: Any) -> NoReturn:
    shown = "nothing" if found is None else repr(found)[:60]
    raise RecordError(where, f"field {field!r}: expected {expected}, found {shown}")
