"""How much the labelled data is worth: the same configuration on growing parts of it, judged on the same gold files.
`python -m benchmarks.learning_curve --config training/configs/teacher-mini.toml --data FOLDER --gold NAME=FILE`"""

import argparse
import logging
import random
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmarks.machine import describe_machine, machine_lines
from benchmarks.seeds import MEASURES, SeedResult, parse_gold, run_seed
from benchmarks.table import markdown_table, write_json
from labels.errors import MarsadError
from labels.records import annotation_record, read_annotations, write_jsonl
from labels.types import Annotation

if TYPE_CHECKING:  # it needs torch, which --help does not
    from training.train_config import TrainConfig

SHARES = (0.125, 0.25, 0.5, 1.0)


@dataclass(frozen=True)
class Point:
    """`sentences` of the training data, a `share` of them, and what a model of them scores."""

    share: float
    sentences: int
    result: SeedResult


def part_of(gold: Sequence[Annotation], share: float, seed: int) -> list[Annotation]:
    """The first documents, in an order drawn by `seed`, that hold a `share` of the sentences; a larger part holds the
    smaller ones. The sentences of a document stay together."""
    documents: dict[str, list[Annotation]] = {}
    for annotation in gold:
        documents.setdefault(annotation.doc or annotation.id, []).append(annotation)
    order = sorted(documents)
    random.Random(seed).shuffle(order)
    wanted, found = round(share * len(gold)), list[Annotation]()
    for name in order:
        if len(found) >= wanted:
            break
        found += documents[name]
    return found


def measure(config: "TrainConfig", data: Path | None, gold: dict[str, Path], shares: Sequence[float]) -> list[Point]:
    """Train on each part, unless that was done before; the part is written beside the run."""
    from training.finetune import resolve

    everything = [each for path in config.train for each in read_annotations(resolve(path, data))]
    points = []
    for share in shares:
        output = config.output.with_name(f"{config.output.name}-share{share:g}-s{config.seed}")
        part, file = part_of(everything, share, config.seed), output.with_name(f"{output.name}.train.jsonl")
        file.parent.mkdir(parents=True, exist_ok=True)
        write_jsonl(file, map(annotation_record, part))
        points.append(Point(share, len(part), run_seed(replace(config, train=(str(file),), output=output), data, gold)))
    return points


def curve_table(points: Sequence[Point]) -> str:
    """Per cent; a column for each size."""
    rows = [
        [name, measure, *(f"{100 * point.result.scores[name][measure]:.1f}" for point in points)]
        for name in points[0].result.scores
        for measure in MEASURES
        if all(measure in point.result.scores[name] for point in points)
    ]
    return markdown_table(["gold", "measure", *(f"{point.sentences:,} sentences" for point in points)], rows)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning_curve", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="TOML file of the run")
    parser.add_argument("--data", type=Path, help="folder that `data:` paths start from")
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES, help="of the training sentences, in (0, 1]")
    parser.add_argument("--gold", nargs="+", action="extend", metavar="NAME=FILE", default=[], help="files to evaluate on")
    parser.add_argument("--json", type=Path, metavar="OUT", help="file for all figures")
    given = parser.parse_args(arguments)
    if not all(0 < share <= 1 for share in given.shares):
        parser.error("expected --shares in (0, 1]")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        _report(given)
    except (MarsadError, ValueError) as error:
        click.echo(f"benchmarks.learning_curve: {error}", err=True)
        return 2
    return 0


def _report(given: argparse.Namespace) -> None:
    from training.config import load_config
    from training.train_config import TrainConfig

    config = load_config(TrainConfig, given.config)
    machine = describe_machine()
    points = measure(config, given.data, parse_gold(given.gold, given.data), sorted(given.shares))
    lines = [f"## {config.output.name}: parts of its training data, seed {config.seed}", ""]
    click.echo("\n".join([*lines, *machine_lines(machine, timed=False), "", curve_table(points)]))
    if given.json is not None:
        write_json(given.json, {"machine": machine, "config": asdict(config), "points": [asdict(point) for point in points]})


if __name__ == "__main__":
    sys.exit(main())
