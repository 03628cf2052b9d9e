"""Annotations to brat, Label Studio and doccano, and back."""

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from labels.brat import read_brat, write_brat
from labels.cli import labels
from labels.doccano import doccano_records, read_doccano
from labels.errors import RecordError
from labels.inline import canonical
from labels.label_studio import label_studio_tasks, labeling_config, read_label_studio
from labels.records import annotation_record, read_annotations, write_jsonl
from labels.schema import load_schema, parse_schema
from labels.types import Annotation, Entity, Event, Span
from tests.tiny import gold

SCHEMA = load_schema()
NASTY = "قُصِفَ 😀\r\nالمـــوصل\u200f «داعش» (Mosul)\n🚒 ليبيا"


def sentences() -> list[Annotation]:
    annotated = [replace(each, source="news") for each in gold()]
    entities = tuple(
        Entity(f"l{i}", "LOCATION", Span(NASTY.index(word), NASTY.index(word) + len(word)))
        for i, word in enumerate(("المـــوصل", "Mosul", "ليبيا"), 1)
    )
    event = Event("shelling", Span(0, 6), {"agents": (), "targets": (), "locations": ("l1", "l2")})
    twice = Event("killing", Span(0, 6), {"agents": (), "targets": (), "locations": ("l1",)})
    annotated.append(Annotation("nasty", NASTY, entities, (event, twice), "doc", None))
    return [canonical(each, SCHEMA) for each in annotated]


def meaning(annotation: Annotation) -> tuple:
    """All but the ids that tools give."""
    spans = {e.id: (e.label, e.span) for e in annotation.entities}
    events = [
        (e.type, e.trigger, {role: [spans[name] for name in names] for role, names in e.roles.items()})
        for e in annotation.events
    ]
    identity = (annotation.id, annotation.doc, annotation.source, annotation.text)
    return identity, list(spans.values()), sorted(events, key=lambda e: (e[1], e[0]))


def there_and_back(form: str, annotations, folder):
    if form == "brat":
        write_brat(folder / "brat", annotations, SCHEMA)
        return read_brat(folder / "brat", SCHEMA)
    path = folder / "tool.json"
    if form == "doccano":
        write_jsonl(path, doccano_records(annotations))
        return read_doccano(path, SCHEMA)
    path.write_text(json.dumps(label_studio_tasks(annotations)), encoding="utf-8")
    return read_label_studio(path, SCHEMA)


FORMS = ("brat", "doccano", "label-studio")


@pytest.mark.parametrize("form", FORMS)
def test_there_and_back(form, tmp_path):
    annotations = sentences()
    assert [meaning(a) for a in there_and_back(form, annotations, tmp_path)] == [meaning(a) for a in annotations]


@settings(deadline=None)
@given(st.data())
def test_any_text_and_spans(tmp_path_factory, data):
    text = data.draw(st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), min_size=2, max_size=6)))
    spans = [Span(a, b) for a, b in zip(cuts[::2], cuts[1::2], strict=False)]
    entities = tuple(Entity(f"a{i}", "ACTOR", span) for i, span in enumerate(spans, 1))
    events = (Event("protest", Span(cuts[0], cuts[-1]), {"agents": tuple(e.id for e in entities)}),)
    annotation = canonical(Annotation("x", text, entities, events), SCHEMA)
    for form in FORMS:
        [back] = there_and_back(form, [annotation], tmp_path_factory.mktemp("any"))
        assert meaning(back) == meaning(annotation)


@pytest.mark.parametrize(("form", "name"), [("brat", "out"), ("doccano", "out.jsonl"), ("label-studio", "out.json")])
def test_the_command_converts_and_tells_what_is_lost(form, name, tmp_path):
    annotations = [*sentences(), Annotation("bare", "تظاهرة", events=(Event("protest"),))]
    source = tmp_path / "in.jsonl"
    write_jsonl(source, map(annotation_record, annotations))
    result = CliRunner().invoke(labels, ["convert", str(source), str(tmp_path / name), "--to", form])
    assert result.exit_code == 0, result.output
    assert "1 events without trigger lost" in result.output
    back = tmp_path / "back.jsonl"
    result = CliRunner().invoke(labels, ["convert", str(tmp_path / name), str(back), "--from", form])
    assert result.exit_code == 0, result.output
    assert [meaning(a)[:2] for a in read_annotations(back)] == [meaning(a)[:2] for a in annotations]


