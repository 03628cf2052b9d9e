"""Texts of one class each in a table of labels of its own, two classes or more, on any base, over several seeds:
`python -m benchmarks.classification --base FOLDER_OR_ID --train FILE.tsv [--test FILE.tsv | --folds 5] --seeds 1 2 3`"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from benchmarks.command import measuring_parser, parse, publish, run, slug
from benchmarks.folds import drawn
from benchmarks.machine import describe_machine
from benchmarks.sources import Columns, Labels, Table, read_table
from benchmarks.table import markdown_table
from benchmarks.units import Unit, UnitStore, collapsed, mean_and_spread, measure_row
from labels.errors import ConfigError
from labels.folder import hash_file
from training.metrics import Evaluation

if TYPE_CHECKING:  # these need torch; they are imported when a run begins, so that --help needs none
    from benchmarks.classifier import Split

# Options that are keys of `ClassifierConfig` under the same name.
SETTINGS = {
    "epochs": 5,
    "batch_rows": 16,
    "learning_rate": 5e-4,
    "head_learning_rate": 1e-3,
    "dropout": 0.1,
    "max_pieces": 256,
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = measuring_parser(
        "python -m benchmarks.classification", __doc__, files="CSV, TSV or JSONL", learnt="so many rows, the same every time"
    )
    parser.add_argument("--text-column", default="text", help="(text)")
    parser.add_argument("--label-column", default="label", help="(label)")
    parser.add_argument("--group-column", help="rows that are alike in it stay in one fold (rows of one text do)")
    parser.add_argument("--no-header", action="store_true", help="the first row is data; the columns are called 1, 2, 3 ...")
    parser.add_argument("--no-quotes", action="store_true", help="a quotation mark in CSV or TSV is part of the text")
    parser.add_argument("--map", nargs="+", action="extend", default=[], metavar="OLD=NEW", help="labels that become another")
    parser.add_argument(
        "--drop", nargs="+", action="extend", default=[], metavar="LABEL", help="labels whose rows are left out"
    )
    parser.add_argument("--positive", metavar="CLASS", help="of two classes, the one to report precision and recall of")
    for name, default in SETTINGS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default, help=f"({default:g})")
    return run(_report, parse(parser, arguments))


def _report(given: argparse.Namespace) -> None:
    from benchmarks import classifier
    from benchmarks.base import describe_base
    from training.data import load_tokenizer

    machine = describe_machine()
    columns = Columns(
        given.text_column, given.label_column, given.group_column, header=not given.no_header, quotes=not given.no_quotes
    )
    labels = Labels(_pairs(given.map), frozenset(given.drop))
    train = read_table(given.train, columns, labels)
    test = None if given.test is None else read_table(given.test, columns, labels)
    classes = classifier.classes_of(train, test, given.positive)
    used = train
    if given.limit is not None:
        used = replace(train, rows=tuple(train.rows[i] for i in drawn([row.group for row in train.rows], given.limit)))
    config = classifier.ClassifierConfig(given.base, **{name: getattr(given, name) for name in SETTINGS})
    base = describe_base(given.base)
    base.check_length(config.max_pieces, "--max-pieces")
    tokenizer = load_tokenizer(given.base)
    splits = classifier.make_splits(used.rows, test.rows if test else None, given.folds)
    settings = {
        **asdict(config),
        **{"base": base.fingerprint, "columns": asdict(columns), "map": labels.merged, "drop": sorted(labels.dropped)},
        **{"files": {name: hash_file(path) for name in ("train", "test") if (path := getattr(given, name)) is not None}},
        **{"classes": classes, "folds": len(splits), "limit": given.limit},
    }
    work = given.work or Path("runs") / f"classification-{slug(given.base, given.train.name.partition('.')[0])}"
    store = UnitStore(work, settings, code=(classifier,), busy=machine["busy"])
    learn = partial(classifier.classify, classes=classes, config=config, tokenizer=tokenizer)
    units = [store.obtain(seed, split.fold, partial(learn, split=split, seed=seed)) for seed in given.seeds for split in splits]
    held = [row for split in splits for row in split.held]
    results = {seed: classifier.evaluate_seed([u for u in units if u.seed == seed], held, classes) for seed in given.seeds}
    warnings = [*base.warnings(), *store.warnings(units), *constant(units)]
    warnings += collapsed("macro F1", {f"seed {seed}": result.events["macro"].f1.value for seed, result in results.items()})
    cut = [
        (name, classifier.count_cut([row.text for row in table.rows], tokenizer, config.max_pieces), len(table.rows))
        for name, table in (("training", used), ("test", test))
        if table is not None
    ]
    told = [
        _told(used, splits),
        *_left_out(train, test),
        f"Epochs: {config.epochs}, the last one taken, nothing chosen; learning rate {config.learning_rate:g}, "
        f"{config.batch_rows} rows a step.",
        f"Longer than {config.max_pieces} pieces and cut: {', '.join(f'{n:,} of {of:,} {name} rows' for name, n, of in cut)}.",
    ]
    tables = [measure_table(results, given.positive), class_table(results, classes)]
    figures = {"settings": settings, "rows": len(held), "cut": {name: count for name, count, _ in cut}}
    figures |= {"positive": given.positive, "seeds": {seed: asdict(result) for seed, result in results.items()}}
    publish(given, base, machine, units, told=told, tables=tables, warnings=warnings, figures=figures)


def _pairs(items: Sequence[str]) -> dict[str, str]:
    """`OLD=NEW`, each OLD once."""
    found: dict[str, str] = {}
    for item in items:
        old, equals, new = item.partition("=")
        if not (old and equals and new) or old in found:
            raise ConfigError(f"--map: expected OLD=NEW, with each OLD once, found {item!r}")
        found[old] = new
    return found


def _told(used: Table, splits: Sequence["Split"]) -> str:
    """What was learnt from and measured on."""
    known = 0
    for split in splits:
        learnt = {row.text for row in split.learn}
        known += sum(row.text in learnt for _, row in split.held)
    count = sum(len(split.held) for split in splits)
    way = f"{len(splits)} folds dealt out by class" if splits[0].fold else "a test file, measured once a seed"
    return (
        f"Learnt from {len(used.rows):,} rows; measured by {way}: {count:,} rows, "
        f"of which {known:,} stand word for word among those learnt from."
    )


def _left_out(train: Table, test: Table | None) -> list[str]:
    rows = [f"{count:,} {name}" for table in (train, test) if table for name, count in table.dropped.items()]
    return [f"Rows left out with --drop: {', '.join(rows)}."] if rows else []


def measure_table(results: Mapping[int, Evaluation], positive: str | None) -> str:
    """Per cent; the interval behind a value is that of resampled rows."""
    events = [result.events for result in results.values()]
    rows = [
        measure_row("accuracy (micro F1 is the same)", [each["micro"].f1 for each in events]),
        measure_row("macro F1", [each["macro"].f1 for each in events]),
    ]
    if positive is not None:
        rows += [
            measure_row(f"{positive}: precision", [each[positive].precision for each in events]),
            measure_row(f"{positive}: recall", [each[positive].recall for each in events]),
            measure_row(f"{positive}: F1", [each[positive].f1 for each in events]),
        ]
    return markdown_table(["measure", "mean ± s.d.", *(f"seed {seed}" for seed in results)], rows)


def class_table(results: Mapping[int, Evaluation], classes: Sequence[str]) -> str:
    """Per cent, means over the seeds."""
    rows = []
    for name in classes:
        scores = [result.events[name] for result in results.values()]
        rates = [f"{100 * mean(rate):.1f}" for rate in ([s.precision for s in scores], [s.recall for s in scores])]
        rows.append([name, f"{scores[0].support:,}", *rates, mean_and_spread([s.f1.value for s in scores])])
    return markdown_table(["class", "gold", "precision", "recall", "F1"], rows)


def constant(units: Sequence[Unit]) -> list[str]:
    """A warning for each unit that gives every row one class, which accuracy alone may hide."""
    lines = []
    for unit in units:
        given = {*unit.outcome.predicted.values()}
        if len(given) == 1:
            fold = f", fold {unit.fold}" if unit.fold else ""
            lines.append(f"seed {unit.seed}{fold} collapsed: every row is given the class {given.pop()!r}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
