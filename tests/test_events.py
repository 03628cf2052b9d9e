"""Scores to events: triggers, roles, and their agreement with the sentence's types."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from labels.decode import DecodingRules, ScoredSpan
from labels.events import decode_events, piece_range, role_logits, trigger_runs
from labels.schema import load_schema
from labels.scores import RowScores, SentenceScores, merge_rows
from labels.types import Span
from training.model import pair_logits

SCHEMA = load_schema()
TYPES = SCHEMA.event_types
TEXT = "شنت طائرات غارات جوية وقصفهم الجيش في الموصل."
WORDS = [(0, 3), (4, 10), (11, 16), (17, 21), (22, 23), (23, 25), (25, 28), (29, 34), (35, 37), (38, 44), (44, 45)]
"""Each word a piece, but `وقصفهم`, which is three: the conjunction, the stem, the rest."""


def logits(**hot: dict[int, float]) -> np.ndarray:
    scores = np.full((len(WORDS), len(TYPES)), -6.0, dtype=np.float32)
    for name, pieces in hot.items():
        for piece, value in pieces.items():
            scores[piece, TYPES.index(name)] = value
    return scores


def decode(types, triggers, entities=(), rules=None, **links):
    scores = SentenceScores(offsets=WORDS, triggers=triggers, **links)
    return decode_events(types, entities, scores, TEXT, SCHEMA, rules or DecodingRules())


def test_a_trigger_is_a_run_of_pieces():
    [event] = decode({"airstrike": 0.9}, logits(airstrike={2: 3.0, 3: 2.0}))
    assert event.trigger.of(TEXT) == "غارات جوية"
    assert (event.type, event.score) == ("airstrike", 0.9)
    assert event.roles == {"agents": (), "targets": (), "locations": ()}


def test_two_runs_are_two_events_and_the_less_sure_one_scores_less():
    first, second = decode({"airstrike": 0.9}, logits(airstrike={2: 3.0, 9: 1.0}))
    assert [first.trigger.of(TEXT), second.trigger.of(TEXT)] == ["غارات", "الموصل"]
    assert first.score == 0.9
    assert second.score == pytest.approx(0.9 * (1 / (1 + np.exp(-1.0))) / (1 / (1 + np.exp(-3.0))), rel=1e-5)


def test_a_trigger_takes_its_whole_word_and_leaves_the_conjunction():
    for hot in ({5: 3.0}, {6: 3.0}, {5: 3.0, 6: 3.0}):
        [event] = decode({"shelling": 0.9}, logits(shelling=hot))
        assert event.trigger.of(TEXT) == "قصفهم"


def test_a_type_without_a_hot_piece_points_at_its_best_one():
    [event] = decode({"protest": 0.6}, logits(protest={2: -3.0, 3: -3.1, 9: -5.0}))
    assert event.trigger.of(TEXT) == "غارات جوية"


def test_no_type_no_event_whatever_the_pieces_say():
    assert decode({}, logits(airstrike={2: 9.0})) == []


def test_without_trigger_scores_a_type_is_an_event_without_trigger():
    [event] = decode({"killing": 0.7}, None)
    assert event.trigger is None
    assert event.score == 0.7


def test_punctuation_is_no_trigger():
    assert trigger_runs(np.array([0.9], dtype=np.float32), [(0, 1)], ".", 0.5) == []
    [event] = decode({"killing": 0.7}, logits(killing={10: 9.0}))
    assert any(character.isalnum() for character in event.trigger.of(TEXT))


def linked(role: str, trigger: int, entity: int) -> dict[str, np.ndarray]:
    queries = np.zeros((len(WORDS), len(SCHEMA.roles) * 2), dtype=np.float32)
    keys = np.zeros_like(queries)
    at = 2 * SCHEMA.role_names.index(role)
    queries[trigger, at] = 2.0
    keys[:, at] = -3.0
    keys[entity, at] = 3.0
    queries[:, [i for i in range(queries.shape[1]) if i // 2 != at // 2]] = 1.0
    keys[:, [i for i in range(queries.shape[1]) if i // 2 != at // 2]] = -2.0
    return {"queries": queries, "keys": keys}


def test_roles_point_at_entities_by_their_place():
    entities = [ScoredSpan("ACTOR", Span(29, 34), 0.9), ScoredSpan("LOCATION", Span(38, 44), 0.9)]
    [event] = decode({"shelling": 0.9}, logits(shelling={5: 3.0}), entities, **linked("agents", 5, 7))
    # The query is that of `قصفهم`, whose second piece has none of its own: a mean of the two.
    assert event.roles == {"agents": (0,), "targets": (), "locations": ()}
    rules = DecodingRules(role_thresholds={"agents": 0.999})
    [event] = decode({"shelling": 0.9}, logits(shelling={5: 3.0}), entities, rules, **linked("agents", 5, 7))
    assert event.roles["agents"] == ()


def test_of_mentions_with_the_same_words_the_likeliest_fills_a_role():
    text = "حلب ثم حلب ثم إدلب"
    offsets = [(0, 3), (4, 6), (7, 10), (11, 13), (14, 18)]
    spans = [ScoredSpan("LOCATION", Span(*offsets[i]), 0.9) for i in (0, 2, 4)]
    width, at = 2 * len(SCHEMA.roles), 2 * SCHEMA.role_names.index("locations")
    queries, keys = (np.zeros((len(offsets), width), dtype=np.float32) for _ in range(2))
    queries[:, at] = 1.0
    keys[:, at] = [1.0, -9.0, 2.0, -9.0, 3.0]
    scores = SentenceScores(
        triggers=np.full((5, len(SCHEMA.event_types)), 3.0, dtype=np.float32), queries=queries, keys=keys, offsets=offsets
    )
    [event] = decode_events({"shelling": 0.9}, spans, scores, text, SCHEMA, DecodingRules())
    assert event.roles["locations"] == (1, 2)


def test_a_label_that_cannot_fill_a_role_does_not():
    entities = [ScoredSpan("ACTOR", Span(38, 44), 0.9)]
    [event] = decode({"shelling": 0.9}, logits(shelling={5: 3.0}), entities, **linked("locations", 5, 9))
    assert event.roles["locations"] == ()


@pytest.mark.parametrize(("span", "pieces"), [((0, 3), (0, 0)), ((11, 21), (2, 3)), ((23, 28), (5, 6)), ((3, 4), None)])
def test_piece_range(span, pieces):
    assert piece_range(Span(*span), WORDS) == pieces


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=12), st.integers(0, 30), st.integers(1, 5))
def test_piece_range_is_what_the_span_touches(steps, start, length):
    """Of pieces that ascend, neighbours without a gap among them, and empty ones anywhere, as tokenizers put them at 0."""
    at, offsets = 0, []
    for size, gap in steps:
        offsets.append((at, at + size) if size or gap else (0, 0))
        at += size + gap
    touched = [i for i, (first, end) in enumerate(offsets) if first < start + length and start < end and first < end]
    expected = (touched[0], touched[-1]) if touched else None
    assert piece_range(Span(start, start + length), offsets) == expected


def test_a_name_far_behind_its_trigger_is_not_asked():
    """What a text without a stop costs would else grow with the square of its length."""
    words = 1200
    text = "قصف داعش " + "ثم " * (words - 4) + "صنعاء داعش"
    offsets, at = [], 0
    for word in text.split():
        offsets.append((at, at + len(word)))
        at += len(word) + 1
    spans = [ScoredSpan("ACTOR", Span(*offsets[1]), 0.9), ScoredSpan("LOCATION", Span(*offsets[-2]), 0.9)]
    width = 2 * len(SCHEMA.roles)
    triggers = np.full((len(offsets), len(TYPES)), -9.0, dtype=np.float32)
    links = {name: np.full((len(offsets), width), 2.0, dtype=np.float32) for name in ("queries", "keys")}
    for place, filled in ((0, {0}), (len(offsets) - 300, {1})):
        hot = triggers.copy()
        hot[place] = 3.0
        scores = SentenceScores(triggers=hot, offsets=offsets, **links)
        [event] = decode_events({"shelling": 0.9}, spans, scores, text, SCHEMA, DecodingRules())
        assert {i for indexes in event.roles.values() for i in indexes} == filled


@settings(deadline=None)
@given(st.data())
def test_training_and_decoding_link_alike(data):
    pieces, roles, width = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 3), st.integers(1, 4)))
    numbers = hnp.arrays(np.float32, (pieces, roles * width), elements=st.floats(-3, 3, width=32))
    queries, keys = data.draw(numbers), data.draw(numbers)
    ranges = [sorted(data.draw(st.tuples(*[st.integers(0, pieces - 1)] * 2))) for _ in range(2)]
    pair = torch.tensor([[0, *ranges[0], *ranges[1]]])
    together = pair_logits(torch.from_numpy(queries)[None], torch.from_numpy(keys)[None], pair, roles)
    alone = role_logits(queries, keys, tuple(ranges[0]), tuple(ranges[1]), roles)
    np.testing.assert_allclose(together[0].numpy(), alone, rtol=1e-4, atol=1e-3)


@settings(deadline=None)
@given(hnp.arrays(np.float32, (len(WORDS), len(TYPES)), elements=st.floats(-8, 8, width=32)), st.sets(st.sampled_from(TYPES)))
def test_types_and_events_always_agree(triggers, names):
    types = {name: 0.8 for name in TYPES if name in names}
    events = decode(types, triggers)
    assert list(dict.fromkeys(event.type for event in events)) == list(types)
    for event in events:
        assert 0 <= event.trigger.start < event.trigger.end <= len(TEXT)
        assert 0 < event.score <= 0.8
        surface = event.trigger.of(TEXT)
        assert surface == surface.strip()
    for name in types:
        assert max(event.score for event in events if event.type == name) == pytest.approx(0.8)


def test_rows_of_windows_become_one():
    rows = [RowScores(tags=np.full((4, 3), i, dtype=np.float32), events=np.full(2, i, dtype=np.float32)) for i in (1, 2)]
    merged = merge_rows([(0, 1)] * 6, [Span(0, 4), Span(2, 6)], rows)
    assert merged.tags[:, 0].tolist() == [1, 1, 1, 2, 2, 2]
    assert merged.events.shape == (2, 2)
    assert merged.triggers is None
    empty = merge_rows([], [], [])
    assert empty.tags is None
    assert empty.events is None
