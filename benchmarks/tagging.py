"""One fine-tuning of `training.finetune` on a part of a tagged set, and what a seed's fine-tunings score together."""

import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.folds import contiguous_folds, hold_last
from benchmarks.sources import TaggedSet
from benchmarks.units import Outcome, Unit
from labels.records import annotation_record, write_jsonl
from labels.schema import load_schema
from labels.types import Annotation, Entity, Prediction, Span
from training.counts import BOOTSTRAP_ROUNDS
from training.data import load_tokenizer
from training.finetune import train
from training.metrics import Evaluation, evaluate
from training.model import load_joint
from training.predict import decode_sentence, score_sentences
from training.train_config import TrainConfig

INNER = 0.1  # share of the training sentences that the epoch is chosen on


@dataclass(frozen=True)
class Split:
    """What one fine-tuning learns from, chooses its epoch on, and is measured on. `fold` is 0 with a test file."""

    fold: int
    learn: tuple[Annotation, ...]
    dev: tuple[Annotation, ...]
    held: tuple[Annotation, ...]


@dataclass(frozen=True)
class SeedResult:
    """One seed over all folds together; `exact` is without moving predicted borders to word edges, of which there were
    `moved`."""

    seed: int
    words: Evaluation
    exact: Evaluation
    moved: int


def make_splits(train: TaggedSet, dev: TaggedSet | None, test: TaggedSet | None, folds: int) -> list[Split]:
    """One split with `test`, else one for each fold. Nothing that is measured is ever chosen on: without `dev` the last
    blocks of what is left to learn from are held back for the choice of the epoch."""
    blocks = [int(str(sentence.doc).rpartition("-")[2]) for sentence in train.sentences]
    held_parts = [range(0)] if test else contiguous_folds(blocks, folds)
    splits = []
    for number, held in enumerate(held_parts):
        learn = [i for i in range(len(blocks)) if i not in held]
        choose: list[int] = []
        if dev is None:
            learn, choose = hold_last(learn, blocks, INNER)
        splits.append(
            Split(
                fold=0 if test else number + 1,
                learn=tuple(train.sentences[i] for i in learn),
                dev=dev.sentences if dev else tuple(train.sentences[i] for i in choose),
                held=test.sentences if test else tuple(train.sentences[i] for i in held),
            )
        )
    return splits


def fine_tune(scratch: Path, split: Split, config: TrainConfig) -> Outcome:
    """Train in `scratch` and read the held sentences in windows, as `marsad train` reads its dev split."""
    for name, sentences in (("train", split.learn), ("dev", split.dev)):
        write_jsonl(scratch / f"{name}.jsonl", map(annotation_record, sentences))
    config = replace(config, output=scratch / "run", train=(str(scratch / "train.jsonl"),), dev=(str(scratch / "dev.jsonl"),))
    began = time.perf_counter()
    with redirect_stdout(sys.stderr):  # here standard output is the report
        result = train(config)
    seconds = time.perf_counter() - began
    schema = load_schema(config.schema)
    model = load_joint(result.folder, n_tags=len(schema.tags), n_types=0)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = load_tokenizer(str(result.folder))
    scores = score_sentences(model, tokenizer, [a.text for a in split.held], window=config.window, overlap=config.overlap)
    predicted = {}
    for gold, found in zip(split.held, scores, strict=True):
        entities = decode_sentence(gold, found, schema, result.rules).entities
        predicted[gold.id] = [[e.label, e.span.start, e.span.end] for e in entities]
    notes = {"learnt": len(split.learn), "in_windows": result.alignment.windowed, "faults": dict(result.alignment.faults)}
    return Outcome(predicted, seconds, notes)


def to_whole_words(text: str, found: Sequence[Sequence[Any]]) -> list[tuple[str, int, int]]:
    """`(label, start, end)` with borders inside a word moved to its edges, as tags are of words; of two that then share a
    word the first has it."""
    moved: list[tuple[str, int, int]] = []
    free = 0
    for label, start, end in sorted(found, key=lambda each: each[1]):
        first = max(text.rfind(" ", 0, start) + 1, free)
        last = text.find(" ", end)
        last = len(text) if last < 0 else last
        if first < last:
            moved.append((label, first, last))
            free = last + 1
    return moved


def evaluate_seed(
    units: Sequence[Unit], gold: Sequence[Annotation], labels: Sequence[str], *, rounds: int = BOOTSTRAP_ROUNDS
) -> SeedResult:
    """One seed's units pooled: counts are added up, not F1 averaged. Resampling draws whole blocks."""
    found = {key: value for unit in units for key, value in unit.outcome.predicted.items()}
    moved = {a.id: to_whole_words(a.text, found[a.id]) for a in gold}
    words, exact = (
        evaluate(gold, {a.id: _prediction(a, each[a.id]) for a in gold}, entity_labels=labels, event_types=(), rounds=rounds)
        for each in (moved, found)
    )
    return SeedResult(units[0].seed, words, exact, sum(len({*map(tuple, found[a.id])} - {*moved[a.id]}) for a in gold))


def _prediction(gold: Annotation, found: Sequence[Sequence[Any]]) -> Prediction:
    entities = (Entity(f"e{i}", label, Span(start, end)) for i, (label, start, end) in enumerate(found, 1))
    return Prediction(gold.id, "", gold.text, entities=tuple(entities))
