"""What the commands that measure a model folder have in common: options, exit code, the head of the report."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks.machine import machine_lines
from labels.errors import MarsadError


def model_parser(prog: str, description: str | None, *, documents: bool = True) -> argparse.ArgumentParser:
    """A parser with --model and --seed, and --documents where articles are read."""
    parser = argparse.ArgumentParser(prog=f"python -m {prog}", description=description)
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    if documents:
        parser.add_argument("--documents", type=Path, help="JSONL of documents; invented ones if not given")
    parser.add_argument("--seed", type=int, default=1, help="of what is drawn (1)")
    return parser


def run(prog: str, report: Callable[[argparse.Namespace], int], given: argparse.Namespace) -> int:
    """What `report` returns, or 2 where the input is at fault."""
    try:
        return report(given)
    except MarsadError as error:
        click.echo(f"{prog}: {error}", err=True)
        return 2


def heading(title: str, machine: dict[str, Any], *, timed: bool = True) -> str:
    """The opening of a section of RESULTS.md, its empty line included."""
    lines: Sequence[str] = [f"## {title}", "", *machine_lines(machine, timed=timed), ""]
    return "\n".join(lines)
