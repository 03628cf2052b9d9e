"""Every fault that the checker promises to find, planted and found; and nothing found in what is sound."""

import json

import pytest

from labels.checker import check_corpus
from labels.findings import Severity
from labels.schema import load_schema

SCHEMA = load_schema()


def record(**changes):
    values = {
        "id": "d1#0",
        "doc": "d1",
        "text": "قصف الجيش مدينة سرت",
        "entities": [
            {"id": "a1", "start": 4, "end": 9, "label": "ACTOR"},
            {"id": "l1", "start": 16, "end": 19, "label": "LOCATION"},
        ],
        "events": [{"type": "shelling", "trigger": [0, 3], "agents": ["a1"], "targets": [], "locations": ["l1"]}],
    }
    return values | changes


def actor(**changes):
    return {"id": "a1", "start": 4, "end": 9, "label": "ACTOR"} | changes


def event(**changes):
    return {"type": "shelling", "trigger": [0, 3]} | changes


@pytest.fixture
def check(tmp_path):
    def run(**splits):
        files = {}
        for split, lines in splits.items():
            path = tmp_path / f"{split}.jsonl"
            rows = [line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines]
            path.write_text("\n".join(rows) + "\n", encoding="utf-8")
            files[split] = [path]
        return check_corpus(files, SCHEMA)

    return run


def test_a_sound_corpus_has_no_findings(check):
    other = record(id="d2#0", doc="d2", text="نص بلا حدث", entities=[], events=[])
    assert check(train=[record(), record(id="d1#1", text="قصف الجيش قرية سرت.")], dev=[other]) == []


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"id": None}, "id", "found nothing"),
        ({"id": " "}, "id", "found ' '"),
        ({"doc": 3}, "doc", "expected a string, found 3"),
        ({"text": None, "entities": [], "events": []}, "text", "found nothing"),
        ({"text": " ", "entities": [], "events": []}, "text", "found ' '"),
        ({"entities": None, "events": []}, "entities", "found nothing"),
        ({"entities": ["a1"], "events": []}, "entities[0]", "expected an object, found 'a1'"),
        ({"entities": [actor(end=99)], "events": []}, "entities[0]", "end <= 19 (the text's length), found [4, 99)"),
        ({"entities": [actor(start=9)], "events": []}, "entities[0]", "found [9, 9)"),
        ({"entities": [actor(start=-1)], "events": []}, "entities[0]", "found [-1, 9)"),
        ({"entities": [actor(start="4")], "events": []}, "entities[0]", "expected whole numbers"),
        ({"entities": [actor(text="الجيس")], "events": []}, "entities[0].text", "cover 'الجيش', found 'الجيس'"),
        ({"entities": [actor(surface="جيش")], "events": []}, "entities[0].surface", "found 'جيش'"),
        ({"entities": [actor(end=10)], "events": []}, "entities[0]", "white space at the edge of 'الجيش '"),
        ({"entities": [actor(start=3)], "events": []}, "entities[0]", "white space at the edge"),
        ({"entities": [actor(start=3, end=4)], "events": []}, "entities[0]", "covers white space only"),
        ({"entities": [actor(label="PERSON")], "events": []}, "entities[0].label", "unknown label 'PERSON'; known: ACTOR"),
        ({"entities": [actor(label=["ACTOR"])], "events": []}, "entities[0].label", "unknown label"),
        ({"entities": [actor(id=1)], "events": []}, "entities[0].id", "expected a string, found 1"),
        ({"entities": [actor(), actor(start=16, end=19)], "events": []}, "entities[1].id", "'a1' is there a second time"),
        ({"entities": [actor(), actor(id="a2", start=7, end=15)], "events": []}, "entities[1]", "overlaps 'الجيش'"),
        (
            {"entities": [actor(start=0, end=19), actor(id="a2"), actor(id="a3", start=16, end=19)], "events": []},
            "entities[2]",
            "overlaps",
        ),
        ({"events": {}}, "events", "expected a list of objects"),
        ({"events": [event(type="flood")]}, "events[0].type", "unknown event type 'flood'"),
        ({"events": [event(trigger=[0, 99])]}, "events[0].trigger", "found [0, 99)"),
        ({"events": [event(trigger=[0])]}, "events[0].trigger", "expected [start, end] or null"),
        ({"events": [event(trigger=[0, 4])]}, "events[0].trigger", "white space at the edge"),
        ({"events": [event(trigger={"start": 0, "end": 3, "text": "قصفت"})]}, "events[0].trigger.text", "found 'قصفت'"),
        ({"events": [event(victims=["a1"])]}, "events[0].victims", "unknown role; known: agents"),
        ({"events": [event(agents="a1")]}, "events[0].agents", "expected a list of entity ids"),
        ({"events": [event(agents=["a9"])]}, "events[0].agents", "'a9' names no entity"),
        ({"events": [event(agents=["l1"])]}, "events[0].agents", "'l1' is LOCATION, the role takes ACTOR"),
    ],
)
def test_a_fault_of_a_record_is_an_error_with_its_field(check, changes, field, message):
    findings = check(train=[record(**changes)])
    assert len(findings) >= 1
    found = [each for each in findings if each.field == field]
    assert found, findings
    assert message in found[0].message
    assert found[0].severity is Severity.ERROR
    assert found[0].where.endswith("train.jsonl:1")
    assert found[0].remedy


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"text": "قصف الجيش مدينة سرت "}, "text", "white space"),
        ({"events": [event(agents=["a1", "a1"])]}, "events[0].agents", "second time"),
        ({"events": [event(), event()]}, "events[1]", "the same type and trigger as events[0]"),
    ],
)
def test_what_only_wants_a_look_is_a_warning(check, changes, field, message):
    (finding,) = check(train=[record(**changes)])
    assert (finding.severity, finding.field) == (Severity.WARNING, field)
    assert message in finding.message


