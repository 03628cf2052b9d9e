import base64
import csv
import io
import json
import os
import re
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import serving.batch.packing
import serving.batch.readers
from labels.types import Document, Failure
from serving.batch.columns import Columns
from serving.batch.inputs import PARTS_SUFFIX, find_inputs
from serving.batch.packing import PACKERS
from serving.batch.rows import Row, quarantine_record
from serving.batch.source import Source
from serving.errors import FileError


def read(*paths, input_format=None, **options) -> list[Row]:
    return list(Source(find_inputs(paths, input_format), **options))


def rows(*paths, **options) -> list[Document | Failure]:
    return [row.item for row in read(*paths, **options)]


def told(row) -> tuple[str | None, str, str]:
    assert isinstance(row, Failure), row
    return row.id, row.code, row.message


def test_jsonl(tmp_path):
    file = tmp_path / "in.jsonl"
    whole = '{"id": "1", "text": "قال", "published": "2016-06-01", "source": "وكالة", "lang": "ar"}'
    file.write_bytes(f'\ufeff{whole}\r\n\n{{"id": 7, "text": ""}}'.encode())
    assert rows(file) == [Document("1", "قال", "2016-06-01", "وكالة"), Document("7", "")]


def test_a_line_ends_at_a_line_feed_only(tmp_path):
    file = tmp_path / "in.jsonl"
    file.write_text('{"id": "1", "text": "a\u2028b\u0085c"}\n', encoding="utf-8")
    assert rows(file) == [Document("1", "a\u2028b\u0085c")]


def test_bad_lines_of_jsonl_have_their_place(tmp_path):
    file = tmp_path / "in.jsonl"
    lines = [
        b'{"id": "1", "text": "x"}',
        b"{bad",
        b"[1]",
        b'{"id": "4", "text": "\xff"}',
        b'{"id": "5"}',
        b'{"id": 1.5, "text": ""}',
    ]
    lines += [b'{"id": "7", "text": "x", "source": 1}', b"[" * 100_000, b'{"id": "9", "text": "x"}']
    file.write_bytes(b"\n".join(lines))
    found = rows(file)
    assert [row.id for row in found] == ["1", *(f"in.jsonl:{n}" for n in (2, 3, 4)), "5", "in.jsonl:6", "7", "in.jsonl:8", "9"]
    assert told(found[1])[1:] == (
        "unreadable",
        f"{file}:2: not JSON: Expecting property name enclosed in double quotes at column 2",
    )
    assert told(found[2])[1:] == ("unreadable", f"{file}:3: expected a JSON object, found list")
    assert told(found[3])[1:] == ("unreadable", f"{file}:4: not UTF-8: invalid start byte at byte 21")
    assert told(found[4])[1:] == ("invalid_document", f"{file}:5: field 'text': expected a string, found nothing")
    assert told(found[5])[1:] == ("invalid_document", f"{file}:6: field 'id': expected a string, found 1.5")
    assert told(found[6])[1:] == ("invalid_document", f"{file}:7: field 'source': expected a string or null, found 1")
    assert told(found[7])[1:] == ("unreadable", f"{file}:8: not JSON: too deep or long")


