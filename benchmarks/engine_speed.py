"""How near the graph comes to what the processor can multiply: `python -m benchmarks.engine_speed --model models/marsad-mini`

Full passes, all streams at a time, no tokenizing and no decoding. The machine's own rate is that of large square products in
the same precision, by torch, taken right after each measurement: on a shared machine it moves as well.
"""

import argparse
import random
import sys
import threading
import time
from typing import Any

import click

from benchmarks.machine import describe_machine
from benchmarks.model_command import heading, model_parser, run
from benchmarks.table import Spread, markdown_table
from labels.folder import GRAPH, ModelFolder
from labels.openvino import core
from serving.engine import Engine

LENGTHS = (14, 30, 62, 126)  # pieces of a sentence, without the two special ones
_SIDE = 2048


def operations(graph: Any) -> tuple[float, float]:
    """Floating-point operations of one piece: in products with weights, and in those of attention for each piece that it
    looks at. What is no product of matrices is not counted."""
    weights = attention = 0.0
    width = 0
    for node in graph.get_ordered_ops():
        if node.get_type_name() != "MatMul":
            continue
        constants = [c for c in (_constant(node.input_value(i).get_node()) for i in (0, 1)) if c is not None]
        if constants:
            weights += 2.0 * _size(constants[0])
            width = width or min(constants[0].shape)
        else:
            attention += 2.0 * width
    return weights, attention


def _constant(node: Any) -> Any:
    """The weights behind a conversion from 16 bits, or None where a product is of two things computed."""
    while node.get_type_name() in {"Convert", "Transpose", "Reshape"}:
        node = node.input_value(0).get_node()
    return node if node.get_type_name() == "Constant" else None


def _size(node: Any) -> int:
    count = 1
    for side in node.shape:
        count *= side
    return count


def matrix_rate(precision: str, seconds: float) -> float:
    """GFLOP/s of square products on all cores."""
    import torch

    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = torch.randn(_SIDE, _SIDE).to(kind), torch.randn(_SIDE, _SIDE).to(kind)
    torch.mm(a, b)
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        torch.mm(a, b)
        count += 1
    return 2e-9 * _SIDE**3 * count / (time.perf_counter() - began)


def pieces_a_second(engine: Engine, rows: list[list[int]], seconds: float) -> float:
    """Of all streams together."""
    counts = [0] * engine.streams
    start = threading.Barrier(engine.streams + 1)

    def stream(number: int) -> None:
        engine.run(rows, number)
        start.wait()
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            engine.run(rows, number)
            counts[number] += len(rows) * engine.places(len(rows[0]))

    threads = [threading.Thread(target=stream, args=(number,)) for number in range(engine.streams)]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - began)


def main(arguments: list[str] | None = None) -> int:
    parser = model_parser("benchmarks.engine_speed", __doc__, documents=False)
    parser.add_argument("--rounds", type=int, default=5, help="(5)")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement (1)")
    parser.add_argument("--precision", choices=["auto", "f32", "bf16"], default="auto")
    given = parser.parse_args(arguments)
    return run("benchmarks.engine_speed", _report, given)


def _report(given: argparse.Namespace) -> int:
    machine = describe_machine()
    folder = ModelFolder.open(given.model)
    engine = Engine(folder, precision=given.precision)
    weights, attention = operations(core().read_model(folder.path / GRAPH))
    draw = random.Random(given.seed)
    vocab = engine.tokenizer.get_vocab_size()
    table = []
    for length in LENGTHS:
        pieces = min(length, folder.manifest.window)
        height = engine.token_budget // engine.width(pieces)
        rows = [[draw.randrange(5, vocab) for _ in range(pieces)] for _ in range(height)]
        rates, flops, shares = [], [], []
        for _ in range(given.rounds):
            rates.append(pieces_a_second(engine, rows, given.seconds))
            flops.append(1e-9 * rates[-1] * (weights + attention * engine.width(pieces)))
            shares.append(100 * flops[-1] / matrix_rate(engine.precision, given.seconds))
        shape = f"{height} x {engine.width(pieces)}"
        table.append([shape, *(Spread.of(each).show() for each in (rates, flops, shares))])
    click.echo(heading(f"Engine of {folder.id}, {engine.precision}, {engine.streams} streams", machine))
    click.echo(f"{1e-6 * weights:.2f} MFLOP a piece in products with weights; {given.rounds} rounds.\n")
    click.echo(markdown_table(["pass", "pieces/s", "model GFLOP/s", "% of the matrix rate"], table))
    return 0


if __name__ == "__main__":
    sys.exit(main())
