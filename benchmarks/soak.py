"""Whether a server grows: `python -m benchmarks.soak --model models/marsad-mini --minutes 30`

Requests of one article to a hundred come at a steady rate, some of them bad, some from clients that go before the answer;
memory is looked at all the while. The first fifth of the time is left to kernels and caches that fill.
"""

import argparse
import asyncio
import itertools
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import click
import numpy as np
import psutil

from benchmarks.documents import documents_of
from benchmarks.machine import describe_machine
from benchmarks.model_command import heading, model_parser, run
from benchmarks.running_server import free_port, measure_memory, server, wait_until_ready
from benchmarks.table import markdown_table
from labels.folder import ModelFolder
from labels.types import Document

LOOK_EVERY = 15.0  # seconds
SETTLING = 0.2  # of the time
_SIZES = (1, 1, 1, 1, 2, 5, 20)
_BAD = (b"{", b'{"documents": [5]}', b"[" * 10_000)
_HEADERS = {"content-type": "application/json"}


async def ask(session: aiohttp.ClientSession, url: str, body: bytes, patience: float, seen: Counter[str]) -> None:
    try:
        async with session.post(url, data=body, headers=_HEADERS, timeout=aiohttp.ClientTimeout(total=patience)) as response:
            await response.read()
            seen[str(response.status)] += 1
    except TimeoutError:
        seen["client gone"] += 1
    except aiohttp.ClientError:
        seen["no answer"] += 1


def some_body(draw: random.Random, documents: Iterator[Document]) -> bytes:
    if draw.random() < 0.05:
        return draw.choice(_BAD)
    taken = itertools.islice(documents, draw.choice(_SIZES))
    return json.dumps({"documents": [{"id": each.id, "text": each.text} for each in taken]}).encode()


async def soak(  # noqa: PLR0917
    port: int, process: psutil.Process, documents: Iterator[Document], rate: float, seconds: float, seed: int
) -> tuple[list[tuple[float, float]], Counter[str]]:
    """Megabytes at seconds since the start, and answers by status."""
    draw, seen, memory = random.Random(seed), Counter[str](), []
    tasks: set[asyncio.Task[None]] = set()
    began = looked = time.perf_counter()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        for number in itertools.count(1):
            patience = 0.02 if draw.random() < 0.02 else 60.0
            body = some_body(draw, documents)
            tasks.add(task := asyncio.create_task(ask(session, f"http://127.0.0.1:{port}/analyze", body, patience, seen)))
            task.add_done_callback(tasks.discard)
            now = time.perf_counter()
            if now - looked > LOOK_EVERY:
                looked = now
                memory.append((now - began, measure_memory(process).proportional))
            if now - began > seconds:
                break
            await asyncio.sleep(max(0.0, began + number / rate - now))
        await asyncio.gather(*tasks)
    return memory, seen


def main(arguments: list[str] | None = None) -> int:
    parser = model_parser("benchmarks.soak", __doc__)
    parser.add_argument("--minutes", type=float, default=30, help="(30)")
    parser.add_argument("--rate", type=float, default=10, help="requests a second (10)")
    given = parser.parse_args(arguments)
    return run("benchmarks.soak", _report, given)


def _report(given: argparse.Namespace) -> int:
    machine, port = describe_machine(), free_port()
    folder = ModelFolder.open(given.model)
    documents = documents_of(given.documents, given.seed)
    with tempfile.TemporaryDirectory() as home, server(folder.path, port, Path(home), access_log="off") as process:
        wait_until_ready(process, port, Path(home) / "server.log", 120)
        memory, seen = asyncio.run(soak(port, process, documents, given.rate, 60 * given.minutes, given.seed))
    settled = [(at, size) for at, size in memory if at > SETTLING * 60 * given.minutes]
    click.echo(heading(f"Soak of {folder.id}", machine))
    answers = ", ".join(f"{status} {count:,}" for status, count in seen.most_common())
    click.echo(f"{seen.total():,} requests in {given.minutes:g} minutes: {answers}.\n")
    marks = memory[:: max(1, len(memory) // 10)]
    click.echo(markdown_table(["minute", "MB, shared pages once"], [[f"{at / 60:.1f}", f"{size:,.0f}"] for at, size in marks]))
    if len(settled) > 2:
        slope = float(np.polyfit([at / 3600 for at, _ in settled], [size for _, size in settled], 1)[0])
        first, last = settled[0][1], settled[-1][1]
        click.echo(f"\nAfter the first fifth: from {first:,.0f} to {last:,.0f} MB, {slope:+,.0f} MB an hour by least squares.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
