"""How much of an archive is near-duplicates, what marking them costs, and how often a mark is right or missing:
`python -m benchmarks.near_duplicates FOLDER/texts/*.jsonl.xz`

Each file is an archive of its own, and is read by a process of its own, so that the memory is that of its index alone. Marks
are held against the exact similarity of the same sets of shingles: a sample of them for being right, and those of some
documents in a row against what the same rule marks when it knows all similarities.
"""

import argparse
import itertools
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import psutil

from benchmarks.machine import describe_machine
from benchmarks.model_command import heading, run
from benchmarks.table import markdown_table, write_json
from labels.errors import MarsadError
from labels.spelling import normalised_words
from labels.types import Document
from serving.batch.inputs import find_inputs
from serving.batch.near_duplicates import FEWEST_SHINGLES, Mark, NearDuplicates, shingles
from serving.batch.source import Source

WARM_UP = 200  # documents, so that what any index takes once is not counted to the documents
CLOSE = 0.05  # of similarity
HEAD = ["file", "documents", "marked", "documents/s", "µs a document", "bytes an original", "right", "nearly", "found"]

Shingles = frozenset[str]


class ArchiveError(MarsadError):
    """A file without a document, or one that could not be measured."""


@dataclass(frozen=True)
class Looked:
    """`marks` are by the place of the marked document in its file, from 0, and their ids are places too. `seconds` by the
    clock and `processor_seconds` are of looking alone, without reading; `grown` is in bytes."""

    documents: int
    unreadable: int
    marks: Mapping[int, Mark]
    seconds: float
    processor_seconds: float
    grown: int


@dataclass(frozen=True)
class Accuracy:
    """Of `sample` marks `right` have an exact similarity of at least the threshold, `nearly` one that misses it by CLOSE at
    most; `error` is the mean distance between estimate and exact value. Of `expected` documents that the exact rule marks
    among `window` documents in a row `found` are marked there, and `extra` others are."""

    sample: int
    right: int
    nearly: int
    error: float
    window: int
    expected: int
    found: int
    extra: int


def documents_in(file: Path, limit: int | None) -> Iterator[tuple[int, Document | None]]:
    """Each row's place, and its document unless it cannot be read."""
    for place, row in enumerate(itertools.islice(Source(find_inputs([file])), limit)):
        yield place, row.item if isinstance(row.item, Document) else None


def look_at_all(file: Path, threshold: float, limit: int | None) -> Looked:
    warm = NearDuplicates(threshold)
    for place, document in documents_in(file, WARM_UP):
        warm.look(str(place), document.text if document else "")
    process = psutil.Process()
    before = highest = process.memory_info().rss
    seen = NearDuplicates(threshold)
    marks: dict[int, Mark] = {}
    count = unreadable = 0
    seconds = processor_seconds = 0.0
    for place, document in documents_in(file, limit):
        if document is None:
            unreadable += 1
            continue
        clock, processor = time.perf_counter(), time.process_time()
        mark = seen.look(str(place), document.text)
        seconds += time.perf_counter() - clock
        processor_seconds += time.process_time() - processor
        count += 1
        if mark is not None:
            marks[place] = mark
        if count % 500 == 0:
            highest = max(highest, process.memory_info().rss)
    if not count:
        raise ArchiveError(f"{file}: expected at least one document, found none")
    grown = max(highest, process.memory_info().rss) - before
    return Looked(count, unreadable, marks, seconds, processor_seconds, grown)


def comparable(text: str) -> Shingles:
    """The set that a text is compared by; one that is compared as a whole is its own only shingle."""
    words = normalised_words(text)
    found = shingles(words)
    if len(found) >= FEWEST_SHINGLES:
        return frozenset(found)
    return frozenset([" ".join(words)] if words else [])


def similarity(one: Shingles, two: Shingles) -> float:
    return len(one & two) / len(one | two)


def exact_marks(sets: Mapping[int, Shingles], threshold: float) -> set[int]:
    """The places that the rule marks by exact similarities: each set is held against all earlier ones that it shares a
    shingle with, since with the others its similarity is 0."""
    holders: dict[str, list[int]] = {}
    marked = set()
    for place, one in sets.items():
        shared = Counter(itertools.chain.from_iterable(holders.get(shingle, ()) for shingle in one))
        if any(both / (len(one) + len(sets[other]) - both) >= threshold for other, both in shared.items()):
            marked.add(place)
        else:
            for shingle in one:
                holders.setdefault(shingle, []).append(place)
    return marked


