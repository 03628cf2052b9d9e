"""Clients that cost next to nothing: what they take of the cores that they share with the server is missing in what it answers.

An HTTP library may spend as much on a request as a server that sends it away. These clients write bytes made beforehand
and look into an answer for its status and its length alone, and at the rest of it only to see whether it is the one expected.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

_PATIENCE = 60.0  # seconds for the last answers
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_HEAD_ENDS = b"\r\n\r\n"


@dataclass
class Seen:
    """Answers by status (0: none came), and how many milliseconds each kind took. `unlike` are those of 200 that were not the
    answer that was expected."""

    statuses: Counter[int] = field(default_factory=Counter)
    took: dict[int, list[float]] = field(default_factory=dict)
    unlike: int = 0

    def add(self, status: int, milliseconds: float) -> None:
        self.statuses[status] += 1
        self.took.setdefault(status, []).append(milliseconds)


@dataclass(frozen=True)
class Asked:
    """A request as it goes over the line, and the body that a 200 must have; None where any will do."""

    request: bytes
    expected: bytes | None = None


def request_bytes(method: str, path: str, body: bytes = b"") -> bytes:
    """A request as it goes over the line."""
    head = (
        f"{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Line(asyncio.Protocol):
    """One connection, with one request at a time. `idle` is called when the answer is there and the line free again."""

    def __init__(self, idle: Callable[["Line"], None]) -> None:
        self._idle = idle
        self._seen: Seen | None = None
        self._began = 0.0
        self._expected: bytes | None = None
        self._answer = bytearray()
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def send(self, asked: Asked, seen: Seen, began: float | None = None) -> None:
        """Send it; `seen` gets the answer's status and time, from `began` where that was before."""
        self._seen, self._began = seen, time.perf_counter() if began is None else began
        self._expected = asked.expected
        self._transport.write(asked.request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._answer += data
        end = self._answer.find(_HEAD_ENDS)
        if end < 0:
            return
        length = _LENGTH.search(self._answer, 0, end + 2)
        if length is None or len(self._answer) < end + len(_HEAD_ENDS) + int(length[1]):
            return
        status = int(self._answer[9:12])
        body = self._answer[end + len(_HEAD_ENDS) :]
        self._answer.clear()
        self._done(status, unlike=status == HTTPStatus.OK and self._expected not in (None, body))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.lost = True
        self._done(0)

    def close(self) -> None:
        self._transport.close()

    def _done(self, status: int, *, unlike: bool = False) -> None:
        if self._seen is None:
            return
        self._seen.add(status, 1000 * (time.perf_counter() - self._began))
        self._seen.unlike += unlike
        self._seen = None
        self._idle(self)


class Crowd:
    """As many lines to a port as there are requests at a time; a free one is taken again."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._free: list[Line] = []
        self._open: set[Line] = set()
        self._dialling: set[asyncio.Task[None]] = set()

    def send(self, asked: Asked, seen: Seen) -> None:
        """Send on a free line, or on a new one, without waiting."""
        while self._free:
            line = self._free.pop()
            if not line.lost:
                line.send(asked, seen)
                return
        self._dialling.add(task := asyncio.create_task(self._dial(asked, seen)))
        task.add_done_callback(self._dialling.discard)

    async def press(self, requests: Sequence[Asked], clients: int, seconds: float, seen: Seen) -> None:
        """So many clients that wait for each answer before they ask again, each beginning with another request."""
        loop = asyncio.get_running_loop()
        end, done = loop.time() + seconds, loop.create_future()
        lines: list[Line] = []
        turns: dict[Line, int] = {}

        def ask_again(line: Line) -> None:
            if line.lost or loop.time() > end:
                turns.pop(line)
                if not turns and not done.done():
                    done.set_result(None)
                return
            turns[line] += 1
            line.send(requests[turns[line] % len(requests)], seen)

        for number in range(clients):
            _, line = await loop.create_connection(lambda: Line(ask_again), "127.0.0.1", self._port)
            lines.append(line)
            turns[line] = number
            line.send(requests[number % len(requests)], seen)
        await asyncio.wait_for(done, seconds + _PATIENCE)
        await _hang_up(lines)

    async def settle(self, seconds: float) -> None:
        """Wait until all answers are there, at most so long, and hang up."""
        end = time.perf_counter() + seconds
        while (self._dialling or len(self._free) < len(self._open)) and time.perf_counter() < end:
            await asyncio.sleep(0.05)
        await _hang_up(list(self._open))
        self._open.clear()
        self._free.clear()

    async def _dial(self, asked: Asked, seen: Seen) -> None:
        began = time.perf_counter()
        try:
            _, line = await asyncio.get_running_loop().create_connection(lambda: Line(self._back), "127.0.0.1", self._port)
        except OSError:
            seen.add(0, 1000 * (time.perf_counter() - began))
            return
        self._open.add(line)
        line.send(asked, seen, began)

    def _back(self, line: Line) -> None:
        if line.lost:
            self._open.discard(line)
        else:
            self._free.append(line)


async def _hang_up(lines: list[Line]) -> None:
    """Close them, and wait until they are closed."""
    for line in lines:
        line.close()
    while not all(line.lost for line in lines):
        await asyncio.sleep(0.001)
