"""Fine-tune one encoder for entity tags and event types together: `marsad train --config X.toml`."""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    EarlyStoppingCallback,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainingArguments,
    set_seed,
)

from labels.decode import DecodingRules
from labels.errors import ConfigError
from labels.folder import SCHEMA, write_rules
from labels.schema import DEFAULT_SCHEMA, LabelSchema, load_schema
from labels.types import Annotation
from training.bases import check_encoder
from training.calibrate import set_rules
from training.data import AlignmentReport, Collator, build_rows, count_borders, load_gold, load_tokenizer, to_dataset
from training.memory import keep_freed_memory
from training.metrics import Evaluation, evaluate_by_schema
from training.model import JointModel, LossWeights, joint_loss, load_encoder, load_joint, save_joint, take_heads
from training.precision import autocast_dtype
from training.predict import decode_sentence, score_sentences
from training.provenance import entries_of, read_provenance, write_provenance
from training.served import checkpoint_of

logger = logging.getLogger(__name__)

RUN_RECORD = "run.json"


@dataclass(frozen=True)
class TrainConfig:
    """One fine-tuning run. Paths are relative to the working directory; `data:X` is X in the folder given by `--data`.
    `window` and `overlap` are in pieces without [CLS] and [SEP]. `patience` epochs without a better dev score (mean of
    the micro F1 of entities, event types, triggers and roles, of those the model gives) end the run. With `keep_heads` the
    heads go on from those of `base`, a folder with the same schema; else they begin anew."""

    base: str
    output: Path
    train: tuple[str, ...]
    dev: tuple[str, ...]
    schema: Path = DEFAULT_SCHEMA
    epochs: int = 12
    patience: int = 4
    batch_rows: int = 16
    learning_rate: float = 5e-4
    head_learning_rate: float = 1e-3
    warmup_share: float = 0.1
    weight_decay: float = 0.01
    dropout: float = 0.1
    window: int = 126
    overlap: int = 32
    seed: int = 1
    keep_heads: bool = False
    loss: LossWeights = field(default_factory=LossWeights)

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < self.window:
            raise ValueError(f"overlap {self.overlap} must be in [0, window), and window is {self.window}")


@dataclass(frozen=True)
class TrainResult:
    """Where the best model lies, and what it reached on dev with the rules set there."""

    folder: Path
    dev: Evaluation
    rules: DecodingRules
    alignment: AlignmentReport


class _DevMeasure:
    """Scores the dev split with the thresholds at one half: they are set once, at the end."""

    def __init__(
        self,
        model: JointModel,
        tokenizer: PreTrainedTokenizerBase,
        gold: Sequence[Annotation],
        schema: LabelSchema,
        config: TrainConfig,
    ) -> None:
        self.model, self.tokenizer, self.gold, self.schema, self.config = model, tokenizer, gold, schema, config

    def __call__(self) -> dict[str, float]:
        result = evaluate_model(self.model, self.tokenizer, self.gold, self.schema, self.config, DecodingRules(), rounds=0)
        parts = {}
        if result.entities:
            parts["entity_f1"] = result.entities["micro"].f1.value
        if result.events:
            parts["event_f1"] = result.events["micro"].f1.value
        if result.triggers:
            parts["trigger_f1"] = result.triggers["micro"].f1.value
        if result.roles:
            parts["role_f1"] = result.roles["micro"].f1.value
        return parts | {"score": sum(parts.values()) / len(parts)}


