"""The real server from start to stop: seconds to ready, memory, requests a second and latency under parallel clients, each
beside the framework's empty endpoint and the rate of the same articles in process:
`python -m benchmarks.server --model models/marsad-mini`"""

import argparse
import asyncio
import http.client
import itertools
import json
import math
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np

from benchmarks.crowd import Asked, Crowd, Seen, request_bytes
from benchmarks.documents import documents_of
from benchmarks.machine import describe_machine
from benchmarks.model_command import heading, model_parser, run
from benchmarks.running_server import (
    STOPPING,
    Call,
    Memory,
    ServerError,
    ask,
    free_port,
    measure_memory,
    server,
    wait_until_ready,
)
from benchmarks.table import Spread, markdown_table, write_json
from labels.folder import ModelFolder
from labels.types import Document
from serving.analyzer import Analyzer
from serving.engine import Engine

ROOT = Path(__file__).resolve().parent.parent
CLIENTS = (1, 8, 32, 128)
ROUNDS = 3
IN_PROCESS = 6.0  # seconds, before the server runs and after
ARTICLES = 24  # different ones, so that no answer could come from a memory of the last
MOST_SECONDS = 150.0  # of the whole run
MOST_LOADED = 80.0  # of it under load
EMPTY = "GET /livez"
ARTICLE = "POST /analyze, one article"
_WARM_UP = 0.3  # seconds of load that are not counted


@dataclass(frozen=True)
class Load:
    """What one kind of request did under one number of clients in one round. `latencies`, in milliseconds, are of what was
    answered with 200; `refused` were sent away as more waited than may, `wrong` are neither that nor the answer they should
    be; `client_seconds` of a core went to asking."""

    endpoint: str
    clients: int
    seconds: float
    latencies: tuple[float, ...]
    right: int
    refused: int
    wrong: int
    client_seconds: float

    @property
    def rate(self) -> float:
        """Right answers a second: others may come faster."""
        return self.right / self.seconds


def first_answers(port: int, documents: Sequence[Document]) -> list[Asked]:
    """Every article asked for once, alone: what it gets is what it must get from then on."""
    asked = []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for document in documents:
        body = json.dumps({"documents": [{"id": document.id, "text": document.text}]}).encode()
        status, answer = ask(connection, Call("POST", "/analyze", body))
        results = json.loads(answer).get("results", []) if status == 200 else []
        if len(results) != 1 or results[0]["id"] != document.id or "error" in results[0]:
            raise ServerError(f"document {document.id!r} was answered with {status}: {answer[:300]!r}")
        asked.append(Asked(request_bytes("POST", "/analyze", body), answer))
    connection.close()
    return asked


def press(port: int, endpoint: str, asked: Sequence[Asked], clients: int, seconds: float) -> Load:
    """So many clients ask without pause, each on its own connection, each beginning with another article."""
    seen = Seen()
    began, spent = time.perf_counter(), time.process_time()
    asyncio.run(Crowd(port).press(asked, clients, seconds, seen))
    passed, spent = time.perf_counter() - began, time.process_time() - spent
    right = seen.statuses[HTTPStatus.OK] - seen.unlike
    refused = seen.statuses[HTTPStatus.TOO_MANY_REQUESTS]
    wrong = seen.statuses.total() - right - refused
    return Load(endpoint, clients, passed, tuple(seen.took.get(HTTPStatus.OK, ())), right, refused, wrong, spent)


def measure_load(port: int, articles: Sequence[Asked], seconds: float) -> list[Load]:
    """Both endpoints in turn, in every round and at every number of clients."""
    kinds = [(EMPTY, [Asked(request_bytes("GET", "/livez"))]), (ARTICLE, list(articles))]
    slot = seconds / (ROUNDS * len(CLIENTS) * len(kinds))
    loads = []
    for clients in CLIENTS:
        for endpoint, asked in kinds:
            press(port, endpoint, asked, clients, _WARM_UP)
        for number in range(ROUNDS):
            for endpoint, asked in kinds if number % 2 == 0 else kinds[::-1]:
                loads.append(press(port, endpoint, asked, clients, slot))
    return loads


def measure_in_process(folder: ModelFolder, documents: Sequence[Document], threads: int | None, seconds: float) -> float:
    """Documents a second of the analyzer, fed without pause."""
    analyzer = Analyzer(Engine(folder, threads=threads))
    list(analyzer.stream(itertools.islice(itertools.cycle(documents), 3 * len(documents))))
    began = time.perf_counter()

    def until_time_is_up() -> Iterator[Document]:
        for document in itertools.cycle(documents):
            if time.perf_counter() - began > seconds:
                return
            yield document

    count = sum(1 for _ in analyzer.stream(until_time_is_up()))
    rate = count / (time.perf_counter() - began)
    analyzer.close()
    return rate


