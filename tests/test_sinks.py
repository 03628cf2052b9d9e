import csv
import gzip
import io
import json
import lzma
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labels.records import failure_record, prediction_record
from labels.schema import load_schema
from labels.types import Document, Entity, Event, Failure, Prediction, Span
from serving.batch.near_duplicates import Mark
from serving.batch.rows import Entry, Row
from serving.batch.sinks import OUTPUT_SCHEMA, STDOUT, Encoder, Sink
from serving.batch.tables import columns_of
from serving.errors import FileError

TEXT = "غارة على داعش في الموصل"
ANSWERS = [
    Prediction(
        "1",
        "m@1",
        TEXT,
        (Span(0, 23),),
        (Entity("a1", "ACTOR", Span(9, 13), 0.91234567, 0), Entity("l1", "LOCATION", Span(17, 23), 0.5, 0)),
        (Event("airstrike", Span(0, 4), {"agents": (), "targets": ("a1",), "locations": ("l1",)}, 0.75, 0),),
        {"airstrike": 0.75},
        ("1 sentence read in windows",),
    ),
    Failure(None, "unreadable", 'in.csv:2: "x", y'),
    Prediction("3", "m@1", "", warnings=("empty text",)),
]
ENTRIES = [
    Entry(Row(Document("1", TEXT, "2016-06-01", "وكالة"), "in.csv", 1), ANSWERS[0]),
    Entry(Row(ANSWERS[1], "in.csv", 2, b'"x",y\n'), ANSWERS[1]),
    Entry(Row(Document("3", ""), "in.csv", 3), ANSWERS[2], Mark("1", 0.91)),
]


def encoder(name: str, content="answers", *, dedup=False) -> Encoder:
    return Encoder(Sink.at(Path(name), content), load_schema(), "m@1", dedup)


def encode(name: str, content="answers", *, dedup=False, first=True) -> bytes:
    return encoder(name, content, dedup=dedup).encode(ENTRIES, first=first)


def table(data: bytes) -> list[dict]:
    return pq.read_table(io.BytesIO(data)).to_pylist()


def records() -> list[dict]:
    return [failure_record(a) if isinstance(a, Failure) else prediction_record(a) for a in ANSWERS]


def test_jsonl_is_what_http_gives():
    data = encode("out.jsonl")
    assert [json.loads(line) for line in data.splitlines()] == records()
    assert "داعش".encode() in data


def test_marks_come_with_dedup_only():
    marked = [json.loads(line) for line in encode("out.jsonl", dedup=True).splitlines()]
    assert [record.pop("duplicate_of") for record in marked] == [None, None, {"id": "1", "similarity": 0.91}]
    assert marked == records()
    assert [row["duplicate_of"] for row in csv.DictReader(io.StringIO(encode("o.csv", dedup=True).decode()))] == [
        "",
        "",
        '{"id": "1", "similarity": 0.91}',
    ]
    assert table(encode("o.parquet", dedup=True))[2]["duplicate_of"] == {"id": "1", "similarity": 0.91}


@pytest.mark.parametrize(("suffix", "unpack"), [(".gz", gzip.decompress), (".xz", lzma.decompress), (".zst", None)])
def test_packed_parts_stand_behind_one_another(suffix, unpack):
    unpack = unpack or (lambda data: pa.CompressedInputStream(pa.BufferReader(data), "zstd").read())
    for name, plain in ((f"out.jsonl{suffix}", "out.jsonl"), (f"out.csv{suffix}", "out.csv")):
        both = encode(name) + encode(name, first=False)
        assert unpack(both) == encode(plain) + encode(plain, first=False)
        assert encode(name) == encode(name)
    assert encoder(f"out.csv{suffix}").encode([], first=False) == b""


def test_csv_holds_json_in_its_cells():
    first, failure, last = csv.DictReader(io.StringIO(encode("out.csv").decode(), newline=""))
    expected = records()
    for row, record in ((first, expected[0]), (last, expected[2])):
        assert (row["id"], row["model"], row["error_code"]) == (record["id"], "m@1", "")
        for name in ("sentences", "entities", "events", "event_types", "warnings"):
            assert json.loads(row[name]) == record[name]
    assert (failure["id"], failure["entities"]) == ("", "")
    assert (failure["error_code"], failure["error_message"]) == ("unreadable", 'in.csv:2: "x", y')


