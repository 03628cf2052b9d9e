"""The cheap clients of the overload benchmark, against a server that says what it is told to."""

import asyncio

import pytest

from benchmarks.crowd import Asked, Crowd, Seen, request_bytes


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers with the status that the path names, in two parts; /0 hangs up."""
    while head := await reader.readuntil(b"\r\n\r\n"):
        status = int(head.split(b" ")[1].strip(b"/"))
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        if not status:
            break
        writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(body)))
        await writer.drain()
        await asyncio.sleep(0.001)
        writer.write(body)
        await writer.drain()
    writer.close()


async def flooded(requests: list[Asked]) -> Seen:
    async with await asyncio.start_server(_forgiving, "127.0.0.1", 0) as server:
        crowd, seen = Crowd(server.sockets[0].getsockname()[1]), Seen()
        for request in requests:
            crowd.send(request, seen)
        await crowd.settle(5)
        for request in requests:  # on the lines that are open, where any is left
            crowd.send(request, seen)
        await crowd.settle(5)
        await asyncio.sleep(0.1)  # the server's side hangs up as well
    return seen


async def _forgiving(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        await serve(reader, writer)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


def test_every_request_is_seen_with_its_status() -> None:
    requests = [Asked(request_bytes("POST", path, "مرصد".encode() * 100)) for path in ("/200", "/429", "/200", "/0")]
    seen = asyncio.run(flooded(requests))
    assert seen.statuses == {200: 4, 429: 2, 0: 2}
    assert all(0 <= took < 5000 for each in seen.took.values() for took in each)


def test_an_answer_that_is_not_the_one_expected_is_counted() -> None:
    kinds = [("/200", b"same"), ("/200", b"other"), ("/429", b"other"), ("/200", None)]
    requests = [Asked(request_bytes("POST", path, b"same"), expected) for path, expected in kinds]
    seen = asyncio.run(flooded(requests))
    assert (seen.statuses, seen.unlike) == ({200: 6, 429: 2}, 2)


def test_clients_wait_for_each_answer() -> None:
    async def pressed() -> Seen:
        async with await asyncio.start_server(_forgiving, "127.0.0.1", 0) as server:
            seen = Seen()
            requests = [Asked(request_bytes("GET", "/200")), Asked(request_bytes("GET", "/503"))]
            await Crowd(server.sockets[0].getsockname()[1]).press(requests, 3, 0.2, seen)
            await asyncio.sleep(0.1)
            return seen

    statuses = asyncio.run(pressed()).statuses
    assert statuses.keys() == {200, 503}
    assert abs(statuses[200] - statuses[503]) <= 3


def test_nobody_there_is_no_answer() -> None:
    async def refused() -> Seen:
        async with await asyncio.start_server(_forgiving, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
        crowd, seen = Crowd(port), Seen()
        crowd.send(Asked(request_bytes("GET", "/200")), seen)
        await crowd.settle(5)
        return seen

    assert asyncio.run(refused()).statuses == {0: 1}


@pytest.mark.parametrize("body", [b"", b"x"])
def test_a_request_says_its_length(body: bytes) -> None:
    assert request_bytes("POST", "/a", body).endswith(b"content-length: %d\r\n\r\n%b" % (len(body), body))
