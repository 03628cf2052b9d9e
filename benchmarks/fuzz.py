"""Requests that nobody should send, by the hundred thousand: `python -m benchmarks.fuzz --model models/marsad-mini`

Good requests are made and then damaged: in their texts, their JSON, their bytes, their headers, their path. No answer may be
a fault of the server (5xx, but for the deadline a request asked for), none may be without the shape of errors, and a good
request beside them must get the answer that it always gets.
"""

import argparse
import gzip
import http.client
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from benchmarks.machine import describe_machine
from benchmarks.model_command import heading, model_parser, run
from benchmarks.running_server import ServerError, free_port, measure_memory, server, wait_until_ready
from labels.folder import ModelFolder

CLIENTS = 4
_SIGNS = "داعشفيالموصل وبلك،؟.!\n\r\t\u064e\u0640\u200f\u200b\u202b\ufeff\u0000😀👨‍👩‍👧ﷲﻻéßabc[SEP]٣1½\ud800\udfff\U0010fffd"
_PATHS = [*["/analyze"] * 12, "/model", "/docs.json", "/nothing", "/analyze/", "/../etc/passwd", "/%ff", "/metrics"]
_METHODS = [*["POST"] * 12, "GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"]
_KINDS = ["application/json"] * 6 + [
    "application/json; charset=utf-16",
    "text/plain",
    "multipart/form-data",
    "",
    "application/x-json",
]
_PACKINGS = ["", "", "", "", "gzip", "deflate", "br", "gzip, gzip", "identity", "GZIP"]
GOOD = json.dumps({"documents": [{"id": "good", "text": "قصف طيران التحالف مخازن قرب صنعاء."}]}).encode()


@dataclass
class Found:
    """What came back. `faults` are requests whose answer breaks a rule, with the rule."""

    statuses: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def some_text(draw: random.Random) -> str:
    return "".join(draw.choices(_SIGNS, k=draw.choice([0, 1, 3, 20, 200])))


def some_value(draw: random.Random, depth: int = 0) -> Any:
    """Any JSON, mostly small."""
    kind = draw.randrange(9 if depth < 3 else 6)
    simple: list[Callable[[], Any]] = [
        lambda: None,
        lambda: draw.random() < 0.5,
        lambda: draw.choice([0, -1, 10**30, 1e308, -0.0]),
        lambda: some_text(draw),
        lambda: "2016-06-01",
        lambda: "x" * draw.choice([511, 512, 513]),
    ]
    if kind < 6:
        return simple[kind]()
    if kind == 6:
        return [some_value(draw, depth + 1) for _ in range(draw.randrange(4))]
    return {draw.choice(["id", "text", "published", "source", "documents", some_text(draw)]): some_value(draw, depth + 1)}


def some_document(draw: random.Random) -> Any:
    document: dict[str, Any] = {"id": some_text(draw) or "d", "text": some_text(draw)}
    if draw.random() < 0.3:
        document[draw.choice(["id", "text", "published", "source", "more"])] = some_value(draw)
    return document if draw.random() < 0.9 else some_value(draw)


def some_body(draw: random.Random) -> bytes:
    value: Any = {"documents": [some_document(draw) for _ in range(draw.choice([0, 1, 1, 1, 2, 5]))]}
    if draw.random() < 0.15:
        value = some_value(draw)
    body = json.dumps(value, ensure_ascii=draw.random() < 0.5).encode("utf-8", "surrogatepass")
    if draw.random() < 0.15 and body:
        damaged = bytearray(body)
        for _ in range(draw.choice([1, 1, 4])):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        body = bytes(damaged)
    if draw.random() < 0.05:
        body = body[: draw.randrange(len(body) + 1)]
    if draw.random() < 0.01:
        body = draw.choice([b"[" * 50_000, b'{"a":' * 50_000, b"9" * 50_000, b'{"documents": [' + b"1," * 5_000 + b"1]}"])
    return body