def test_only_the_first_part_of_a_table_has_a_header():
    assert encode("out.csv") == encoder("out.csv").encode([], first=True) + encode("out.csv", first=False)
    assert encode("out.tsv", "events").startswith(b"document\tpublished\tsource\tevent\ttype\t")


def test_parquet_is_nested_and_says_its_version():
    for row, record in zip(table(encode("out.parquet")), records(), strict=True):
        row["event_types"] = None if row["event_types"] is None else dict(row["event_types"])
        assert {name: value for name, value in row.items() if value is not None} == {
            name: value for name, value in record.items() if value is not None
        }
    data = encoder("out.parquet").encode([], first=True)
    schema = pq.read_schema(io.BytesIO(data))
    assert "error" in schema.names
    assert schema.metadata[b"marsad.output_schema"] == str(OUTPUT_SCHEMA).encode()


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.parquet"])
@pytest.mark.parametrize("content", ["documents", "entities", "events"])
@pytest.mark.parametrize("dedup", [True, False])
def test_tables_have_their_columns_in_every_form(name, content, dedup):
    columns = list(columns_of(content, load_schema(), dedup=dedup))
    data = encode(name, content, dedup=dedup)
    if name.endswith("parquet"):
        assert pq.read_schema(io.BytesIO(data)).names == columns
    else:
        assert next(csv.reader(io.StringIO(data.decode()), delimiter="\t" if name.endswith("tsv") else ",")) == columns
    assert ("duplicate_of" in columns) == dedup


def test_a_row_an_entity():
    actor, place = table(encode("t.parquet", "entities"))
    assert actor == {
        "document": "1",
        "published": "2016-06-01",
        "source": "وكالة",
        "entity": "a1",
        "label": "ACTOR",
        "text": "داعش",
        "start": 9,
        "end": 13,
        "sentence": 0,
        "score": 0.9123,
    }
    assert (place["text"], TEXT[place["start"] : place["end"]]) == ("الموصل", "الموصل")


def test_a_row_an_event():
    [event] = table(encode("t.parquet", "events"))
    assert {name: event[name] for name in ("event", "type", "score", "sentence_start", "sentence_end")} == {
        "event": 1,
        "type": "airstrike",
        "score": 0.75,
        "sentence_start": 0,
        "sentence_end": 23,
    }
    assert (event["trigger"], event["trigger_start"], event["trigger_end"]) == ("غارة", 0, 4)
    assert (event["agents"], event["targets"], event["targets_ids"]) == ("", "داعش", "a1")
    assert (event["locations"], event["locations_ids"]) == ("الموصل", "l1")


def test_a_row_a_document_also_without_an_answer():
    first, failure, last = table(encode("t.parquet", "documents", dedup=True))
    assert (first["entities"], first["events"], first["score_airstrike"], first["score_protest"]) == (2, 1, 0.75, None)
    assert (first["characters"], first["warnings"], first["error_code"]) == (23, "1 sentence read in windows", None)
    assert (failure["document"], failure["error_code"], failure["entities"]) == (None, "unreadable", None)
    assert (last["duplicate_of"], last["similarity"]) == ("1", 0.91)


def test_the_quarantine_holds_what_got_no_answer():
    [line] = encode("q.jsonl", "quarantine").splitlines()
    assert json.loads(line) == {
        "file": "in.csv",
        "line": 2,
        "id": None,
        "code": "unreadable",
        "message": 'in.csv:2: "x", y',
        "row": '"x",y',
    }


def test_formats_by_name(tmp_path):
    names = {"a.jsonl": "jsonl", "a.ndjson": "jsonl", "a.CSV": "csv", "a.csv.xz": "csv", "a.tsv.zst": "tsv"}
    names |= {"a.parquet": "parquet", "a.jsonl.gz": "jsonl"}
    assert {name: Sink.at(tmp_path / name).format for name in names} == names
    assert Sink.at(tmp_path / "a.txt", given="csv").format == "csv"
    assert (Sink.at(STDOUT).format, Sink.at(STDOUT, "events").format) == ("jsonl", "csv")
    with pytest.raises(FileError, match="give --output-format, one of jsonl, csv, tsv, parquet"):
        Sink.at(tmp_path / "a.txt")
    for path, given in ((tmp_path / "a.parquet.gz", None), (STDOUT, "parquet")):
        with pytest.raises(FileError, match=r"Parquet is packed already|takes text only"):
            Sink.at(path, given=given)
