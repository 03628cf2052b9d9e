"""What a second worker on Ray is worth, and what Ray itself costs:
`python -m benchmarks.ray_scaling --model models/marsad-mini --documents articles.jsonl`

The same Parquet shards are scored by `marsad score` in a process of its own: by Ray with one worker of one core, by Ray with as
many as --workers says, and by the local engine with as many threads, by turns. Speed is taken from the first document of the
first shard to the last shard's end, as the summaries of the shards tell; the seconds before and after are given beside it.
"""

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from benchmarks.documents import invented_articles
from benchmarks.machine import describe_machine
from benchmarks.model_command import heading, model_parser, run
from benchmarks.table import Spread, markdown_table, write_json
from labels.types import Document
from serving.batch.inputs import find_inputs
from serving.batch.source import Source
from serving.batch.split import cut_shards


@dataclass(frozen=True)
class Go:
    """One `marsad score` over all shards: documents a second while it scored, and seconds in which it did not."""

    speed: float
    overhead: float


def ways_of(workers: int) -> dict[str, list[str]]:
    ray = ["--engine", "ray", "--threads", "1", "--workers"]
    return {
        f"local engine, {workers} threads": ["--threads", str(workers)],
        "Ray, 1 worker": [*ray, "1"],
        f"Ray, {workers} workers": [*ray, str(workers)],
    }


def make_shards(path: Path | None, seed: int, shards: int, rows: int, scratch: Path) -> Path:
    """`shards` Parquet files of `rows` documents each."""
    whole = scratch / "articles.jsonl"
    with whole.open("w", encoding="utf-8") as handle:
        for number, document in enumerate(itertools.islice(_documents(path, seed), shards * rows)):
            handle.write(json.dumps({"id": str(number), "text": document.text}, ensure_ascii=False) + "\n")
    cut = cut_shards(Source(find_inputs([whole])), scratch / "shards", rows)
    if (cut.shards, cut.documents) != (shards, shards * rows):
        raise RuntimeError(f"expected {shards} shards of {rows} documents, found {cut}")
    return scratch / "shards"


def score(shards: Path, output: Path, model: Path, options: Sequence[str], documents: int) -> Go:
    given = [str(shards), "--input-format", "parquet", "-o", f"{output}/", "--output-format", "parquet", "--model", str(model)]
    # Ray's workers are more polite than other processes, which is no part of what is measured.
    environment = os.environ | {"RAY_worker_niceness": "0"}
    began = time.time()
    command = [sys.executable, "-m", "marsad", "score", *given, *options]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    whole = time.time() - began
    if done.returncode != 0:
        raise RuntimeError(f"marsad score {' '.join(options)} ended with {done.returncode}: {done.stderr[-2000:]}")
    summaries = list(output.glob("*.parquet.summary.json"))
    if sum(json.loads(file.read_text())["documents"] for file in summaries) != documents:
        raise RuntimeError("not every document was answered")
    ends = {file.stat().st_mtime: json.loads(file.read_text())["seconds"] for file in summaries}
    scoring = max(ends) - min(end - seconds for end, seconds in ends.items())
    shutil.rmtree(output)
    return Go(documents / scoring, whole - scoring)


def _documents(path: Path | None, seed: int) -> Iterator[Document]:
    if path is None:
        return invented_articles(seed)
    return (row.item for row in Source(find_inputs([path])) if isinstance(row.item, Document))


def report(given: argparse.Namespace) -> int:
    machine = describe_machine()
    ways, documents = ways_of(given.workers), given.shards * given.rows
    goes: dict[str, list[Go]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory(prefix="marsad-ray-", dir=given.scratch) as scratch:
        shards = make_shards(given.documents, given.seed, given.shards, given.rows, Path(scratch))
        for number in range(given.rounds):
            names = list(ways)
            for name in names[number % len(names) :] + names[: number % len(names)]:
                goes[name].append(score(shards, Path(scratch) / "out", given.model.absolute(), ways[name], documents))
    local, alone, together = goes.values()
    speeds = {name: Spread.of([go.speed for go in each]) for name, each in goes.items()}
    gains = [many.speed / one.speed for many, one in zip(together, alone, strict=True)]
    efficiency = Spread.of([gain / given.workers for gain in gains])
    against = Spread.of([many.speed / here.speed for many, here in zip(together, local, strict=True)])
    click.echo(heading("Workers on Ray", machine))
    click.echo(f"{given.shards} shards of {given.rows} documents, {given.rounds} rounds, median (lowest to highest).\n")
    rows = [[name, speeds[name].show(1), Spread.of([go.overhead for go in each]).show(1)] for name, each in goes.items()]
    click.echo(markdown_table(["way", "documents/s", "seconds to begin and end"], rows))
    click.echo(
        f"\nScaling efficiency of {given.workers} workers, {given.workers} times one being 1: {efficiency.show(2)}. ", nl=False
    )
    click.echo(f"Against the local engine on as many cores: {against.show(2)}.")
    if given.json:
        figures = {name: [asdict(go) for go in each] for name, each in goes.items()}
        write_json(
            given.json, {"machine": machine, "ways": figures, "efficiency": asdict(efficiency), "local": asdict(against)}
        )
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = model_parser("benchmarks.ray_scaling", __doc__)
    parser.add_argument("--shards", type=int, default=8, help="files (8)")
    parser.add_argument("--rows", type=int, default=60, help="documents in each (60)")
    parser.add_argument("--rounds", type=int, default=3, help="(3)")
    parser.add_argument("--workers", type=int, default=2, help="that are compared with one (2)")
    parser.add_argument("--scratch", type=Path, help="folder for what is read and written; the system's own if not given")
    parser.add_argument("--json", type=Path, help="write all figures there as well")
    return run("benchmarks.ray_scaling", report, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
