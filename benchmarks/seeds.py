"""One configuration, several seeds: how much of a figure is chance.
`python -m benchmarks.seeds --config training/configs/marsad-mini.toml --data FOLDER --seeds 1 2 3 --gold NAME=FILE`"""

import argparse
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, median, stdev
from typing import TYPE_CHECKING, Any

import click

from benchmarks.machine import describe_machine, machine_lines
from benchmarks.table import markdown_table, write_json
from labels.decode import DecodingRules
from labels.errors import ConfigError, MarsadError
from labels.folder import DECODING, GRAPH_WEIGHTS, hash_file
from labels.schema import load_schema

if TYPE_CHECKING:  # training needs torch; it is imported when a run begins, so that --help needs none
    from training.train_config import TrainConfig

logger = logging.getLogger(__name__)

DEFAULT_GOLD = {"corpus-test": "labels/corpus/test.jsonl"}
# A seed that lies this far under the median of all did not learn what the others did.
COLLAPSE = 0.05
PARTS = {"entity": "entities", "event": "events", "trigger": "triggers", "role": "roles"}
MEASURES = tuple(f"{part} {kind} F1" for part in PARTS for kind in ("micro", "macro"))


@dataclass(frozen=True)
class SeedResult:
    """What one seed's run scores on each gold file, in [0, 1]; a measure is absent where the schema has no such part."""

    seed: int
    folder: Path
    trained: bool
    scores: Mapping[str, Mapping[str, float]]


def run_seed(config: "TrainConfig", data: Path | None, gold: Mapping[str, Path]) -> SeedResult:
    """Train, unless the run is there already, and evaluate with the thresholds and temperatures the run set on dev."""
    from training.data import load_gold, load_tokenizer
    from training.finetune import train
    from training.joint_trainer import evaluate_model
    from training.model import load_joint

    folder = config.output
    trained = not is_done(config, data)
    if trained:
        logger.info("seed %d: training into %s", config.seed, folder)
        with redirect_stdout(sys.stderr):  # the Trainer prints its log; here standard output is the report
            train(config, data)
    else:
        logger.info("seed %d: %s is of this configuration and data, not trained again", config.seed, folder)
    schema = load_schema(config.schema)
    model = load_joint(folder, n_tags=len(schema.tags), n_types=len(schema.event_types))
    tokenizer = load_tokenizer(str(folder))
    rules = DecodingRules(**json.loads((folder / DECODING).read_text(encoding="utf-8")))
    scores = {}
    for name, path in gold.items():
        found = evaluate_model(model, tokenizer, load_gold([path], schema), schema, config, rules, rounds=0)
        scores[name] = {
            f"{part} {kind} F1": table[kind].f1.value
            for part, field in PARTS.items()
            if (table := getattr(found, field))
            for kind in ("micro", "macro")
        }
    return SeedResult(config.seed, folder, trained, scores)


def is_done(config: "TrainConfig", data: Path | None) -> bool:
    """Whether the output folder holds a finished run of this very configuration, these very data files, and a base that
    has not been made anew since."""
    from training.finetune import RUN_RECORD, resolve
    from training.provenance import entries_of, read_provenance
    from training.served import checkpoint_of

    file = config.output / RUN_RECORD
    if not file.is_file():
        return False
    try:
        known = json.loads(file.read_text(encoding="utf-8"))["config"]
    except (ValueError, KeyError, TypeError):  # cut short, or of another version
        return False
    base = Path(checkpoint_of(config.base))
    wanted = json.loads(json.dumps(asdict(config), default=str))
    files = {stage: [resolve(path, data) for path in paths] for stage, paths in (("train", config.train), ("dev", config.dev))}
    expected = [*read_provenance(base), *(entry for stage, paths in files.items() for entry in entries_of(stage, paths))]
    seen = {tuple(entry.items()) for entry in read_provenance(config.output)}
    stored = [*base.glob("*.safetensors"), *Path(config.base).glob(GRAPH_WEIGHTS)]
    newer = [weights for weights in stored if weights.stat().st_mtime > file.stat().st_mtime]
    return bool(known == wanted and seen == {tuple(entry.items()) for entry in expected} and not newer)


