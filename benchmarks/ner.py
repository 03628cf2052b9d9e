"""Names in a CoNLL set with labels of its own, on any base, over several seeds:
`python -m benchmarks.ner --base FOLDER_OR_ID --train FILE.conll [--test FILE.conll | --folds 5] --seeds 1 2 3`"""

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from benchmarks.command import measuring_parser, parse, publish, run, slug
from benchmarks.machine import describe_machine
from benchmarks.sources import TaggedSet, read_tagged
from benchmarks.table import markdown_table
from benchmarks.units import UnitStore, collapsed, mean_and_spread, measure_row
from labels.errors import ConfigError
from labels.folder import hash_file
from labels.types import Annotation

if TYPE_CHECKING:  # these need torch; they are imported when a run begins, so that --help needs none
    from benchmarks.tagging import SeedResult, Split
    from benchmarks.units import Unit
    from training.train_config import TrainConfig

EPOCHS, BLOCK = 5, 20
# Options that are keys of `TrainConfig` under the same name, and as there where they are not given.
SETTINGS = ("learning_rate", "head_learning_rate", "batch_rows", "dropout", "window", "overlap")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = measuring_parser("python -m benchmarks.ner", __doc__, files="CoNLL", learnt="the first so many sentences")
    parser.add_argument("--dev", type=Path, help="file to choose the epoch on (the last tenth of what is learnt from)")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=f"({EPOCHS})")
    for name, kind in zip(SETTINGS, (float, float, int, float, int, int), strict=True):
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, help="(that of `marsad train`)")
    parser.add_argument("--block", type=int, default=BLOCK, help=f"sentences kept together where no documents are ({BLOCK})")
    return run(_report, parse(parser, arguments))


def _report(given: argparse.Namespace) -> None:
    from benchmarks import tagging
    from benchmarks.base import describe_base
    from labels import decode, iob
    from training import data, finetune, model, predict

    machine = describe_machine()
    train, dev, test = _read(given)
    sets = [each for each in (train, dev, test) if each]
    labels = tuple(sorted({label for each in sets for label in each.labels}))
    if not train.labels:
        raise ConfigError(f"{given.train}: no word has a tag other than O, so that there is nothing to learn")
    work = given.work or Path("runs") / f"ner-{slug(given.base, given.train.name.partition('.')[0])}"
    config = _config(given, _write_schema(work / "schema.toml", labels))
    base = describe_base(given.base)
    base.check_length(config.window + 2, "--window, with [CLS] and [SEP],")
    splits = tagging.make_splits(train, dev, test, given.folds)
    files = {name: hash_file(path) for name in ("train", "dev", "test") if (path := getattr(given, name)) is not None}
    decisive = {key: value for key, value in asdict(config).items() if key not in {"base", "output", "schema", "seed"}}
    settings = {
        **decisive,
        **{"base": base.fingerprint, "files": files, "labels": labels, "folds": len(splits), "inner": tagging.INNER},
        **{"limit": given.limit, "block": given.block},
    }
    code = (tagging, finetune, model, data, predict, decode, iob)
    store = UnitStore(work, settings, code=code, busy=machine["busy"])
    units = [
        store.obtain(seed, split.fold, partial(tagging.fine_tune, split=split, config=replace(config, seed=seed)))
        for seed in given.seeds
        for split in splits
    ]
    gold = [sentence for split in splits for sentence in split.held]
    results = [tagging.evaluate_seed([u for u in units if u.seed == seed], gold, labels) for seed in given.seeds]
    folds = _fold_scores(splits, units, labels) if test is None else {}
    warnings = [*base.warnings(), *store.warnings(units), *_unlearnt(splits)]
    warnings += collapsed("micro F1", {f"seed {r.seed}": r.words.entities["micro"].f1.value for r in results})
    warnings += collapsed("micro F1", folds)
    told = [*_told(train, dev, splits, gold, config), *(f"{note}." for each in sets for note in each.notes), *_uncarried(units)]
    tables = [measure_table(results), label_table(results, labels)]
    tables += [fold_table(splits, given.seeds, folds)] if folds else []
    figures = {"settings": settings, "sentences": len(gold), "entities": _count(gold), "folds": folds}
    figures["seeds"] = {result.seed: asdict(result) for result in results}
    publish(given, base, machine, units, told=told, tables=tables, warnings=warnings, figures=figures)


def _read(given: argparse.Namespace) -> tuple[TaggedSet, TaggedSet | None, TaggedSet | None]:
    train = read_tagged(given.train, "train", block=given.block, limit=given.limit)
    dev = None if given.dev is None else read_tagged(given.dev, "dev", block=given.block)
    return train, dev, None if given.test is None else read_tagged(given.test, "test", block=given.block)


