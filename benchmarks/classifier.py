"""A plain `AutoModelForSequenceClassification`, fine-tuned on a part of a table with the optimiser settings of `marsad train`,
so that figures say something of the base and not of a recipe; and what a seed's fine-tunings score together."""

import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    DataCollatorWithPadding,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainingArguments,
    set_seed,
)

from benchmarks.folds import dealt_folds
from benchmarks.sources import Row, Table
from benchmarks.units import Outcome, Unit
from labels.errors import ConfigError, RecordError
from labels.types import Annotation, Event, Prediction
from training.counts import BOOTSTRAP_ROUNDS
from training.data import to_dataset
from training.metrics import Evaluation, evaluate
from training.model import DROPOUTS
from training.precision import autocast_dtype

_SUMS = {"micro", "macro"}


@dataclass(frozen=True)
class ClassifierConfig:
    """One fine-tuning. `max_pieces` is the longest row, [CLS] and [SEP] counted; the rest of a longer text is cut off.
    Weights that the base does not have, such as the classifier, learn at `head_learning_rate`."""

    base: str
    epochs: int
    batch_rows: int
    learning_rate: float
    head_learning_rate: float
    dropout: float
    max_pieces: int
    warmup_share: float = 0.1
    weight_decay: float = 0.01


@dataclass(frozen=True)
class Split:
    """Rows to learn from and rows to measure on, with their numbers among all that are measured. `fold` is 0 with a test
    file."""

    fold: int
    learn: tuple[Row, ...]
    held: tuple[tuple[int, Row], ...]


def make_splits(train: Sequence[Row], test: Sequence[Row] | None, folds: int) -> list[Split]:
    """One split with `test`, else one for each fold."""
    if test is not None:
        return [Split(0, tuple(train), tuple(enumerate(test)))]
    parts = dealt_folds([row.group for row in train], [row.label for row in train], folds)
    return [
        Split(
            number,
            tuple(row for i, row in enumerate(train) if i not in held),
            tuple((i, row) for i, row in enumerate(train) if i in held),
        )
        for number, held in enumerate(map(set, parts), 1)
    ]


def classify(
    scratch: Path,
    *,
    split: Split,
    classes: Sequence[str],
    config: ClassifierConfig,
    tokenizer: PreTrainedTokenizerBase,
    seed: int,
) -> Outcome:
    """Learn, then predict the held rows."""
    began = time.perf_counter()
    with redirect_stdout(sys.stderr):  # here standard output is the report
        model = fine_tune(
            config,
            tokenizer,
            [row.text for row in split.learn],
            [classes.index(row.label) for row in split.learn],
            n_classes=len(classes),
            seed=seed,
            scratch=scratch / "work",
        )
    seconds = time.perf_counter() - began
    found = predict(model, tokenizer, [row.text for _, row in split.held], max_pieces=config.max_pieces)
    predicted = {str(number): classes[best] for (number, _), best in zip(split.held, found, strict=True)}
    return Outcome(predicted, seconds, {"learnt": len(split.learn)})


def evaluate_seed(
    units: Sequence[Unit], held: Sequence[tuple[int, Row]], classes: Sequence[str], *, rounds: int = BOOTSTRAP_ROUNDS
) -> Evaluation:
    """One seed's units pooled, in the terms of `training.metrics`: a class is the one event type of a record. Resampling
    draws rows, those of one group together."""
    found = {key: label for unit in units for key, label in unit.outcome.predicted.items()}
    gold = [Annotation(str(number), "", events=(Event(row.label),), doc=row.group) for number, row in held]
    predicted = {a.id: Prediction(a.id, "", "", event_types={found[a.id]: 1.0}) for a in gold}
    return evaluate(gold, predicted, entity_labels=(), event_types=classes, rounds=rounds)


def classes_of(train: Table, test: Table | None, positive: str | None) -> tuple[str, ...]:
    """The classes of `train`, in the order of the alphabet; an error where they cannot be learnt or measured."""
    classes = tuple(sorted({row.label for row in train.rows}))
    if len(classes) < 2 or _SUMS & {*classes}:
        raise ConfigError(f"expected two classes or more, none of them called micro or macro; found {', '.join(classes)}")
    for row in test.rows if test else ():
        if row.label not in classes:
            known = ", ".join(classes)
            raise RecordError(row.where, f"label {row.label!r} is not in the training file ({known}); use --map or --drop")
    if positive is not None and (positive not in classes or len(classes) > 2):
        raise ConfigError(f"--positive {positive}: expected one of two classes, there are {', '.join(classes)}")
    return classes


