"""Gold sentences to rows a model can learn from: pieces, windows, tags, borders, event types, triggers.

Nothing is left out in silence: `AlignmentReport` counts every entity that pieces cannot carry and every sentence that
gives no row.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from labels.borders import trim_pieces
from labels.errors import ConfigError, RecordError
from labels.events import piece_range
from labels.iob import Misfit, Tagging, encode_tags
from labels.records import parse_annotation, read_jsonl
from labels.schema import LabelSchema
from labels.types import Annotation, Entity, Span
from labels.windows import owned_parts, plan_windows
from training.bases import check_tokenizer
from training.served import checkpoint_of

logger = logging.getLogger(__name__)

IGNORED = -100
BORDER_SHARE = 0.005
"""The share of names that must begin inside a piece, after proclitics, for this to be learnt at all: under a tokenizer
that parts proclitics a handful of names do, and what is learnt from a handful helps nobody."""

MENDED = "border inside a word, mended in decoding"


@dataclass(frozen=True)
class Pieces:
    """One sentence as the tokenizer cuts it, special pieces left out; offsets are code points into the sentence."""

    ids: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]


@dataclass
class AlignmentReport:
    """What could not be carried over into rows, by kind, with a few examples of each; `mended` entities begin inside a
    piece, after proclitics that decoding takes off."""

    sentences: int = 0
    entities: int = 0
    rows: int = 0
    windowed: int = 0
    mended: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, example: str) -> None:
        self.faults[kind] += 1
        self._show(kind, example)

    def add_mended(self, example: str) -> None:
        self.mended += 1
        self._show(MENDED, example)

    def summary(self) -> str:
        faults = "; ".join(f"{kind}: {n} ({self._such_as(kind)})" for kind, n in sorted(self.faults.items()))
        head = f"{self.sentences} sentences, {self.entities} entities, {self.rows} rows, {self.windowed} sentences in windows"
        mended = f"; {MENDED}: {self.mended} ({self._such_as(MENDED)})" if self.mended else ""
        return f"{head}{mended}; not carried exactly: {faults or 'none'}"

    def _show(self, kind: str, example: str) -> None:
        shown = self.examples.setdefault(kind, [])
        if len(shown) < 3:
            shown.append(example)

    def _such_as(self, kind: str) -> str:
        return f"such as {', '.join(self.examples[kind])}"


def load_tokenizer(base: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a base; ConfigError says what it lacks."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(checkpoint_of(base), trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ConfigError(f"base {base!r} has no tokenizer that loads: {error}") from error
    check_tokenizer(tokenizer, base)
    return tokenizer


def load_gold(paths: Sequence[Path], schema: LabelSchema) -> list[Annotation]:
    """Gold sentences of several files; a label the schema does not have is an error with its place."""
    gold = []
    for path in paths:
        for where, record in read_jsonl(path):
            annotation = parse_annotation(record, where)
            schema.check((e.label for e in annotation.entities), annotation.event_types, where)
            gold.append(annotation)
    if not gold:
        raise RecordError(", ".join(map(str, paths)) or "train", "no sentences found")
    return gold


def check_ids(gold: Sequence[Annotation]) -> None:
    """RecordError where two sentences that are to be measured have one id: they would be judged by one answer."""
    counts = Counter(annotation.id for annotation in gold)
    if doubled := [name for name, count in counts.items() if count > 1]:
        raise RecordError(doubled[0], f"{len(doubled)} ids stand twice among the dev sentences; give each sentence its own")


def encode_sentences(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[Pieces]:
    """Cut each text into pieces without special ones and without truncation; offsets are trimmed, as in serving."""
    if not texts:
        return []
    encodings = tokenizer(list(texts), add_special_tokens=False, truncation=False, return_offsets_mapping=True, verbose=False)
    return [
        Pieces(tuple(ids), tuple(trim_pieces(offsets, text)))
        for text, ids, offsets in zip(texts, encodings["input_ids"], encodings["offset_mapping"], strict=True)
    ]


def build_rows(
    gold: Sequence[Annotation], tokenizer: PreTrainedTokenizerBase, schema: LabelSchema, *, window: int, overlap: int
) -> tuple[list[dict[str, Any]], AlignmentReport]:
    """One row a window: `input_ids`; `tags` (IGNORED on special pieces and on what a neighbouring window answers for);
    `borders`, the letters before a name in its first piece (IGNORED elsewhere, and everywhere where there is too little
    to learn from); `types`; `triggers`: `[piece, type]` pairs, or None where the gold names no trigger; and `pairs`: first
    and last piece of a trigger and of an entity, then 1, 0 or IGNORED for each role. Pieces count from [CLS], which is 0."""
    report = AlignmentReport(sentences=len(gold), entities=sum(len(a.entities) for a in gold))
    tag_ids = {tag: i for i, tag in enumerate(schema.tags)}
    cut = encode_sentences([a.text for a in gold], tokenizer)
    taggings = [
        encode_tags([e for e in a.entities if e.label in schema.entity_labels], pieces.offsets, a.text)
        for a, pieces in zip(gold, cut, strict=True)
    ]
    mending = sum(len(tagging.proclitic) for tagging in taggings) > BORDER_SHARE * report.entities
    rows: list[dict[str, Any]] = []
    for annotation, pieces, tagging in zip(gold, cut, taggings, strict=True):
        windows = plan_windows(len(pieces.ids), window, overlap)
        if not windows:
            report.add("sentence without pieces", repr(annotation.id))
            continue
        report.windowed += len(windows) > 1
        _report_borders(report, annotation, tagging, mending=mending)
        for span, owned in zip(windows, owned_parts(windows), strict=True):
            asked = owned if tag_ids else Span(len(pieces.ids), len(pieces.ids) + 1)  # no entity labels: nothing is asked
            tags = [tag_ids[tagging.tags[i]] if asked.start <= i < asked.end else IGNORED for i in range(span.start, span.end)]
            borders = [
                tagging.borders.get(i, IGNORED) if mending and asked.start <= i < asked.end else IGNORED
                for i in range(span.start, span.end)
            ]
            types, triggers = _events_of(annotation, pieces, span, schema, alone=len(windows) == 1)
            rows.append(
                {
                    "input_ids": [tokenizer.cls_token_id, *pieces.ids[span.start : span.end], tokenizer.sep_token_id],
                    "tags": [IGNORED, *tags, IGNORED],
                    "borders": [IGNORED, *borders, IGNORED],
                    "types": types,
                    "triggers": triggers,
                    "pairs": _pairs_of(annotation, pieces, span, schema),
                }
            )
    report.rows = len(rows)
    return rows, report


def count_borders(rows: Sequence[dict[str, Any]]) -> int:
    """How many answers a border head needs for `rows`: one more than the most letters before a name; 0, no head, where
    every name begins with its piece."""
    most = max((max(row["borders"]) for row in rows), default=0)
    return most + 1 if most > 0 else 0


def _report_borders(report: AlignmentReport, annotation: Annotation, tagging: Tagging, *, mending: bool) -> None:
    def shown(entity: Entity) -> str:
        return f"{entity.span.of(annotation.text)!r} in {annotation.id}"

    for entity, misfit in tagging.misfits:
        report.add(misfit.value, shown(entity))
    for entity in tagging.proclitic:
        if mending:
            report.add_mended(shown(entity))
        else:
            report.add(Misfit.INSIDE_PIECE.value, shown(entity))


def _events_of(
    annotation: Annotation, pieces: Pieces, window: Span, schema: LabelSchema, *, alone: bool
) -> tuple[list[int], list[list[int]] | None]:
    """Types of the events that `window` shows, and their trigger pieces counted with [CLS]. An event of a windowed
    sentence belongs to the windows its trigger lies in; without a trigger, to all."""
    index = {name: i for i, name in enumerate(schema.event_types)}
    types, triggers = [0] * len(index), []
    for event in annotation.events:
        if event.type not in index:
            continue
        if event.trigger is None:
            types[index[event.type]] = 1
            continue
        inside = [
            i
            for i in range(window.start, window.end)
            if pieces.offsets[i][0] < event.trigger.end and event.trigger.start < pieces.offsets[i][1]
        ]
        if inside or alone:
            types[index[event.type]] = 1
        triggers += [[1 + i - window.start, index[event.type]] for i in inside]
    known = all(event.trigger is not None for event in annotation.events)
    return types, triggers if known else None


def _pairs_of(annotation: Annotation, pieces: Pieces, window: Span, schema: LabelSchema) -> list[list[int]]:
    """Every event of the sentence with every entity, where the window shows both whole."""

    def place(span: Span | None) -> tuple[int, int] | None:
        found = piece_range(span, pieces.offsets) if span else None
        inside = found is not None and window.start <= found[0] and found[1] < window.end
        return (found[0] - window.start + 1, found[1] - window.start + 1) if found is not None and inside else None

    if not schema.roles:
        return []
    entities = [(e, at) for e in annotation.entities if (at := place(e.span)) is not None]
    pairs = []
    for event in annotation.events:
        trigger = place(event.trigger)
        if trigger is None or event.type not in schema.event_types:
            continue
        for entity, at in entities:
            roles = [
                int(entity.id in event.roles.get(role.name, ())) if entity.label in role.labels else IGNORED
                for role in schema.roles
            ]
            if any(value != IGNORED for value in roles):
                pairs.append([*trigger, *at, *roles])
    return pairs


def to_dataset(rows: Sequence[dict[str, Any]]) -> Dataset:
    """The rows as a `datasets` table, held in memory."""
    return Dataset.from_list(list(rows))


@dataclass(frozen=True)
class Collator:
    """Rows to one padded batch of tensors, as `joint_loss` wants them."""

    pad_id: int
    n_types: int

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        length = max(len(row["input_ids"]) for row in rows)
        ids = np.full((len(rows), length), self.pad_id, dtype=np.int64)
        mask = np.zeros((len(rows), length), dtype=np.int64)
        tags, borders = (np.full((len(rows), length), IGNORED, dtype=np.int64) for _ in range(2))
        triggers = np.full((len(rows), length, self.n_types), float(IGNORED), dtype=np.float32)
        for i, row in enumerate(rows):
            size = len(row["input_ids"])
            ids[i, :size], mask[i, :size] = row["input_ids"], 1
            tags[i, :size], borders[i, :size] = row["tags"], row["borders"]
            if row["triggers"] is not None:
                triggers[i, 1 : size - 1] = 0.0
                for piece, kind in row["triggers"]:
                    triggers[i, piece, kind] = 1.0
        types = np.array([row["types"] for row in rows], dtype=np.float32).reshape(len(rows), self.n_types)
        linked = [[i, *pair] for i, row in enumerate(rows) for pair in row["pairs"]]
        pairs = np.array(linked, dtype=np.int64) if linked else np.zeros((0, 5), dtype=np.int64)
        asked = {"tags": tags, "borders": borders, "types": types, "triggers": triggers}
        asked |= {"pairs": pairs[:, :5], "roles": pairs[:, 5:].astype(np.float32)}
        arrays = {"input_ids": ids, "attention_mask": mask} | asked
        return {name: torch.from_numpy(array) for name, array in arrays.items()}