def test_brat_gets_a_configuration_and_no_folder_is_overwritten(tmp_path):
    write_brat(tmp_path / "brat", sentences(), SCHEMA)
    conf = (tmp_path / "brat" / "annotation.conf").read_text(encoding="utf-8")
    assert "airstrike\tagents*:ACTOR, targets*:ACTOR, locations*:LOCATION" in conf
    with pytest.raises(RecordError, match="expected a new or an empty folder"):
        write_brat(tmp_path / "brat", sentences(), SCHEMA)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("T1\tACTOR 0 4;5 7\tداعش", r"a\.ann:1: expected T and E lines"),
        ("R1\tpart Arg1:T1 Arg2:T2", r"a\.ann:1: expected T and E lines"),
        ("T1\tPERSON 0 4\tداعش", "has the label 'PERSON'; expected one of ACTOR, LOCATION, airstrike"),
        ("T1\tACTOR 0 99\tداعش", "ends at 99, the text has 13 characters"),
        ("T1\tprotest 0 4\tداعش\nE1\tkilling:T1", r"a\.ann:2: event E1: expected a killing at T1"),
        ("T1\tprotest 0 4\tx\nT2\tACTOR 5 7\tx\nE1\tprotest:T1 locations:T2", "leads to ACTOR; expected LOCATION"),
        ("T1\tprotest 0 4\tx\nE1\tprotest:T1 whom:T1", "arrow 'whom': expected one of agents, targets, locations"),
        ("T1\tprotest 0 4\tx\nE1\tprotest:T1 agents:T9", "expected a trigger to a name, found E1 to T9"),
    ],
)
def test_what_brat_files_cannot_say(tmp_path, lines, message):
    (tmp_path / "a.txt").write_text("داعش في مصر !", encoding="utf-8")
    (tmp_path / "a.ann").write_text(lines + "\n", encoding="utf-8")
    with pytest.raises(RecordError, match=message):
        read_brat(tmp_path, SCHEMA)


def test_brat_files_of_brats_own_are_read_by_their_names(tmp_path):
    (tmp_path / "story.txt").write_text("تظاهرة في مصر", encoding="utf-8")
    marks = "T1\tLOCATION 10 13\tمصر\nT2\tprotest 0 6\tتظاهرة\n"
    lines = f"{marks}E1\tprotest:T2 locations:T1\nA1\tNegated E1\n#1\tAnnotatorNotes T1\tok\n"
    (tmp_path / "story.ann").write_text(lines, encoding="utf-8")
    [found] = read_brat(tmp_path, SCHEMA)
    assert found.id == "story"
    assert found.events[0].roles["locations"] == ("T1",)


def test_a_role_of_brat_whose_name_ends_in_a_digit(tmp_path):
    events = '[[event]]\nname = "protest"\n'
    roles = "".join(f'[[role]]\nname = "{name}"\nlabels = ["LOCATION"]\n' for name in ("party", "party2"))
    schema = parse_schema(f'[[entity]]\nname = "LOCATION"\n{events}{roles}')
    (tmp_path / "s.txt").write_text("تظاهرة في مصر", encoding="utf-8")
    marks = "T1\tLOCATION 10 13\tمصر\nT2\tprotest 0 6\tتظاهرة\n"
    (tmp_path / "s.ann").write_text(f"{marks}E1\tprotest:T2 party:T1 party2:T1\n", encoding="utf-8")
    [found] = read_brat(tmp_path, schema)
    assert found.events[0].roles == {"party": ("T1",), "party2": ("T1",)}


def test_doccano_without_relations_has_its_marks_as_lists(tmp_path):
    path = tmp_path / "all.jsonl"
    path.write_text(json.dumps({"id": 1, "text": "داعش في مصر", "label": [[0, 4, "ACTOR"], [8, 11, "LOCATION"]]}) + "\n")
    [found] = read_doccano(path, SCHEMA)
    assert [(e.label, e.span.of(found.text)) for e in found.entities] == [("ACTOR", "داعش"), ("LOCATION", "مصر")]
    path.write_text(json.dumps({"id": 1, "text": "داعش في مصر", "comments": []}) + "\n")
    with pytest.raises(RecordError, match=r"all\.jsonl:1: expected entities .* or label of"):
        read_doccano(path, SCHEMA)


