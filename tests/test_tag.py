import io
import json

import pytest
from click.testing import CliRunner
from rich.console import Console

from labels.types import Document, Span
from serving.analyzer import Analyzer
from serving.engine import Engine
from serving.tag import tag
from serving.terminal import paint, plain, show
from tests.folders import make_folder

TEXT = "شنت طائرات غارة على داعش في الموصل. قال الجيش الليبي: نعم"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("model"))


def run(model, *arguments, stdin: bytes = b""):
    given = [*map(str, arguments), "--model", str(model.path), "--threads", "1", "--precision", "f32"]
    return CliRunner().invoke(tag, given, input=stdin, catch_exceptions=False)


def test_a_text_for_a_person(model):
    done = run(model, "--text", TEXT)
    assert done.exit_code == 0
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert lines[0] == "\u2067شنت طائرات غارة على داعش في الموصل.\u2069"
    assert lines[1] == "airstrike \u2067غارة جوية\u2069 0.95"
    assert [line.split()[0] for line in lines if line[:1] in {"a", "l"} and line[1:2].isdigit()] == ["a1", "l1", "a2"]
    assert any("20-24" in line and "\u2068داعش\u2069" in line for line in lines)


def test_json_is_the_record_and_holds_no_marks_of_display(model):
    done = run(model, "--json", "-", stdin=TEXT.encode())
    record = json.loads(done.stdout)
    assert record["id"] == "stdin"
    assert [e["text"] for e in record["entities"]] == ["داعش", "الموصل", "الجيش الليبي"]
    assert all(TEXT[e["start"] : e["end"]] == e["text"] for e in record["entities"])
    assert "\u2067" not in done.stdout


def test_a_file_is_one_document_unless_its_name_says_more(model, tmp_path):
    (tmp_path / "note.md").write_text("داعش\n\nفي الموصل", encoding="utf-8")
    [record] = run(model, tmp_path / "note.md", "--json").stdout.splitlines()
    assert len(json.loads(record)["sentences"]) == 2
    (tmp_path / "in.jsonl").write_text('{"id": "1", "text": "داعش"}\n{"id": "2", "text": "في"}\n', encoding="utf-8")
    assert [json.loads(line)["id"] for line in run(model, tmp_path / "in.jsonl", "--json").stdout.splitlines()] == ["1", "2"]


def test_what_cannot_be_read_is_said(model, tmp_path):
    done = run(model, "-", stdin=b"\xff")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "stdin: not UTF-8" in done.stderr
    assert run(model, tmp_path / "none.txt").exit_code == 2
    both = run(model, "-", "--text", "x")
    assert (both.exit_code, "not both" in both.stderr) == (2, True)


def test_an_empty_text_has_its_warning(model):
    assert "empty text" in run(model, "--text", "").stdout


def test_names_are_coloured_in_their_place(model):
    [answer] = Analyzer(Engine(model, threads=1, precision="f32")).analyze([Document("d", TEXT)])
    stream = io.StringIO()
    show(answer, model.schema, Console(file=stream, force_terminal=True, color_system="standard", width=120, highlight=False))
    assert "\x1b[1;36mداعش\x1b[0m" in stream.getvalue()
    assert "\x1b[1;32mالموصل\x1b[0m" in stream.getvalue()
    painted = paint(
        TEXT, answer.sentences[0], [e for e in answer.entities if e.sentence == 0], {"ACTOR": "red", "LOCATION": "blue"}
    )
    assert painted.plain == "\u2067" + answer.sentences[0].of(TEXT) + "\u2069"
    assert [(painted.plain[s.start : s.end], s.style) for s in painted.spans] == [("داعش", "red"), ("الموصل", "blue")]


def test_a_text_cannot_steer_the_terminal():
    assert plain("a\x1b[31m\x07\r\u202eb\u2069") == "a\ufffd[31m\ufffd\ufffdb"
    assert "\x1b" not in paint("a\x1b]0;x\x07b", Span(0, 8), [], {}).plain
