"""What stands between the network and BentoML's own handling: bodies are read and checked here, and whatever goes wrong,
here or further in, leaves in one shape.

BentoML would answer a bad body with a traceback in the log and an error of its own shape (a list in some cases), would
refuse a whole request for one lone surrogate in one text, and has no limit on a body's size.
"""

import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any

from serving.errors import HTTP_STATUS, INTERNAL_MESSAGE, Code, code_of_status
from serving.settings import Settings
from serving.wire import shorten

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

logger = logging.getLogger(__name__)

ANALYZE = "/analyze"
DOCUMENTS = "marsad.documents"  # where in the ASGI scope the checked list waits for the service
_JSON = (b"content-type", b"application/json")


class RequestFault(Exception):  # noqa: N818  # caught in this file and never seen outside
    """Why a request is refused as a whole."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Door:
    """ASGI middleware."""

    def __init__(self, app: Application, read_settings: Callable[[], Settings]) -> None:
        self.app = app
        self.settings = read_settings()
        self._waiting = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif scope["path"] == ANALYZE and scope["method"] == "POST":
            await self._admit(scope, receive, send)
        else:
            await self._pass_on(scope, receive, send)

    async def _admit(self, scope: Message, receive: Receive, send: Send) -> None:
        if self._waiting >= self.settings.max_waiting:
            message = f"{self._waiting} requests wait already; come again in a moment"
            await send_error(send, RequestFault(Code.OVERLOADED, message), {"retry-after": "1"})
            return
        self._waiting += 1
        try:
            body = await self._read(scope, receive)
            scope[DOCUMENTS] = _parse(body, self.settings.max_documents)
            # The body has been read as JSON, whatever it was called; BentoML would choose its decoder by this name.
            scope["headers"] = [(k, v) for k, v in scope["headers"] if k != b"content-type"] + [_JSON]
            await self._pass_on(scope, receive, send)
        except RequestFault as fault:
            await send_error(send, fault)
        finally:
            self._waiting -= 1

    async def _pass_on(self, scope: Message, receive: Receive, send: Send) -> None:
        shaped = _OneShape(send)
        try:
            await self.app(scope, receive, shaped)
        except Exception:
            if shaped.started:  # half an answer is out; all that is left is to break off
                raise
            logger.exception("%s %s failed", scope["method"], scope["path"])
            await send_error(send, RequestFault(Code.INTERNAL, INTERNAL_MESSAGE))

    async def _read(self, scope: Message, receive: Receive) -> bytes:
        """The whole body; refused as soon as it is known to be too large."""
        limit = self.settings.max_body_bytes
        too_large = RequestFault(Code.BODY_TOO_LARGE, f"a body may have {limit} bytes; send fewer documents at a time")
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value) > limit:
                raise too_large
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise RequestFault(Code.INVALID_REQUEST, "the connection was closed before the body was complete")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > limit:
                raise too_large
            if not message.get("more_body", False):
                return b"".join(parts)


def _parse(body: bytes, max_documents: int) -> list[Any]:
    try:
        value = json.loads(body)
    except UnicodeDecodeError as error:
        raise RequestFault(Code.INVALID_REQUEST, f"the body is not UTF-8: {error.reason} at byte {error.start}") from error
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise RequestFault(Code.INVALID_REQUEST, f"the body is not JSON: {error.msg} at {place}") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; thousands of brackets
        raise RequestFault(
            Code.INVALID_REQUEST, "the body is not JSON that can be read: it is nested or long beyond reason"
        ) from error
    if not isinstance(value, dict):
        raise RequestFault(Code.INVALID_REQUEST, f'expected an object {{"documents": [...]}}, found {shorten(value)}')
    if unknown := sorted(value.keys() - {"documents"}):
        raise RequestFault(Code.INVALID_REQUEST, f"unknown field {shorten(unknown[0])}; known: documents")
    if "documents" not in value:
        raise RequestFault(Code.INVALID_REQUEST, "documents: is missing")
    documents = value["documents"]
    if not isinstance(documents, list):
        raise RequestFault(Code.INVALID_REQUEST, f"documents: expected a list, found {shorten(documents)}")
    if len(documents) > max_documents:
        message = f"documents: expected at most {max_documents}, found {len(documents)}; send them in several requests"
        raise RequestFault(Code.TOO_MANY_DOCUMENTS, message)
    return documents


class _OneShape:
    """A `send` that replaces the body of an answer of 400 or above, unless it is of our shape already."""

    def __init__(self, send: Send) -> None:
        self.send = send
        self.started = False
        self._status = 0

    async def __call__(self, message: Message) -> None:
        self.started = True
        if message["type"] == "http.response.start" and message["status"] >= HTTPStatus.BAD_REQUEST:
            self._status = message["status"]
            allow = {name.decode(): value.decode() for name, value in message["headers"] if name.lower() == b"allow"}
            code = code_of_status(self._status)
            await send_error(self.send, RequestFault(code, _message_of(self._status)), allow, self._status)
        elif not self._status:
            await self.send(message)


async def send_error(send: Send, fault: RequestFault, headers: dict[str, str] | None = None, status: int | None = None) -> None:
    """Answer with `{"error": {"code", "message"}}`."""
    body = json.dumps({"error": {"code": fault.code, "message": fault.message}}, ensure_ascii=False).encode()
    lines = {"content-type": "application/json", "content-length": str(len(body))} | (headers or {})
    raw = [(name.encode(), value.encode()) for name, value in lines.items()]
    await send({"type": "http.response.start", "status": status or HTTP_STATUS[fault.code], "headers": raw})
    await send({"type": "http.response.body", "body": body})


def _message_of(status: int) -> str:
    """What BentoML wrote may tell of the inside; the status says enough."""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.SERVICE_UNAVAILABLE:
        return INTERNAL_MESSAGE
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"refused with status {status}"
