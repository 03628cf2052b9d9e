"""Scores of a model that is being trained, and predictions from them by the decoding that serving uses."""

from collections.abc import Sequence

import torch
from transformers import PreTrainedTokenizerBase

from labels.decode import DecodingRules
from labels.folder import EVENT_SCORES, PIECE_OUTPUTS
from labels.reading import read_sentence
from labels.schema import LabelSchema
from labels.scores import RowScores, SentenceScores, merge_rows
from labels.types import Annotation, Entity, Event, Prediction, Span
from labels.windows import plan_windows
from training.data import IGNORED, Collator, encode_sentences
from training.model import JointModel


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
    found: dict[tuple[int, int], RowScores] = {}
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
                    "pairs": [],
                }
                for (t, _), s in zip(chunk, spans, strict=True)
            ]
        )
        scores = model(batch["input_ids"].to(device), batch["attention_mask"].to(device))
        kept = {EVENT_SCORES, *PIECE_OUTPUTS.values()}
        arrays = {name: scores[name].float().cpu().numpy() for name in kept if name in scores}
        for i, (row, span) in enumerate(zip(chunk, spans, strict=True)):
            shown = slice(1, 1 + span.end - span.start)
            found[row] = RowScores(
                events=arrays[EVENT_SCORES][i] if EVENT_SCORES in arrays else None,
                **{part: arrays[name][i, shown] for part, name in PIECE_OUTPUTS.items() if name in arrays},
            )
    return [merge_rows(pieces[t].offsets, plan, [found[t, w] for w in range(len(plan))]) for t, plan in enumerate(plans)]


def decode_sentence(gold: Annotation, scores: SentenceScores, schema: LabelSchema, rules: DecodingRules) -> Prediction:
    """A prediction for one gold sentence, read as one sentence whatever is in it."""
    reading = read_sentence(scores, gold.text, schema, rules)
    counts: dict[str, int] = {}
    entities: list[Entity] = []
    for found in reading.entities:
        prefix = schema.entity(found.label).prefix
        counts[prefix] = counts.get(prefix, 0) + 1
        entities.append(Entity(f"{prefix}{counts[prefix]}", found.label, found.span, found.score))
    return Prediction(
        id=gold.id,
        model="",
        text=gold.text,
        sentences=(Span(0, len(gold.text)),) if gold.text else (),
        entities=tuple(entities),
        events=tuple(
            Event(
                event.type,
                event.trigger,
                {name: tuple(entities[i].id for i in filled) for name, filled in event.roles.items()},
                event.score,
            )
            for event in reading.events
        ),
        event_types=reading.types,
    )