def some_request(draw: random.Random) -> tuple[str, str, bytes, dict[str, str]]:
    body, packing = some_body(draw), draw.choice(_PACKINGS)
    if packing == "gzip" and draw.random() < 0.8:
        body = gzip.compress(body)
    headers = {"content-type": draw.choice(_KINDS)}
    if packing:
        headers["content-encoding"] = packing
    if draw.random() < 0.1:
        headers["x-deadline-seconds"] = draw.choice(["1", "30", "0", "-5", "nan", "1e99", "soon", "0.0001"])
    if draw.random() < 0.1:
        headers[draw.choice(["x-request-id", "traceparent", "authorization", "accept", "x-forwarded-for"])] = "".join(
            draw.choices("ab0-;,/ \u00e9", k=draw.choice([1, 30, 300]))
        ).strip()
    return draw.choice(_METHODS), draw.choice(_PATHS), body, headers


def rule_broken(status: int, body: bytes, method: str, headers: dict[str, str]) -> str:
    """What is wrong with an answer; nothing where it is as it must be."""
    if status >= 500 and not (status == 504 and "x-deadline-seconds" in headers):
        return f"status {status}"
    if method == "HEAD" or status < 400:
        return ""
    try:
        error = json.loads(body)["error"]
        fine = set(error) == {"code", "message"} and all(isinstance(part, str) for part in error.values())
    except (ValueError, KeyError, TypeError):
        fine = False
    # A request line or header that is no HTTP is refused by the HTTP parser, before any of our code.
    return "" if fine or body == b"Invalid HTTP request received." else f"status {status} without the shape of errors"


def client(port: int, seed: int, requests: int, found: Found, lock: threading.Lock) -> None:
    draw = random.Random(seed)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    expected = b""
    for number in range(requests):
        good = number % 50 == 0
        method, path, body, headers = (
            ("POST", "/analyze", GOOD, {"content-type": "application/json"}) if good else some_request(draw)
        )
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            answer, status = response.read(), response.status
        except (OSError, http.client.HTTPException, ValueError) as error:
            connection.close()
            answer, status = repr(error).encode(), 0
        broken = "no answer" if not status else rule_broken(status, answer, method, headers)
        expected = expected or answer
        if good and not broken and answer != expected:
            broken = "another answer to the good request"
        with lock:
            found.statuses[status] += 1
            if broken and len(found.faults) < 20:
                found.faults.append(
                    f"seed {seed}, request {number}: {broken}: {method} {path} {headers} {body[:200]!r}: {answer[:200]!r}"
                )
    connection.close()


def main(arguments: list[str] | None = None) -> int:
    parser = model_parser("benchmarks.fuzz", __doc__, documents=False)
    parser.add_argument("--requests", type=int, default=100_000, help="(100,000)")
    given = parser.parse_args(arguments)
    return run("benchmarks.fuzz", _report, given)


def _report(given: argparse.Namespace) -> int:
    machine = describe_machine()
    found, lock, port = Found(), threading.Lock(), free_port()
    folder = ModelFolder.open(given.model)
    with tempfile.TemporaryDirectory() as home, server(folder.path, port, Path(home), access_log="off") as process:
        wait_until_ready(process, port, Path(home) / "server.log", 60)
        before, began = measure_memory(process), time.perf_counter()
        threads = [
            threading.Thread(target=client, args=(port, CLIENTS * given.seed + i, given.requests // CLIENTS, found, lock))
            for i in range(CLIENTS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds, after = time.perf_counter() - began, measure_memory(process)
        if process.poll() is not None:
            raise ServerError(f"the server ended with code {process.returncode}")
        traces = (Path(home) / "server.log").read_text(encoding="utf-8", errors="replace").count("Traceback")
    click.echo(heading(f"Fuzz of {folder.id}", machine))
    counts = ", ".join(f"{status or 'none'}: {count:,}" for status, count in sorted(found.statuses.items()))
    click.echo(
        f"{sum(found.statuses.values()):,} requests in {seconds:,.0f} s, seed {given.seed}. Answers by status: {counts}."
    )
    click.echo(f"Memory, shared pages once: {before.proportional:,.0f} MB before, {after.proportional:,.0f} MB after.")
    click.echo(f"Tracebacks in the log: {traces}. Answers that break a rule: {len(found.faults)}")
    for fault in found.faults:
        click.echo(fault)
    return int(bool(found.faults))


if __name__ == "__main__":
    sys.exit(main())
