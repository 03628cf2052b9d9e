"""What an engineer glues together in an afternoon: sentences through two pipelines of transformers, one that tags names and
one that classifies, with the weights of the model folder. Needs torch and transformers, and a base that is a plain BERT."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertForTokenClassification, BertModel, BertPreTrainedModel, pipeline
from transformers.modeling_outputs import SequenceClassifierOutput

from benchmarks.arms import Readings
from labels.errors import ConfigError
from labels.folder import CHECKPOINT, ModelFolder
from labels.sentences import split_sentences
from labels.types import Document, Span
from training.bases import SPECIAL_PIECES
from training.data import load_tokenizer
from training.model import JointModel, load_joint

Precision = Literal["f32", "bf16"]
DEFAULT_BATCH, LARGE_BATCH = 1, 32  # what a pipeline takes if it is told nothing, and what its users try next

_MASKED = -1e4


@dataclass(frozen=True, slots=True)
class Found:
    """What the pipelines gave for one sentence of the document at index `document`, as they gave it."""

    document: int
    at: Span
    names: list[dict[str, Any]]
    types: list[dict[str, Any]]


class EventClassifier(BertPreTrainedModel):
    """BertForSequenceClassification cannot hold the event head: it sees one vector, made of the first piece. This is the
    encoder with the head as it was trained, in the form that the pipeline runs; beside the encoder both cost next to
    nothing. Logits are divided by the folder's temperature, as the pipeline's sigmoid knows of none."""

    config_class = BertConfig

    def __init__(self, config: BertConfig, temperature: float = 1.0) -> None:
        super().__init__(config)
        self.temperature = temperature
        self.bert = BertModel(config, add_pooling_layer=False)
        self.piece_head = nn.Linear(config.hidden_size, config.num_labels)
        self.sentence_head = nn.Linear(2 * config.hidden_size, config.num_labels)
        self.post_init()

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> SequenceClassifierOutput:
        hidden = self.bert(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).last_hidden_state
        shown = attention_mask.unsqueeze(-1).to(torch.float32)  # (rows, pieces, 1)
        away = (1.0 - shown) * _MASKED
        pieces = self.piece_head(hidden).float() + away
        mean = (hidden.float() * shown).sum(1) / shown.sum(1)
        top = (hidden.float() + away).amax(1)
        whole = self.sentence_head(torch.cat([mean, top], -1).to(hidden.dtype)).float()
        return SequenceClassifierOutput(logits=(torch.logsumexp(pieces, 1) + whole) / self.temperature)


class PipelineArm:
    """`batch_size` as pipelines take it: 1 is their default. Sentences are cut off at the model's window, where ours are read
    in several, and names are joined by the pipeline's own rule; triggers and roles are not read at all. All of this is in
    the pipelines' favour, as far as time goes."""

    def __init__(
        self,
        folder: ModelFolder,
        name: str,
        *,
        batch_size: int = DEFAULT_BATCH,
        precision: Precision = "f32",
        threads: int | None = None,
    ) -> None:
        """ConfigError if the folder's encoder is no plain BERT, or it has not both heads."""
        if threads is not None:
            torch.set_num_threads(threads)
        self.name, self.batch_size = name, batch_size
        self.thresholds = folder.rules.thresholds
        tokenizer = load_tokenizer(str(folder.path))
        tokenizer.model_max_length = folder.manifest.window + SPECIAL_PIECES
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        tagger, classifier = (model.to(dtype).eval() for model in plain_models(folder))
        self.tagger = pipeline(
            "token-classification", model=tagger, tokenizer=tokenizer, aggregation_strategy="simple", device="cpu"
        )
        self.classifier = pipeline("text-classification", model=classifier, tokenizer=tokenizer, device="cpu")

    def run(self, documents: Sequence[Document]) -> list[Found]:
        sentences = [(i, span) for i, document in enumerate(documents) for span in split_sentences(document.text)]
        if not sentences:
            return []
        texts = [span.of(documents[i].text) for i, span in sentences]
        names = self.tagger(texts, batch_size=self.batch_size)
        types = self.classifier(texts, batch_size=self.batch_size, top_k=None, function_to_apply="sigmoid", truncation=True)
        return [Found(i, at, *found) for (i, at), *found in zip(sentences, names, types, strict=True)]

    def readings(self, answer: list[Found]) -> "Readings":
        return {
            (found.document, found.at.start, found.at.end): (
                frozenset((n["entity_group"], n["start"] + found.at.start, n["end"] + found.at.start) for n in found.names),
                frozenset(t["label"] for t in found.types if t["score"] >= self.thresholds.get(t["label"], 0.5)),
            )
            for found in answer
        }


def plain_models(folder: ModelFolder) -> tuple[BertForTokenClassification, EventClassifier]:
    """Two models, each with a copy of the encoder: pipelines share none."""
    schema = folder.schema
    kind = json.loads((folder.path / CHECKPOINT / "config.json").read_text(encoding="utf-8"))["model_type"]
    if kind != "bert" or not schema.tags or not schema.event_types:
        raise ConfigError(f"{folder.path}: pipelines are compared for a plain BERT with entities and events, this is {kind!r}")
    joint = load_joint(folder.path, n_tags=len(schema.tags), n_types=len(schema.event_types))
    tagger = BertForTokenClassification(_config(joint, schema.tags))
    classifier = EventClassifier(_config(joint, schema.event_types), folder.rules.temperature)
    for model in (tagger, classifier):
        model.bert.load_state_dict(joint.encoder.state_dict())
    _take(tagger.classifier, joint.tag_head)
    _take(classifier.piece_head, joint.trigger_head or joint.piece_head)
    _take(classifier.sentence_head, joint.sentence_head)
    return tagger, classifier


def _config(joint: JointModel, labels: Sequence[str]) -> BertConfig:
    encoder: Any = joint.encoder
    settings = encoder.config.to_dict() | {"architectures": None}
    for name in ("id2label", "label2id", "num_labels"):
        settings.pop(name, None)
    numbered = dict(enumerate(labels))
    return BertConfig(**settings, id2label=numbered, label2id={label: i for i, label in numbered.items()})


def _take(target: nn.Linear, source: nn.Linear | None) -> None:
    if source is None:
        raise ConfigError("the folder's model lacks a head that the pipelines need")
    target.load_state_dict(source.state_dict())
