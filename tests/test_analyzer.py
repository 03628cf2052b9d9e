import logging
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import serving.analyzer
from labels.decode import ScoredSpan
from labels.types import Document, Failure, Prediction, Span
from serving.analyzer import Analyzer
from serving.engine import Engine
from tests.folders import ENTITIES_ONLY, EVENTS_ONLY, WINDOW, make_folder

AIRSTRIKE = 1 / (1 + 2.718281828459045**-3)


@pytest.fixture(scope="module")
def analyzer(tmp_path_factory) -> Analyzer:
    return Analyzer(Engine(make_folder(tmp_path_factory.mktemp("model")), threads=1, precision="f32"))


def one(analyzer: Analyzer, text: str) -> Prediction:
    [answer] = analyzer.analyze([Document("d", text)])
    assert isinstance(answer, Prediction), answer
    return answer


def surfaces(answer: Prediction) -> list[tuple[str, str, str]]:
    return [(e.id, e.label, e.span.of(answer.text)) for e in answer.entities]


def test_a_document_of_two_sentences(analyzer):
    text = "شنت طائرات غارة على داعش في الموصل. قال الجيش الليبي: تظاهرة ببنغازي."
    answer = one(analyzer, text)
    assert [s.of(text) for s in answer.sentences] == [
        "شنت طائرات غارة على داعش في الموصل.",
        "قال الجيش الليبي: تظاهرة ببنغازي.",
    ]
    assert surfaces(answer) == [
        ("a1", "ACTOR", "داعش"),
        ("l1", "LOCATION", "الموصل"),
        ("a2", "ACTOR", "الجيش الليبي"),
        ("l2", "LOCATION", "بنغازي"),
    ]
    assert [e.sentence for e in answer.entities] == [0, 0, 1, 1]
    assert [(e.type, e.sentence, e.trigger, e.roles) for e in answer.events] == [
        ("airstrike", 0, None, {"agents": (), "locations": ()}),
        ("protest", 1, None, {"agents": (), "locations": ()}),
    ]
    assert answer.event_types == pytest.approx({"airstrike": AIRSTRIKE, "protest": AIRSTRIKE})
    assert answer.model == analyzer.engine.folder.id
    assert answer.warnings == ()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("انسحب لداعش", "داعش"),
        ("قال ولداعش", "داعش"),
        ("قال دَاعِشٌ", "دَاعِشٌ"),
        ("قال داعـــش", "داعـــش"),
        ("قال 😀😀 داعش", "داعش"),
        ("\r\n\r\nقال\r\nداعش\r\n", "داعش"),
        ("قال \u200fداعش\u200e", "داعش"),
        ("قال دا\u200cعش", "دا\u200cعش"),
        ("(Mosul)", "Mosul"),
        ("«داعش»", "داعش"),
    ],
    ids=["li", "wa-li", "harakat", "tatweel", "emoji", "crlf", "rtl-marks", "zero-width", "latin", "quotes"],
)
def test_a_name_as_it_is_written(analyzer, text, name):
    answer = one(analyzer, text)
    assert [e.span.of(text) for e in answer.entities] == [name]


def test_a_long_sentence_is_read_in_windows_and_nothing_is_lost(analyzer):
    text = "في " * 100 + "داعش " + "في " * 50 + "غارة " + "قال " * 30 + "الجيش الليبي"
    answer = one(analyzer, text)
    assert [e.span.of(text) for e in answer.entities] == ["داعش", "الجيش الليبي"]
    assert list(answer.event_types) == ["airstrike"]
    assert answer.warnings == ("1 sentence read in windows",)


@pytest.mark.parametrize("before", range(WINDOW + 4))
def test_a_name_on_the_seam_of_two_windows_stays_whole(analyzer, before):
    text = "في " * before + "الجيش الليبي" + " في" * WINDOW
    assert [e.span.of(text) for e in one(analyzer, text).entities] == ["الجيش الليبي"]


@pytest.mark.parametrize(
    ("text", "warnings"),
    [
        ("", ("empty text",)),
        (" \r\n\t", ("empty text",)),
        ("the city (1)", ("no Arabic letters",)),
        ("في 😀 الموصل ☂", ("2 characters unknown to the tokenizer",)),
        ("في الموصل 😀", ("1 character unknown to the tokenizer",)),
    ],
    ids=["empty", "blank", "latin", "two-unknown", "one-unknown"],
)
def test_warnings(analyzer, text, warnings):
    assert one(analyzer, text).warnings == warnings


def test_marks_alone_are_no_news(analyzer):
    answer = one(analyzer, "\u064e\u064f")
    assert (answer.entities, answer.events) == ((), ())


def test_a_bad_document_does_its_neighbours_no_harm(analyzer):
    documents = [Document("1", "داعش"), Document("2", "قال \ud83d في"), Document("3", "الموصل")]
    first, bad, last = analyzer.analyze(documents)
    assert surfaces(first) == [("a1", "ACTOR", "داعش")]
    assert surfaces(last) == [("l1", "LOCATION", "الموصل")]
    assert bad == Failure("2", "invalid_text", bad.message)
    assert "U+D83D at character 4" in bad.message


def test_a_text_over_the_limit_is_refused(analyzer):
    small = Analyzer(analyzer.engine, max_characters=10)
    over, at = small.analyze([Document("1", "ا" * 11), Document("2", "ا" * 10)])
    assert over.code == "text_too_long"
    assert "11 characters, at most 10" in over.message
    assert isinstance(at, Prediction)


