"""Scores of a model that is being trained, and predictions from them by the decoding that serving uses."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedTokenizerBase

from labels.decode import DecodingRules, decode_entities, decode_event_types, event_probabilities
from labels.schema import LabelSchema
from labels.types import Annotation, Entity, Event, Prediction, Span
from labels.windows import merge_windows, plan_windows
from training.data import Collator, Pieces, encode_sentences
from training.model import JointModel


@dataclass(frozen=True)
class SentenceScores:
    """`tags` `(pieces, tags)` and `events` `(windows, types)`, logits; either is None without its head."""

    pieces: Pieces
    tags: npt.NDArray[np.float32] | None
    events: npt.NDArray[np.float32] | None


@torch.inference_mode()
def score_sentences(
    model: JointModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    *,
    window: int,
    overlap: int,
    batch_rows: int = 64,
) -> list[SentenceScores]:
    """One result a text, in order. Rows are batched by length; a text without pieces gets empty scores."""
    pieces = encode_sentences(texts, tokenizer)
    plans = [plan_windows(len(p.ids), window, overlap) for p in pieces]
    rows = [(t, w) for t, plan in enumerate(plans) for w in range(len(plan))]
    rows.sort(key=lambda row: plans[row[0]][row[1]].end - plans[row[0]][row[1]].start)
    collate = Collator(tokenizer.pad_token_id, 0)
    found: dict[tuple[int, int], tuple[npt.NDArray[np.float32] | None, npt.NDArray[np.float32] | None]] = {}
    device = next(model.parameters()).device
    model.eval()
    for start in range(0, len(rows), batch_rows):
        chunk = rows[start : start + batch_rows]
        spans = [plans[t][w] for t, w in chunk]
        batch = collate(
            [
                {
                    "input_ids": [tokenizer.cls_token_id, *pieces[t].ids[s.start : s.end], tokenizer.sep_token_id],
                    "tags": [0] * (s.end - s.start + 2),
                    "types": [],
                    "triggers": None,
                }
                for (t, _), s in zip(chunk, spans, strict=True)
            ]
        )
        scores = model(batch["input_ids"].to(device), batch["attention_mask"].to(device))
        tags = scores["tag_scores"].float().cpu().numpy() if "tag_scores" in scores else None
        events = scores["event_scores"].float().cpu().numpy() if "event_scores" in scores else None
        for i, (row, span) in enumerate(zip(chunk, spans, strict=True)):
            found[row] = (
                None if tags is None else tags[i, 1 : 1 + span.end - span.start],
                None if events is None else events[i],
            )
    return [_gather(t, pieces[t], plan, found, model) for t, plan in enumerate(plans)]


def _gather(
    text: int,
    pieces: Pieces,
    plan: Sequence[Span],
    found: dict[tuple[int, int], tuple[npt.NDArray[np.float32] | None, npt.NDArray[np.float32] | None]],
    model: JointModel,
) -> SentenceScores:
    rows = [found[text, w] for w in range(len(plan))]
    tags = [tag for tag, _ in rows if tag is not None]
    events = [event for _, event in rows if event is not None]
    return SentenceScores(
        pieces,
        None
        if model.tag_head is None
        else merge_windows(plan, tags)
        if plan
        else np.zeros((0, model.tag_head.out_features), np.float32),
        np.stack(events) if events else None,
    )


def decode_sentence(gold: Annotation, scores: SentenceScores, schema: LabelSchema, rules: DecodingRules) -> Prediction:
    """A prediction for one gold sentence, read as one sentence whatever is in it."""
    entities: list[Entity] = []
    if scores.tags is not None and schema.tags:
        counts: dict[str, int] = {}
        for found in decode_entities(scores.tags, schema.tags, scores.pieces.offsets, gold.text, rules.tag_temperature):
            prefix = schema.entity(found.label).prefix
            counts[prefix] = counts.get(prefix, 0) + 1
            entities.append(Entity(f"{prefix}{counts[prefix]}", found.label, found.span, found.score))
    types: dict[str, float] = {}
    if scores.events is not None:
        types = decode_event_types(event_probabilities(scores.events, rules.temperature), schema.event_types, rules)
    return Prediction(
        id=gold.id,
        model="",
        text=gold.text,
        sentences=(Span(0, len(gold.text)),) if gold.text else (),
        entities=tuple(entities),
        events=tuple(Event(name, roles=dict.fromkeys(schema.role_names, ()), score=score) for name, score in types.items()),
        event_types=types,
    )
