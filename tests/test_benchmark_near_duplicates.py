import json

from benchmarks.near_duplicates import comparable, exact_marks, main, similarity
from tests.test_near_duplicates import OTHER, REPORT


def sets(*texts):
    return {place: comparable(text) for place, text in enumerate(texts)}


def test_the_exact_rule():
    changed = REPORT.replace("ساعتين", "ثلاث ساعات")
    near = similarity(comparable(REPORT), comparable(changed))
    texts = sets(REPORT, OTHER, changed, "نعم", "نعم!", "", "")
    assert exact_marks(texts, near) == {2, 4}
    assert exact_marks(texts, near + 1e-9) == {4}


def test_a_marked_document_is_nobodys_original():
    """The third is near to the second only, which is a copy of the first."""
    words = [f"كلمة{n}" for n in range(60)]
    second, third = [*words[2:], "أ", "ب"], [*words[4:], "أ", "ب", "ت", "ث"]
    assert exact_marks(sets(*(" ".join(each) for each in (words, second, third))), 0.9) == {1}


def test_files_are_measured(tmp_path, capsys):
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    one.write_text("".join(json.dumps({"text": text}) + "\n" for text in (REPORT, OTHER, REPORT)) + "{\n", encoding="utf-8")
    two.write_text(json.dumps({"text": OTHER}), encoding="utf-8")
    assert main([str(one), str(two), "--limit", "9", "--json", str(tmp_path / "out.json")]) == 0
    report = capsys.readouterr().out
    assert report.startswith("## Near-duplicates\n")
    assert "\n| one | 3 | 33.3 % |" in report
    assert "| 100.0 % of 1 | 0.0 % of 1 | 100.0 % of 1 |\n| two | 1 | 0.0 % |" in report
    assert "1 rows could not be read" in report
    record = json.loads((tmp_path / "out.json").read_text())
    assert [each["marked"] for each in record["files"]] == [1, 0]
    assert record["settings"] == {"threshold": 0.8, "limit": 9, "sample": 2000, "window": 5000, "seed": 1}


def test_a_file_without_documents_is_an_error(tmp_path, capsys):
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    assert main([str(empty)]) == 2
    assert capsys.readouterr().err == f"benchmarks.near_duplicates: {empty}: expected at least one document, found none\n"
