"""`from serving import Analyzer`: what it costs to import, what it takes, and where it may not go."""

import json
import multiprocessing
import pickle
import subprocess
import sys

import numpy as np
import pytest

import serving
from labels.errors import FolderError, MarsadError
from labels.types import Document, Failure, Prediction
from serving import Analyzer
from serving.engine import Engine
from serving.errors import EngineError, SettingsError
from tests.folders import make_folder

TEXT = "غارة على داعش في الموصل"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("model")).path


@pytest.fixture(scope="module")
def analyzer(model):
    with Analyzer.open(model, threads=1, precision="f32") as opened:
        yield opened


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import serving", ["openvino", "bentoml", "pyarrow", "tokenizers", "numpy", "serving.analyzer"]),
        ("import serving.errors", ["openvino", "bentoml", "pyarrow", "tokenizers", "numpy", "serving.analyzer"]),
        ("from serving import Document, Failure, Prediction", ["openvino", "bentoml", "pyarrow", "tokenizers", "numpy"]),
        ("from serving import Analyzer", ["openvino", "bentoml", "pyarrow", "torch", "transformers", "pandas"]),
        ("import marsad", ["openvino", "bentoml", "pyarrow", "tokenizers", "numpy", "torch"]),
    ],
)
def test_what_an_import_loads(statement, absent):
    program = f"{statement}\nimport sys, json; print(json.dumps(sorted(set({absent}) & set(sys.modules))))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout) == []


def test_the_names_are_those_of_their_modules():
    assert (serving.Document, serving.Failure, serving.Prediction) == (Document, Failure, Prediction)
    assert all(getattr(serving, name).__name__ == name for name in serving.__all__)
    with pytest.raises(AttributeError, match="module 'serving' has no attribute 'Analyser'"):
        _ = serving.Analyser
    with pytest.raises(ImportError, match="cannot import name 'Analyser'"):
        from serving import Analyser  # noqa: F401


def test_three_lines_on_the_model_that_ships():
    with Analyzer.open(threads=1) as analyzer:
        [answer] = analyzer.analyze([Document("d1", "شن سلاح الجو غارات على مواقع لداعش في الموصل.")])
    assert isinstance(answer, Prediction)
    assert answer.model.startswith("marsad-mini@")
    assert "airstrike" in answer.event_types


def test_a_model_by_its_path_as_text_or_as_path(model, analyzer):
    with Analyzer.open(str(model), threads=1, precision="f32") as other:
        assert other.analyze([Document("d", TEXT)]) == analyzer.analyze([Document("d", TEXT)])


def test_thresholds_take_the_place_of_the_folders(model):
    for thresholds, expected in (
        ({"protest": 0.01}, ["airstrike", "protest"]),
        ({"airstrike": np.float32(0.99)}, []),
        ({}, ["airstrike"]),
    ):
        with Analyzer.open(model, threads=1, precision="f32", thresholds=thresholds) as analyzer:
            [answer] = analyzer.analyze([Document("d", TEXT)])
            assert list(answer.event_types) == expected


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"thresholds": {"flood": 0.5}}, SettingsError, "expected types of airstrike, protest; found 'flood'"),
        ({"thresholds": {"protest": 1}}, SettingsError, "expected a number between 0 and 1 for protest, found 1"),
        ({"thresholds": {"protest": float("nan")}}, SettingsError, "for protest, found nan"),
        ({"thresholds": {"protest": "0.5"}}, SettingsError, "for protest, found '0.5'"),
        ({"threads": 0}, SettingsError, "threads: expected 1 or more, found 0"),
        ({"max_characters": 0}, SettingsError, "max_characters: expected 1 or more, found 0"),
        ({"precision": "f16"}, EngineError, "no precision 'f16'; expected auto, f32, bf16"),
        ({"device": "gpu"}, EngineError, "no device 'gpu'; expected cpu, cuda, onnx-cpu"),
    ],
)
def test_what_cannot_be_used_is_said(model, options, error, message):
    with pytest.raises(error, match=message) as raised:
        Analyzer.open(model, **options)
    assert isinstance(raised.value, MarsadError)


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(FolderError, match=r"no manifest\.json"):
        Analyzer.open(tmp_path)


@pytest.mark.parametrize(
    ("text", "found"), [(None, "nothing"), (5, "5"), (float("nan"), "nan"), (b"\xd8", r"b'\xd8'")], ids=str
)
def test_what_is_no_text_is_an_error_in_its_place(analyzer, text, found):
    first, bad, last = analyzer.analyze([Document("1", TEXT), Document("2", text), Document("3", "")])
    assert bad == Failure("2", "invalid_document", f"text: expected a string, found {found}")
    assert isinstance(first, Prediction)
    assert isinstance(last, Prediction)


@pytest.mark.parametrize("rows", [[TEXT], TEXT, [("d", TEXT)]], ids=["list", "text", "tuple"])
def test_what_is_no_document_is_a_slip_of_the_program(analyzer, rows):
    with pytest.raises(TypeError, match=r"a text becomes one by Document\(id, text\)"):
        analyzer.analyze(rows)
    assert len(analyzer.analyze([Document("d", TEXT)])) == 1


def test_a_closed_analyzer_does_not_answer(model):
    with Analyzer.open(model, threads=1, precision="f32") as analyzer:
        answers = analyzer.stream([Document("d", TEXT)])
    for call in (lambda: next(answers), lambda: analyzer.analyze([])):
        with pytest.raises(RuntimeError, match="the analyzer has been closed"):
            call()
    analyzer.close()  # once more does no harm
    assert not analyzer.alive


def test_what_is_left_of_a_stream_is_not_answered_with_failures(model, monkeypatch):
    monkeypatch.setattr("serving.portions.PORTION_CHARACTERS", 20)
    with Analyzer.open(model, threads=1, precision="f32") as analyzer:
        answers = analyzer.stream(Document(str(i), TEXT) for i in range(50))
        assert isinstance(next(answers), Prediction)
    with pytest.raises(RuntimeError, match="the analyzer has been closed"):
        assert all(isinstance(answer, Prediction) for answer in answers)


def test_an_analyzer_is_not_pickled(analyzer):
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match=r"call Analyzer.open\(\) inside each worker process"):
            pickle.dumps({"analyzer": analyzer}, protocol)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system does not fork")
def test_a_fork_does_not_wait_for_threads_that_it_does_not_have(model):
    """In a process of its own, as the tests' has threads that a fork would meet in any state."""
    program = f"""
import multiprocessing
from serving import Analyzer, Document
documents = [Document("d", {TEXT!r})]
def child():
    try:
        analyzer.analyze(documents)
    except RuntimeError as error:
        print("stays in the process" in str(error))
    with Analyzer.open({str(model)!r}, threads=1, precision="f32") as own:
        print(len(own.analyze(documents)[0].entities), flush=True)
with Analyzer.open({str(model)!r}, threads=1, precision="f32") as analyzer:
    analyzer.analyze(documents)
    process = multiprocessing.get_context("fork").Process(target=child, daemon=True)
    process.start()
    process.join(60)
    print(process.exitcode)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == ["True", "2", "0"]


def test_open_is_what_is_built_by_hand(model, analyzer):
    from labels.folder import ModelFolder

    by_hand = Analyzer(Engine(ModelFolder.open(model), threads=1, precision="f32"))
    assert by_hand.analyze([Document("d", TEXT)]) == analyzer.analyze([Document("d", TEXT)])
    by_hand.close()