def collapsed(results: Sequence[SeedResult]) -> list[str]:
    """One line for each seed and measure that lies more than COLLAPSE under the median of all seeds."""
    lines = []
    for name in results[0].scores:
        for measure in results[0].scores[name]:
            middle = median(result.scores[name][measure] for result in results)
            for result in results:
                value = result.scores[name][measure]
                if value < middle - COLLAPSE:
                    lines.append(
                        f"seed {result.seed} collapsed on {name}: {measure} {100 * value:.1f}, "
                        f"the median of {len(results)} seeds is {100 * middle:.1f}"
                    )
    return lines


def seed_table(results: Sequence[SeedResult]) -> str:
    """Per cent: mean and standard deviation over the seeds (of a sample, n - 1), then each seed's value."""
    head = ["gold", "measure", "mean ± s.d.", *(f"seed {result.seed}" for result in results)]
    rows = []
    for name in results[0].scores:
        for measure in (m for m in MEASURES if m in results[0].scores[name]):
            values = [100 * result.scores[name][measure] for result in results]
            spread = f" ± {stdev(values):.1f}" if len(values) > 1 else ""
            rows.append([name, measure, f"{mean(values):.1f}{spread}", *(f"{value:.1f}" for value in values)])
    return markdown_table(head, rows)


def parse_gold(items: Sequence[str], data: Path | None) -> dict[str, Path]:
    """`NAME=FILE`; FILE may be `data:X`, as in a configuration."""
    from training.finetune import resolve

    found: dict[str, Path] = {}
    for item in items or [f"{name}={file}" for name, file in DEFAULT_GOLD.items()]:
        name, equals, file = item.partition("=")
        if not (name and equals and file) or name in found:
            raise ConfigError(f"--gold: expected NAME=FILE with a name of its own, found {item!r}")
        path = resolve(file, data)
        if not path.is_file():
            raise ConfigError(f"--gold {name}: {path} is no file")
        found[name] = path
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.seeds", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="TOML file of the run; its folder gets -sSEED")
    parser.add_argument("--data", type=Path, help="folder that `data:` paths start from")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="(1 2 3)")
    parser.add_argument("--gold", nargs="+", action="extend", metavar="NAME=FILE", default=[], help="files to evaluate on")
    parser.add_argument("--output", type=Path, help="folder for seeds.md and seeds.json")
    given = parser.parse_args(arguments)
    if len(set(given.seeds)) < len(given.seeds):
        parser.error("expected each of --seeds once")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        _report(given)
    except (MarsadError, ValueError) as error:
        click.echo(f"benchmarks.seeds: {error}", err=True)
        return 2
    return 0


def _report(given: argparse.Namespace) -> None:
    from training.config import load_config
    from training.train_config import TrainConfig

    config = load_config(TrainConfig, given.config)
    gold = parse_gold(given.gold, given.data)
    machine = describe_machine()
    results = []
    for seed in given.seeds:
        # The folder `marsad train --seed` would write: one run serves both.
        results.append(run_seed(config.with_seed(seed), given.data, gold))
    warnings = collapsed(results)
    lines = [f"## {config.output.name}, seeds {', '.join(map(str, given.seeds))}", "", *machine_lines(machine, timed=False), ""]
    lines += [seed_table(results), *([""] if warnings else []), *(f"**Warning: {line}**" for line in warnings)]
    text = "\n".join(lines) + "\n"
    click.echo(text, nl=False)
    if given.output is not None:
        record: dict[str, Any] = {"machine": machine, "config": asdict(config), "warnings": warnings}
        record["gold"] = {name: {"file": path.name, "sha256": hash_file(path)} for name, path in gold.items()}
        write_json(given.output / "seeds.json", record | {"seeds": [asdict(result) for result in results]})
        (given.output / "seeds.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
