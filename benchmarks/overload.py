"""Ten times as much as the server can do, for a minute: what it still answers, how fast it sends the rest away, whether probes
and memory stay as they were: `python -m benchmarks.overload --model models/marsad-mini`

First its peak is found, with 32 clients that wait for each answer. Then requests are sent at ten times that rate whether
answered or not, as a crowd of clients does.
"""

import argparse
import asyncio
import itertools
import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import click
import numpy as np

from benchmarks.documents import documents_of
from benchmarks.machine import describe_machine
from benchmarks.model_command import heading, model_parser, run
from benchmarks.running_server import free_port, measure_memory, server, wait_until_ready
from benchmarks.table import markdown_table
from labels.folder import ModelFolder

ARTICLES = 24
CLIENTS = 32
PEAK_SECONDS = 10.0
PROBE_EVERY = 0.25
_HEADERS = {"content-type": "application/json"}


@dataclass
class Seen:
    """Answers by status (0: none came), and how many milliseconds each kind took."""

    statuses: Counter[int] = field(default_factory=Counter)
    took: dict[int, list[float]] = field(default_factory=dict)

    def add(self, status: int, milliseconds: float) -> None:
        self.statuses[status] += 1
        self.took.setdefault(status, []).append(milliseconds)


async def ask(session: aiohttp.ClientSession, url: str, body: bytes | None, seen: Seen) -> None:
    began = time.perf_counter()
    try:
        async with session.request("GET" if body is None else "POST", url, data=body, headers=_HEADERS) as response:
            await response.read()
            status = response.status
    except (aiohttp.ClientError, TimeoutError):
        status = 0
    seen.add(status, 1000 * (time.perf_counter() - began))


async def find_peak(session: aiohttp.ClientSession, url: str, bodies: list[bytes]) -> float:
    """Answers a second under CLIENTS clients."""
    seen, end = Seen(), time.perf_counter() + PEAK_SECONDS

    async def client(number: int) -> None:
        for body in itertools.islice(itertools.cycle(bodies), number, None):
            if time.perf_counter() > end:
                return
            await ask(session, url, body, seen)

    await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    return seen.statuses[200] / PEAK_SECONDS


async def flood(
    session: aiohttp.ClientSession, base: str, bodies: list[bytes], rate: float, seconds: float
) -> tuple[Seen, Seen]:
    """Requests at `rate` a second, and probes beside them."""
    seen, probes = Seen(), Seen()
    tasks: set[asyncio.Task[None]] = set()
    began = time.perf_counter()

    async def probe() -> None:
        while time.perf_counter() - began < seconds:
            await ask(session, f"{base}/readyz", None, probes)
            await asyncio.sleep(PROBE_EVERY)

    probing = asyncio.create_task(probe())
    turn, sent = itertools.cycle(bodies), 0
    while (passed := time.perf_counter() - began) < seconds:
        while sent < passed * rate:
            tasks.add(task := asyncio.create_task(ask(session, f"{base}/analyze", next(turn), seen)))
            task.add_done_callback(tasks.discard)
            sent += 1
        await asyncio.sleep(0.005)
    answered = seen.statuses[200]
    await asyncio.gather(probing, *tasks)
    seen.statuses[200] = answered  # those of the minute alone
    return seen, probes


def table(seen: Seen, probes: Seen) -> str:
    rows = []
    for name, each in (("analyze", seen), ("readyz", probes)):
        for status, count in sorted(each.statuses.items()):
            waits = np.percentile(each.took[status], [50, 95, 99, 100])
            rows.append([f"{name}: {status or 'no answer'}", f"{count:,}", *(f"{wait:,.0f}" for wait in waits)])
    return markdown_table(["answer", "number", "p50 ms", "p95 ms", "p99 ms", "longest ms"], rows)


async def measure(port: int, bodies: list[bytes], times: float, seconds: float) -> tuple[float, Seen, Seen]:
    base = f"http://127.0.0.1:{port}"
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60)) as session:
        await find_peak(session, f"{base}/analyze", bodies)  # warm
        peak = await find_peak(session, f"{base}/analyze", bodies)
        seen, probes = await flood(session, base, bodies, times * peak, seconds)
    return peak, seen, probes


def main(arguments: list[str] | None = None) -> int:
    parser = model_parser("benchmarks.overload", __doc__)
    parser.add_argument("--seconds", type=float, default=60, help="of the flood (60)")
    parser.add_argument("--times", type=float, default=10, help="the peak rate (10)")
    given = parser.parse_args(arguments)
    return run("benchmarks.overload", _report, given)


def _report(given: argparse.Namespace) -> int:
    machine = describe_machine()
    folder = ModelFolder.open(given.model)
    documents = itertools.islice(documents_of(given.documents, given.seed), ARTICLES)
    bodies = [json.dumps({"documents": [{"id": each.id, "text": each.text}]}).encode() for each in documents]
    port = free_port()
    with tempfile.TemporaryDirectory() as home, server(folder.path, port, Path(home), access_log="off") as process:
        wait_until_ready(process, port, Path(home) / "server.log", 60)
        before = measure_memory(process)
        peak, seen, probes = asyncio.run(measure(port, bodies, given.times, given.seconds))
        after = measure_memory(process)
    goodput = seen.statuses[200] / given.seconds
    click.echo(heading(f"Overload of {folder.id}", machine))
    click.echo(
        f"Peak with {CLIENTS} clients {peak:,.0f} articles/s. Offered {given.times:g} times that for {given.seconds:g} s:"
    )
    click.echo(f"{goodput:,.0f} articles/s answered, {100 * goodput / peak:.0f} % of the peak.")
    click.echo(f"Memory, shared pages once: {before.proportional:,.0f} MB before, {after.proportional:,.0f} MB after.\n")
    click.echo(table(seen, probes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