def count_cut(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, max_pieces: int) -> int:
    """How many texts are longer than a row."""
    return sum(len(ids) > max_pieces for ids in tokenizer(list(texts), truncation=False, verbose=False)["input_ids"])


def fine_tune(
    config: ClassifierConfig,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    classes: Sequence[int],
    *,
    n_classes: int,
    seed: int,
    scratch: Path,
) -> nn.Module:
    """Learn for `epochs`, all of them, and return the model as it is then; `classes` are in `[0, n_classes)`."""
    set_seed(seed)
    model, fresh = _load(config, n_classes)
    rows = _encode(texts, tokenizer, config.max_pieces)
    arguments = _arguments(config, len(rows), seed, scratch)
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=to_dataset([row | {"labels": label} for row, label in zip(rows, classes, strict=True)]),
        data_collator=DataCollatorWithPadding(tokenizer),
        optimizers=(_optimizer(model, fresh, config), None),
    )
    trainer.remove_callback(PrinterCallback)  # it prints to standard output, where the report goes
    trainer.train()
    return model.float().eval()


@torch.inference_mode()
def predict(
    model: nn.Module, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, max_pieces: int, batch_rows: int = 64
) -> list[int]:
    """The likeliest class of each text, in order; computed in 32 bits, rows of like length together."""
    rows = _encode(texts, tokenizer, max_pieces)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]["input_ids"]))
    collate, device = DataCollatorWithPadding(tokenizer), next(model.parameters()).device
    found = [0] * len(rows)
    for start in range(0, len(order), batch_rows):
        chunk = order[start : start + batch_rows]
        batch = {key: value.to(device) for key, value in collate([rows[i] for i in chunk]).items()}
        for i, best in zip(chunk, model(**batch).logits.argmax(-1).tolist(), strict=True):  # logits (rows, classes)
            found[i] = best
    return found


def _load(config: ClassifierConfig, n_classes: int) -> tuple[nn.Module, set[str]]:
    """The model, and the names of those weights that the base does not have."""
    try:
        shape = AutoConfig.from_pretrained(config.base, trust_remote_code=False, num_labels=n_classes)
        shape.problem_type = "single_label_classification"
        for name in (*DROPOUTS, "classifier_dropout", "seq_classif_dropout"):
            if hasattr(shape, name):
                setattr(shape, name, config.dropout)
        model, info = AutoModelForSequenceClassification.from_pretrained(
            config.base,
            config=shape,
            trust_remote_code=False,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,  # the head of another task
            output_loading_info=True,
        )
    except (OSError, ValueError) as error:
        raise ConfigError(f"base {config.base!r} cannot be loaded as a classifier: {error}") from error
    return model, {str(name) for name in info["missing_keys"]} | {str(key[0]) for key in info["mismatched_keys"]}


def _encode(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, max_pieces: int) -> list[dict[str, Any]]:
    """Ids alone: not every encoder takes segments, and the mask comes with the padding."""
    rows = tokenizer(
        list(texts), truncation=True, max_length=max_pieces, return_token_type_ids=False, return_attention_mask=False
    )
    return [{"input_ids": ids} for ids in rows["input_ids"]]


def _optimizer(model: nn.Module, fresh: set[str], config: ClassifierConfig) -> torch.optim.Optimizer:
    """AdamW as in `training.finetune`: biases and norms of the encoder without decay, what is new at its own rate."""
    named = list(model.named_parameters())
    known = [weight for name, weight in named if name not in fresh]
    groups = [
        {"params": [w for w in known if w.ndim > 1], "lr": config.learning_rate, "weight_decay": config.weight_decay},
        {"params": [w for w in known if w.ndim <= 1], "lr": config.learning_rate, "weight_decay": 0.0},
        {"params": [w for n, w in named if n in fresh], "lr": config.head_learning_rate, "weight_decay": config.weight_decay},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], betas=(0.9, 0.98))


def _arguments(config: ClassifierConfig, n_rows: int, seed: int, scratch: Path) -> TrainingArguments:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    steps = -(-n_rows // config.batch_rows) * config.epochs
    return TrainingArguments(
        output_dir=str(scratch),
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.batch_rows,
        warmup_steps=round(config.warmup_share * steps),
        lr_scheduler_type="linear",
        max_grad_norm=1.0,
        bf16=autocast_dtype(device) is not None,
        use_cpu=device.type == "cpu",
        eval_strategy="no",
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
        train_sampling_strategy="group_by_length",
        seed=seed,
    )
