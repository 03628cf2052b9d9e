"""Is int8 worth its errors? The graph quantised after training (NNCF, static, for transformers) against bf16 and f32, in
accuracy on gold and in time, in the same run: `python -m benchmarks.quantization --model models/marsad-mini
--calibrate train.jsonl --gold dev.jsonl`

Adopted only where neither names nor event types move by more than MOST_MOVED points and every batch is clearly faster than
in bf16. Triggers and roles are shown, not judged."""

import argparse
import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np

from benchmarks.machine import describe_machine, machine_lines
from benchmarks.table import markdown_table, write_json
from labels.errors import ConfigError, MarsadError
from labels.folder import CHECKPOINT, GRAPH, GRAPH_WEIGHTS, INPUT_IDS, INPUT_MASK, ModelFolder, write_manifest
from labels.openvino import ov
from labels.records import read_annotations
from labels.types import Annotation, Document, Prediction
from labels.windows import plan_windows
from serving.analyzer import Analyzer
from serving.engine import Engine
from serving.graph import Graph, Ids
from serving.openvino_graph import OpenVinoGraph, Precision

SHAPES = ((64, 64), (32, 32), (8, 128), (1, 32))  # rows, pieces
REPEATS = 15
SENTENCES = 300
MOST_MOVED = 0.3
PARTS = ("entities", "events", "triggers", "roles")
JUDGED = ("entities", "events")

Arms = dict[str, tuple[ModelFolder, Precision]]


def quantise(folder: ModelFolder, texts: Sequence[str], target: Path) -> ModelFolder:
    """A copy of `folder` in `target` whose graph multiplies in int8, with ranges as `texts` have them; ConfigError if NNCF is
    not installed."""
    if find_spec("nncf") is None:
        raise ConfigError("quantising needs NNCF, which is no part of this project's environment: pip install nncf")
    import nncf  # after labels.openvino, whose guard against reports holds for this package as well

    shutil.copytree(folder.path, target, ignore=shutil.ignore_patterns(CHECKPOINT, GRAPH, GRAPH_WEIGHTS))
    rows = list(calibration_rows(folder, texts))
    with contextlib.redirect_stdout(sys.stderr):  # its progress is no part of the report
        graph = nncf.quantize(
            ov.Core().read_model(folder.path / GRAPH),
            nncf.Dataset(rows),
            preset=nncf.QuantizationPreset.MIXED,
            model_type=nncf.ModelType.TRANSFORMER,
            target_device=nncf.TargetDevice.CPU,
            subset_size=len(rows),
        )
    ov.save_model(graph, target / GRAPH, compress_to_fp16=True)
    write_manifest(target, folder.manifest)
    return ModelFolder.open(target)


def calibration_rows(folder: ModelFolder, texts: Sequence[str]) -> Iterator[dict[str, Ids]]:
    """One row a window of a text, as the engine fills it, without padding."""
    tokenizer = Engine(folder, threads=1).tokenizer
    manifest = folder.manifest
    for text in texts:
        bare = tokenizer.encode(text, add_special_tokens=False).ids
        before, after = _around(tokenizer.encode("1"))
        for window in plan_windows(len(bare), manifest.window, manifest.overlap):
            ids = np.array([[*before, *bare[window.start : window.end], *after]], dtype=np.int64)
            yield {INPUT_IDS: ids, INPUT_MASK: np.ones_like(ids)}


def _around(encoding: Any) -> tuple[list[int], list[int]]:
    real = [i for i, special in enumerate(encoding.special_tokens_mask) if not special]
    return encoding.ids[: real[0]], encoding.ids[real[-1] + 1 :]


def accuracy(arms: Arms, gold: Sequence[Annotation], threads: int | None) -> dict[str, dict[str, float]]:
    """Micro F1 of each part in points, read as `marsad score` reads and judged as `marsad evaluate` judges."""
    from training.metrics import evaluate_by_schema

    found: dict[str, dict[str, float]] = {}
    documents = [Document(each.id, each.text) for each in gold]
    for name, (folder, precision) in arms.items():
        answers = Analyzer(Engine(folder, threads=threads, precision=precision)).analyze(documents)
        predictions = {answer.id: answer for answer in answers if isinstance(answer, Prediction)}
        result = evaluate_by_schema(gold, predictions, folder.schema)
        scores = {part: getattr(result, part) for part in PARTS}
        found[name] = {part: 100 * each["micro"].f1.value for part, each in scores.items() if "micro" in each}
    return found