class _JointTrainer(Trainer):
    """The Hugging Face loop with our loss, and our dev measure, which reads whole sentences, not rows."""

    def __init__(self, *, joint: JointModel, positive_weight: Tensor | None, measure: _DevMeasure, **kwargs: Any) -> None:
        super().__init__(model=joint, **kwargs)
        self.joint, self.positive_weight, self.measure = joint, positive_weight, measure
        self.config = measure.config

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,  # noqa: ARG002
    ) -> Tensor | tuple[Tensor, Any]:
        scores = model(inputs["input_ids"], inputs["attention_mask"])
        weight = None if self.positive_weight is None else self.positive_weight.to(inputs["input_ids"].device)
        types, triggers = (inputs["types"], inputs["triggers"]) if inputs["types"].shape[1] else (None, None)
        loss = joint_loss(
            scores,
            tags=inputs["tags"],
            types=types,
            triggers=triggers,
            weights=self.config.loss,
            positive_weight=weight,
            borders=inputs["borders"],
            pairs=inputs["pairs"],
            roles=inputs["roles"],
        )
        return (loss, scores) if return_outputs else loss

    def evaluate(self, *_: Any, metric_key_prefix: str = "eval", **__: Any) -> dict[str, float]:
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in self.measure().items()}
        self.log(metrics)
        logger.info(
            "epoch %.0f: %s", self.state.epoch or 0, ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        )
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:  # noqa: ARG002
        folder = Path(output_dir or str(self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        save_joint(self.joint, folder)

    def _load_best_model(self) -> None:
        schema = self.measure.schema
        best = load_joint(Path(str(self.state.best_model_checkpoint)), n_tags=len(schema.tags), n_types=len(schema.event_types))
        self.joint.load_state_dict(best.state_dict())

    def create_optimizer(self, *_: Any, **__: Any) -> torch.optim.Optimizer:
        """Heads start from nothing and learn faster than the encoder."""
        if self.optimizer is None:
            encoder = list(self.joint.encoder.parameters())
            known = {id(p) for p in encoder}
            heads = [p for p in self.joint.parameters() if id(p) not in known]
            rate, decay = self.config.learning_rate, self.config.weight_decay
            groups = [
                {"params": [p for p in encoder if p.ndim > 1], "lr": rate, "weight_decay": decay},
                {"params": [p for p in encoder if p.ndim <= 1], "lr": rate, "weight_decay": 0.0},
                {"params": heads, "lr": self.config.head_learning_rate, "weight_decay": decay},
            ]
            self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98))
        return self.optimizer


def evaluate_model(  # noqa: PLR0917
    model: JointModel,
    tokenizer: PreTrainedTokenizerBase,
    gold: Sequence[Annotation],
    schema: LabelSchema,
    config: TrainConfig,
    rules: DecodingRules,
    *,
    rounds: int = 1000,
) -> Evaluation:
    """Predict every gold sentence and compare."""
    scores = score_sentences(model, tokenizer, [a.text for a in gold], window=config.window, overlap=config.overlap)
    predicted = {a.id: decode_sentence(a, s, schema, rules) for a, s in zip(gold, scores, strict=True)}
    return evaluate_by_schema(gold, predicted, schema, rounds=rounds)


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
    trainer = _JointTrainer(
        joint=model,
        args=_arguments(config, len(rows)),
        train_dataset=to_dataset(rows),
        eval_dataset=to_dataset(rows[:1]),  # the Trainer insists on one; `measure` reads the dev sentences themselves
        data_collator=Collator(tokenizer.pad_token_id, len(schema.event_types)),
        callbacks=[EarlyStoppingCallback(config.patience)],
        positive_weight=_positive_weight(rows, config.loss.positive_cap),
        measure=_DevMeasure(model, tokenizer, dev, schema, config),
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


def _keep_heads(model: JointModel, schema: LabelSchema, config: TrainConfig) -> None:
    folder = Path(config.base)
    if not (folder / SCHEMA).is_file():
        raise ConfigError(f"keep_heads needs a base with heads, a run or a model; {config.base!r} has no {SCHEMA}")
    known = load_schema(folder / SCHEMA)
    if known.fingerprint != schema.fingerprint:
        raise ConfigError(f"keep_heads needs the same schema in base; {folder / SCHEMA} is another than {config.schema}")
    take_heads(model, folder)


def _arguments(config: TrainConfig, n_rows: int) -> TrainingArguments:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    steps = -(-n_rows // config.batch_rows) * config.epochs
    return TrainingArguments(
        output_dir=str(config.output / "work"),
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.batch_rows,
        learning_rate=config.learning_rate,
        warmup_steps=round(config.warmup_share * steps),
        weight_decay=config.weight_decay,
        lr_scheduler_type="linear",
        max_grad_norm=1.0,
        bf16=autocast_dtype(device) is not None,
        use_cpu=device.type == "cpu",
        eval_strategy="epoch",
        save_strategy="epoch",
        save_only_model=True,
        save_total_limit=1,
        load_best_model_at_end=True,
        metric_for_best_model="score",
        greater_is_better=True,
        logging_strategy="epoch",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        train_sampling_strategy="group_by_length",
        seed=config.seed,
    )


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
    text = json.dumps(record, default=str, ensure_ascii=False, indent=1) + "\n"
    (config.output / RUN_RECORD).write_text(text, encoding="utf-8")
