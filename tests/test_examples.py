"""The examples for Spark and Dask, without either: the functions that their workers run, on frames of pandas."""

import json
import sys
from pathlib import Path

import pytest

from serving import Analyzer, Document, Failure
from tests.folders import make_folder

pd = pytest.importorskip("pandas")

EXAMPLES = Path(__file__).resolve().parent.parent / "docs" / "examples"
FRAME = pd.DataFrame(
    {
        "id": ["d1", "d2", "d3", "d4", "d5"],
        "text": ["😀 غارة على داعش. تظاهرة في الموصل", None, "قال داعش", "", "غارة " * 60],
    }
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("model")).path


@pytest.fixture
def examples(monkeypatch, model):
    """The modules, imported as the scripts import them."""
    import importlib

    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.setenv("MARSAD_MODEL", str(model))
    names = ("event_rows", "spark_map_in_pandas", "dask_map_partitions")
    modules = [importlib.import_module(name) for name in names]
    yield modules
    modules[0].worker_analyzer().close()
    for name in names:
        del sys.modules[name]


def test_rows_are_the_answers(examples, model):
    event_rows, spark, dask = examples
    with Analyzer.open(model, threads=1) as analyzer:
        rows = event_rows.event_rows(FRAME, analyzer)
        answers = analyzer.analyze([Document(row.id, row.text) for row in FRAME.astype(object).itertuples()])
    assert list(rows.columns) == list(event_rows.TYPES)
    expected = []
    for answer in answers:
        if isinstance(answer, Failure):
            expected.append((answer.id, None))
        else:
            expected += [(answer.id, event.type) for event in answer.events]
    assert [(row.document, None if pd.isna(row.type) else row.type) for row in rows.itertuples()] == expected
    assert expected == [("d1", "airstrike"), ("d1", "protest"), ("d2", None), ("d5", "airstrike")]
    assert rows.error.dropna().tolist() == ["invalid_document: text: expected a string, found nothing"]

    assert worker_rows(spark.score(iter([FRAME[:2], FRAME[2:2], FRAME[2:]]))) == rows.to_json()
    assert worker_rows([dask.score(FRAME[:1]), dask.score(FRAME[1:])]) == rows.to_json()
    assert event_rows.worker_analyzer() is event_rows.worker_analyzer()


def worker_rows(frames) -> str:
    return pd.concat(list(frames), ignore_index=True).to_json()


def test_names_and_offsets_of_roles(examples):
    """Those of a model with triggers and roles, which the tiny one has not."""
    from labels.types import Entity, Event, Prediction, Span

    text = "😀 شنت طائرات غارة على داعش والجيش"
    names = {"a1": "طائرات", "a2": "داعش", "a3": "الجيش"}
    spans = {name: Span(text.index(surface), text.index(surface) + len(surface)) for name, surface in names.items()}

    class Stub:
        def stream(self, rows):
            for row in rows:
                trigger = Span(text.index("غارة"), text.index("غارة") + 4)
                entities = tuple(Entity(name, "ACTOR", span) for name, span in spans.items())
                event = Event("airstrike", trigger, {"agents": ("a1",), "targets": ("a2", "a3")}, 0.98765)
                yield Prediction(row.id, "m", row.text, entities=entities, events=(event,))

    [row] = examples[0].event_rows(pd.DataFrame({"id": [7], "text": [text]}), Stub()).to_dict("records")
    offsets = json.loads(row.pop("offsets"))
    assert pd.isna(row.pop("error"))
    assert row == {
        "document": "7",
        "type": "airstrike",
        "score": 0.9877,
        "trigger": "غارة",
        "agents": "طائرات",
        "targets": "داعش | الجيش",
        "locations": "",
    }
    assert text[slice(*offsets["trigger"])] == "غارة"
    assert [[text[slice(*pair)] for pair in offsets[role]] for role in ("agents", "targets", "locations")] == [
        ["طائرات"],
        ["داعش", "الجيش"],
        [],
    ]


def test_the_schema_that_spark_is_told(examples):
    assert examples[1].SCHEMA.startswith("document string, type string, score double, trigger string, agents string")