def judge(file: Path, looked: Looked, given: argparse.Namespace) -> Accuracy:
    """Reads the file again, for the texts of what was drawn."""
    draw = random.Random(given.seed)
    sample = draw.sample(sorted(looked.marks), min(given.sample, len(looked.marks)))
    start = draw.randrange(max(1, looked.documents - given.window + 1))
    window = range(start, start + given.window)
    wanted = {*sample, *(int(looked.marks[place].of) for place in sample), *window}
    seen = NearDuplicates(given.threshold)
    sets: dict[int, Shingles] = {}
    marked = set()
    for place, document in documents_in(file, given.limit):
        if document is None or place not in wanted:
            continue
        sets[place] = comparable(document.text)
        if place in window and seen.look(str(place), document.text) is not None:
            marked.add(place)
    inside = {place: sets[place] for place in window if place in sets}
    expected = exact_marks(inside, given.threshold)
    exact = {place: similarity(sets[place], sets[int(looked.marks[place].of)]) for place in sample}
    return Accuracy(
        sample=len(sample),
        right=sum(value >= given.threshold for value in exact.values()),
        nearly=sum(given.threshold - CLOSE <= value < given.threshold for value in exact.values()),
        error=sum(abs(value - looked.marks[place].similarity) for place, value in exact.items()) / max(1, len(sample)),
        window=len(inside),
        expected=len(expected),
        found=len(expected & marked),
        extra=len(marked - expected),
    )


def measure(file: Path, given: argparse.Namespace) -> dict[str, Any]:
    looked = look_at_all(file, given.threshold, given.limit)
    return {
        "file": file.name.partition(".")[0],
        "documents": looked.documents,
        "unreadable": looked.unreadable,
        "marked": len(looked.marks),
        "documents_a_second": looked.documents / looked.seconds,
        "processor_microseconds": 1e6 * looked.processor_seconds / looked.documents,
        "bytes_an_original": looked.grown / (looked.documents - len(looked.marks)),
        "accuracy": asdict(judge(file, looked, given)),
    }


def measure_apart(file: Path, given: argparse.Namespace) -> dict[str, Any]:
    """In a process of its own: this command with this file alone."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "figures.json"
        options = [f"--{name}={value}" for name in _SETTINGS if (value := getattr(given, name)) is not None]
        command = [sys.executable, "-m", "benchmarks.near_duplicates", str(file), *options, f"--json={output}"]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
        if done.returncode:
            raise ArchiveError(f"{file}: measuring it ended with code {done.returncode}")
        return dict(json.loads(output.read_text(encoding="utf-8"))["files"][0])


def row(figures: Mapping[str, Any]) -> list[str]:
    accuracy = Accuracy(**figures["accuracy"])
    return [
        figures["file"],
        f"{figures['documents']:,}",
        f"{100 * figures['marked'] / figures['documents']:.1f} %",
        f"{figures['documents_a_second']:,.0f}",
        f"{figures['processor_microseconds']:,.0f}",
        f"{figures['bytes_an_original']:,.0f}",
        _part(accuracy.right, accuracy.sample),
        _part(accuracy.nearly, accuracy.sample),
        _part(accuracy.found, accuracy.expected),
    ]


def _part(count: int, of: int) -> str:
    return f"{100 * count / of:.1f} % of {of:,}" if of else "none"


_SETTINGS = ("threshold", "limit", "sample", "window", "seed")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.near_duplicates", description=__doc__)
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="JSONL of documents, plain, .xz or .gz")
    parser.add_argument("--threshold", type=float, default=0.8, help="similarity from which on one is marked (0.8)")
    parser.add_argument("--limit", type=int, help="read only so many rows of each file")
    parser.add_argument("--sample", type=int, default=2000, help="marks held against exact similarities (2,000)")
    parser.add_argument("--window", type=int, default=5000, help="documents in a row that are compared with each other (5,000)")
    parser.add_argument("--seed", type=int, default=1, help="of what is drawn (1)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="file for all figures")
    return run("benchmarks.near_duplicates", _report, parser.parse_args(arguments))


def _report(given: argparse.Namespace) -> int:
    machine = describe_machine()
    alone = len(given.files) == 1
    figures = [measure(file, given) if alone else measure_apart(file, given) for file in given.files]
    settings = {name: getattr(given, name) for name in _SETTINGS}
    if given.json is not None:
        write_json(given.json, {"machine": machine, "rensa": version("rensa"), "settings": settings, "files": figures})
    click.echo(heading("Near-duplicates", machine))
    click.echo(f"rensa {version('rensa')}; threshold {given.threshold:g}, seed {given.seed}.\n")
    click.echo(markdown_table(HEAD, [row(each) for each in figures]))
    for each in figures:
        accuracy = Accuracy(**each["accuracy"])
        unreadable = f"; {each['unreadable']:,} rows could not be read" if each["unreadable"] else ""
        click.echo(
            f"\n{each['file']}: estimates are off by {accuracy.error:.3f} on average; of {accuracy.window:,} documents in a "
            f"row {accuracy.extra:,} are marked that the exact rule leaves{unreadable}."
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
