"""What stands between the network and BentoML's own handling, for every request: who may come, how much may wait, what a
body may be, how long an answer may take; and whatever goes wrong, here or further in, leaves in one shape.

BentoML would answer a bad body with a traceback in the log and an error of its own shape (a list in some cases), would
refuse a whole request for one lone surrogate in one text, has no limit on a body's size, and goes on working for clients
that have gone.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from serving.access_log import Entry, entry_of_request, request_id_of, trace_id_of
from serving.admission import Admission
from serving.body import ClientGone, Headers, check_content_type, header_of, parse_body, read_body
from serving.errors import INTERNAL_MESSAGE, Code, code_of_status
from serving.metrics import Metrics
from serving.replies import Application, Message, OneShape, Receive, RequestFault, Send, send_error
from serving.settings import Settings
from serving.tokens import Tokens
from serving.wire import shorten

logger = logging.getLogger(__name__)

ANALYZE = "/analyze"
# Probes come without tokens, are not logged, and are answered whatever waits.
PROBES = frozenset({"/livez", "/readyz", "/healthz"})
_PATHS = frozenset({ANALYZE, "/model", "/docs.json", "/metrics", "/", *PROBES})
# Where in the ASGI scope the door leaves the checked list for the service.
DOCUMENTS = "marsad.documents"
_DEADLINE = b"x-deadline-seconds"
_SLICE = 64 * 1024
_CLIENT_GONE = 499  # as nginx logs it
_JSON = (b"content-type", b"application/json")


class Door:
    """ASGI middleware."""

    def __init__(
        self, app: Application, read_settings: Callable[[], Settings], metrics: Callable[[], Metrics] = Metrics
    ) -> None:
        self.app = app
        self.settings = read_settings()
        self._tokens = Tokens.read(self.settings.tokens, self.settings.tokens_file)
        self._admission = Admission(self.settings.max_waiting)
        self._metrics = metrics()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers: Headers = scope["headers"]
        remote = (scope.get("client") or ("", 0))[0]
        entry = Entry(request_id_of(headers), remote, scope["method"], scope["path"], trace_id_of(headers))
        entry_of_request.set(entry)
        began = time.perf_counter()
        noted = _Noted(send, entry)
        try:
            await self._answer(scope, receive, noted)
        except ClientGone:
            self._metrics.gone.inc()
            entry.code = "client_gone"
            # Nobody reads it; it is what the log shows.
            await noted({"type": "http.response.start", "status": _CLIENT_GONE, "headers": []})
            await noted({"type": "http.response.body", "body": b""})
        finally:
            seconds = time.perf_counter() - began
            self._note(entry, seconds)

    async def _answer(self, scope: Message, receive: Receive, send: "_Noted") -> None:
        shaped = OneShape(send)
        try:
            if scope["path"] not in PROBES:
                self._tokens.check(scope["headers"])
            if scope["path"] == ANALYZE and scope["method"] == "POST":
                with self._admission.place():
                    self._metrics.waiting.set(self._admission.waiting)
                    await self._analyze(scope, receive, shaped)
            else:
                await self.app(scope, receive, shaped)
        except RequestFault as fault:
            send.entry.code = fault.code
            await send_error(send, fault)
        except ClientGone:
            raise
        except Exception as error:
            if shaped.started:  # half an answer is out; all that is left is to break off
                send.entry.code = Code.DEADLINE_EXCEEDED if isinstance(error, TimeoutError) else Code.INTERNAL
                raise
            logger.exception("%s %s failed, request %s", scope["method"], scope["path"], send.entry.request_id)
            send.entry.code = Code.INTERNAL
            await send_error(send, RequestFault(Code.INTERNAL, INTERNAL_MESSAGE))
        finally:
            self._metrics.waiting.set(self._admission.waiting)

    async def _analyze(self, scope: Message, receive: Receive, send: OneShape) -> None:
        headers: Headers = scope["headers"]
        seconds = self._deadline(headers)
        check_content_type(headers)
        try:
            async with asyncio.timeout(seconds):
                body = await read_body(headers, receive, self.settings.max_body_bytes)
                entry = entry_of_request.get()
                entry.bytes_in = len(body)
                scope[DOCUMENTS] = parse_body(body, self.settings.max_documents)
                entry.documents = len(scope[DOCUMENTS])
                # The body has been read as JSON, whatever it was called; BentoML would choose its decoder by this name.
                scope["headers"] = [(k, v) for k, v in headers if k.lower() != b"content-type"] + [_JSON]
                await self._while_connected(self.app, scope, receive, send)
        except TimeoutError as error:
            if send.started:
                raise
            message = f"not answered within {seconds:g} s, the deadline of this request; what was left to read is dropped"
            raise RequestFault(Code.DEADLINE_EXCEEDED, message) from error

    async def _while_connected(self, app: Application, scope: Message, receive: Receive, send: Send) -> None:
        """Answer, unless the client goes first: then the work is cancelled, and ClientGone raised."""

        async def nothing_more() -> Message:
            await asyncio.Event().wait()
            return {}  # never

        work = asyncio.ensure_future(app(scope, nothing_more, send))
        gone = asyncio.ensure_future(_disconnect(receive))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise ClientGone
            await work
        finally:
            for task in (work, gone):
                task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(work, gone, return_exceptions=True)

    def _deadline(self, headers: Headers) -> float:
        """What the client asks for, or the server's own, whichever is sooner."""
        given = header_of(headers, _DEADLINE)
        if not given:
            return self.settings.deadline
        try:
            seconds = float(given)
        except ValueError:
            seconds = math.nan
        if not 0 < seconds < math.inf:
            message = f"{_DEADLINE.decode()}: expected a number of seconds above 0, found {shorten(given)}"
            raise RequestFault(Code.INVALID_REQUEST, message)
        return min(seconds, self.settings.deadline)

    def _note(self, entry: Entry, seconds: float) -> None:
        if not entry.code and entry.status >= HTTPStatus.BAD_REQUEST:
            entry.code = code_of_status(entry.status)
        path = entry.path if entry.path in _PATHS else "other"  # what strangers ask for must not fill the memory
        self._metrics.requests.labels(path, str(entry.status), entry.code).inc()
        self._metrics.seconds.labels(path).observe(seconds)
        if self.settings.access_log and entry.path not in PROBES:
            entry.milliseconds = round(1000 * seconds, 2)
            entry.write()


class _Noted:
    """A `send` that puts the request's id on its answer and notes what left."""

    def __init__(self, send: Send, entry: Entry) -> None:
        self._send = send
        self.entry = entry

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.entry.status = message["status"]
            message = {**message, "headers": [*message["headers"], (b"x-request-id", self.entry.request_id.encode())]}
        elif message["type"] == "http.response.body":
            body = message.get("body", b"")
            # A piece waits until the client has read those before: an answer that nobody fetches holds its place and ends at
            # its deadline, where a whole one would lie in memory uncounted.
            for start in range(0, len(body) - _SLICE, _SLICE):
                await self._send({"type": message["type"], "body": body[start : start + _SLICE], "more_body": True})
                self.entry.bytes_out += _SLICE
            rest = body[(len(body) - 1) // _SLICE * _SLICE :] if body else body
            await self._send({**message, "body": rest})
            self.entry.bytes_out += len(rest)
            return
        await self._send(message)


async def _disconnect(receive: Receive) -> Any:
    while (await receive())["type"] != "http.disconnect":
        pass