@pytest.mark.parametrize("suffix", PACKERS)
def test_packed_files(tmp_path, suffix):
    content = "".join(json.dumps({"id": str(i), "text": "قال"}) + "\n" for i in range(1000)).encode()
    file = tmp_path / f"in.jsonl{suffix}"
    half = content.index(b"\n", len(content) // 2) + 1
    file.write_bytes(PACKERS[suffix](content[:half]) + PACKERS[suffix](content[half:]))  # one behind the other
    assert [row.id for row in rows(file)] == [str(i) for i in range(1000)]


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_packed_file_that_breaks_off_is_told_and_the_next_is_read(tmp_path, suffix):
    content = "".join(json.dumps({"id": str(i), "text": "ق" * (i * 7919 % 50)}) + "\n" for i in range(5000)).encode()
    file = tmp_path / f"in.jsonl{suffix}"
    file.write_bytes(PACKERS[suffix](content)[:-40])
    other = tmp_path / "other.jsonl"
    other.write_text('{"id": "last", "text": ""}\n')
    found = rows(file, other)
    assert [row.id for row in found if isinstance(row, Document)][-1] == "last"
    [broken] = [row for row in found if isinstance(row, Failure) and row.id is None]
    assert f"{file}: cannot be read further" in broken.message


def test_csv(tmp_path):
    file = tmp_path / "in.csv"
    file.write_bytes('\ufeffid,text,published,more\r\n1,"قال, «""نعم""»\nسطر ثان",2016-06-01,x\r\n\r\n2,,,\r\n'.encode())
    assert rows(file) == [Document("1", 'قال, «"نعم"»\nسطر ثان', "2016-06-01"), Document("2", "")]


def test_bad_rows_of_csv_have_their_place(tmp_path):
    file = tmp_path / "in.csv"
    file.write_bytes(b'id,text\n1,ok\n2\n3,\xff\n4,"a"b\n5,"two\nlines"\n6,x,y\n7,ok\n8,"never closed\n9,lost\n')
    found = rows(file)
    assert [row.id for row in found] == ["1", "in.csv:3", "in.csv:4", "in.csv:5", "5", "in.csv:8", "7", "in.csv:10"]
    assert [row.message.removeprefix(f"{file}:") for row in found if isinstance(row, Failure)] == [
        "3: expected 2 fields, found 1",
        "4: field 'text': not UTF-8",
        "5: not CSV: ',' expected after '\"'",
        "8: expected 2 fields, found 3",
        "10: not CSV: unexpected end of data (lines 10 to 11)",
    ]


def test_columns_and_delimiter(tmp_path):
    file = tmp_path / "in.csv"
    file.write_text("رقم;نص\n1;قال\n", encoding="utf-8")
    assert rows(file, columns=Columns(id="رقم", text="نص"), delimiter=";") == [Document("1", "قال")]
    tabbed = tmp_path / "in.tsv"
    tabbed.write_text("id\ttext\n1\tقال, نعم\n", encoding="utf-8")
    assert rows(tabbed) == [Document("1", "قال, نعم")]


def test_a_field_of_any_length(tmp_path):
    file = tmp_path / "in.csv"
    file.write_text("id,text\n1," + "x" * 500_000 + "\n")
    assert len(rows(file)[0].text) == 500_000


def test_ids_that_are_not_there_are_made_up_and_counted(tmp_path):
    file = tmp_path / "in.csv"
    file.write_text("text,id\na,1\nb,\nc,3\n")
    lines = tmp_path / "in.jsonl"
    lines.write_text('{"text": "d"}\n{"text": "e", "id": null}\n')
    found = read(file, lines)
    assert [row.item.id for row in found] == ["1", "in.csv:3", "3", "in.jsonl:1", "in.jsonl:2"]
    assert [row.generated for row in found] == [False, True, False, True, True]


def test_parquet(tmp_path):
    file = tmp_path / "in.parquet"
    table = pa.table(
        {
            "id": pa.array([1, 2, None], pa.int64()),
            "text": ["قال", None, "نعم"],
            "published": [date(2016, 6, 1), None, None],
            "lang": ["ar"] * 3,
        }
    )
    pq.write_table(table, file, row_group_size=2)
    first, second, third = rows(file)
    assert first == Document("1", "قال", "2016-06-01")
    assert told(second) == ("2", "invalid_document", f"{file}:2: field 'text': expected a string, found nothing")
    assert third == Document("in.parquet:3", "نعم")


def test_parquet_with_bytes_that_are_no_text(tmp_path):
    file = tmp_path / "in.parquet"
    bad = pa.Array.from_buffers(pa.string(), 2, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0"), pa.py_buffer(b"\xffa")])
    pq.write_table(pa.table({"id": ["1", "2"], "text": bad}), file)
    first, second = rows(file)
    assert told(first)[1:] == ("unreadable", f"{file}:1: not UTF-8: invalid start byte at byte 0")
    assert second == Document("2", "a")


def test_parquet_with_times_that_python_cannot_hold(tmp_path):
    file = tmp_path / "in.parquet"
    far = pa.array([2**62, 0, 7], pa.int64()).cast(pa.timestamp("us"))
    pq.write_table(pa.table({"id": ["1", "2", "3"], "text": ["a", "b", "c"], "published": far}), file)
    first, second, third = rows(file)
    assert told(first)[1] == "unreadable"
    assert told(first)[2].startswith(f"{file}:1: a value that Python cannot hold: ")
    assert second.id == "2"
    assert third.text == "c"


def test_a_folder_of_texts(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "b.txt").write_bytes("\ufeffقال\r\nنعم".encode())
    (tmp_path / "sub" / "a.txt").write_bytes(b"\xfe\xff")
    (tmp_path / "a.md").write_text("no")
    first, second = rows(tmp_path)
    assert first == Document("b.txt", "قال\r\nنعم")
    assert told(second) == ("sub/a.txt", "unreadable", f"{tmp_path}/sub/a.txt: not UTF-8: invalid start byte at byte 0")


def test_a_pattern(tmp_path):
    for name in ("2.txt", "1.txt", "3.jsonl"):
        (tmp_path / name).write_text("")
    assert [row.id for row in rows(f"{tmp_path}/*.txt")] == [f"{tmp_path}/1.txt", f"{tmp_path}/2.txt"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("in.csv", b"id,body\n1,x\n", "no column 'text'; found id, body; name the right one with --text"),
        ("in.csv", b"", "no column 'text'; found none"),
        ("in.parquet", b"not", "cannot be read: "),
        ("in.csv.gz", b"not", "cannot be read: Not a gzipped file"),
        ("in.doc", b"", "cannot tell the format by the name; give --input-format, one of jsonl, csv, tsv, parquet, txt"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_at_the_start(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileError) as raised:
        read(tmp_path / name)
    assert str(raised.value).startswith(f"{tmp_path / name}: {message}")


def test_what_is_not_there_is_told(tmp_path):
    with pytest.raises(FileError, match=r"none\.jsonl: no such file"):
        read(tmp_path / "none.jsonl")
    with pytest.raises(FileError, match=r"no \.txt file in this folder"):
        read(tmp_path)


def test_share_grows_to_one(tmp_path):
    names = []
    for name in "ab":
        names.append(tmp_path / f"{name}.jsonl")
        names[-1].write_text('{"id": "1", "text": "x"}\n' * 50_000)
    source = Source(find_inputs(names))
    shares = [source.share for _ in source]
    assert shares == sorted(shares)
    assert 0 < shares[0] < 0.3
    assert 0.4 < shares[50_000] < 0.7
    assert source.share == 1


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), max_size=20)


@given(st.lists(st.tuples(st.integers(0, 99), texts), max_size=5))
def test_any_text_comes_through_csv_and_jsonl_alike(tmp_path_factory, items):
    folder = tmp_path_factory.mktemp("texts")
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([("id", "text"), *items])
    (folder / "in.csv").write_bytes(table.getvalue().encode())
    (folder / "in.jsonl").write_text("".join(json.dumps({"id": i, "text": text}) + "\n" for i, text in items))
    expected = [Document(str(i), text) for i, text in items]
    assert rows(folder / "in.csv") == expected
    assert rows(folder / "in.jsonl") == expected


def test_a_bad_row_is_kept_as_it_was_found(tmp_path):
    lines = tmp_path / "in.jsonl"
    lines.write_bytes(b'{"id": "1"}\r\n{"text": "\xff"}\n')
    table = tmp_path / "in.csv"
    table.write_bytes(b'id,text\n1,"a"b\n2\n')
    pq.write_table(pa.table({"id": ["1"], "text": [None], "more": ["x"]}), tmp_path / "in.parquet")
    bad = [row for row in read(lines, table, tmp_path / "in.parquet") if isinstance(row.item, Failure)]
    kept = [quarantine_record(row, row.item) for row in bad]
    assert [(record["file"].removeprefix(f"{tmp_path}/"), record["line"]) for record in kept] == [
        ("in.jsonl", 1),
        ("in.jsonl", 2),
        ("in.csv", 2),
        ("in.csv", 3),
        ("in.parquet", 1),
    ]
    assert kept[0]["row"] == '{"id": "1"}'
    assert base64.b64decode(kept[1]["row_base64"]) == b'{"text": "\xff"}'
    assert [record["row"] for record in kept[2:]] == ['1,"a"b', "2", {"id": "1", "text": None}]
    json.dumps(kept, allow_nan=False)


def test_a_line_without_end_is_not_held(tmp_path, monkeypatch):
    for module in (serving.batch.packing, serving.batch.readers):
        monkeypatch.setattr(module, "MAX_LINE_BYTES", 1000)
    file = tmp_path / "in.jsonl"
    line = b'{"id": "1", "text": "%s"}\n'
    file.write_bytes(line % (b"x" * 5000) + line % b"ok" + line % (b"y" * 900))
    long, ok, fits = read(file)
    assert told(long.item)[1:] == ("unreadable", f"{file}:1: a line of more than 1000 bytes")
    assert len(long.raw) == 1001
    assert (ok.item.text, len(fits.item.text)) == ("ok", 900)


def test_a_quotation_mark_left_open_does_not_take_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(serving.batch.readers, "MAX_LINE_BYTES", 1000)
    file = tmp_path / "in.csv"
    file.write_text('id,text\n1,"open\n' + "".join(f"{i},x\n" for i in range(2, 1000)))
    bad, *others = rows(file)
    assert "field larger than field limit (1000) (lines 2 to " in told(bad)[2]
    assert others[-1] == Document("999", "x")
    assert len(others) > 500
    csv.field_size_limit(131072)


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("text", [1, 2], "column 'text': expected text, found int64"),
        ("text", [b"x"], "column 'text': expected text, found binary"),
        ("id", [1.5], "column 'id': expected text or whole numbers, found double"),
        ("published", [7], "column 'published': expected text or dates, found int64"),
        ("source", [True], "column 'source': expected text, found bool"),
    ],
)
def test_parquet_of_another_type_is_told_at_the_start(tmp_path, column, values, message):
    others = {"text": ["x"] * len(values)} if column != "text" else {}
    pq.write_table(pa.table({column: values} | others), tmp_path / "in.parquet")
    with pytest.raises(FileError, match=re.escape(f"in.parquet: {message}")):
        read(tmp_path / "in.parquet")


