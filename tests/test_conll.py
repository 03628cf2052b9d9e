"""Two-column files, read with tolerance and written with exact borders."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labels.conll import read_conll, tag_words, write_conll
from labels.errors import RecordError
from labels.iob import Misfit
from labels.types import Annotation, Entity, Span


def read(tmp_path, content, **options):
    path = tmp_path / "news.conll"
    path.write_bytes(content.encode())
    return read_conll(path, **options)


def surfaces(annotation):
    return [(entity.id, entity.label, entity.span.of(annotation.text)) for entity in annotation.entities]


def test_words_are_joined_by_one_space_and_spans_follow(tmp_path):
    file = read(tmp_path, "وصل O\nجيش B-ORG\nالبلد I-ORG\nحلب B-LOC\n\nهدوء O\n")
    assert [each.text for each in file.annotations] == ["وصل جيش البلد حلب", "هدوء"]
    assert [each.id for each in file.annotations] == ["news#0", "news#1"]
    assert surfaces(file.annotations[0]) == [("e1", "ORG", "جيش البلد"), ("e2", "LOC", "حلب")]
    assert [where.rpartition(":")[2] for where, _ in file.items] == ["1", "6"]


@pytest.mark.parametrize(
    "content",
    [
        "\ufeffوصل O\nسرت B-LOC\n",
        "وصل\tO\r\nسرت\tB-LOC\r\n\r\n",
        "\u200fوصل\u200e O\u200f\n\u202bسرت\u202c\tB-LOC \n",
        "\n\n \u200f\nوصل  \t O\nسرت x y B-LOC\n\n\n",
    ],
    ids=["byte order mark", "crlf and tabs", "bidi marks", "more columns and blank lines"],
)
def test_the_reader_is_tolerant_of_form(tmp_path, content):
    file = read(tmp_path, content)
    assert [each.text for each in file.annotations] == ["وصل سرت"]
    assert surfaces(file.annotations[0]) == [("e1", "LOC", "سرت")]
    assert (file.repaired, file.unseen) == (0, 0)


def test_a_word_of_marks_alone_is_left_out_and_counted(tmp_path):
    file = read(tmp_path, "وصل O\n\u200f O\n\u200f\tB-LOC\nسرت I-LOC\n")
    assert file.annotations[0].text == "وصل سرت"
    assert (file.unseen, file.repaired) == (2, 1)
    assert surfaces(file.annotations[0]) == [("e1", "LOC", "سرت")]


def test_an_i_that_continues_nothing_is_repaired_and_counted(tmp_path):
    content = "جيش I-ORG\nالبلد I-ORG\nحلب I-LOC\nثم O\nسرت I-LOC\n\nدرنة I-LOC\n"
    file = read(tmp_path, content)
    assert file.repaired == 4
    assert [surface for each in file.annotations for _, _, surface in surfaces(each)] == ["جيش البلد", "حلب", "سرت", "درنة"]
    with pytest.raises(RecordError, match=r"news\.conll:1: expected B-ORG after the start of a sentence, found I-ORG"):
        _ = read(tmp_path, content, strict=True).annotations


@pytest.mark.parametrize("line", ["سرت", "سرت LOC", "سرت B-", "سرت S-LOC", "B-LOC"])
def test_a_line_without_a_tag_is_an_error_that_hides_no_other_line(tmp_path, line):
    file = read(tmp_path, f"وصل O\n{line}\n\nدرنة B-LOC\n")
    with pytest.raises(RecordError, match=r"news\.conll:2: expected a word and a tag"):
        _ = file.annotations
    assert [item.text for _, item in file.items if isinstance(item, Annotation)] == ["وصل", "درنة"]


def test_docstart_parts_documents(tmp_path):
    file = read(tmp_path, "-DOCSTART- O\n\nوصل O\n\nذهب O\n\n-DOCSTART- -X- O O\n\nهدوء O\n")
    assert [each.doc for each in file.annotations] == ["news-1", "news-1", "news-2"]


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(RecordError, match="cannot be read"):
        read_conll(tmp_path / "none.conll")
    (tmp_path / "latin.conll").write_bytes("é O".encode("latin-1"))
    with pytest.raises(RecordError, match="not UTF-8"):
        read_conll(tmp_path / "latin.conll")


def test_a_proclitic_outside_the_span_is_a_word_of_its_own():
    text = "عاد لـبنغازي، وحلب."
    annotation = Annotation("s", text, (Entity("l1", "LOC", Span(6, 12)), Entity("l2", "LOC", Span(15, 18))))
    assert tag_words(annotation).words == (
        ("عاد", "O"),
        ("لـ", "O"),
        ("بنغازي", "B-LOC"),
        ("،", "O"),
        ("و", "O"),
        ("حلب", "B-LOC"),
        (".", "O"),
    )


def test_an_entity_under_another_is_lost_and_named(tmp_path):
    inner = Entity("l1", "LOC", Span(4, 8))
    annotation = Annotation("s", "جيش ليبيا", (Entity("a1", "ORG", Span(0, 9)), inner))
    assert write_conll(tmp_path / "out.conll", [annotation]) == ((inner, Misfit.SHARED_PIECE),)


@st.composite
def annotations(draw):
    words = draw(st.lists(st.text(st.sampled_from("ابت\u064bـaZ١😀.،"), min_size=1, max_size=6), min_size=1, max_size=8))
    text = draw(st.sampled_from([" ", "  ", "\r\n", "\u00a0"])).join(words)
    entities, at = [], 0
    while at < len(text):
        start = draw(st.integers(at, len(text) - 1))
        end = draw(st.integers(start + 1, len(text)))
        if text[start:end].strip() == text[start:end] and text[start:end]:
            entities.append(Entity(f"e{len(entities) + 1}", draw(st.sampled_from(["ACTOR", "سلطة"])), Span(start, end)))
        at = end
    return Annotation("out#0", text, tuple(entities))


@given(st.lists(annotations(), min_size=1, max_size=3))
@settings(deadline=None)
def test_what_is_written_is_read_with_the_same_entities(tmp_path_factory, items):
    path = tmp_path_factory.mktemp("conll") / "out.conll"
    assert write_conll(path, items) == ()
    again = read_conll(path, strict=True).annotations
    assert len(again) == len(items)
    for item, back in zip(items, again, strict=True):
        # White space is not kept: compare what is left without it.
        assert "".join(back.text.split()) == "".join(item.text.split())
        assert [(e.id, e.label, "".join(e.span.of(back.text).split())) for e in back.entities] == [
            (e.id, e.label, "".join(e.span.of(item.text).split())) for e in item.entities
        ]


def test_documents_are_parted_in_the_file(tmp_path):
    path = tmp_path / "out.conll"
    write_conll(path, [Annotation("x", "أ", doc="d1"), Annotation("y", "ب", doc="d1"), Annotation("z", "ج", doc="d2")])
    assert [each.doc for each in read_conll(path).annotations] == ["out-1", "out-1", "out-2"]
