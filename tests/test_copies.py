"""Near copies of a sentence."""

import json

import pytest
from click.testing import CliRunner

from labels.cli import labels
from labels.copies import Copies
from labels.records import read_jsonl

REPORT = "أعلنت وزارة الدفاع العراقية مقتل 22 مسلحا من تنظيم داعش في عملية أمنية غرب الرمادي"


@pytest.mark.parametrize(
    ("text", "copy"),
    [
        (REPORT, True),
        (REPORT.replace("22", "23"), True),
        (f"وقال مصدر أمس إن {REPORT} بعد معارك استمرت ثلاثة أيام مع قوات أخرى كانت هناك منذ أسبوع", True),
        ("أعلنت وزارة الدفاع العراقية مقتل 22 مسلحا", True),
        ("اعلنت وزاره الدفاع العراقيه مَقتل ٢٢ مسلحا من تنظيم داعش في عمليه امنيه غرب الرمادى", True),
        ("أعلنت وزارة الدفاع العراقية أن طائراتها قصفت مواقع شمال الموصل وجنوبها أمس الأول", False),
        ("في عملية أمنية", False),
        ("الرمادي", False),
        ("", False),
    ],
    ids=[
        "same",
        "a number changed",
        "in a longer one",
        "its beginning",
        "other spelling",
        "same opening",
        "short",
        "one word",
        "empty",
    ],
)
def test_copies_are_known(text: str, copy: bool) -> None:
    assert (text in Copies([REPORT, "جملة أخرى لا شأن لها بهذا"])) is copy


def test_of_no_texts_nothing_is_a_copy() -> None:
    assert REPORT not in Copies([])


def test_a_pool_has_no_copies_of_what_is_measured_on(tmp_path) -> None:
    documents = [
        {"id": "d1", "text": REPORT},
        {"id": "d2", "text": f"{REPORT} أمس."},
        {"id": "d3", "text": "تظاهر مئات العمال في تونس."},
    ]
    (tmp_path / "news.jsonl").write_text("".join(json.dumps(each) + "\n" for each in documents), encoding="utf-8")
    (tmp_path / "test.jsonl").write_text(json.dumps({"id": "d1#0", "doc": "d1", "text": REPORT}) + "\n", encoding="utf-8")
    arguments = ["pool", str(tmp_path / "news.jsonl"), "-o", str(tmp_path / "pool.jsonl")]
    said = CliRunner().invoke(labels, [*arguments, "--exclude", str(tmp_path / "test.jsonl")])
    assert said.exit_code == 0, said.output
    assert [record["doc"] for _, record in read_jsonl(tmp_path / "pool.jsonl")] == ["d3"]
