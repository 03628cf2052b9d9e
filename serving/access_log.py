"""One line of JSON for each answer, on standard error. No text of an article is ever in it."""

import json
import logging
import sys
import uuid
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from serving.body import Headers, header_of

logger = logging.getLogger("marsad.access")

_MOST_CHARACTERS = 128


@dataclass
class Entry:
    """What is known of a request, filled in while it is answered. `code` is that of an error, `failures` are documents that
    got one in their place."""

    request_id: str
    remote: str
    method: str
    path: str
    trace_id: str = ""
    status: int = 0
    code: str = ""
    bytes_in: int = 0
    bytes_out: int = 0
    documents: int = 0
    characters: int = 0
    failures: int = 0
    milliseconds: float = 0.0

    def write(self) -> None:
        record = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **asdict(self)}
        logger.info(json.dumps({key: value for key, value in record.items() if value != ""}, ensure_ascii=True))


# Of the request that is being answered, for those further in who know more of it.
entry_of_request: ContextVar[Entry] = ContextVar("entry_of_request")


def set_up_logs() -> None:
    """Lines of this log as they are, those of the program with time and level; BentoML sets up no logger but its own."""
    for each, form in ((logger, "%(message)s"), (logging.getLogger("serving"), "%(asctime)s [%(levelname)s] %(message)s")):
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter(form))
        each.handlers = [handler]
        each.setLevel(logging.INFO)
        each.propagate = False


def request_id_of(headers: Headers) -> str:
    """The client's own, or a new one where there is none that can be shown: 1 to 128 printable ASCII characters."""
    given = header_of(headers, b"x-request-id")
    usable = 0 < len(given) <= _MOST_CHARACTERS and given.isascii() and given.isprintable()
    return given if usable else uuid.uuid4().hex


def trace_id_of(headers: Headers) -> str:
    """Of a W3C `traceparent`: 00-<trace>-<span>-<flags>."""
    parts = header_of(headers, b"traceparent").split("-")
    usable = len(parts) == 4 and len(parts[1]) == 32 and all(sign in "0123456789abcdef" for sign in parts[1])
    return parts[1] if usable else ""
