"""Documents a second of the analyzer against plain torch, in the same run:
`python -m benchmarks.throughput --model models/marsad-mini`"""

import argparse
import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from benchmarks.arms import STAGES, Arm, MarsadArm, TorchArm
from benchmarks.documents import documents_of
from benchmarks.machine import describe_machine
from benchmarks.model_command import heading, model_parser, run
from benchmarks.table import Spread, markdown_table, write_json
from labels.folder import CHECKPOINT, ModelFolder
from labels.sentences import split_sentences
from labels.types import Document
from serving.devices import Precision
from serving.engine import Engine

ROUNDS = 7
WARM_UP = 6  # documents
LEAST, MOST = 10, 3000  # documents a round, however slow or fast the model
LEAST_SWEPT = 60  # enough pieces to fill the largest budget
BUDGETS = (512, 1024, 2048, 4096, 8192, 16384)


@dataclass(frozen=True)
class Round:
    """What one round had to read, the seconds each arm took, and what each made of it. `stages` are seconds of all threads,
    `padding` the share of places that held nothing."""

    documents: int
    sentences: int
    pieces: int
    seconds: dict[str, float]
    stages: dict[str, dict[str, float]]
    padding: dict[str, float]
    agree: dict[str, int]


def measure(
    arms: Sequence[Arm],
    source: Iterator[Document],
    counter: Engine,
    *,
    seconds: float,
    rounds: int,
    least: int = LEAST,
    against: str | None = None,
) -> list[Round]:
    """Every round gives all arms the same new documents, each time in another order. `against` names the arm whose
    readings the others are compared with. A slow model takes longer than `seconds`: a round has `least` documents."""
    warm = list(itertools.islice(source, WARM_UP))
    for arm in arms:
        arm.run(warm)
    cost = sum(_timed(arm, warm)[0] for arm in arms) / WARM_UP
    size = max(least, min(MOST, round(seconds / rounds / cost)))
    done = []
    for number in range(rounds):
        documents = list(itertools.islice(source, size))
        turn = number % len(arms)
        done.append(_round([*arms[turn:], *arms[:turn]], documents, counter, against))
    return done


def _round(arms: Sequence[Arm], documents: list[Document], counter: Engine, against: str | None) -> Round:
    texts = [span.of(document.text) for document in documents for span in split_sentences(document.text)]
    pieces = sum(len(read.ids) for read in counter.encode(texts))
    seconds, stages, padding, readings = {}, {}, {}, {}
    for arm in arms:
        if isinstance(arm, MarsadArm):
            arm.watch.reset()
        seconds[arm.name], answer = _timed(arm, documents)
        readings[arm.name] = arm.readings(answer)
        if isinstance(arm, MarsadArm):
            stages[arm.name] = dict(arm.watch.seconds)
            padding[arm.name] = 1 - arm.watch.pieces / arm.watch.places
    agree = {}
    if against is not None:
        expected = readings[against]
        agree = {name: sum(found.get(key) == said for key, said in expected.items()) for name, found in readings.items()}
    return Round(len(documents), len(texts), pieces, seconds, stages, padding, agree)


def _timed(arm: Arm, documents: Sequence[Document]) -> tuple[float, Any]:
    began = time.perf_counter()
    answer = arm.run(documents)
    return time.perf_counter() - began, answer


def build_arms(folder: ModelFolder, threads: int | None) -> tuple[list[Arm], str | None]:
    """The served precision first, then 32 bits where that is another, then torch; and the name of the baseline, None
    where the folder has no checkpoint to load it from."""
    engines = [Engine(folder, threads=threads)]
    if engines[0].precision != "f32":
        engines.append(Engine(folder, threads=threads, precision="f32"))
    arms: list[Arm] = [MarsadArm(engine, f"Marsad, {engine.precision}") for engine in engines]
    if not (folder.path / CHECKPOINT).is_dir():
        return arms, None
    from benchmarks.onnx_arm import OnnxArm
    from benchmarks.pipeline_arm import PipelineArm

    baseline = "transformers pipelines, f32"
    arms.append(PipelineArm(folder, baseline, batch_size=1, threads=threads))
    arms.append(PipelineArm(folder, "transformers pipelines, f32, 32 together", batch_size=32, threads=threads))
    arms.append(PipelineArm(folder, "transformers pipelines, bf16", batch_size=1, precision="bf16", threads=threads))
    arms.append(OnnxArm(folder, "ONNX Runtime, f32", threads=threads))
    arms.append(TorchArm(folder, "torch f32, one sentence at a time", batch_rows=1, threads=threads))
    arms.append(TorchArm(folder, "torch f32, 64 rows together", batch_rows=64, threads=threads))
    return arms, baseline


