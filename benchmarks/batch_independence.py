"""Whether an answer depends on what was read beside it: `python -m benchmarks.batch_independence --model models/marsad-mini`

Every article is read alone, then all together in several orders, which puts its sentences into other passes, beside other
rows, at other widths. Types and spans must be equal to the bit, scores within 1e-3.
"""

import argparse
import itertools
import random
import sys

import click

from benchmarks.documents import documents_of
from benchmarks.machine import describe_machine
from benchmarks.model_command import heading, model_parser, run
from labels.folder import ModelFolder
from labels.types import Failure, Prediction
from serving.analyzer import Analyzer, Answer
from serving.engine import Engine
from serving.errors import EngineError

WITHIN = 1e-3


def without_scores(answer: Answer) -> object:
    if isinstance(answer, Failure):
        raise EngineError(f"document {answer.id!r} was not read: {answer.message}")
    entities = [(each.id, each.label, each.span, each.sentence) for each in answer.entities]
    events = [(each.type, each.trigger, each.roles, each.sentence) for each in answer.events]
    return answer.sentences, entities, events, list(answer.event_types), answer.warnings


def scores_of(answer: Prediction) -> list[float]:
    return [each.score for each in (*answer.entities, *answer.events)] + [*answer.event_types.values()]


def main(arguments: list[str] | None = None) -> int:
    parser = model_parser("benchmarks.batch_independence", __doc__)
    parser.add_argument("--number", type=int, default=300, help="of documents (300)")
    parser.add_argument("--orders", type=int, default=5, help="in which all are read together (5)")
    parser.add_argument("--precision", choices=["auto", "f32", "bf16"], default="auto")
    given = parser.parse_args(arguments)
    return run("benchmarks.batch_independence", _report, given)


def _report(given: argparse.Namespace) -> int:
    """0 where no answer depends on its neighbours, else 1."""
    analyzer = Analyzer(Engine(ModelFolder.open(given.model), precision=given.precision))
    documents = list(itertools.islice(documents_of(given.documents, given.seed), given.number))
    alone = [analyzer.analyze([document])[0] for document in documents]
    draw = random.Random(given.seed)
    other, furthest = 0, 0.0
    for _ in range(given.orders):
        order = draw.sample(range(len(documents)), len(documents))
        for i, answer in zip(order, analyzer.analyze([documents[i] for i in order]), strict=True):
            expected = alone[i]
            if without_scores(answer) != without_scores(expected):
                other += 1
            elif isinstance(answer, Prediction) and isinstance(expected, Prediction):
                pairs = zip(scores_of(answer), scores_of(expected), strict=True)
                furthest = max([furthest, *(abs(a - b) for a, b in pairs)])
    engine = analyzer.engine
    click.echo(heading(f"Answers of {engine.folder.id} alone and together", describe_machine(), timed=False))
    click.echo(
        f"{len(documents)} articles in {engine.precision}, alone and in {given.orders} orders together: {other} answers with "
        f"other types or spans; scores differ by {furthest:.1e} at most."
    )
    return int(other > 0 or furthest > WITHIN)


if __name__ == "__main__":
    sys.exit(main())
