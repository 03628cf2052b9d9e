import io
import json

import pytest
from click.testing import CliRunner

import serving.batch.score
import serving.portions
from labels.types import Document, Failure
from serving.analyzer import Analyzer
from serving.batch.progress import Progress, describe
from serving.batch.readers import Source
from serving.batch.score import Summary, score_rows
from serving.cli import score
from serving.engine import Engine
from tests.folders import make_folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def analyzer(model) -> Analyzer:
    return Analyzer(Engine(model, threads=1, precision="f32"))


class Kept:
    """A writer that keeps."""

    def __init__(self):
        self.answers = []

    def write(self, answer):
        self.answers.append(answer)

    def finish(self):
        pass


def run(model, *arguments):
    given = [*map(str, arguments), "--model", str(model.path), "--threads", "1", "--precision", "f32"]
    return CliRunner().invoke(score, given, catch_exceptions=False, env={"MARSAD_MAX_CHARACTERS": None})


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


ROWS = [
    Document("1", "غارة على داعش. داعش في الموصل."),
    Failure("2", "unreadable", "in:2: no"),
    Document("3", "قال \ud800"),
    Document("4", "تظاهرة 😀"),
    Document("5", ""),
]


@pytest.mark.parametrize("characters", [1, 20, 12_000])
def test_one_answer_a_row_in_order_and_all_is_counted(analyzer, monkeypatch, characters):
    monkeypatch.setattr(serving.portions, "PORTION_CHARACTERS", characters)
    monkeypatch.setattr(serving.batch.score, "_PROGRESS_SECONDS", 0)
    kept, told = Kept(), []
    summary = score_rows(ROWS, analyzer, kept, progress=lambda s: told.append(s.documents))
    assert [answer.id for answer in kept.answers] == ["1", "2", "3", "4", "5"]
    assert kept.answers[1] == ROWS[1]
    assert told == [1, 2, 3, 4, 5, 5]
    record = summary.record()
    assert record.pop("seconds") >= 0
    assert record == {
        "model": analyzer.engine.folder.id,
        "documents": 5,
        "sentences": 3,
        "entities": {"ACTOR": 2, "LOCATION": 1},
        "events": {"airstrike": 1, "protest": 1},
        "errors": {"unreadable": 1, "invalid_text": 1},
        "warned": 2,
        "generated_ids": 0,
    }


def test_a_million_rows_would_not_be_held(analyzer):
    """Answers come while the rows are still being read, those that were no documents from the start as well."""
    read = 0

    def rows():
        nonlocal read
        for number in range(20_000):
            read += 1
            yield Failure(str(number), "unreadable", "no") if number % 3 else Document(str(number), "قال داعش.")

    for number, answer in enumerate(analyzer.stream(rows())):
        assert answer.id == str(number)
        assert read - number < 4_000


def test_limit_reads_no_further(analyzer):
    def rows():
        yield ROWS[0]
        yield ROWS[4]
        raise AssertionError("read past the limit")

    assert score_rows(rows(), analyzer, Kept(), limit=2).documents == 2


def test_the_command(model, tmp_path):
    source, out = tmp_path / "in.csv", tmp_path / "out.jsonl"
    source.write_text("body,id\nغارة على داعش,1\n,\nفي الموصل,\n", encoding="utf-8")
    done = run(model, source, "-o", out, "--text-column", "body")
    assert done.exit_code == 0, done.output
    assert [(r["id"], [e["text"] for e in r["entities"]]) for r in lines(out)] == [
        ("1", ["داعش"]),
        ("in.csv:3", []),
        ("in.csv:4", ["الموصل"]),
    ]
    summary = json.loads((tmp_path / "out.jsonl.summary.json").read_text())
    assert (summary["documents"], summary["generated_ids"], summary["errors"]) == (3, 2, {})
    assert done.stdout == ""
    assert "3 documents" in done.stderr


def test_bad_rows_do_not_fail_a_run_unless_strict(model, tmp_path):
    source = tmp_path / "in.jsonl"
    source.write_text('{"id": "1", "text": "داعش"}\n{"id": "2"}\n{"id": "3", "text": "' + "ا" * 50 + '"}\n', encoding="utf-8")
    done = run(model, source, "-o", tmp_path / "out.jsonl", "--max-characters", 40)
    assert done.exit_code == 0
    assert [r.get("error", {}).get("code") for r in lines(tmp_path / "out.jsonl")] == [
        None,
        "invalid_document",
        "text_too_long",
    ]
    assert "2 errors" in done.stderr
    assert run(model, source, "-o", tmp_path / "strict.jsonl", "--strict").exit_code == 1
    assert len(lines(tmp_path / "strict.jsonl")) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.jsonl", "-o", "out.jsonl"], "none.jsonl: no such file"),
        (["in.jsonl", "-o", "in.jsonl", "--force"], "in.jsonl: is one of the inputs"),
        (["in.jsonl", "-o", "there.jsonl"], "there.jsonl: exists already"),
        (["in.jsonl", "-o", "out.doc"], "cannot tell the format by the name; give --output-format"),
        (["in.jsonl", "-o", "out.jsonl", "--delimiter", "ab"], "expected one character, found 'ab'"),
        (["-o", "out.jsonl"], "Missing argument 'IN...'"),
    ],
)
def test_what_cannot_be_run_is_said_with_exit_code_2(model, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.jsonl").write_text('{"id": "1", "text": ""}\n')
    (tmp_path / "there.jsonl").write_text("before")
    done = run(model, *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "there.jsonl"]
    assert (tmp_path / "there.jsonl").read_text() == "before"


def test_a_model_that_is_not_there_is_said(tmp_path):
    (tmp_path / "in.jsonl").write_text("")
    command = [str(tmp_path / "in.jsonl"), "-o", str(tmp_path / "out.jsonl"), "--model", str(tmp_path)]
    done = CliRunner().invoke(score, command)
    assert (done.exit_code, "no manifest.json" in done.stderr) == (2, True)


def test_progress_says_how_far_and_how_long():
    summary = Summary("m", documents=1200, seconds=10)
    assert describe(summary, 0.4) == "1,200 documents, 120 a second, 40 % read, 0:15 left"
    summary.errors["unreadable"] = 3
    assert describe(summary) == "1,200 documents, 120 a second, 3 errors"


def test_progress_in_a_log_is_a_line_now_and_then(tmp_path, monkeypatch):
    (tmp_path / "in.txt").write_text("")
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    stream = io.StringIO()
    progress = Progress(Source([tmp_path / "in.txt"]), stream)
    for seconds in (1, 29, 31, 32, 62):
        now[0] = seconds
        progress(Summary("m", documents=seconds, seconds=seconds))
    progress.clear()
    assert stream.getvalue() == "31 documents, 1 a second, 0 % read\n62 documents, 1 a second, 0 % read\n"