def test_a_fault_of_the_program_costs_one_document_only(analyzer, monkeypatch, caplog):
    real = serving.analyzer.split_sentences

    def split(text):
        if "غارة" in text:
            raise ZeroDivisionError("secret of the inside")
        return real(text)

    monkeypatch.setattr("serving.analyzer.split_sentences", split)
    with caplog.at_level(logging.WARNING, "serving.analyzer"):
        answers = analyzer.analyze([Document("1", "داعش"), Document("2", "غارة"), Document("3", "الموصل")])
    assert [answer.id for answer in answers] == ["1", "2", "3"]
    assert isinstance(answers[0], Prediction)
    assert isinstance(answers[2], Prediction)
    assert answers[1].code == "internal"
    assert "secret" not in answers[1].message
    assert "secret of the inside" in caplog.text


def test_ids_may_repeat_and_order_is_kept(analyzer):
    answers = analyzer.analyze([Document("d", "داعش"), Document("d", ""), Document("d", "الموصل")])
    assert [len(answer.entities) for answer in answers] == [1, 0, 1]
    assert analyzer.analyze([]) == []


def test_many_documents_are_read_in_portions(analyzer, monkeypatch):
    documents = [Document(str(i), text) for i, text in enumerate(["داعش في الموصل", "", "غارة", "قال"] * 6)]
    whole = analyzer.analyze(documents)
    monkeypatch.setattr("serving.portions.PORTION_CHARACTERS", 20)
    assert analyzer.analyze(documents) == whole


def test_a_ligature_with_two_names_in_it_gives_no_overlap(analyzer, monkeypatch):
    first, likelier, next_to_it = Span(0, 1), Span(0, 1), Span(1, 2)
    found = [ScoredSpan("ACTOR", first, 0.5), ScoredSpan("LOCATION", likelier, 0.9), ScoredSpan("ACTOR", next_to_it, 0.1)]
    monkeypatch.setattr("labels.reading.decode_entities", lambda *_, **__: found)
    answer = one(analyzer, "في")
    assert [(e.id, e.span) for e in answer.entities] == [("l1", likelier), ("a1", next_to_it)]
    assert answer.warnings == ("1 name left out that shared a character with a likelier one",)


def test_proclitics_are_taken_off_names_in_windows_as_well(tmp_path):
    analyzer = Analyzer(Engine(make_folder(tmp_path, glued=True), threads=1, precision="f32"))
    text = "وبنغازي قال " + "لداعش في مدينة على الموصل قال ولداعش في على للجيش الليبي وبنغازي في " * 3
    answer = one(analyzer, text)
    names = ["بنغازي"] + ["داعش", "الموصل", "داعش", "لجيش الليبي", "بنغازي"] * 3
    assert [e.span.of(text) for e in answer.entities] == names
    assert answer.warnings == ("1 sentence read in windows",)


@pytest.mark.parametrize(("schema", "entities", "types"), [(ENTITIES_ONLY, 1, []), (EVENTS_ONLY, 0, ["airstrike"])])
def test_a_schema_with_one_part(tmp_path, schema, entities, types):
    answer = one(Analyzer(Engine(make_folder(tmp_path, schema), threads=1, precision="f32")), "غارة على داعش")
    assert len(answer.entities) == entities
    assert list(answer.event_types) == types


PARTS = [
    *("داعش", "الجيش", "الليبي", "الموصل", "بنغازي", "غارة", "تظاهرة", "لداعش", "وبنغازي", "فالموصل", "Mosul", "the", "قال"),
    *(" ", "\n", "\r\n", "\t", "\u00a0", ".", "؟", "!", "،", ":", "(", "»", "...", "1.5", "٣"),
    *("\u064e", "\u0651", "\u0640", "\u0301", "\u200b", "\u200c", "\u200d", "\u200f", "\u202b", "\u2067", "\ufeff", "\u00ad"),
    *("😀", "👨‍👩‍👧", "ﷲ", "ﷺ", "ﻻ", "é", "e\u0301", "ß", "İ", "\u0000", "[SEP]", "\U0010fffd", "´", "½"),
]
texts = st.lists(st.sampled_from(PARTS) | st.text(max_size=3), max_size=40).map("".join)


@settings(max_examples=150, deadline=None)
@given(texts)
def test_spans_lie_in_the_text_in_order_and_apart(analyzer, text):
    answer = one(analyzer, text)
    spans = [entity.span for entity in answer.entities]
    assert all(0 <= a.start < a.end <= len(text) for a in spans)
    assert all(a.end <= b.start for a, b in pairwise(spans))
    for entity in answer.entities:
        sentence = answer.sentences[entity.sentence]
        assert sentence.start <= entity.span.start < entity.span.end <= sentence.end
        assert entity.span.of(text).strip() == entity.span.of(text)
        assert 0 < entity.score <= 1


@settings(max_examples=40, deadline=None)
@given(st.lists(texts, max_size=6))
def test_together_is_as_one_by_one(analyzer, several):
    documents = [Document(str(i), text) for i, text in enumerate(several)]
    for document, together in zip(documents, analyzer.analyze(documents), strict=True):
        [alone] = analyzer.analyze([document])
        assert [(e.id, e.label, e.span) for e in together.entities] == [(e.id, e.label, e.span) for e in alone.entities]
        assert [(e.type, e.sentence) for e in together.events] == [(e.type, e.sentence) for e in alone.events]
        for a, b in zip([*together.entities, *together.events], [*alone.entities, *alone.events], strict=True):
            assert a.score == pytest.approx(b.score, abs=1e-4)
        assert together.warnings == alone.warnings
