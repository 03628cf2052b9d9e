"""Annotations parted from their text, and joined with it again."""

import json
import lzma

import pytest
from click.testing import CliRunner

from labels.cli import labels
from labels.errors import RecordError
from labels.records import annotation_record, read_jsonl
from labels.stand_off import join, strip
from tests.tiny import gold


@pytest.fixture
def sources(tmp_path):
    """Two sources, one packed, whose documents hold the sentences among others, and the annotated sentences."""
    annotated = [annotation_record(a) | {"source": "one" if i % 2 else "two"} for i, a in enumerate(gold())]
    texts = tmp_path / "texts"
    texts.mkdir()
    for name in ("one", "two"):
        lines = [
            json.dumps({"id": record["doc"], "text": f"\ufeffعنوان 😀\r\n{record['text']} وبعد.\r\n"}, ensure_ascii=False)
            for record in annotated
            if record["source"] == name
        ]
        content = "\n".join([*lines, json.dumps({"id": "other", "text": "نص"})]) + "\n"
        if name == "one":
            (texts / "one.jsonl").write_text(content, encoding="utf-8")
        else:
            (texts / "two.jsonl.xz").write_bytes(lzma.compress(content.encode()))
    file = tmp_path / "annotated.jsonl"
    file.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in annotated), encoding="utf-8")
    return file, texts, annotated


def test_there_and_back(sources, tmp_path):
    file, texts, annotated = sources
    bare = tmp_path / "bare.jsonl"
    result = CliRunner().invoke(labels, ["strip", str(file), "--texts", str(texts), "-o", str(bare)])
    assert result.exit_code == 0, result.output
    whole = tmp_path / "whole.jsonl"
    result = CliRunner().invoke(labels, ["join", str(bare), "--texts", str(texts), "-o", str(whole)])
    assert result.exit_code == 0, result.output
    assert [record for _, record in read_jsonl(whole)] == annotated


def test_what_is_stripped_holds_no_text(sources, tmp_path):
    file, texts, annotated = sources
    records = list(strip(read_jsonl(file), texts))
    assert not any(character.isalpha() and character > "\u0500" for record in records for character in json.dumps(record))
    shown = json.dumps(records, ensure_ascii=False)
    assert not any(word in shown for record in annotated for word in record["text"].split() if not word.isascii())


def test_words_that_a_tool_wrote_beside_offsets_are_stripped_too(sources):
    file, texts, annotated = sources
    records = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    for record in records:
        for entity in record["entities"]:
            entity["text"] = "سر"
    file.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), encoding="utf-8")
    stripped = list(strip(read_jsonl(file), texts))
    assert "سر" not in json.dumps(stripped, ensure_ascii=False)
    assert [r["entities"] for r in stripped] == [r["entities"] for r in annotated]


def test_another_copy_is_refused_sentence_by_sentence(sources, tmp_path):
    file, texts, annotated = sources
    bare = tmp_path / "bare.jsonl"
    bare.write_text("".join(json.dumps(r) + "\n" for r in strip(read_jsonl(file), texts)), encoding="utf-8")
    one = (texts / "one.jsonl").read_text(encoding="utf-8")
    (texts / "one.jsonl").write_text(one.replace("اشتباكات", "اشتباكان"), encoding="utf-8")
    made = join([bare], texts)
    assert [record["id"] for record in made.records] == [r["id"] for r in annotated if "اشتباكات" not in r["text"]]
    [fault] = made.faults
    assert "t1: the text at" in fault
    (texts / "one.jsonl").write_text('{"id": "other", "text": "نص"}\n', encoding="utf-8")
    result = CliRunner().invoke(labels, ["join", str(bare), "--texts", str(texts), "-o", str(tmp_path / "whole.jsonl")])
    assert result.exit_code == 1
    assert "document 'd1' is not in one.jsonl" in result.output
    assert "3 sentences, 3 could not be joined" in result.output


def test_a_source_that_is_not_there_is_named(sources, tmp_path):
    file, texts, _ = sources
    (texts / "one.jsonl").unlink()
    with pytest.raises(RecordError, match=r"annotated\.jsonl:2: source 'one': expected one\.jsonl or one\.jsonl\.xz in"):
        list(strip(read_jsonl(file), texts))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "../one"}, "expected `source` and `doc` as names"),
        ({"doc": None}, "expected `source` and `doc` as names"),
        ({"start": -1}, "expected `start` and `length` as whole numbers"),
        ({"length": "9"}, "expected `start` and `length` as whole numbers"),
    ],
)
def test_a_bad_record_is_named(sources, tmp_path, change, message):
    file, texts, _ = sources
    first, *rest = strip(read_jsonl(file), texts)
    bare = tmp_path / "bare.jsonl"
    bare.write_text("".join(json.dumps(r) + "\n" for r in [*rest, first | change]), encoding="utf-8")
    with pytest.raises(RecordError, match=rf"bare\.jsonl:{len(rest) + 1}: .*{message}"):
        join([bare], texts)


def test_a_sentence_that_its_document_does_not_hold(sources):
    _file, texts, _ = sources
    with pytest.raises(RecordError, match="does not hold this sentence"):
        list(strip([("here:1", {"id": "x", "doc": "d1", "source": "one", "text": "غير موجود"})], texts))
