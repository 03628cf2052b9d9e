"""What can go wrong at serving time, and the one table from it to HTTP statuses."""

from enum import StrEnum

from labels.errors import MarsadError


class Code(StrEnum):
    """Of a document that has no prediction, or of a request that has no results. For programs: never reworded."""

    INVALID_DOCUMENT = "invalid_document"  # not the shape a document has
    INVALID_TEXT = "invalid_text"  # text that is not Unicode text
    TEXT_TOO_LONG = "text_too_long"
    UNREADABLE = "unreadable"  # a line or a file that does not yield a document
    DUPLICATE_ID = "duplicate_id"  # files: an id that an earlier row has
    MISSING_ID = "missing_id"  # files, where ids are required
    INTERNAL = "internal"
    INVALID_REQUEST = "invalid_request"
    TOO_MANY_DOCUMENTS = "too_many_documents"
    BODY_TOO_LARGE = "body_too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    UNAUTHORIZED = "unauthorized"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    OVERLOADED = "overloaded"
    NOT_READY = "not_ready"
    DEADLINE_EXCEEDED = "deadline_exceeded"


# A request's own faults. What is not here is 500 and says nothing about its cause.
HTTP_STATUS = {
    Code.INVALID_REQUEST: 400,
    Code.UNAUTHORIZED: 401,
    Code.NOT_FOUND: 404,
    Code.METHOD_NOT_ALLOWED: 405,
    Code.BODY_TOO_LARGE: 413,
    Code.UNSUPPORTED_MEDIA_TYPE: 415,
    Code.TOO_MANY_DOCUMENTS: 422,
    Code.OVERLOADED: 429,
    Code.INTERNAL: 500,
    Code.NOT_READY: 503,
    Code.DEADLINE_EXCEEDED: 504,
}

INTERNAL_MESSAGE = "the server failed on this; its log says why"


class EngineError(MarsadError):
    """A graph or tokenizer that cannot be run on this machine, or does not do what its manifest says."""


class SettingsError(MarsadError):
    """An environment variable or option that cannot be used."""


class FileError(MarsadError):
    """An input that cannot be opened, or an output that must not be written."""


class InUseError(FileError):
    """An output that another run is at work on: it may be free later."""


class ClusterError(MarsadError):
    """Several machines that could not do a job together: what was finished before is kept."""


class WriteError(MarsadError):
    """An output that could not be written: what was finished before is kept, and the run can go on from there."""


def code_of_status(status: int) -> Code:
    """The code for an answer that BentoML or Starlette gave on its own."""
    for code, known in HTTP_STATUS.items():
        if known == status:
            return code
    return Code.INTERNAL if status >= 500 else Code.INVALID_REQUEST
