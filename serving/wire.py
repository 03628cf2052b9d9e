"""The shapes at the HTTP door, as pydantic models. They document and they check; inside, `labels/types.py` is used.

One bad document must not spoil its neighbours, so a request's documents are checked one by one: `parse_documents` gives
each a Document or a Failure in its place.
"""

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SkipValidation, ValidationError

from labels.types import Document, Failure
from serving.errors import Code

MAX_ID = 512


def _is_date(value: str) -> str:
    try:
        if len(value) == len("2016-06-01"):
            date.fromisoformat(value)
            return value
    except ValueError:
        pass
    raise ValueError("expected a date such as 2016-06-01")


class DocumentIn(BaseModel):
    """A text to read. Offsets in the answer are in Unicode code points of `text`, exactly as given."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: Annotated[str, Field(min_length=1, max_length=MAX_ID)]
    text: str
    published: Annotated[str, Field(json_schema_extra={"format": "date"}), AfterValidator(_is_date)] | None = None
    source: str | None = None


class AnalyzeRequest(BaseModel):
    """Documents to read. They need not be of one kind, and their ids may repeat: answers come in their order."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"documents": [{"id": "d1", "text": "شن سلاح الجو العراقي غارات جوية على مواقع في الموصل."}]}
        },
    )

    # Not checked here: one bad item would refuse them all.
    documents: list[SkipValidation[DocumentIn]]


class SpanOut(BaseModel):
    """`[start, end)` in code points of the document's text."""

    start: int
    end: int


class MentionOut(SpanOut):
    text: str


class EntityOut(MentionOut):
    """`sentence` is an index into `sentences`."""

    id: str
    label: str
    score: float
    sentence: int


class EventOut(BaseModel):
    """Besides these, a list of entity ids for each role of the model's schema: agents, targets, locations."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, list[str]]

    type: str
    score: float
    sentence: int
    trigger: MentionOut | None


class PredictionOut(BaseModel):
    """What the model says of one document."""

    model_config = ConfigDict(extra="forbid")

    id: str
    model: str
    sentences: list[SpanOut]
    entities: list[EntityOut]
    events: list[EventOut]
    event_types: dict[str, float]
    warnings: list[str]


class ErrorOut(BaseModel):
    """`code` is for programs and is never reworded, `message` for people."""

    code: str
    message: str


class FailureOut(BaseModel):
    """Stands in the place of a document that could not be read."""

    model_config = ConfigDict(extra="forbid")

    id: str | None
    error: ErrorOut


class AnalyzeResponse(BaseModel):
    """One result a document, in the documents' order."""

    results: list[PredictionOut | FailureOut]


class ErrorResponse(BaseModel):
    """Every answer that is no 2xx has this shape."""

    error: ErrorOut


class LabelOut(BaseModel):
    name: str
    gloss_en: str
    gloss_ar: str
    definition: str


class LimitsOut(BaseModel):
    max_documents: int
    max_characters: int
    max_body_bytes: int


class ModelOut(BaseModel):
    """The model that answers. `window` is in pieces of its tokenizer: a longer sentence is read in several."""

    name: str
    id: str
    base: str
    precision: str
    entities: list[LabelOut]
    events: list[LabelOut]
    roles: list[LabelOut]
    window: int
    overlap: int
    limits: LimitsOut


def parse_documents(items: Sequence[Any]) -> list[Document | Failure]:
    """One for each item, in order; a Failure says which field is wrong, what was expected and what came."""
    return [_parse_document(item, f"documents[{i}]") for i, item in enumerate(items)]


def _parse_document(item: Any, where: str) -> Document | Failure:
    try:
        document = DocumentIn.model_validate(item)
    except ValidationError as error:
        identity = item.get("id") if isinstance(item, dict) else None
        usable = isinstance(identity, str) and not any(fault["loc"][:1] == ("id",) for fault in error.errors())
        message = "; ".join(_describe(fault, where) for fault in error.errors(include_url=False))
        return Failure(identity if usable else None, Code.INVALID_DOCUMENT, message)
    return Document(document.id, document.text, document.published, document.source)


def _describe(fault: Any, where: str) -> str:
    """documents[3].text: expected a string, found 5"""
    place = ".".join([where, *(repr(part)[1:-1][:60] for part in fault["loc"])])
    kind, context = fault["type"], fault.get("ctx", {})
    if kind == "missing":
        return f"{place}: is missing"
    if kind == "extra_forbidden":
        return f"{place}: unknown field; known: {', '.join(DocumentIn.model_fields)}"
    expected = {
        "model_type": "expected an object",
        "string_type": "expected a string",
        "string_unicode": "expected Unicode text, without lone surrogates",
        "string_too_short": "expected at least 1 character",
        "string_too_long": f"expected at most {context.get('max_length')} characters",
        "value_error": str(context.get("error")),
    }.get(kind, str(fault["msg"]))
    return f"{place}: {expected}, found {shorten(fault['input'])}"


def shorten(value: Any) -> str:
    """A value as an error message shows it."""
    shown = repr(value) if isinstance(value, str | int | float | bool | None) else type(value).__name__
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
