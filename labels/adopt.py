"""Predictions as annotations: what a model says, for a person to correct where he already works."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from labels.errors import RecordError
from labels.records import parse_document, parse_prediction, read_jsonl
from labels.types import Annotation, Failure, Prediction


def adopt_predictions(documents: Path, predictions: Path) -> Iterator[Annotation]:
    """One annotation a sentence, ids `document#number`, or the document's own where it is one sentence whole. Documents
    without an answer are left out."""
    found = {}
    for where, record in read_jsonl(predictions):
        prediction = parse_prediction(record, where)
        if not isinstance(prediction, Failure):
            found[prediction.id] = (where, prediction)
    for where, record in read_jsonl(documents):
        document = parse_document(record, where)
        if document.id in found:
            place, prediction = found.pop(document.id)
            doc, source = record.get("doc"), record.get("source")
            yield from _sentences(prediction, document.text, document.id if doc is None else str(doc), source, place)
    if found:
        where, prediction = next(iter(found.values()))
        raise RecordError(where, f"document {prediction.id!r} is not in {documents}")


def _sentences(prediction: Prediction, text: str, doc: str, source: str | None, where: str) -> Iterator[Annotation]:
    whole = len(prediction.sentences) == 1
    for number, sentence in enumerate(prediction.sentences):
        if sentence.end > len(text):
            raise RecordError(where, f"sentence {number} ends at {sentence.end}, the document has {len(text)} characters")
        yield Annotation(
            id=prediction.id if whole else f"{prediction.id}#{number}",
            text=sentence.of(text),
            entities=tuple(replace(e, span=e.span.shift(-sentence.start)) for e in prediction.entities if e.sentence == number),
            events=tuple(
                replace(e, trigger=e.trigger and e.trigger.shift(-sentence.start))
                for e in prediction.events
                if e.sentence == number
            ),
            doc=doc,
            source=source,
        )
