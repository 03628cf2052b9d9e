"""`marsad labels`: what it prints and how it exits."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from labels.cli import labels
from labels.convert import convert_file, guess_format, read_file
from labels.errors import RecordError
from labels.records import read_annotations
from labels.schema import load_schema
from labels.stats import count_corpus, stats_record
from labels.types import Annotation

INLINE = """# story s1 | a town
قصف [a1 جيش الفجر] بلدة [l1 تل أسود] {shelling agents=a1 locations=l1|بالمدفعية}
هدوء في [l1 تل أسود]

# story s2 | a square
{protest|احتشد} المئات و{arrest targets=a1|اعتقلت} [a1 سالم حمدان]
"""


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "part.txt"
    path.write_text(INLINE, encoding="utf-8")
    return path


def run(*args):
    return CliRunner().invoke(labels, [str(each) for each in args])


def test_a_clean_file_exits_with_0(corpus):
    result = run("check", corpus)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "0 errors, 0 warnings in 1 files" in result.stderr


def test_errors_exit_with_1_and_are_told_by_line(corpus):
    corpus.write_text(INLINE + "[x1 خطأ]\n", encoding="utf-8")
    result = run("check", corpus)
    assert result.exit_code == 1
    assert result.stdout.startswith(f"{corpus}:7, column 1: error: expected an id such as a1 (ACTOR)")
    assert "1 errors, 0 warnings" in result.stderr


def test_warnings_alone_exit_with_0(corpus):
    corpus.write_text(INLINE + "هدوء في [l1 تل أسود]\n", encoding="utf-8")
    result = run("check", corpus)
    assert result.exit_code == 0
    assert "warning: s2#1 text: the same text as" in result.stdout


def test_findings_as_json(corpus):
    corpus.write_text(INLINE + "[x1 خطأ]\n", encoding="utf-8")
    result = run("check", corpus, "--json")
    (finding,) = [json.loads(line) for line in result.stdout.splitlines()]
    assert (finding["severity"], finding["where"]) == ("error", f"{corpus}:7, column 1")
    assert set(finding) == {"severity", "where", "id", "field", "message", "remedy"}


def test_each_file_is_a_split(corpus, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text(INLINE, encoding="utf-8")
    result = run("check", corpus, other)
    assert result.exit_code == 1
    assert "document 's1' is in split 'part' too" in result.stdout


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("part.pdf", INLINE, "expected a name that ends in .jsonl"),
        ("part.jsonl", "{", "part.jsonl:1: not JSON"),
        ("part.txt", "[a1 نص", "part.txt:1, column 1: expected ]"),
    ],
)
def test_bad_input_exits_with_2_and_no_traceback(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    result = run("stats", path)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert message in result.stderr


def test_a_file_given_twice_or_not_there_exits_with_2(corpus, tmp_path):
    assert run("check", corpus, corpus).exit_code == 2
    assert run("check", tmp_path / "none.jsonl").exit_code == 2
    assert run("check").exit_code == 2


def test_a_schema_of_ones_own(tmp_path):
    schema, path = tmp_path / "mine.toml", tmp_path / "part.txt"
    schema.write_text('[[entity]]\nname = "PER"\n', encoding="utf-8")
    path.write_text("وصل [p1 سالم]\n", encoding="utf-8")
    assert run("check", path, "--schema", schema).exit_code == 0
    assert run("check", path).exit_code == 1
    schema.write_text("colour = 1\n", encoding="utf-8")
    assert run("check", path, "--schema", schema).exit_code == 2


def test_stats_count_by_hand(corpus):
    (stats,) = count_corpus({"part": read_file(corpus, load_schema())[0]}, load_schema())
    record = stats_record(stats)
    assert (record["split"], record["documents"], record["sentences"]) == ("part", 2, 3)
    assert record["without_event"] == pytest.approx(1 / 3)
    assert record["words"] == pytest.approx((7 + 4 + 5) / 3)
    assert record["entities"] == {"ACTOR": 2, "LOCATION": 2}
    assert {name: count for name, count in record["events"].items() if count} == {"shelling": 1, "protest": 1, "arrest": 1}
    assert list(record["events"]) == list(load_schema().event_types)
    assert record["triggers"] == 3
    assert record["roles"] == {"agents": 1, "targets": 1, "locations": 1}


def test_several_splits_have_a_total_and_none_divides_by_nothing():
    one = [Annotation("a", "نص", doc="d"), Annotation("b", "نص", doc="d")]
    found = count_corpus({"one": one, "two": [Annotation("c", "نص قصير")], "none": []}, load_schema())
    assert [(each.split, each.documents, each.sentences) for each in found] == [
        ("one", 1, 2),
        ("two", 1, 1),
        ("none", 0, 0),
        ("total", 2, 3),
    ]
    assert found[2].words == 0


def test_the_table_has_a_column_a_split(corpus):
    result = run("stats", corpus)
    assert result.exit_code == 0
    rows = {line[:20].strip(): line.split()[-1] for line in result.stdout.splitlines()}
    assert rows["sentences"] == "3"
    assert rows["without event"] == "33.3%"
    assert rows["ACTOR"] == "2"
    assert rows["airstrike"] == "0"
    assert json.loads(run("stats", corpus, "--json").stdout)[0]["sentences"] == 3


def test_inline_to_jsonl_and_back(corpus, tmp_path):
    middle, again = tmp_path / "part.jsonl", tmp_path / "again.txt"
    assert run("convert", corpus, middle).exit_code == 0
    assert [each.id for each in read_annotations(middle)] == ["s1#0", "s1#1", "s2#0"]
    result = run("convert", middle, again)
    assert result.exit_code == 0
    assert "lost" not in result.stderr
    assert again.read_text(encoding="utf-8") == INLINE.replace(" | a town", "").replace(" | a square", "")


def test_what_conll_cannot_hold_is_told_with_its_number(corpus, tmp_path):
    target = tmp_path / "part.conll"
    result = run("convert", corpus, target)
    assert result.exit_code == 0
    assert f"{target}: 3 events lost" in result.stderr
    assert "2 document names lost" in result.stderr
    assert "تل\tB-LOCATION\nأسود\tI-LOCATION\n" in target.read_text(encoding="utf-8")


def test_conll_to_inline_numbers_ids_by_label(corpus, tmp_path):
    middle, target = tmp_path / "part.conll", tmp_path / "out.txt"
    run("convert", corpus, middle)
    result = run("convert", middle, target)
    assert result.exit_code == 0
    assert "3 sentences with entity ids numbered anew" in result.stderr
    assert "هدوء في [l1 تل أسود]" in target.read_text(encoding="utf-8")


def test_repairs_and_lost_sources_are_told(tmp_path):
    source, target = tmp_path / "in.data", tmp_path / "out.data"
    source.write_text("جيش I-ACTOR\n", encoding="utf-8")
    assert run("convert", source, target).exit_code == 2  # no form can be guessed
    result = run("convert", source, target, "--from", "conll", "--to", "jsonl")
    assert result.exit_code == 0
    assert "1 I- tags that continued nothing were read as B-" in result.stderr
    record = json.loads(target.read_text(encoding="utf-8"))
    assert record["entities"] == [{"id": "e1", "start": 0, "end": 3, "label": "ACTOR"}]
    sourced = tmp_path / "sourced.jsonl"
    sourced.write_text(json.dumps({"id": "x", "text": "نص", "source": "wire"}), encoding="utf-8")
    assert "1 `source` fields lost" in run("convert", sourced, tmp_path / "sourced.txt").stderr


def test_a_file_is_not_written_over_itself(corpus):
    with pytest.raises(RecordError, match="another file"):
        convert_file(corpus, corpus, load_schema())
    assert corpus.read_text(encoding="utf-8") == INLINE


def test_forms_are_told_by_the_name(tmp_path):
    names = ["a.jsonl", "a.txt", "a.CONLL", "a.bio"]
    assert [guess_format(tmp_path / name).value for name in names] == ["jsonl", "inline", "conll", "conll"]


def test_importing_labels_brings_nothing_heavy():
    code = (
        "import sys, labels.sentences, labels.inline, labels.records, labels.schema, labels.types\n"
        "heavy = {'torch', 'transformers', 'tokenizers', 'bentoml', 'openvino', 'pyarrow', 'pydantic', 'click', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
