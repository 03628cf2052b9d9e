"""The Hugging Face training loop with our loss, our optimiser groups, and our measure on dev."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase, Trainer, TrainingArguments

from labels.decode import DecodingRules
from labels.schema import LabelSchema
from labels.types import Annotation
from training.data import check_ids
from training.metrics import Evaluation, evaluate_by_schema
from training.model import JointModel, joint_loss, load_joint, save_joint
from training.precision import autocast_dtype
from training.predict import decode_sentence, score_sentences
from training.train_config import TrainConfig

logger = logging.getLogger(__name__)


class DevMeasure:
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


class JointTrainer(Trainer):
    """The Hugging Face loop with our loss, and our dev measure, which reads whole sentences, not rows."""

    def __init__(self, *, joint: JointModel, positive_weight: Tensor | None, measure: DevMeasure, **kwargs: Any) -> None:
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

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        """Of epochs that are equal on dev the later one is kept: the same answers, and surer of them."""
        if metrics["eval_score"] == self.state.best_metric:
            self.state.best_metric = float(np.nextafter(metrics["eval_score"], -1.0))
        return super()._determine_best_metric(metrics, trial)

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
            # All weights of a group in one pass over the memory: a third of a step went into as many passes as Adam has terms.
            self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)
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
    """Predict every gold sentence and compare. RecordError where two have one id."""
    check_ids(gold)
    scores = score_sentences(model, tokenizer, [a.text for a in gold], window=config.window, overlap=config.overlap)
    predicted = {a.id: decode_sentence(a, s, schema, rules) for a, s in zip(gold, scores, strict=True)}
    return evaluate_by_schema(gold, predicted, schema, rounds=rounds)


def training_arguments(config: TrainConfig, n_rows: int) -> TrainingArguments:
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
