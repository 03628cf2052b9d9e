"""Answers that the door gives itself, and the one shape that every error leaves in."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any

from serving.errors import HTTP_STATUS, INTERNAL_MESSAGE, Code, code_of_status

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


class RequestFault(Exception):  # noqa: N818  # caught at the door and never seen outside
    """Why a request is refused as a whole. `headers` go with the answer."""

    def __init__(self, code: Code, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.headers = headers or {}


class OneShape:
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
            fault = RequestFault(code_of_status(self._status), _message_of(self._status), allow)
            await send_error(self.send, fault, self._status)
        elif not self._status:
            await self.send(message)


async def send_error(send: Send, fault: RequestFault, status: int | None = None) -> None:
    """Answer with `{"error": {"code", "message"}}`."""
    body = json.dumps({"error": {"code": fault.code, "message": fault.message}}, ensure_ascii=False).encode()
    lines = {"content-type": "application/json", "content-length": str(len(body))} | fault.headers
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