def build_sweep(folder: ModelFolder, threads: int | None, precision: Precision) -> list[Arm]:
    """One arm a token budget."""
    return [
        MarsadArm(Engine(folder, threads=threads, precision=precision, token_budget=budget), f"{budget:,}")
        for budget in BUDGETS
    ]


def speed_table(rounds: Sequence[Round], names: Sequence[str], baseline: str | None) -> str:
    """Median and range over the rounds; the ratio is taken within each round."""
    head = ["", "documents/s", "sentences/s", "pieces/s"]
    head += ["times the baseline", "same reading as the baseline"] if baseline else []
    rows = []
    for name in names:
        cells = [name]
        for what in ("documents", "sentences", "pieces"):
            cells.append(Spread.of([getattr(each, what) / each.seconds[name] for each in rounds]).show())
        if baseline:
            cells.append(Spread.of([each.seconds[baseline] / each.seconds[name] for each in rounds]).show(2))
            agree, total = sum(each.agree[name] for each in rounds), sum(each.sentences for each in rounds)
            cells.append(f"{100 * agree / total:.2f} % of {total:,} sentences")
        rows.append(cells)
    return markdown_table(head, rows)


def stage_table(rounds: Sequence[Round]) -> str:
    """Milliseconds of one thread for 1,000 pieces, and the share of all threads' time."""
    rows = []
    for name in rounds[0].stages:
        for stage in STAGES:
            spent = [each.stages[name][stage] for each in rounds]
            share = 100 * sum(spent) / sum(sum(each.stages[name].values()) for each in rounds)
            each_thousand = [1e6 * time_ / each.pieces for time_, each in zip(spent, rounds, strict=True)]
            rows.append([f"{name}: {stage}", Spread.of(each_thousand).show(2), f"{share:.0f} %"])
    return markdown_table(["stage", "ms for 1,000 pieces", "share"], rows)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = model_parser("benchmarks.throughput", __doc__)
    parser.add_argument("--seconds", type=float, default=20, help="to measure in, over all rounds (20)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"at least 5 ({ROUNDS})")
    parser.add_argument("--threads", type=int, help="all cores if not given")
    parser.add_argument("--sweep", action="store_true", help="token budgets as well, for as long again")
    parser.add_argument("--output", type=Path, help="JSON of all rounds")
    given = parser.parse_args(arguments)
    if given.rounds < 5 or given.seconds <= 0:
        parser.error("expected --rounds of 5 or more and --seconds above 0")
    return run("benchmarks.throughput", _report, given)


def _report(given: argparse.Namespace) -> int:
    machine = describe_machine()
    folder = ModelFolder.open(given.model)
    source = documents_of(given.documents, given.seed)
    arms, baseline = build_arms(folder, given.threads)
    counter = arms[0].engine  # type: ignore[attr-defined]
    rounds = measure(arms, source, counter, seconds=given.seconds, rounds=given.rounds, against=baseline)
    click.echo(heading(f"Throughput of {folder.id}", machine))
    click.echo(f"{len(rounds)} rounds of {rounds[0].documents} documents; median (lowest to highest).\n")
    if baseline is None:
        click.echo(f"No baseline: {folder.path} has no {CHECKPOINT}/ to load torch weights from.\n")
    click.echo(speed_table(rounds, [arm.name for arm in arms], baseline) + "\n")
    click.echo(stage_table(rounds) + "\n")
    for name in rounds[0].padding:
        share = 100 * Spread.of([each.padding[name] for each in rounds]).median
        click.echo(f"{name}: {share:.1f} % of what the graph read was padding.")
    record: dict[str, Any] = {"model": folder.id, "machine": machine, "rounds": [asdict(each) for each in rounds]}
    if given.sweep:
        budgets = build_sweep(folder, given.threads, counter.precision)
        swept = measure(budgets, source, counter, seconds=given.seconds, rounds=given.rounds, least=LEAST_SWEPT)
        click.echo(f"\nToken budget, {counter.precision}, {swept[0].documents} documents a round:\n")
        click.echo(speed_table(swept, [arm.name for arm in budgets], None))
        record["sweep"] = [asdict(each) for each in swept]
    if given.output is not None:
        write_json(given.output, record)
    return 0


if __name__ == "__main__":
    sys.exit(main())
