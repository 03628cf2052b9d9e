"""Spans to IOB2 tags over pieces, and back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labels.errors import AlignmentError
from labels.iob import Misfit, decode_tags, encode_tags
from labels.types import Entity, Span

# "و" + "بنغازي" + " " + "تحترق", with the special pieces that tokenizers add
OFFSETS = [(0, 0), (0, 1), (1, 7), (8, 13), (0, 0)]


def entity(start, end, label="LOCATION", name="l1"):
    return Entity(name, label, Span(start, end))


def test_a_proclitic_outside_the_name_is_o():
    assert encode_tags([entity(1, 7)], OFFSETS).tags == ("O", "O", "B-LOCATION", "O", "O")


def test_neighbours_of_one_label_stay_two():
    tagging = encode_tags([entity(0, 1, "X", "x1"), entity(1, 7, "X", "x2")], OFFSETS)
    assert tagging.tags == ("O", "B-X", "B-X", "O", "O")
    assert [found.span for found in decode_tags(tagging.tags, OFFSETS)] == [Span(0, 1), Span(1, 7)]


@pytest.mark.parametrize(
    ("entities", "tags", "misfits"),
    [
        ([entity(2, 7)], ("O", "O", "B-LOCATION", "O", "O"), [Misfit.INSIDE_PIECE]),
        ([entity(7, 8)], ("O",) * 5, [Misfit.NO_PIECE]),
        (
            [entity(1, 4), entity(4, 7, name="l2")],
            ("O", "O", "B-LOCATION", "O", "O"),
            [Misfit.INSIDE_PIECE, Misfit.SHARED_PIECE],
        ),
    ],
    ids=["border inside a piece", "white space only", "two in one piece"],
)
def test_what_the_tags_cannot_carry_is_named(entities, tags, misfits):
    tagging = encode_tags(entities, OFFSETS)
    assert tagging.tags == tags
    assert [misfit for _, misfit in tagging.misfits] == misfits


def test_a_piece_without_text_inside_an_entity_is_not_tagged():
    assert encode_tags([entity(0, 7)], [(0, 3), (3, 3), (3, 7)]).tags == ("B-LOCATION", "O", "I-LOCATION")
    assert encode_tags([entity(2, 5)], [(0, 1), (3, 3), (6, 7)]).misfits[0][1] is Misfit.NO_PIECE


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        (["O", "I-A", "I-A", "O"], []),
        (["B-A", "I-B", "I-B", "O"], [("A", 0, 1)]),
        (["B-A", "I-A", "B-A", "I-A"], [("A", 0, 3), ("A", 4, 7)]),
        (["B-A", "O", "I-A", "O"], [("A", 0, 1)]),
        (["O", "O", "O", "B-A"], [("A", 6, 7)]),
    ],
    ids=["I without B", "I of another label", "B after I", "I after a gap", "at the end"],
)
def test_decoding_is_strict(tags, spans):
    offsets = [(0, 1), (2, 3), (4, 5), (6, 7)]
    assert [(found.label, found.span.start, found.span.end) for found in decode_tags(tags, offsets)] == spans


def test_a_special_piece_does_not_break_a_span():
    found = decode_tags(["B-A", "O", "I-A"], [(0, 2), (0, 0), (2, 5)])
    assert [(each.span, each.first, each.last) for each in found] == [(Span(0, 5), 0, 2)]


def test_tags_and_pieces_of_two_lengths_are_refused():
    with pytest.raises(AlignmentError, match="1 tags for 2 pieces"):
        decode_tags(["O"], [(0, 1), (1, 2)])


@st.composite
def tagged_texts(draw):
    """Pieces that tile a text with gaps, and entities made of whole runs of them."""
    offsets, at = [], 0
    for length, gap in draw(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), min_size=1, max_size=20)):
        offsets.append((at, at + length))
        at += length + gap
    textual = [offset for offset in offsets if offset[0] < offset[1]]
    entities, i = [], 0
    while i < len(textual):
        run = draw(st.integers(0, 3))
        if run and i + run <= len(textual):
            label = draw(st.sampled_from(["A", "B"]))
            entities.append(Entity(f"e{i}", label, Span(textual[i][0], textual[i + run - 1][1])))
        i += max(run, 1)
    return offsets, entities


@given(tagged_texts())
@settings(deadline=None)
def test_entities_on_piece_borders_come_back(case):
    offsets, entities = case
    tagging = encode_tags(entities, offsets)
    assert tagging.misfits == ()
    assert [(each.label, each.span) for each in decode_tags(tagging.tags, offsets)] == [(e.label, e.span) for e in entities]


@pytest.mark.parametrize(
    ("text", "piece", "start", "letters"),
    [
        ("وبنغازي", (0, 2), 1, 1),
        ("وبنغازي", (0, 7), 0, 0),
        ("للجيش", (0, 5), 1, 1),
        ("ولداعش", (0, 6), 2, 2),
        ("لِـداعش", (0, 7), 3, 1),
        ("وَلِداعش", (0, 8), 4, 2),
    ],
)
def test_proclitics_in_the_first_piece_are_counted(text, piece, start, letters):
    name = entity(start, len(text))
    tagging = encode_tags([name], [piece, (piece[1], len(text))], text)
    assert tagging.borders == {0: letters}
    assert tagging.proclitic == ((name,) if letters else ())
    assert tagging.misfits == ()


@pytest.mark.parametrize(
    ("text", "span"),
    [("الموصل", (2, 6)), ("سوريا", (1, 5)), ("لداعش.", (1, 5)), ("لِداعش", (1, 6))],
    ids=["an article is no proclitic", "nor is any letter", "the end is inside as well", "between letter and mark"],
)
def test_what_decoding_could_not_mend_stays_a_misfit(text, span):
    tagging = encode_tags([entity(*span)], [(0, len(text))], text)
    assert [misfit for _, misfit in tagging.misfits] == [Misfit.INSIDE_PIECE]
    assert tagging.proclitic == ()


def test_without_the_text_no_border_is_mended():
    assert encode_tags([entity(1, 5)], [(0, 5)]).misfits[0][1] is Misfit.INSIDE_PIECE
