"""An archive scored twice, once undisturbed and once killed on the way, and the two outputs compared byte by byte:
`python -m benchmarks.killed archive.jsonl.xz --model models/marsad-mini --kills 5 --work FOLDER`

A kill is SIGKILL at a moment drawn at random from the time until the next is due, counted from the start of the process; then
the same command is given again. An undisturbed output that lies in the folder from before is taken as it is.
"""

import argparse
import hashlib
import json
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from benchmarks.machine import describe_machine
from benchmarks.model_command import heading, model_parser, run
from benchmarks.table import markdown_table, write_json
from serving.batch.ledger import parts_folder
from serving.batch.outputs import summary_of


@dataclass(frozen=True)
class Go:
    """From one start to the next kill, or to the end. `parts` is how many were kept after it."""

    seconds: float
    killed: bool
    parts: int


def command(given: argparse.Namespace, output: Path) -> list[str]:
    """The same words each time."""
    also = ["--also", f"events={output.with_name('events.parquet')}"]
    named = [sys.executable, "-m", "marsad", "score", *given.inputs, "-o", output, *also, "--model", given.model]
    return [str(each) for each in [*named, *(["--dedup"] if given.dedup else [])]]


def score(words: Sequence[str], output: Path, kill_after: float | None) -> Go:
    """One go; killed after so many seconds if it is not done by then."""
    began = time.perf_counter()
    with subprocess.Popen(words, stderr=subprocess.PIPE) as process:
        try:
            _, said = process.communicate(timeout=kill_after)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            said = b""
    seconds = time.perf_counter() - began
    if process.returncode not in {0, 3, -9}:
        raise RuntimeError(f"ended with {process.returncode}: {said.decode(errors='replace')[-2000:]}")
    parts = len(list(parts_folder(output).glob("*.0"))) if parts_folder(output).exists() else 0
    return Go(seconds, process.returncode == -9, parts)


def digests(folder: Path) -> dict[str, str]:
    """Of all files but the summary, which tells the time."""
    found = {}
    for file in sorted(folder.iterdir()):
        if not file.name.endswith(".summary.json"):
            with file.open("rb") as handle:
                found[file.name] = hashlib.file_digest(handle, "sha256").hexdigest()
    return found


def report(given: argparse.Namespace) -> int:
    machine = describe_machine()
    alone, work = given.work / "alone", given.work / "killed"
    alone.mkdir(parents=True, exist_ok=True)
    work.mkdir()
    output = work / "answers.jsonl"
    score(command(given, alone / "answers.jsonl"), alone / "answers.jsonl", None)  # nothing to do where it was done before
    whole = float(json.loads(summary_of(alone / "answers.jsonl").read_bytes())["seconds"])
    draw = random.Random(given.seed)
    goes: list[Go] = []
    for left in range(given.kills, 0, -1):
        due = max(5.0, (whole - sum(go.seconds for go in goes)) / left)
        goes.append(score(command(given, output), output, draw.uniform(0.1 * due, due)))
    goes.append(score(command(given, output), output, None))
    first, second = digests(alone), digests(work)
    kills = sum(go.killed for go in goes)
    click.echo(heading("Killed on the way", machine))
    rows = [
        [f"{number}", f"{go.seconds:,.0f}", "yes" if go.killed else "no", f"{go.parts}"] for number, go in enumerate(goes, 1)
    ]
    click.echo(markdown_table(["go", "seconds", "killed", "parts kept"], rows))
    equal = first == second
    click.echo(f"\nUndisturbed: {whole:,.0f} s. Killed {kills} times: {sum(go.seconds for go in goes):,.0f} s in all.")
    click.echo(f"Files of the two: {'equal, byte by byte' if equal else 'DIFFERENT'}: {', '.join(sorted(first))}")
    click.echo(f"\n{summary_of(alone / 'answers.jsonl').read_text(encoding='utf-8')}")
    if given.json:
        record = {
            "machine": machine,
            "undisturbed": whole,
            "goes": [asdict(go) for go in goes],
            "sha256": [first, second],
        }
        write_json(given.json, record)
    return 0 if equal and kills == given.kills else 1


def main(arguments: Sequence[str] | None = None) -> int:
    parser = model_parser("benchmarks.killed", __doc__, documents=False)
    parser.add_argument("inputs", nargs="+", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="a new folder for the two outputs, which are left there")
    parser.add_argument("--kills", type=int, default=5, help="(5)")
    parser.add_argument("--dedup", action="store_true", help="mark near copies as well")
    parser.add_argument("--json", type=Path, help="write all figures there as well")
    return run("benchmarks.killed", report, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
