"""Scores of a model that is being trained, and predictions from them by the decoding that serving uses."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from labels.decode import DecodingRules, Scores, decode_entities, decode_event_types, event_probabilities
from labels.schema import LabelSchema
from labels.types import Annotation, Entity, Event, Prediction, Span
from labels.windows import merge_windows, plan_windows
from training.data import IGNORED, Collator, Pieces, encode_sentences
from training.model import JointModel


@dataclass(frozen=True)
class SentenceScores:
    """`tags` `(pieces, tags)`, `events` `(windows, types)` and `borders` `(pieces, letters)`, logits; each is None without
    its head."""

    pieces: Pieces
    tags: Scores | None
    events: Scores | None
    borders: Scores | None = None


_KEPT = ("tag_scores", "border_scores", "event_scores")


@dataclass(frozen=True)
class _RowScores:
    """Those of one window, special pieces and padding taken off."""

    tags: Scores | None
    borders: Scores | None
    events: Scores | None


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
    found: dict[tuple[int, int], _RowScores] = {}
    device = next(model.parameters()).device
    model.eval()
    for start in range(0, len(rows), batch_rows):
        chunk = rows[start : start + batch_rows]
        spans = [plans[t][w] for t, w in chunk]
        batch = collate(
            [
                {
                    "input_ids": [tokenizer.cls_token_id, *pieces[t].ids[s.start : s.end], tokenizer.sep_token_id],
                    "tags": IGNORED,
                    "borders": IGNORED,
                    "types": [],
                    "triggers": None,
                }
                for (t, _), s in zip(chunk, spans, strict=True)
            ]
        )
        scores = model(batch["input_ids"].to(device), batch["attention_mask"].to(device))
        arrays = {name: scores[name].float().cpu().numpy() for name in _KEPT if name in scores}
        for i, (row, span) in enumerate(zip(chunk, spans, strict=True)):
            shown = slice(1, 1 + span.end - span.start)
            found[row] = _RowScores(
                tags=arrays["tag_scores"][i, shown] if "tag_scores" in arrays else None,
                borders=arrays["border_scores"][i, shown] if "border_scores" in arrays else None,
                events=arrays["event_scores"][i] if "event_scores" in arrays else None,
            )
    return [_gather(pieces[t], plan, [found[t, w] for w in range(len(plan))], model) for t, plan in enumerate(plans)]


def _gather(pieces: Pieces, plan: Sequence[Span], rows: Sequence[_RowScores], model: JointModel) -> SentenceScores:
    def merged(head: nn.Linear | None, scores: Sequence[Scores | None]) -> Scores | None:
        if head is None:
            return None
        present = [each for each in scores if each is not None]
        return merge_windows(plan, present) if plan else np.zeros((0, head.out_features), np.float32)

    events = [row.events for row in rows if row.events is not None]
    return SentenceScores(
        pieces,
        tags=merged(model.tag_head, [row.tags for row in rows]),
        events=np.stack(events) if events else None,
        borders=merged(model.border_head, [row.borders for row in rows]),
    )


def decode_sentence(gold: Annotation, scores: SentenceScores, schema: LabelSchema, rules: DecodingRules) -> Prediction:
    """A prediction for one gold sentence, read as one sentence whatever is in it."""
    entities: list[Entity] = []
    if scores.tags is not None and schema.tags:
        counts: dict[str, int] = {}
        offsets, temperature = scores.pieces.offsets, rules.tag_temperature
        for found in decode_entities(scores.tags, schema.tags, offsets, gold.text, temperature, scores.borders):
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