def timings(
    graphs: dict[str, Graph], vocabulary: int, repeats: int, shapes: Sequence[tuple[int, int]] = SHAPES
) -> dict[str, dict[str, list[float]]]:
    """Milliseconds of each pass, by batch and arm. The arms take turns, each time another first, after a pass that is not
    counted."""
    draw = np.random.default_rng(0)
    found: dict[str, dict[str, list[float]]] = {}
    for rows, pieces in shapes:
        ids = draw.integers(5, vocabulary, (rows, pieces), dtype=np.int64)
        mask = np.ones_like(ids)
        spent: dict[str, list[float]] = {name: [] for name in graphs}
        names = list(graphs)
        for turn in range(repeats + 1):
            for name in (*names[turn % len(names) :], *names[: turn % len(names)]):
                began = time.perf_counter()
                graphs[name].run(ids, mask)
                if turn:
                    spent[name].append(1000 * (time.perf_counter() - began))
        found[f"{rows} x {pieces}"] = spent
    return found


def verdict(scores: dict[str, dict[str, float]], spent: dict[str, dict[str, list[float]]], arm: str, against: str) -> str:
    """What the rule says of `arm`. Clearly faster: even its median is below the least of `against`."""
    moved = {part: scores[arm][part] - scores[against][part] for part in JUDGED if part in scores[against]}
    most = max(moved, key=lambda part: abs(moved[part]))
    slower = [shape for shape, by_arm in spent.items() if median(by_arm[arm]) >= min(by_arm[against])]
    if abs(moved[most]) > MOST_MOVED:
        return f"{arm} is not adopted: F1 of {most} moves by {moved[most]:+.1f} points, more than {MOST_MOVED}."
    if slower:
        return f"{arm} is not adopted: it is not clearly faster than {against} on batches of {', '.join(slower)}."
    return f"{arm} may be adopted: F1 moves by {abs(moved[most]):.1f} points at most, and it is faster on every batch."


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quantization", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--calibrate", type=Path, required=True, help="annotated JSONL that ranges are taken from; not --gold")
    parser.add_argument("--gold", type=Path, required=True, help="annotated JSONL to judge by; a dev split")
    parser.add_argument("--sentences", type=int, default=SENTENCES, help=f"to calibrate on ({SENTENCES})")
    parser.add_argument("--repeats", type=int, default=REPEATS, help=f"of each batch, at least 5 ({REPEATS})")
    parser.add_argument("--threads", type=int, help="all cores if not given")
    parser.add_argument("--output", type=Path, help="JSON of all figures")
    given = parser.parse_args(arguments)
    if given.repeats < 5 or given.sentences < 1:
        parser.error("expected --repeats of 5 or more and --sentences of 1 or more")
    if given.calibrate.resolve() == given.gold.resolve():
        parser.error("expected --calibrate and --gold to be different files")
    try:
        _report(given)
    except MarsadError as error:
        click.echo(f"benchmarks.quantization: {error}", err=True)
        return 2
    return 0


def _report(given: argparse.Namespace) -> None:
    machine = describe_machine()
    folder = ModelFolder.open(given.model)
    gold = read_annotations(given.gold)
    known = read_annotations(given.calibrate)
    step = max(1, len(known) // given.sentences)
    texts = [each.text for each in known[::step][: given.sentences]]
    with tempfile.TemporaryDirectory() as place:
        small = quantise(folder, texts, Path(place) / "int8")
        arms: Arms = {
            "f32": (folder, "f32"),
            "bf16": (folder, "bf16"),
            "int8": (small, "bf16"),
            "int8, rest f32": (small, "f32"),
        }
        scores = accuracy(arms, gold, given.threads)
        graphs: dict[str, Graph] = {
            name: OpenVinoGraph(of, threads=given.threads, precision=precision) for name, (of, precision) in arms.items()
        }
        vocabulary = Engine(folder, threads=1).tokenizer.get_vocab_size()
        spent = timings(graphs, vocabulary, given.repeats)
        sizes = {name: (of.path / GRAPH_WEIGHTS).stat().st_size for name, (of, _) in arms.items()}
    click.echo("\n".join([f"## Quantisation of {folder.id}", "", *machine_lines(machine), ""]))
    parts = list(scores["f32"])
    rows = [[name, *(f"{each[part]:.2f}" for part in parts), f"{sizes[name] / 1e6:.1f}"] for name, each in scores.items()]
    click.echo(f"Micro F1 on {given.gold.name}, calibrated on {len(texts)} sentences of {given.calibrate.name}:\n")
    click.echo(markdown_table(["", *parts, "MB"], rows) + "\n")
    click.echo(f"Milliseconds a pass, median (least) of {given.repeats}:\n")
    cells = [[name, *(f"{median(each[name]):.1f} ({min(each[name]):.1f})" for each in spent.values())] for name in arms]
    click.echo(markdown_table(["", *spent], cells) + "\n")
    click.echo(verdict(scores, spent, "int8", "bf16"))
    if given.output is not None:
        write_json(given.output, {"model": folder.id, "machine": machine, "f1": scores, "milliseconds": spent, "bytes": sizes})


if __name__ == "__main__":
    sys.exit(main())
