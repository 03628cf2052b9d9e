"""What most of several annotations mark alike."""

import itertools
import json
from dataclasses import replace

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from labels.checker import check_corpus
from labels.cli import labels
from labels.errors import RecordError
from labels.records import annotation_record, read_annotations, write_jsonl
from labels.schema import load_schema
from labels.types import Annotation, Entity, Event, Span
from labels.vote import vote

SCHEMA = load_schema()
TEXT = "قصفت القوات حلب وإدلب"
FORCES, ALEPPO, IDLIB = Span(5, 11), Span(12, 15), Span(17, 21)
STRUCK = Span(0, 4)


def marked(entities, events=()) -> Annotation:
    found = tuple(Entity(f"x{i}", label, span) for i, (label, span) in enumerate(entities))
    names = {e.span: e.id for e in found}
    made = tuple(
        Event(kind, trigger, {"agents": tuple(names[s] for s in agents), "targets": (), "locations": ()})
        for kind, trigger, agents in events
    )
    return Annotation("s", TEXT, found, made, "d", "news")


def only(*voters: Annotation, needed: int = 0) -> Annotation:
    (kept,) = vote([[each] for each in voters], needed).annotations
    return kept


def spans(annotation: Annotation):
    return {(e.label, e.span) for e in annotation.entities}


def test_entities_that_more_than_half_mark_are_kept():
    kept = only(
        marked([("ACTOR", FORCES), ("LOCATION", ALEPPO)]),
        marked([("LOCATION", ALEPPO), ("LOCATION", IDLIB)]),
        marked([("LOCATION", FORCES), ("LOCATION", ALEPPO)]),
    )
    assert spans(kept) == {("LOCATION", ALEPPO)}
    assert (kept.doc, kept.source, kept.text) == ("d", "news", TEXT)


def test_two_of_two_must_agree():
    assert spans(only(marked([("ACTOR", FORCES), ("LOCATION", IDLIB)]), marked([("LOCATION", IDLIB)]))) == {("LOCATION", IDLIB)}


def test_roles_are_counted_and_need_an_entity_that_stays():
    both = [("ACTOR", FORCES), ("LOCATION", ALEPPO)]
    kept = only(
        marked(both, [("shelling", STRUCK, [FORCES])]),
        marked(both, [("shelling", STRUCK, [FORCES])]),
        marked([("LOCATION", ALEPPO)], [("shelling", STRUCK, [])]),
    )
    (event,) = kept.events
    actor = next(e.id for e in kept.entities if e.label == "ACTOR")
    assert event.roles == {"agents": (actor,), "targets": (), "locations": ()}


def test_roles_that_all_give_stay_where_each_names_another_trigger():
    both = [("ACTOR", FORCES), ("LOCATION", ALEPPO)]
    kept = only(*(marked(both, [("shelling", Span(start, start + 2), [FORCES])]) for start in (0, 2, 12)))
    (event,) = kept.events
    actor = next(e.id for e in kept.entities if e.label == "ACTOR")
    assert event.roles["agents"] == (actor,)


def test_a_type_all_see_on_different_words_takes_the_words_most_often_named():
    kept = only(
        marked([], [("shelling", STRUCK, [])]),
        marked([], [("shelling", Span(0, 11), [])]),
        marked([], [("shelling", STRUCK, []), ("killing", IDLIB, [])]),
    )
    assert [(e.type, e.trigger) for e in kept.events] == [("shelling", STRUCK)]
    apart = only(marked([], [("shelling", Span(0, 11), [])]), marked([], [("shelling", STRUCK, [])]))
    assert [e.trigger for e in apart.events] == [STRUCK]  # the shorter of two named once


def test_events_without_trigger_are_counted_by_type():
    kept = only(marked([], [("shelling", None, [])]), marked([], [("shelling", None, []), ("killing", None, [])]))
    assert [(e.type, e.trigger) for e in kept.events] == [("shelling", None)]


def test_all_can_be_asked_for_and_less_than_most_cannot():
    one, two = marked([("ACTOR", FORCES)]), marked([])
    assert spans(only(one, one, two, needed=3)) == set()
    assert spans(only(one, one, one, needed=3)) == {("ACTOR", FORCES)}
    for needed in (1, 4):
        with pytest.raises(ValueError, match=f"2 to 3 can be asked for, found {needed}"):
            only(one, one, two, needed=needed)


def test_sentences_not_marked_by_all_are_counted_and_texts_must_be_the_same():
    one = marked([])
    result = vote([[one, replace(one, id="t")], [one], [replace(one, id="u"), one]])
    assert [each.id for each in result.annotations] == ["s"]
    assert result.absent == 2
    with pytest.raises(RecordError, match="same text"):
        vote([[one], [replace(one, text=TEXT + ".")]])


@st.composite
def annotations(draw):
    cuts = draw(st.lists(st.integers(0, len(TEXT)), unique=True, max_size=8).map(sorted))
    flat = [Span(a, b) for a, b in zip(cuts[::2], cuts[1::2], strict=False)]
    entities = [(draw(st.sampled_from(["ACTOR", "LOCATION"])), span) for span in flat]
    events = [("killing", span, draw(st.sets(st.sampled_from(flat)))) for span in flat if draw(st.booleans())]
    return marked(entities, events)


@given(st.lists(annotations(), min_size=1, max_size=5))
def test_what_is_kept_never_overlaps_and_refers_to_what_is_there(voters):
    kept = only(*voters)
    ordered = sorted(e.span for e in kept.entities)
    assert not any(a.overlaps(b) for a, b in itertools.pairwise(ordered))
    names = [e.id for e in kept.entities]
    assert len(names) == len(set(names))
    assert all(i in names for event in kept.events for ids in event.roles.values() for i in ids)
    assert {(e.label, e.span) for e in kept.entities} <= {key for each in voters for key in spans(each)}


@given(annotations(), st.integers(2, 4))
def test_voters_of_one_mind_change_nothing(annotation, number):
    kept = only(*[annotation] * number)
    assert spans(kept) == spans(annotation)
    assert {(e.type, e.trigger) for e in kept.events} == {(e.type, e.trigger) for e in annotation.events}


def test_command(tmp_path):
    one = marked([("ACTOR", FORCES), ("LOCATION", ALEPPO)], [("shelling", STRUCK, [FORCES])])
    for name, each in (("a", one), ("b", one), ("c", marked([]))):
        write_jsonl(tmp_path / f"{name}.jsonl", [annotation_record(each)])
    files = [str(tmp_path / f"{name}.jsonl") for name in "abc"]
    result = CliRunner().invoke(labels, ["vote", *files, "-o", str(tmp_path / "out.jsonl")])
    assert result.exit_code == 0, result.output
    assert "1 sentences, 0 not in all files left out" in result.stderr
    (kept,) = read_annotations(tmp_path / "out.jsonl")
    assert spans(kept) == spans(one)
    assert not [f for f in check_corpus({"out": [tmp_path / "out.jsonl"]}, SCHEMA) if f.severity == "error"]
    alone = CliRunner().invoke(labels, ["vote", files[0], "-o", str(tmp_path / "x.jsonl")])
    assert alone.exit_code == 2
    assert "at least two" in alone.stderr
    few = CliRunner().invoke(labels, ["vote", *files, "--needed", "1", "-o", str(tmp_path / "x.jsonl")])
    assert few.exit_code == 2
    assert "2 to 3" in few.stderr
    assert json.loads((tmp_path / "out.jsonl").read_text(encoding="utf-8"))["source"] == "news"
