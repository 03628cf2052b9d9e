"""Records in and out; what an error tells."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labels.errors import RecordError
from labels.records import (
    annotation_record,
    failure_record,
    parse_annotation,
    parse_document,
    parse_object,
    parse_prediction,
    prediction_record,
    read_annotations,
    read_jsonl,
    write_jsonl,
)
from labels.types import Annotation, Document, Entity, Event, Failure, Prediction, Span

GOLD = {
    "id": "d1#0",
    "doc": "d1",
    "text": "قصف الجيش سرت",
    "entities": [
        {"id": "a1", "start": 4, "end": 9, "label": "ACTOR"},
        {"id": "l1", "start": 10, "end": 13, "label": "LOCATION"},
    ],
    "events": [{"type": "shelling", "trigger": [0, 3], "agents": ["a1"], "targets": [], "locations": ["l1"]}],
}


def test_a_gold_record_is_read_as_it_is_written():
    annotation = parse_annotation(GOLD, "here")
    assert annotation.entities[1].span.of(annotation.text) == "سرت"
    assert annotation.events[0].roles == {"agents": ("a1",), "targets": (), "locations": ("l1",)}
    assert annotation_record(annotation) == GOLD


texts = st.text(st.sampled_from("ابتسـ\u064b\u0651 \u200f\r\n😀aZ١.«»"), min_size=1, max_size=40)


@st.composite
def annotations(draw):
    text = draw(texts)
    spans = st.integers(0, len(text) - 1).flatmap(lambda s: st.integers(s + 1, len(text)).map(lambda e: Span(s, e)))
    entities = tuple(
        Entity(f"a{i}", draw(st.sampled_from(["ACTOR", "LOCATION"])), span)
        for i, span in enumerate(draw(st.lists(spans, max_size=3)))
    )
    ids = tuple(entity.id for entity in entities)
    events = tuple(
        Event(draw(st.sampled_from(["protest", "arrest"])), trigger, {"agents": ids, "targets": ()})
        for trigger in draw(st.lists(st.none() | spans, max_size=3))
    )
    return Annotation(draw(texts), text, entities, events, draw(st.none() | texts), draw(st.none() | texts))


@given(st.lists(annotations(), max_size=4))
@settings(deadline=None)
def test_annotations_come_back_from_a_file(tmp_path_factory, items):
    path = tmp_path_factory.mktemp("records") / "gold.jsonl"
    assert write_jsonl(path, (annotation_record(item) for item in items)) == len(items)
    assert read_annotations(path) == items


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": 7}, "field 'id': expected a string, found 7"),
        ({"text": None}, "field 'text': expected a string, found nothing"),
        ({"doc": []}, "field 'doc': expected a string or null"),
        ({"text": "\ud800قصف الجيش سرت"}, "field 'text': expected Unicode text, found half a surrogate pair at character 0"),
        ({"entities": {}}, "field 'entities': expected a list of objects"),
        ({"entities": [{"id": "a1", "label": "ACTOR"}]}, r"entities\[0\]: field 'start and end'"),
        (
            {"entities": [{"id": "a1", "label": "ACTOR", "start": 4, "end": 99}]},
            r"<= 13 \(the text's length\), found \[4, 99\)",
        ),
        ({"entities": [{"id": "a1", "label": "ACTOR", "start": True, "end": 3}]}, "expected whole numbers"),
        ({"entities": [{"id": "a1", "label": "ACTOR", "start": 4, "end": 4}]}, r"found \[4, 4\)"),
        ({"events": [{"type": "arrest", "trigger": [1]}]}, "field 'trigger': expected \\[start, end\\] or null"),
        ({"events": [{"type": "arrest", "agents": "a1"}]}, "field 'agents': expected a list of entity ids"),
        ({"events": [{"type": "arrest", "score": float("nan")}]}, r"field 'score': expected a number in \[0, 1\]"),
        ({"events": [{"type": "arrest", "sentence": -1}]}, "field 'sentence'"),
    ],
)
def test_an_error_names_place_and_field(change, message):
    with pytest.raises(RecordError, match=message) as caught:
        parse_annotation(GOLD | change, "gold.jsonl:3")
    assert caught.value.where.startswith("gold.jsonl:3")


def test_a_trigger_may_be_an_object_or_absent():
    events = [{"type": "arrest", "trigger": {"start": 0, "end": 3}}, {"type": "arrest", "trigger": None}, {"type": "arrest"}]
    assert [event.trigger for event in parse_annotation(GOLD | {"events": events}, "").events] == [Span(0, 3), None, None]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON: .* at column"),
        ("[]", "expected a JSON object, found list"),
        ("[" * 100_000, "not JSON that can be read"),
        ('{"id": ' + "1" * 5000 + "}", "not JSON that can be read"),
    ],
    ids=["cut off", "list", "too deep", "too many digits"],
)
def test_a_line_that_is_no_object_is_an_error(line, message):
    with pytest.raises(RecordError, match=message):
        parse_object(line, "x:1")


def test_an_error_in_a_file_names_the_line_and_earlier_lines_are_read(tmp_path):
    path = tmp_path / "mixed.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"id": 1}\r\n\n{}\n{"id": "\xff"}\n')
    lines = read_jsonl(path)
    assert next(lines) == (f"{path}:1", {"id": 1})
    assert next(lines) == (f"{path}:3", {})
    with pytest.raises(RecordError, match=r"mixed\.jsonl:4: not UTF-8"):
        next(lines)


def test_a_line_separator_within_a_text_ends_no_record(tmp_path):
    path = tmp_path / "one.jsonl"
    write_jsonl(path, [{"id": "a\u2028b\x85c"}])
    assert [record for _, record in read_jsonl(path)] == [{"id": "a\u2028b\x85c"}]


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(RecordError, match=r"none\.jsonl: cannot be read"):
        list(read_jsonl(tmp_path / "none.jsonl"))


def test_a_document_may_carry_what_the_user_likes():
    record = {"id": "d", "text": "نص", "published": "2020-01-31", "mine": [1]}
    assert parse_document(record, "") == Document("d", "نص", "2020-01-31")
    with pytest.raises(RecordError, match="field 'source'"):
        parse_document(record | {"source": 3}, "")


def prediction():
    text = "قصف الجيش سرت"
    return Prediction(
        id="d",
        model="m@1",
        text=text,
        sentences=(Span(0, 13),),
        entities=(Entity("a1", "ACTOR", Span(4, 9), 0.98765), Entity("l1", "LOCATION", Span(10, 13), 0.5)),
        events=(Event("shelling", Span(0, 3), {"agents": ("a1",), "targets": (), "locations": ("l1",)}, 0.75), Event("arrest")),
        event_types={"shelling": 0.75},
        warnings=("w",),
    )


def test_a_prediction_is_written_by_the_contract():
    record = prediction_record(prediction())
    assert record["entities"][0] == {
        "id": "a1",
        "label": "ACTOR",
        "start": 4,
        "end": 9,
        "text": "الجيش",
        "score": 0.9877,
        "sentence": 0,
    }
    assert record["events"][0]["trigger"] == {"start": 0, "end": 3, "text": "قصف"}
    assert record["events"][0]["locations"] == ["l1"]
    assert record["events"][1]["trigger"] is None
    assert list(record) == ["id", "model", "sentences", "entities", "events", "event_types", "warnings"]


def test_a_prediction_comes_back_from_its_record():
    record = json.loads(json.dumps(prediction_record(prediction())))
    again = parse_prediction(record, "p:1")
    assert isinstance(again, Prediction)
    assert prediction_record(prediction()) | {"entities": [], "events": []} == prediction_record(again) | {
        "entities": [],
        "events": [],
    }
    assert [entity.span for entity in again.entities] == [Span(4, 9), Span(10, 13)]
    assert again.events[0].roles == {"agents": ("a1",), "targets": (), "locations": ("l1",)}


def test_a_failure_stands_in_a_predictions_place():
    failure = Failure("d", "empty_text", "no text")
    assert failure_record(failure) == {"id": "d", "error": {"code": "empty_text", "message": "no text"}}
    assert parse_prediction(failure_record(failure), "p:1") == failure


@pytest.mark.parametrize("types", [[], {"shelling": None}, {"shelling": "high"}])
def test_event_types_without_scores_are_refused(types):
    with pytest.raises(RecordError, match="field 'event_types'"):
        parse_prediction({"id": "d", "event_types": types}, "p:1")
