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
from pathlib import Path

import click
import numpy as np

from benchmarks.crowd import Asked, Crowd, Seen, request_bytes
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


async def find_peak(crowd: Crowd, requests: list[Asked]) -> float:
    """Answers a second under CLIENTS clients."""
    seen = Seen()
    await crowd.press(requests, CLIENTS, PEAK_SECONDS, seen)
    return seen.statuses[200] / PEAK_SECONDS


async def flood(crowd: Crowd, requests: list[Asked], rate: float, seconds: float) -> tuple[Seen, Seen]:
    """Requests at `rate` a second, and probes beside them."""
    seen, probes = Seen(), Seen()
    probe = Asked(request_bytes("GET", "/readyz"))
    turn, sent, probed = itertools.cycle(requests), 0, 0
    began = time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        while sent < passed * rate:
            crowd.send(next(turn), seen)
            sent += 1
        if probed * PROBE_EVERY < passed:
            crowd.send(probe, probes)
            probed += 1
        await asyncio.sleep(0.005)
    answered = seen.statuses[200]
    await crowd.settle(60)
    seen.statuses[200] = answered  # those of the minute alone
    return seen, probes


def table(seen: Seen, probes: Seen) -> str:
    rows = []
    for name, each in (("analyze", seen), ("readyz", probes)):
        for status, count in sorted(each.statuses.items()):
            waits = np.percentile(each.took[status], [50, 95, 99, 100])
            rows.append([f"{name}: {status or 'no answer'}", f"{count:,}", *(f"{wait:,.0f}" for wait in waits)])
    return markdown_table(["answer", "number", "p50 ms", "p95 ms", "p99 ms", "longest ms"], rows)


async def measure(port: int, bodies: list[bytes], times: float, seconds: float) -> tuple[float, float, Seen, Seen]:
    """Peak, the share of a core that the clients took in the flood, and what was seen in it."""
    requests = [Asked(request_bytes("POST", "/analyze", body)) for body in bodies]
    crowd = Crowd(port)
    await find_peak(crowd, requests)  # warm
    peak = await find_peak(crowd, requests)
    took = time.process_time()
    seen, probes = await flood(crowd, requests, times * peak, seconds)
    return peak, (time.process_time() - took) / seconds, seen, probes


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
        peak, clients, seen, probes = asyncio.run(measure(port, bodies, given.times, given.seconds))
        after = measure_memory(process)
    goodput = seen.statuses[200] / given.seconds
    click.echo(heading(f"Overload of {folder.id}", machine))
    click.echo(
        f"Peak with {CLIENTS} clients {peak:,.0f} articles/s. Offered {given.times:g} times that for {given.seconds:g} s:"
    )
    click.echo(f"{goodput:,.0f} articles/s answered, {100 * goodput / peak:.0f} % of the peak.")
    click.echo(f"The clients took {100 * clients:.0f} % of one of the cores that they share with the server.")
    click.echo(f"Memory, shared pages once: {before.proportional:,.0f} MB before, {after.proportional:,.0f} MB after.\n")
    click.echo(table(seen, probes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