def test_label_studio_marks_of_another_type_are_told(tmp_path):
    path, wrong = tmp_path / "export.json", task(start=2, end=6)
    wrong["annotations"][0]["result"][0]["type"] = "hypertextlabels"
    path.write_text(json.dumps([wrong]))
    with pytest.raises(RecordError, match="expected marks of type labels, found hypertextlabels"):
        read_label_studio(path, SCHEMA)


def task(**value) -> dict:
    text = "😀 داعش"
    result = {"id": "m", "from_name": "label", "to_name": "text", "type": "labels", "value": value | {"labels": ["ACTOR"]}}
    return {"id": 5, "data": {"text": text}, "annotations": [{"result": [result]}]}


def test_label_studio_offsets_of_either_kind(tmp_path):
    path = tmp_path / "export.json"
    path.write_text(json.dumps([task(start=2, end=6, text="داعش"), task(start=3, end=7, text="داعش"), task(start=2, end=6)]))
    assert [a.entities[0].span.of(a.text) for a in read_label_studio(path, SCHEMA)] == ["داعش"] * 3
    path.write_text(json.dumps([task(start=1, end=7, text="داعش")]))
    with pytest.raises(RecordError, match=r"task 1: mark 'm': \[1, 7\) of the text is not 'داعش'"):
        read_label_studio(path, SCHEMA)


def test_label_studio_predictions_are_read_where_nobody_corrected_them(tmp_path):
    annotations = sentences()
    tasks = label_studio_tasks(annotations, model="marsad-mini")
    assert all("annotations" not in each and each["predictions"][0]["model_version"] == "marsad-mini" for each in tasks)
    tasks[0]["annotations"] = [{"result": []}, {"was_cancelled": True, "result": tasks[0]["predictions"][0]["result"]}]
    path = tmp_path / "export.json"
    path.write_text(json.dumps(tasks), encoding="utf-8")
    first, *rest = read_label_studio(path, SCHEMA)
    assert (first.entities, first.events) == ((), ())
    assert [meaning(a) for a in rest] == [meaning(a) for a in annotations[1:]]
    assert '<Label value="ACTOR"/>' in labeling_config(SCHEMA)
    assert '<Relation value="agents"/>' in labeling_config(SCHEMA)


@pytest.mark.parametrize("content", ["{}", "[1]", "nothing", '[{"data": {}}]', '[{"data": {"text": 5}}]'])
def test_what_is_no_export_is_refused(tmp_path, content):
    path = tmp_path / "export.json"
    path.write_text(content)
    with pytest.raises(RecordError, match=r"export\.json"):
        read_label_studio(path, SCHEMA)


def test_predictions_become_annotations_to_correct(tmp_path):
    documents, pred, out = tmp_path / "d.jsonl", tmp_path / "p.jsonl", tmp_path / "o.jsonl"
    write_jsonl(documents, [{"id": "d", "text": "قال.\nتظاهرة في مصر", "source": "news"}, {"id": "bad", "text": "x"}])
    prediction = {
        "id": "d",
        "sentences": [{"start": 0, "end": 4}, {"start": 5, "end": 18}],
        "entities": [{"id": "l1", "label": "LOCATION", "start": 15, "end": 18, "score": 0.9, "sentence": 1}],
        "events": [{"type": "protest", "trigger": {"start": 5, "end": 11}, "locations": ["l1"], "score": 0.8, "sentence": 1}],
        "event_types": {"protest": 0.8},
    }
    write_jsonl(pred, [prediction, {"id": "bad", "error": {"code": "c", "message": "m"}}])
    result = CliRunner().invoke(labels, ["adopt", str(documents), "--pred", str(pred), "-o", str(out)])
    assert result.exit_code == 0, result.output
    first, second = read_annotations(out)
    assert (first.id, first.text, first.entities) == ("d#0", "قال.", ())
    assert (second.id, second.source) == ("d#1", "news")
    assert second.entities[0].span.of(second.text) == "مصر"
    assert second.events[0].trigger.of(second.text) == "تظاهرة"
    write_jsonl(documents, [{"id": "other", "text": "x"}])
    result = CliRunner().invoke(labels, ["adopt", str(documents), "--pred", str(pred), "-o", str(out)])
    assert result.exit_code == 2
    assert "document 'd' is not in" in result.output
