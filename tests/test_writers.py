import csv
import gzip
import json

import pyarrow.parquet as pq
import pytest

from labels.records import failure_record, prediction_record
from labels.types import Entity, Event, Failure, Prediction, Span
from serving.batch.writers import open_writer, output_format
from serving.errors import FileError

TEXT = "غارة على داعش في الموصل"
ANSWERS = [
    Prediction(
        "1",
        "m@1",
        TEXT,
        (Span(0, 23),),
        (Entity("a1", "ACTOR", Span(9, 13), 0.91234567, 0), Entity("l1", "LOCATION", Span(17, 23), 0.5, 0)),
        (Event("airstrike", Span(0, 4), {"agents": (), "locations": ("l1",)}, 0.75, 0),),
        {"airstrike": 0.75},
        ("1 sentence read in windows",),
    ),
    Failure(None, "unreadable", 'in.csv:2: "x", y'),
    Prediction("3", "m@1", "", warnings=("empty text",)),
]
ROLES = ("agents", "locations")


def write(path, kind, answers=ANSWERS, **options):
    with open_writer(path, kind, ROLES, **options) as writer:
        for answer in answers:
            writer.write(answer)


def records() -> list[dict]:
    return [failure_record(a) if isinstance(a, Failure) else prediction_record(a) for a in ANSWERS]


def test_jsonl_is_what_http_gives(tmp_path):
    write(tmp_path / "out.jsonl", "jsonl")
    content = (tmp_path / "out.jsonl").read_bytes()
    assert [json.loads(line) for line in content.splitlines()] == records()
    assert "داعش".encode() in content


def test_packed(tmp_path):
    for name in ("out.jsonl.gz", "again.jsonl.gz"):
        write(tmp_path / name, "jsonl")
    packed = (tmp_path / "out.jsonl.gz").read_bytes()
    assert [json.loads(line) for line in gzip.decompress(packed).splitlines()] == records()
    assert packed == (tmp_path / "again.jsonl.gz").read_bytes()


def test_csv_holds_json_in_its_cells(tmp_path):
    write(tmp_path / "out.csv", "csv")
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as handle:
        first, failure, last = csv.DictReader(handle)
    expected = records()
    for row, record in ((first, expected[0]), (last, expected[2])):
        assert (row["id"], row["model"], row["error_code"]) == (record["id"], "m@1", "")
        for name in ("sentences", "entities", "events", "event_types", "warnings"):
            assert json.loads(row[name]) == record[name]
    assert (failure["id"], failure["entities"]) == ("", "")
    assert (failure["error_code"], failure["error_message"]) == ("unreadable", 'in.csv:2: "x", y')


@pytest.mark.parametrize("times", [1, 700], ids=["one row group", "several"])
def test_parquet_is_nested(tmp_path, times):
    write(tmp_path / "out.parquet", "parquet", ANSWERS * times)
    rows = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert len(rows) == 3 * times
    for row, record in zip(rows, records() * times, strict=True):
        row["event_types"] = None if row["event_types"] is None else dict(row["event_types"])
        assert {name: value for name, value in row.items() if value is not None} == {
            name: value for name, value in record.items() if value is not None
        }


def test_parquet_of_nothing_has_its_columns(tmp_path):
    write(tmp_path / "out.parquet", "parquet", [])
    table = pq.read_table(tmp_path / "out.parquet")
    assert (table.num_rows, "error" in table.column_names) == (0, True)


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_nothing_appears_where_a_run_fails(tmp_path, kind):
    out = tmp_path / "out"
    out.write_text("before")

    def answers():
        yield ANSWERS[0]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write(out, kind, answers(), force=True)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("out", "before")]


def test_the_file_appears_at_the_end(tmp_path):
    with open_writer(tmp_path / "out.jsonl", "jsonl", ROLES) as writer:
        writer.write(ANSWERS[0])
        assert not (tmp_path / "out.jsonl").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


def test_a_file_is_not_replaced_unasked(tmp_path):
    out = tmp_path / "out.jsonl"
    out.write_text("before")
    with pytest.raises(FileError, match="exists already; choose another name, or give --force"):
        write(out, "jsonl")
    assert out.read_text() == "before"
    write(out, "jsonl", force=True)
    assert len(out.read_bytes().splitlines()) == 3


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(FileError, match=r"out\.jsonl: cannot be written: No such file or directory"):
        write(tmp_path / "none" / "out.jsonl", "jsonl")


def test_formats_by_name(tmp_path):
    names = {
        "a.jsonl": "jsonl",
        "a.ndjson": "jsonl",
        "a.CSV": "csv",
        "a.csv.xz": "csv",
        "a.parquet": "parquet",
        "a.jsonl.gz": "jsonl",
    }
    assert {name: output_format(tmp_path / name) for name in names} == names
    assert output_format(tmp_path / "a.txt", "csv") == "csv"
    with pytest.raises(FileError, match="give --output-format, one of jsonl, parquet, csv"):
        output_format(tmp_path / "a.txt")
    with pytest.raises(FileError, match=r"Parquet is packed already; leave \.gz off"):
        output_format(tmp_path / "a.parquet.gz")


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(FileError, match=r"out\.jsonl: cannot be written: No space left on device"):
        write(tmp_path / "out.jsonl", "jsonl")
    assert list(tmp_path.iterdir()) == []
