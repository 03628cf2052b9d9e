"""What the commands that measure a base on a user's set have in common: options, exit code, the form of the report."""

import argparse
import logging
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks.machine import machine_lines
from benchmarks.table import write_json
from benchmarks.units import Unit, time_line
from labels.errors import MarsadError

if TYPE_CHECKING:  # it needs torch, which --help does not
    from benchmarks.base import Base

FOLDS = 5


def measuring_parser(prog: str, description: str | None, *, files: str, learnt: str) -> argparse.ArgumentParser:
    """A parser with the common options; `files` says what kind of file is read, `learnt` what --limit counts."""
    parser = argparse.ArgumentParser(prog=prog, description=description)
    parser.add_argument("--base", required=True, help="folder of an encoder, or its id on the Hugging Face hub")
    parser.add_argument("--train", type=Path, required=True, help=f"{files} file, plain, .xz or .gz; has all labels")
    parser.add_argument("--test", type=Path, help="file to measure on, once a seed; without it there are folds of --train")
    parser.add_argument("--folds", type=int, help=f"parts of --train, each measured by a model of the others ({FOLDS})")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="(1 2 3)")
    parser.add_argument("--limit", type=int, help=f"use of --train only {learnt}, for a quick comparison")
    parser.add_argument("--work", type=Path, help="folder of the work and of finished fine-tunings (one below runs/)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="file for all figures")
    return parser


def parse(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options, with `command` as it was given; options that contradict each other end the program."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    given = parser.parse_args(arguments)
    if given.test is not None and given.folds is not None:
        parser.error("expected --test or --folds, not both")
    if len(set(given.seeds)) < len(given.seeds):
        parser.error("expected each of --seeds once")
    for name in ("epochs", "limit", "batch_rows"):
        if (value := getattr(given, name)) is not None and value < 1:
            parser.error(f"expected --{name.replace('_', '-')} to be at least 1, found {value}")
    given.folds = FOLDS if given.folds is None else given.folds
    given.command = f"{parser.prog} {shlex.join(arguments)}"
    return given


def run(report: Callable[[argparse.Namespace], None], given: argparse.Namespace) -> int:
    """Exit code 0, or 2 where the input is at fault."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        report(given)
    except MarsadError as error:
        click.echo(f"{given.command.split()[2]}: {error}", err=True)
        return 2
    return 0


def publish(
    given: argparse.Namespace,
    base: "Base",
    machine: dict[str, Any],
    units: Sequence[Unit],
    *,
    told: Sequence[str],
    tables: Sequence[str],
    warnings: Sequence[str],
    figures: Mapping[str, Any],
) -> None:
    """The report on standard output, in the form of a section of RESULTS.md: `told` are sentences on what was measured and
    how. With --json `figures` go into that file too."""
    head = [f"## {given.train.name}, {given.base}", "", f"(run `{given.command}`)", "", *machine_lines(machine, timed=False)]
    body = ["", f"{base.describe()}.", *told, f"{time_line(units)}."]
    tail = [line for table in tables for line in ("", table)]
    tail += ["", *(f"**Warning: {line}.**" for line in warnings)] if warnings else []
    click.echo("\n".join([*head, *body, *tail]))
    if given.json is not None:
        fine_tunings = [
            {"seed": unit.seed, "fold": unit.fold, "busy": unit.busy, "seconds": unit.outcome.seconds, **unit.outcome.notes}
            for unit in units
        ]
        record = {"command": given.command, "machine": machine, "base": asdict(base), "warnings": list(warnings)}
        write_json(given.json, record | dict(figures) | {"fine_tunings": fine_tunings})


def slug(*names: str) -> str:
    """Names as part of a folder's name: `models/mini/checkpoint` gives mini-checkpoint."""
    return "-".join("-".join(Path(name).parts[-2:]).strip("/.-").replace("/", "-") or "base" for name in names)