def load_table(loads: Sequence[Load], in_process: float) -> str:
    """Requests a second: median and range of the rounds. Latencies: of all requests of all rounds. The ratio is that of
    one round's empty requests to its articles."""
    rows = []
    for clients in CLIENTS:
        of = {name: [each for each in loads if (each.endpoint, each.clients) == (name, clients)] for name in (EMPTY, ARTICLE)}
        pairs = zip(of[EMPTY], of[ARTICLE], strict=True)
        ratios = [empty.rate / article.rate if article.rate else math.inf for empty, article in pairs]
        for name, measured in of.items():
            waits = np.percentile(list(itertools.chain(*(each.latencies for each in measured))) or [math.nan], [50, 95, 99])
            share = Spread.of(ratios).show(1) if name == ARTICLE else "1"
            counts = [str(sum(getattr(each, what) for each in measured)) for what in ("refused", "wrong")]
            beside = f"{100 * median(each.rate for each in measured) / in_process:.0f} %" if name == ARTICLE else ""
            rate = Spread.of([each.rate for each in measured]).show()
            rows.append([name, str(clients), rate, *(f"{wait:,.1f}" for wait in waits), share, beside, *counts])
    head = ["request", "clients", "requests/s", "p50 ms", "p95 ms", "p99 ms", "empty / this", "of in process"]
    return markdown_table([*head, "refused", "wrong"], rows)


def memory_table(ready: Memory, loaded: Memory) -> str:
    rows = [
        [when, str(each.processes), f"{each.resident:,.0f}", f"{each.proportional:,.0f}"]
        for when, each in (("ready", ready), ("after load", loaded))
    ]
    return markdown_table(["memory", "processes", "resident MB", "MB, shared pages once"], rows)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = model_parser("benchmarks.server", __doc__)
    parser.add_argument("--seconds", type=float, default=48, help=f"under load, at most {MOST_LOADED:.0f} (48)")
    parser.add_argument("--threads", type=int, help="of the server; all cores if not given")
    parser.add_argument("--output", type=Path, help="JSON of all figures")
    given = parser.parse_args(arguments)
    if not 0 < given.seconds <= MOST_LOADED:
        parser.error(f"expected --seconds above 0 and at most {MOST_LOADED:.0f}")
    return run("benchmarks.server", _report, given)


def _report(given: argparse.Namespace) -> int:
    """0, or 1 where an answer was not the one it had to be."""
    machine = describe_machine()
    folder = ModelFolder.open(given.model)
    documents = list(itertools.islice(documents_of(given.documents, given.seed), ARTICLES))
    port = free_port()
    limit = MOST_SECONDS - given.seconds - STOPPING - 2 * len(CLIENTS) * _WARM_UP
    in_process = [measure_in_process(folder, documents, given.threads, IN_PROCESS)]
    with tempfile.TemporaryDirectory() as home, server(folder.path, port, Path(home), given.threads) as process:
        ready = wait_until_ready(process, port, Path(home) / "server.log", limit)
        at_ready = measure_memory(process)
        articles = first_answers(port, documents)
        loads = measure_load(port, articles, given.seconds)
        after = measure_memory(process)
    in_process.append(measure_in_process(folder, documents, given.threads, IN_PROCESS))
    wrong = sum(each.wrong for each in loads)
    size = sum(len(document.text) for document in documents) / len(documents)
    click.echo(heading(f"Server with {folder.id}", machine))
    click.echo(f"Ready {ready:.1f} s after the start. {len(documents)} articles of {size:,.0f} characters on average.\n")
    click.echo(memory_table(at_ready, after) + "\n")
    click.echo(f"In process, before and after: {in_process[0]:,.0f} and {in_process[1]:,.0f} articles/s.\n")
    click.echo(load_table(loads, sum(in_process) / 2))
    took = sum(each.client_seconds for each in loads) / sum(each.seconds for each in loads)
    click.echo(f"\nThe clients took {100 * took:.0f} % of one of the cores that they share with the server.")
    if given.output is not None:
        record: dict[str, Any] = {"model": folder.id, "machine": machine, "seconds_to_ready": ready, "in_process": in_process}
        record |= {
            "memory": {"ready": asdict(at_ready), "after_load": asdict(after)},
            "loads": [asdict(each) for each in loads],
        }
        write_json(given.output, record)
    if wrong:
        total = sum(each.right + each.refused + each.wrong for each in loads)
        click.echo(
            f"benchmarks.server: {wrong} of {total} answers were neither equal to the first nor sent away with 429", err=True
        )
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
