"""Fine-tune one encoder for entity tags and event types together: `marsad train --config X.toml`."""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    EarlyStoppingCallback,
    PreTrainedModel,
    PrinterCallback,
    set_seed,
)

from labels.decode import DecodingRules
from labels.errors import ConfigError
from labels.folder import SCHEMA, write_rules
from labels.schema import LabelSchema, load_schema
from training.bases import check_encoder
from training.calibrate import set_rules
from training.data import AlignmentReport, Collator, build_rows, check_ids, count_borders, load_gold, load_tokenizer, to_dataset
from training.joint_trainer import DevMeasure, JointTrainer, evaluate_model, training_arguments
from training.memory import keep_freed_memory
from training.metrics import Evaluation
from training.model import JointModel, load_encoder, load_joint, save_joint, take_heads
from training.predict import score_sentences
from training.provenance import entries_of, read_provenance, write_provenance
from training.served import checkpoint_of
from training.train_config import TrainConfig

logger = logging.getLogger(__name__)

RUN_RECORD = "run.json"


@dataclass(frozen=True)
class TrainResult:
    """Where the best model lies, and what it reached on dev with the rules set there."""

    folder: Path
    dev: Evaluation
    rules: DecodingRules
    alignment: AlignmentReport


def resolve(path: str, data: Path | None) -> Path:
    """`data:gold/x.jsonl` -> x.jsonl in the gold folder of `--data`; anything else is a path as it is."""
    if not path.startswith("data:"):
        return Path(path)
    if data is None:
        raise ValueError(f"the configuration names {path!r}; say where with --data FOLDER")
    return data / path.removeprefix("data:")


def train(config: TrainConfig, data: Path | None = None) -> TrainResult:
    """Run `config`; the folder that comes out holds checkpoint, heads, schema, decoding rules and the run's record."""
    keep_freed_memory()
    set_seed(config.seed)
    schema = load_schema(config.schema)
    train_files = [resolve(path, data) for path in config.train]
    dev_files = [resolve(path, data) for path in config.dev]
    gold, dev = load_gold(train_files, schema), load_gold(dev_files, schema)
    check_ids(dev)
    tokenizer = load_tokenizer(config.base)
    rows, alignment = build_rows(gold, tokenizer, schema, window=config.window, overlap=config.overlap)
    logger.info("training data: %s", alignment.summary())
    encoder = load_encoder(config.base, config.dropout)
    if not torch.cuda.is_available() and isinstance(encoder, PreTrainedModel):
        encoder.set_attn_implementation("eager")  # on a CPU its backward pass is faster than the fused kernel's
    check_encoder(encoder, tokenizer, config.base, config.window)
    model = JointModel(
        encoder,
        n_tags=len(schema.tags),
        n_types=len(schema.event_types),
        n_borders=count_borders(rows),
        n_roles=len(schema.roles),
        triggers=any(row["triggers"] for row in rows),
        dropout=config.dropout,
    )
    if config.keep_heads:
        _keep_heads(model, schema, config)
    trainer = JointTrainer(
        joint=model,
        args=training_arguments(config, len(rows)),
        train_dataset=to_dataset(rows),
        eval_dataset=to_dataset(rows[:1]),  # the Trainer insists on one; `measure` reads the dev sentences themselves
        data_collator=Collator(tokenizer.pad_token_id, len(schema.event_types)),
        callbacks=[EarlyStoppingCallback(config.patience)],
        positive_weight=_positive_weight(rows, config.loss.positive_cap),
        measure=DevMeasure(model, tokenizer, dev, schema, config),
    )
    trainer.remove_callback(PrinterCallback)  # it prints to standard output, where the report goes
    trainer.train()
    model.float().eval()
    scores = score_sentences(model, tokenizer, [a.text for a in dev], window=config.window, overlap=config.overlap)
    rules = set_rules(dev, scores, schema)
    result = evaluate_model(model, tokenizer, dev, schema, config, rules)
    folder = config.output
    folder.mkdir(parents=True, exist_ok=True)
    save_joint(model, folder)
    tokenizer.save_pretrained(folder)
    (folder / SCHEMA).write_text(schema.text, encoding="utf-8")
    write_rules(folder, rules)
    seen = [
        *read_provenance(Path(checkpoint_of(config.base))),
        *entries_of("train", train_files),
        *entries_of("dev", dev_files),
    ]
    write_provenance(folder, seen)
    _write_record(config, result, alignment)
    return TrainResult(config.output, result, rules, alignment)


def set_rules_anew(config: TrainConfig, data: Path | None = None) -> Evaluation:
    """Set the decoding rules of the finished run of `config` again, on its dev files, as after training: for a run of an
    earlier version, or another dev split. ConfigError where there is no finished run."""
    folder, schema = config.output, load_schema(config.schema)
    if not (folder / RUN_RECORD).is_file():
        raise ConfigError(f"{folder} holds no finished run: there is no {RUN_RECORD}; train it first")
    dev = load_gold([resolve(path, data) for path in config.dev], schema)
    check_ids(dev)
    model = load_joint(folder, n_tags=len(schema.tags), n_types=len(schema.event_types))
    tokenizer = load_tokenizer(str(folder))
    scores = score_sentences(model, tokenizer, [a.text for a in dev], window=config.window, overlap=config.overlap)
    rules = set_rules(dev, scores, schema)
    result = evaluate_model(model, tokenizer, dev, schema, config, rules)
    write_rules(folder, rules)
    record = json.loads((folder / RUN_RECORD).read_text(encoding="utf-8")) | {"dev": asdict(result)}
    _write_json(folder / RUN_RECORD, record)
    return result


def _keep_heads(model: JointModel, schema: LabelSchema, config: TrainConfig) -> None:
    folder = Path(config.base)
    if not (folder / SCHEMA).is_file():
        raise ConfigError(f"keep_heads needs a base with heads, a run or a model; {config.base!r} has no {SCHEMA}")
    known = load_schema(folder / SCHEMA)
    if known.fingerprint != schema.fingerprint:
        raise ConfigError(f"keep_heads needs the same schema in base; {folder / SCHEMA} is another than {config.schema}")
    take_heads(model, folder)


def _positive_weight(rows: Sequence[dict[str, Any]], cap: float) -> Tensor | None:
    """Rare types count more: sqrt(absent / present), in [1, cap]."""
    present = torch.tensor([row["types"] for row in rows], dtype=torch.float32).sum(0)
    if not len(present):
        return None
    return ((len(rows) - present) / present.clamp(min=1)).sqrt().clamp(1.0, max(1.0, cap))


def _write_record(config: TrainConfig, dev: Evaluation, alignment: AlignmentReport) -> None:
    """What export puts into the manifest, and what a reader of the run wants to know."""
    record = {
        "config": asdict(config),
        "alignment": {"summary": alignment.summary(), "mended": alignment.mended, "faults": dict(alignment.faults)},
        "dev": asdict(dev),
    }
    _write_json(config.output / RUN_RECORD, record)


def _write_json(path: Path, record: dict[str, Any]) -> None:
    path.write_text(json.dumps(record, default=str, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
