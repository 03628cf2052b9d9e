"""The hand-written form, both ways."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labels.errors import RecordError
from labels.inline import (
    canonical,
    format_inline,
    parse_inline,
    read_inline_file,
    renumber,
    scan_inline_file,
    story_of,
    write_inline_file,
)
from labels.schema import load_schema, parse_schema
from labels.types import Annotation, Entity, Event, Span

SCHEMA = load_schema()
LINE = "شنّ [a1 سلاح الجو] {airstrike agents=a1 targets=a2 locations=l1|غارات} على مواقع ل[a2 لواء الفجر] في [l1 تل أسود]."


def parse(line, schema=SCHEMA):
    return parse_inline(line, schema, id="s", doc="d")


def test_a_sentence_is_read():
    annotation = parse(LINE)
    assert annotation.text == "شنّ سلاح الجو غارات على مواقع للواء الفجر في تل أسود."
    assert [(e.id, e.label, e.span.of(annotation.text)) for e in annotation.entities] == [
        ("a1", "ACTOR", "سلاح الجو"),
        ("a2", "ACTOR", "لواء الفجر"),
        ("l1", "LOCATION", "تل أسود"),
    ]
    event = annotation.events[0]
    assert (event.type, event.trigger.of(annotation.text)) == ("airstrike", "غارات")
    assert event.roles == {"agents": ("a1",), "targets": ("a2",), "locations": ("l1",)}
    assert (annotation.id, annotation.doc) == ("s", "d")
    assert format_inline(annotation, SCHEMA) == LINE


@pytest.mark.parametrize(
    "line",
    [
        "بلا علامات.",
        "{killing|{bombing locations=l1|تفجير}} في [l1 حلب]",
        "[a1 قوات {deployment agents=a1|انتشرت} هنا]",
        "{protest|[l1 ساحة] الحرية}",
        "خبر في [l1 حلب]{arrest locations=l1|}{protest|}",
        r"قال \[نعم\] ثم \{لا\} أو \| أو \\ وذهب",
        r"\# ليس عنوانا",
        r"سطر\nوسطر\r\nآخر",
        "  حافة ",
        "قَصْفٌ على [l1 العـــراقِ] 😀 [a1 NATO]\u200f",
        "[a1 واحد][a2 اثنان]{arrest|ثلاثة}",
        "[a12 واحد] [a7 اثنان]",
    ],
)
def test_what_is_written_by_the_rules_comes_back_letter_for_letter(line):
    assert format_inline(parse(line), SCHEMA) == line


def test_nested_marks_share_their_words():
    annotation = parse("{killing|{bombing|تفجير}} كبير")
    assert [(event.type, event.trigger) for event in annotation.events] == [("killing", Span(0, 5)), ("bombing", Span(0, 5))]


def test_an_event_without_trigger_is_an_empty_mark():
    annotation = parse("خبر في [l1 حلب]{arrest locations=l1|}")
    assert annotation.events[0].trigger is None
    assert annotation.events[0].roles["locations"] == ("l1",)
    assert annotation.text == "خبر في حلب"


@pytest.mark.parametrize(
    ("line", "column", "expected"),
    [
        ("نص [a1 جيش", 4, "expected ] before the end"),
        ("نص {arrest|اعتقل", 4, "expected } before the end"),
        ("نص ] آخر", 4, "expected no mark to close"),
        ("[a1 جيش}", 8, "expected ] for the mark of column 1"),
        ("[a1جيش]", 1, "expected an id and a space"),
        ("[ جيش]", 1, "expected an id and a space"),
        ("[b1 جيش]", 1, "found 'b1'"),
        ("[a جيش]", 1, "found 'a'"),
        ("[a1 ]", 1, "expected the words of an entity"),
        ("[a1 جيش] و[a1 قوات]", 11, "'a1' a second time"),
        ("{arrest}", 1, "expected {type"),
        ("{arest|اعتقل}", 1, "expected an event type"),
        ("{|اعتقل}", 1, "found ''"),
        ("{arrest agents|اعتقل}", 1, "expected role=id,id"),
        ("{arrest agents=|اعتقل}", 1, "expected role=id,id"),
        ("[a1 جيش] {arrest agents=a1,|اعتقل}", 10, "expected role=id,id"),
        ("{arrest agents=a9|اعتقل}", 1, "found 'a9'"),
        ("[a1 جيش] {arrest victims=a1|اعتقل}", 10, "expected a role"),
        ("[l1 حلب] {arrest agents=l1|اعتقل}", 10, "agents takes ACTOR, l1 is LOCATION"),
        ("نص | آخر", 4, r"written \\\|"),
        ("نص \\x آخر", 4, "after"),
        ("نص \\", 4, "the end"),
    ],
)
def test_an_error_names_the_column_and_what_was_expected(line, column, expected):
    with pytest.raises(RecordError, match=expected) as caught:
        parse(line)
    assert caught.value.where == f"column {column}"


MARKS = "[]{}|\\#"
texts = st.text(st.sampled_from("ابتسـ\u064b\u0651 \u200f\r\n\u2028😀aZ1=," + MARKS), max_size=25)


@st.composite
def nested_spans(draw, size):
    """Spans of a text that never cross."""
    found = []
    for start, end in draw(st.lists(st.tuples(st.integers(0, size), st.integers(0, size)), max_size=6)):
        if start < end and not any(s < start < e < end or start < s < end < e for s, e in found):
            found.append((start, end))
    return [Span(*each) for each in found]


@st.composite
def annotations(draw):
    text = draw(texts)
    entities, triggers = [], []
    for i, span in enumerate(draw(nested_spans(len(text)))):
        kind = draw(st.sampled_from(["ACTOR", "LOCATION", None]))
        if kind:
            entities.append(Entity(f"{kind[0].lower()}{i}", kind, span))
        else:
            triggers.append(span)
    ids = {label: tuple(e.id for e in entities if e.label == label) for label in ("ACTOR", "LOCATION")}
    roles = {"agents": ids["ACTOR"], "targets": (), "locations": ids["LOCATION"]}
    types = st.sampled_from(SCHEMA.event_types)
    events = [Event(draw(types), trigger, roles) for trigger in [*triggers, *draw(st.lists(st.none(), max_size=2))]]
    return Annotation("s", text, tuple(entities), tuple(events), "d")


@given(annotations())
@settings(deadline=None, max_examples=300)
def test_every_annotation_whose_marks_do_not_cross_comes_back(annotation):
    line = format_inline(annotation, SCHEMA)
    assert "\n" not in line
    assert parse(line) == canonical(annotation, SCHEMA)


@given(st.text(st.sampled_from("[]{}|\\ a1l=,nr#arrestا"), max_size=30))
@settings(deadline=None, max_examples=300)
def test_any_line_is_read_or_refused_with_a_column(line):
    try:
        annotation = parse(line)
    except RecordError as error:
        assert error.where.startswith("column ")  # noqa: PT017
    else:
        assert parse(format_inline(annotation, SCHEMA)) == annotation


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (Annotation("s", "ابتث", (Entity("a1", "ACTOR", Span(0, 2)), Entity("a2", "ACTOR", Span(1, 3)))), "cross"),
        (Annotation("s", "ابتث", (Entity("a1", "ACTOR", Span(0, 2)),), (Event("arrest", Span(1, 4)),)), "cross"),
        (Annotation("s", "ابتث", (Entity("e1", "ACTOR", Span(0, 2)),)), "'e1' does not tell the label 'ACTOR'"),
        (Annotation("s", "ابتث", (Entity("l1", "ACTOR", Span(0, 2)),)), "'l1' does not tell"),
        (Annotation("s", "اب", (Entity("a1", "ACTOR", Span(0, 1)), Entity("a1", "ACTOR", Span(1, 2)))), "twice"),
        (Annotation("s", "ابتث", events=(Event("flood", Span(0, 2)),)), "found 'flood'"),
        (Annotation("s", "ابتث", events=(Event("arrest", Span(0, 2), {"agents": ("a9",)}),)), "found 'a9'"),
        (Annotation("s", "ابتث", events=(Event("arrest", Span(0, 9)),)), "within the 4 characters"),
    ],
    ids=["crossing entities", "crossing trigger", "foreign id", "wrong prefix", "id twice", "type", "reference", "range"],
)
def test_what_the_form_cannot_hold_is_refused(annotation, expected):
    with pytest.raises(RecordError, match=expected):
        format_inline(annotation, SCHEMA)


def test_a_users_schema_gives_the_prefixes():
    schema = parse_schema('[[entity]]\nname="PER"\n[[entity]]\nname="PLACE"\n')
    line = "وصل [per1 سالم] إلى [place1 الساحل]"
    annotation = parse(line, schema)
    assert [entity.label for entity in annotation.entities] == ["PER", "PLACE"]
    assert format_inline(annotation, schema) == line


def test_renumbering_follows_reading_order_and_the_roles():
    annotation = Annotation(
        "s",
        "سرت الجيش قصف",
        (Entity("e2", "ACTOR", Span(4, 9)), Entity("e1", "LOCATION", Span(0, 3))),
        (Event("shelling", Span(10, 13), {"agents": ("e2",), "locations": ("e1",)}),),
    )
    assert format_inline(renumber(annotation, SCHEMA), SCHEMA) == "[l1 سرت] [a1 الجيش] {shelling agents=a1 locations=l1|قصف}"


FILE = """\ufeff# story first-1 | two sentences\r
هدوء في [l1 درنة]\r
\r
وصل [a1 الوفد]\r
# story second
جملة
"""


def test_a_file_is_stories_of_sentences(tmp_path):
    path = tmp_path / "part.txt"
    path.write_text(FILE, encoding="utf-8", newline="")
    found = read_inline_file(path, SCHEMA)
    assert [(each.id, each.doc, each.text) for each in found] == [
        ("first-1#0", "first-1", "هدوء في درنة"),
        ("first-1#1", "first-1", "وصل الوفد"),
        ("second#0", "second", "جملة"),
    ]
    again = tmp_path / "again.txt"
    assert write_inline_file(again, found, SCHEMA) == 3
    assert read_inline_file(again, SCHEMA) == found


def test_sentences_before_a_header_are_of_a_document_called_as_the_file(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("جملة\n", encoding="utf-8")
    assert read_inline_file(path, SCHEMA)[0].id == "notes#0"


def test_faults_are_told_with_their_lines_and_reading_goes_on(tmp_path):
    path = tmp_path / "bad.txt"
    path.write_text("# story a\nجيد\nسيئ [a1\n# stroy b\n# story a\nجيد\n", encoding="utf-8")
    items = list(scan_inline_file(path, SCHEMA))
    told = [str(item) for _, item in items if isinstance(item, RecordError)]
    assert [item.text for _, item in items if isinstance(item, Annotation)] == ["جيد", "جيد"]
    assert told[0].startswith(f"{path}:3, column 5: expected an id and a space")
    assert told[1].startswith(f"{path}:4: expected `# story ID | topic`")
    assert told[2].startswith(f"{path}:5: expected a new story, 'a' is the story of line 1")
    with pytest.raises(RecordError, match=r"bad\.txt:3"):
        read_inline_file(path, SCHEMA)


@pytest.mark.parametrize(
    ("annotation", "story"),
    [(Annotation("x#1", "نص", doc="d"), "d"), (Annotation("x#1", "نص"), "x"), (Annotation("x", "نص"), "x")],
)
def test_a_story_is_the_document_or_the_ids_head(annotation, story):
    assert story_of(annotation) == story


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [(Annotation("s", " \n", doc="d"), "white space only"), (Annotation("s", "نص", doc="a b"), "without white space")],
)
def test_what_a_file_cannot_hold_is_refused_before_anything_is_written(tmp_path, annotation, expected):
    path = tmp_path / "out.txt"
    with pytest.raises(RecordError, match=expected):
        write_inline_file(path, [Annotation("ok", "نص", doc="ok"), annotation], SCHEMA)
    assert not path.exists()