def test_parquet_texts_may_be_in_a_dictionary(tmp_path):
    pq.write_table(pa.table({"text": pa.array(["x", "y", "x"]).dictionary_encode()}), tmp_path / "in.parquet")
    assert [row.text for row in rows(tmp_path / "in.parquet")] == ["x", "y", "x"]


def test_files_of_one_name_and_files_named_twice(tmp_path):
    for folder in "ab":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "in.jsonl").write_text('{"text": ""}\n')
    names = [tmp_path / folder / "in.jsonl" for folder in "ab"]
    assert [row.id for row in rows(*names)] == [f"{name}:1" for name in names]
    with pytest.raises(FileError, match="is named twice"):
        read(names[0], tmp_path / "a" / ".." / "a" / "in.jsonl")


def test_a_folder_is_read_without_unfinished_outputs_in_it(tmp_path):
    (tmp_path / f"out.jsonl{PARTS_SUFFIX}").mkdir()
    for name in ("in.jsonl.zst", f"out.jsonl{PARTS_SUFFIX}/job.jsonl"):
        (tmp_path / name).write_bytes(PACKERS[".zst"](b'{"id": "1", "text": ""}\n'))
    assert [row.where.removeprefix(f"{tmp_path}/") for row in read(tmp_path, input_format="jsonl")] == ["in.jsonl.zst:1"]


def test_a_pipe_is_not_read_twice(tmp_path):
    os.mkfifo(tmp_path / "in.jsonl")
    with pytest.raises(FileError, match="can be read once only; give it as standard input"):
        read(tmp_path / "in.jsonl")
