import dataclasses
from pathlib import Path

import pytest
import torch

from labels.errors import ConfigError, RecordError, SchemaError
from labels.iob import decode_tags
from labels.schema import load_schema, parse_schema
from labels.types import Annotation, Entity, Event, Span
from tests.layouts import GLUED, wordpiece
from tests.tiny import INLINE, gold, tiny_encoder, write_gold
from training.data import (
    IGNORED,
    MENDED,
    Collator,
    build_rows,
    check_ids,
    count_borders,
    encode_sentences,
    load_gold,
    load_tokenizer,
)

SCHEMA = load_schema()


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory):
    return load_tokenizer(str(tiny_encoder(tmp_path_factory.mktemp("enc"))))


def test_rows_carry_every_entity_exactly(tokenizer) -> None:
    annotations = gold()
    rows, report = build_rows(annotations, tokenizer, SCHEMA, window=62, overlap=8)
    assert len(rows) == len(annotations)
    assert not report.faults
    pieces = encode_sentences([a.text for a in annotations], tokenizer)
    for annotation, row, cut in zip(annotations, rows, pieces, strict=True):
        assert row["tags"][0] == row["tags"][-1] == IGNORED
        found = decode_tags([SCHEMA.tags[t] for t in row["tags"][1:-1]], cut.offsets)
        assert [(f.label, f.span) for f in found] == [(e.label, e.span) for e in annotation.entities]
        assert {SCHEMA.event_types[i] for i, there in enumerate(row["types"]) if there} == annotation.event_types


def test_windows_tile_the_tags_and_share_out_the_events(tokenizer) -> None:
    annotation = gold()[1]
    whole, _ = build_rows([annotation], tokenizer, SCHEMA, window=62, overlap=8)
    rows, report = build_rows([annotation], tokenizer, SCHEMA, window=8, overlap=4)
    assert report.windowed == 1
    assert len(rows) > 2
    asked = [tag for row in rows for tag in row["tags"] if tag != IGNORED]
    assert asked == [tag for tag in whole[0]["tags"] if tag != IGNORED]  # each piece is asked exactly once, in order
    clash = SCHEMA.event_types.index("armed_clash")
    with_trigger = [row for row in rows if row["triggers"]]
    assert with_trigger
    assert all(row["types"][clash] == (1 if row["triggers"] else 0) for row in rows)


def test_what_pieces_cannot_carry_is_counted(tokenizer) -> None:
    text = "زار داعشي المدينة"
    inside = Annotation("x", text, (Entity("a1", "ACTOR", Span(5, 7)),))  # within a word that pieces may not cut there
    empty = Annotation("y", "\u200f", ())
    rows, report = build_rows([inside, empty], tokenizer, SCHEMA, window=62, overlap=8)
    assert len(rows) == 1
    assert report.faults["sentence without pieces"] == 1
    assert "'y'" in report.summary()
    assert report.entities == 1


def test_borders_are_asked_at_the_first_piece_of_each_name_once() -> None:
    tokenizer = wordpiece(lower=False)
    annotations = gold(inline=INLINE + GLUED)
    for window, overlap in ((62, 8), (8, 4)):
        rows, report = build_rows(annotations, tokenizer, SCHEMA, window=window, overlap=overlap)
        asked = [(tag, border) for row in rows for tag, border in zip(row["tags"], row["borders"], strict=True)]
        beginnings = [border for tag, border in asked if tag != IGNORED and SCHEMA.tags[tag].startswith("B-")]
        assert [border for _, border in asked if border != IGNORED] == beginnings
        assert IGNORED not in beginnings
        assert len(beginnings) == report.entities
        assert report.mended == sum(border > 0 for border in beginnings) == 10
        assert count_borders(rows) == 3  # none, one, or two letters
        assert f"{MENDED}: 10 (such as 'داعش' in t0" in report.summary()
        assert not report.faults


def test_borders_too_few_to_learn_from_are_counted_and_not_asked() -> None:
    tokenizer = wordpiece(lower=False)
    once, never = gold(inline=GLUED[1:2]), gold(inline=("انتقل [l1 سرت] إلى [l2 حلب].",) * 200)
    rows, report = build_rows(never + once, tokenizer, SCHEMA, window=62, overlap=8)
    assert (report.entities, report.mended) == (402, 0)
    assert report.faults == {"border inside a piece": 1}
    assert count_borders(rows) == 0
    assert count_borders(build_rows(never[:50] + once, tokenizer, SCHEMA, window=62, overlap=8)[0]) == 2


def test_a_schema_without_entities_asks_no_borders() -> None:
    schema = parse_schema('[[event]]\nname = "violence"\n')
    annotation = dataclasses.replace(gold()[0], entities=(), events=())
    rows, _ = build_rows([annotation], wordpiece(lower=False), schema, window=62, overlap=8)
    assert count_borders(rows) == 0
    assert set(rows[0]["borders"]) == {IGNORED}


def test_an_event_without_trigger_leaves_triggers_unasked(tokenizer) -> None:
    annotation = dataclasses.replace(gold()[0], events=(Event("airstrike"),))
    rows, _ = build_rows([annotation], tokenizer, SCHEMA, window=62, overlap=8)
    assert rows[0]["triggers"] is None
    batch = Collator(tokenizer.pad_token_id, len(SCHEMA.event_types))(rows)
    assert bool((batch["triggers"] == IGNORED).all())
    assert batch["types"].sum() == 1


def test_collator_pads_and_masks(tokenizer) -> None:
    rows, _ = build_rows(gold(), tokenizer, SCHEMA, window=62, overlap=8)
    batch = Collator(tokenizer.pad_token_id, len(SCHEMA.event_types))(rows)
    lengths = torch.tensor([len(row["input_ids"]) for row in rows])
    assert torch.equal(batch["attention_mask"].sum(1), lengths)
    assert bool((batch["tags"][batch["attention_mask"] == 0] == IGNORED).all())
    assert bool((batch["borders"][batch["attention_mask"] == 0] == IGNORED).all())
    assert bool((batch["triggers"][batch["attention_mask"] == 0] == IGNORED).all())


def test_unknown_labels_are_refused_with_their_place(tmp_path: Path) -> None:
    file = write_gold(tmp_path / "g.jsonl", gold())
    other = parse_schema('[[entity]]\nname = "PERS"\n')
    with pytest.raises(SchemaError, match=r"g\.jsonl:1: 'ACTOR'"):
        load_gold([file], other)


def test_dev_sentences_of_one_id_are_refused() -> None:
    check_ids(gold())
    with pytest.raises(RecordError, match="1 ids stand twice among the dev sentences"):
        check_ids([*gold(), gold()[0]])


def test_a_base_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no tokenizer"):
        load_tokenizer(str(tmp_path))