def _write_schema(path: Path, labels: Sequence[str]) -> Path:
    """The label schema of the set; its order, that of the alphabet, is the order of the model's outputs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tables = [f'[[entity]]\nname = "{label}"\nprefix = "{label}"\n' for label in labels]
    path.write_text("\n".join(['name = "own"\n', *tables]), encoding="utf-8")
    return path


def _config(given: argparse.Namespace, schema: Path) -> "TrainConfig":
    from training.train_config import TrainConfig

    own = {name: getattr(given, name) for name in SETTINGS if getattr(given, name) is not None}
    try:  # patience as long as the run: every fine-tuning sees the same number of epochs
        return TrainConfig(given.base, Path(), (), (), schema=schema, epochs=given.epochs, patience=given.epochs, **own)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _told(
    train: TaggedSet, dev: TaggedSet | None, splits: Sequence["Split"], gold: Sequence[Annotation], config: "TrainConfig"
) -> list[str]:
    """What was learnt from and measured on, in sentences."""
    known = 0
    for split in splits:
        learnt = {sentence.text for sentence in (*split.learn, *split.dev)}
        known += sum(sentence.text in learnt for sentence in split.held)
    way = f"{len(splits)} folds of neighbouring sentences" if splits[0].fold else "a test file, measured once a seed"
    chosen = f"{len(dev.sentences):,} sentences of a dev file" if dev else "the last tenth of what is learnt from"
    return [
        f"Learnt from {len(train.sentences):,} sentences with {_count(train.sentences):,} entities; measured by {way}: "
        f"{len(gold):,} sentences in {len({a.doc for a in gold}):,} blocks, {_count(gold):,} entities; "
        f"{known:,} of these sentences stand word for word among those learnt from.",
        f"Epochs: {config.epochs}, the best of them chosen on {chosen}, never on what is measured; learning rate "
        f"{config.learning_rate:g}, {config.batch_rows} rows a step, windows of {config.window} pieces.",
    ]


def _unlearnt(splits: Sequence["Split"]) -> list[str]:
    """A warning for each split that measures labels which it never learnt."""
    lines = []
    for split in splits:
        learnt, held = ({e.label for a in part for e in a.entities} for part in (split.learn, split.held))
        if held - learnt:
            where = f"fold {split.fold}" if split.fold else "the test file"
            lines.append(f"{where} has labels that stand nowhere in what was learnt from: {', '.join(sorted(held - learnt))}")
    return lines


def _uncarried(units: Sequence["Unit"]) -> list[str]:
    """What the base's pieces could not carry, in the fine-tunings of the first seed."""
    first = [unit.outcome.notes["faults"] for unit in units if unit.seed == units[0].seed]
    counts: Counter[str] = sum((Counter(faults) for faults in first), Counter())
    told = ", ".join(f"{kind}: {count / len(first):,.0f}" for kind, count in sorted(counts.items()))
    return [f"Names learnt from that the base's pieces carry inexactly, mean of a fine-tuning: {told}."] if told else []


def _fold_scores(splits: Sequence["Split"], units: Sequence["Unit"], labels: Sequence[str]) -> dict[str, float]:
    from benchmarks.tagging import evaluate_seed

    held = {split.fold: split.held for split in splits}
    return {
        f"seed {u.seed}, fold {u.fold}": evaluate_seed([u], held[u.fold], labels, rounds=0).words.entities["micro"].f1.value
        for u in units
    }


def measure_table(results: Sequence["SeedResult"]) -> str:
    """Per cent; the interval behind a value is that of resampled blocks."""
    words = [result.words.entities for result in results]
    rows = [
        measure_row("micro F1", [each["micro"].f1 for each in words]),
        measure_row("macro F1", [each["macro"].f1 for each in words]),
        measure_row("micro precision", [each["micro"].precision for each in words]),
        measure_row("micro recall", [each["micro"].recall for each in words]),
        measure_row("micro F1, borders as predicted", [result.exact.entities["micro"].f1 for result in results]),
    ]
    table = markdown_table(["measure", "mean ± s.d.", *(f"seed {result.seed}" for result in results)], rows)
    moved = ", ".join(f"{result.moved:,}" for result in results)
    return f"{table}\n\nPredicted names with a border inside a word, moved to its edge: {moved}."


def label_table(results: Sequence["SeedResult"], labels: Sequence[str]) -> str:
    """Per cent, means over the seeds."""
    rows = []
    for label in labels:
        scores = [result.words.entities[label] for result in results]
        rates = [f"{100 * mean(rate):.1f}" for rate in ([s.precision for s in scores], [s.recall for s in scores])]
        rows.append([label, f"{scores[0].support:,}", *rates, mean_and_spread([s.f1.value for s in scores])])
    return markdown_table(["label", "gold", "precision", "recall", "F1"], rows)


def fold_table(splits: Sequence["Split"], seeds: Sequence[int], scores: Mapping[str, float]) -> str:
    """Micro F1 of each fold, per cent."""
    rows = [
        [str(split.fold), f"{len(split.held):,}", f"{_count(split.held):,}"]
        + [f"{100 * scores[f'seed {seed}, fold {split.fold}']:.1f}" for seed in seeds]
        for split in splits
    ]
    return markdown_table(["fold", "sentences", "entities", *(f"seed {seed}" for seed in seeds)], rows)


def _count(sentences: Sequence[Annotation]) -> int:
    return sum(len(sentence.entities) for sentence in sentences)


if __name__ == "__main__":
    sys.exit(main())
