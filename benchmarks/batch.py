"""What parts, ledger and files cost, and whether a long input costs more than its length:
`python -m benchmarks.batch --model models/marsad-mini --sizes 1000,10000,100000,1000000`

First articles, in rounds in one process: the bare engine over documents in memory, then `marsad score`'s run from a file to
a file over the same. Then short documents, each size by a `marsad score` of its own, whose peak memory the system tells.
"""

import argparse
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from benchmarks.documents import CORPUS, documents_of
from benchmarks.machine import describe_machine
from benchmarks.model_command import heading, model_parser, run
from benchmarks.table import Spread, markdown_table, write_json
from labels.folder import ModelFolder
from labels.records import read_annotations
from labels.types import Document
from serving.analyzer import Analyzer
from serving.batch.inputs import find_inputs
from serving.batch.job import Request
from serving.batch.run import run_job
from serving.batch.sinks import Sink
from serving.batch.stages import StageTimes
from serving.engine import Engine

GOAL = 0.95  # of the bare engine's documents a second
SHORT = 60  # characters a short document has at most


@dataclass(frozen=True)
class Rounds:
    """Documents a second of each round, and the run's share of the bare engine in the same round."""

    documents: int
    bare: Spread
    files: Spread
    share: Spread


@dataclass(frozen=True)
class Size:
    """One `marsad score` over so many short documents. Memory is the peak of its resident set."""

    documents: int
    seconds: float
    a_second: float
    peak_mb: float
    output_mb: float


def compare(folder: ModelFolder, documents: Sequence[Document], rounds: int, scratch: Path) -> Rounds:
    """Bare engine and run by turns, the first of each not counted."""
    stages = StageTimes()
    analyzer = Analyzer(Engine(folder), watch=stages)
    source = write_documents(scratch / "articles.jsonl", documents)
    request = Request(find_inputs([source]), [Sink.at(scratch / "out.jsonl")], force=True, restart=True)
    bare, files = [], []
    for number in range(rounds + 1):
        began = time.perf_counter()
        answered = sum(1 for _ in analyzer.stream(documents))
        half = time.perf_counter()
        outcome = run_job(request, analyzer, stages)
        if answered != len(documents) or outcome.summary.documents != len(documents) or outcome.summary.failed:
            raise RuntimeError("not every document was answered")
        if number:
            bare.append(len(documents) / (half - began))
            files.append(len(documents) / (time.perf_counter() - half))
    analyzer.close()
    shares = [mine / theirs for mine, theirs in zip(files, bare, strict=True)]
    return Rounds(len(documents), Spread.of(bare), Spread.of(files), Spread.of(shares))


def score_short(model: Path, count: int, seed: int, scratch: Path) -> Size:
    """`marsad score` in a process of its own."""
    source, output = scratch / f"{count}.jsonl", scratch / f"{count}.out.jsonl"
    write_documents(source, itertools.islice(short_documents(seed), count))
    command = [sys.executable, "-m", "marsad", "score", source, "-o", output, "--model", model, "--force", "--restart"]
    began = time.perf_counter()
    with subprocess.Popen([str(each) for each in command], stderr=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if process.returncode != 0:
        raise RuntimeError(f"marsad score ended with {process.returncode}")
    size = output.stat().st_size / 1e6
    for file in scratch.glob(f"{count}.*"):
        file.unlink()
    return Size(count, seconds, count / seconds, usage.ru_maxrss * 1024 / 1e6, size)


def short_documents(seed: int) -> Iterator[Document]:
    """Short sentences of the project's own, drawn without end."""
    sentences = [each.text for file in sorted(CORPUS.glob("*.jsonl")) for each in read_annotations(file)]
    short = [sentence for sentence in sentences if len(sentence) <= SHORT]
    draw = random.Random(seed)
    for number in itertools.count():
        yield Document(f"short-{number}", f"{draw.choice(short)} {number}")


def write_documents(path: Path, documents: Iterator[Document] | Sequence[Document]) -> Path:
    with path.open("w", encoding="utf-8") as handle:
        for document in documents:
            handle.write(json.dumps({"id": document.id, "text": document.text}, ensure_ascii=False) + "\n")
    return path


def report(given: argparse.Namespace) -> int:
    machine = describe_machine()
    folder = ModelFolder.open(given.model)
    with tempfile.TemporaryDirectory(prefix="marsad-batch-", dir=given.scratch) as scratch:
        # Cut from an endless stream; ids of a user's file that is read over again would stand twice.
        articles = [
            Document(f"{number}", each.text)
            for number, each in enumerate(itertools.islice(documents_of(given.documents, given.seed), given.articles))
        ]
        rounds = compare(folder, articles, given.rounds, Path(scratch))
        sizes = [score_short(given.model, count, given.seed, Path(scratch)) for count in given.sizes]
    click.echo(heading("Batch scoring", machine))
    met = "met" if rounds.share.median >= GOAL else "missed"
    click.echo(f"{rounds.documents} articles, {given.rounds} rounds, median (lowest to highest), documents a second:\n")
    rows = [["bare engine, documents in memory", rounds.bare.show(1), "1"]]
    rows.append(["`marsad score`, JSONL to JSONL", rounds.files.show(1), rounds.share.show(3)])
    click.echo(markdown_table(["way", "documents/s", "share of the bare engine"], rows))
    click.echo(f"\nGoal {GOAL:.0%} of the bare engine: {met}.\n")
    click.echo(f"Short documents (at most {SHORT} characters and a number), a `marsad score` each, its start included:\n")
    table = [
        [
            f"{each.documents:,}",
            f"{each.seconds:,.1f}",
            f"{each.a_second:,.0f}",
            f"{each.peak_mb:,.0f}",
            f"{each.output_mb:,.1f}",
        ]
        for each in sizes
    ]
    click.echo(markdown_table(["documents", "seconds", "documents/s", "peak memory, MB", "output, MB"], table))
    if given.json:
        write_json(given.json, {"machine": machine, "rounds": asdict(rounds), "sizes": [asdict(each) for each in sizes]})
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = model_parser("benchmarks.batch", __doc__)
    parser.add_argument("--articles", type=int, default=400, help="a round (400)")
    parser.add_argument("--rounds", type=int, default=5, help="that are counted (5)")
    parser.add_argument(
        "--sizes",
        type=lambda given: [int(each) for each in given.split(",")],
        default=[1000, 10_000, 100_000],
        help="short documents, a size after the other (1000,10000,100000)",
    )
    parser.add_argument("--scratch", type=Path, help="folder for what is read and written; the system's own if not given")
    parser.add_argument("--json", type=Path, help="write all figures there as well")
    return run("benchmarks.batch", report, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
