"""Annotations without their text: document, place in it, a hash of what stands there, and offsets.

News texts belong to their publishers; who labelled what in them may be given away. `strip` takes the text out of annotated
sentences, `join` puts it back from the reader's own copy of the public sources, and refuses where the copy differs.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labels.errors import RecordError
from labels.records import parse_annotation, parse_document, read_jsonl

SUFFIXES = (".jsonl.xz", ".jsonl")


@dataclass(frozen=True)
class Joined:
    """What `join` made: records with their text, and one line for each that could not be made."""

    records: tuple[dict[str, Any], ...]
    faults: tuple[str, ...]


def strip(records: Iterable[tuple[str, Mapping[str, Any]]], texts: Path) -> Iterator[dict[str, Any]]:
    """Stand-off records of annotated ones, in order. `texts` holds each source's documents as `SOURCE.jsonl`, or `.jsonl.xz`.
    RecordError where a sentence is not in its document as it stands."""
    listed = list(records)
    documents = _documents(((where, _identity(record, where)) for where, record in listed), texts)
    for where, record in listed:
        annotation = parse_annotation(record, where)
        source, doc = _identity(record, where)
        text = documents.get((source, doc))
        start = -1 if text is None else text.find(annotation.text)
        if start < 0:
            raise RecordError(
                where, f"document {doc!r} of {source!r} in {texts} does not hold this sentence; check both copies"
            )
        yield {
            "id": annotation.id,
            "doc": doc,
            "source": source,
            "start": start,
            "length": len(annotation.text),
            "sha256": _hash(annotation.text),
            "entities": _without_text(record.get("entities", [])),
            "events": _without_text(record.get("events", [])),
        }


def join(files: Sequence[Path], texts: Path) -> Joined:
    """Annotated records of the stand-off `files`. A record whose document is absent or differs is a fault and not a record;
    what is wrong with a file itself is a RecordError."""
    listed = [(where, record, _identity(record, where)) for file in files for where, record in read_jsonl(file)]
    documents = _documents(((where, identity) for where, _, identity in listed), texts)
    records, faults = [], []
    for where, record, (source, doc) in listed:
        start, length = record.get("start"), record.get("length")
        if type(start) is not int or type(length) is not int or start < 0 or length < 1:
            raise RecordError(where, f"expected `start` and `length` as whole numbers, found {start!r} and {length!r}")
        text = documents.get((source, doc))
        if text is None:
            faults.append(f"{where}: {record.get('id')}: document {doc!r} is not in {source}.jsonl of {texts}")
            continue
        sentence = text[start : start + length]
        if _hash(sentence) != record.get("sha256"):
            faults.append(f"{where}: {record.get('id')}: the text at {start} of {doc!r} is another; the copies differ")
            continue
        whole = {"id": record.get("id"), "doc": doc, "source": source, "text": sentence}
        whole |= {key: record.get(key, []) for key in ("entities", "events")}
        parse_annotation(whole, where)
        records.append(whole)
    return Joined(tuple(records), tuple(faults))


def _documents(wanted: Iterable[tuple[str, tuple[str, str]]], texts: Path) -> dict[tuple[str, str], str]:
    """The texts of the wanted documents, each source read once."""
    by_source: dict[str, set[str]] = defaultdict(set)
    first: dict[str, str] = {}
    for where, (source, doc) in wanted:
        by_source[source].add(doc)
        first.setdefault(source, where)
    found = {}
    for source, docs in by_source.items():
        path = next((p for suffix in SUFFIXES if (p := texts / f"{source}{suffix}").is_file()), None)
        if path is None:
            raise RecordError(first[source], f"source {source!r}: expected {source}.jsonl or {source}.jsonl.xz in {texts}")
        for where, record in read_jsonl(path):
            if record.get("id") in docs:
                found[source, str(record["id"])] = parse_document(record, where).text
    return found


def _identity(record: Mapping[str, Any], where: str) -> tuple[str, str]:
    source, doc = record.get("source"), record.get("doc")
    if not isinstance(source, str) or not isinstance(doc, str) or "/" in source or source.startswith("."):
        raise RecordError(where, f"expected `source` and `doc` as names, found {source!r} and {doc!r}")
    return source, doc


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _without_text(value: Any) -> Any:
    """The same without the words that some tools write beside offsets: they are what is not to be published."""
    if isinstance(value, Mapping):
        return {key: _without_text(each) for key, each in value.items() if key not in {"text", "surface"}}
    return [_without_text(each) for each in value] if isinstance(value, list) else value