def test_a_bad_line_hides_no_other_and_a_bad_field_none_beside_it(check):
    bad = record(
        id="d1#2",
        text="نص آخر",
        entities=[actor(label="X", end=50)],
        events=[event(type="flood", trigger=[0, 2], agents=["a7"])],
    )
    findings = check(train=["{", record(), "[1]", bad])
    assert [(each.where.rpartition(":")[2], each.field) for each in findings] == [
        ("1", ""),
        ("3", ""),
        ("4", "entities[0].label"),
        ("4", "entities[0]"),
        ("4", "events[0].type"),
        ("4", "events[0].agents"),
    ]
    assert findings[2].id == "d1#2"


def test_a_line_that_is_not_utf8_is_one_finding(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"\xff\n" + json.dumps(record(id=None)).encode() + b"\n")
    first, second = check_corpus({"train": [path]}, SCHEMA)
    assert "not UTF-8" in first.message
    assert (second.where, second.field) == (f"{path}:2", "id")


def test_an_id_is_given_once_in_all_files(check):
    again = record(text="نص آخر هنا", entities=[], events=[])
    findings = check(train=[record(), again], dev=[again | {"doc": None, "text": "ثالث"}])
    assert [(each.where.rpartition("/")[2], each.field) for each in findings] == [
        ("train.jsonl:2", "id"),
        ("dev.jsonl:1", "id"),
    ]
    assert all("train.jsonl:1" in each.message for each in findings)


def test_a_document_in_two_splits_is_told_once(check):
    rest = [record(id=f"d1#{i}", text=f"نص رقم {i}", entities=[], events=[]) for i in (1, 2)]
    (finding,) = check(train=[record()], dev=rest)
    assert (finding.field, finding.severity) == ("doc", Severity.ERROR)
    assert "'d1' is in split 'train' too" in finding.message


def test_a_text_in_two_splits_is_an_error_whatever_its_spaces(check):
    spaced = record(id="d2#0", doc="d2", text="قصف  الجيش\u00a0مدينة سرت", entities=[], events=[])
    (finding,) = check(train=[record()], test=[spaced])
    assert (finding.field, finding.severity) == ("text", Severity.ERROR)
    assert "split 'train'" in finding.message


def test_a_text_twice_in_one_split_is_a_warning(check):
    (finding,) = check(train=[record(), record(id="d1#1")])
    assert (finding.field, finding.severity) == ("text", Severity.WARNING)


def test_a_proclitic_within_a_span_is_suspected_where_the_bare_name_is_known(check):
    text = "عاد من سرت وسرت بعيدة والوفد غائب"
    entities = [
        {"id": "l1", "start": 7, "end": 10, "label": "LOCATION"},
        {"id": "l2", "start": 11, "end": 15, "label": "LOCATION"},
        {"id": "a1", "start": 22, "end": 28, "label": "ACTOR"},
    ]
    (finding,) = check(train=[record(text=text, entities=entities, events=[])])
    assert (finding.field, finding.severity) == ("entities[1]", Severity.WARNING)
    assert "'وسرت' may begin with a proclitic: 'سرت'" in finding.message


def test_inline_and_conll_files_are_checked_too(tmp_path):
    inline, conll = tmp_path / "a.txt", tmp_path / "b.conll"
    inline.write_text("# story s1\n[a1 جيش\n[a1 جيش ] وصل\n", encoding="utf-8")
    conll.write_text("جيش I-ACTOR\nحلب\n\nسرت B-LOC\n", encoding="utf-8")
    findings = check_corpus({"a": [inline], "b": [conll]}, SCHEMA)
    assert [(each.where.rpartition("/")[2], each.severity.value) for each in findings] == [
        ("a.txt:2, column 1", "error"),
        ("a.txt:3", "error"),
        ("b.conll:2", "error"),
        ("b.conll:4", "error"),
        ("b.conll", "warning"),
    ]
    assert "unknown label 'LOC'" in findings[3].message
