"""`marsad split`, and that scoring the shards is scoring the whole."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from serving.batch.cli import score
from serving.batch.split import cut_shards, split
from tests.folders import make_folder

GIVEN = [
    '{"id": "a", "text": "داعش", "published": "2016-06-01", "source": "s"}',
    '{"text": "في الموصل"}',
    "{bad",
    '{"id": "a", "text": "غارة"}',
    '{"id": "b", "text": "\\ud800"}',
    '{"id": 7, "text": ""}',
    '{"id": "c"}',
    '{"id": "d", "text": "غارة على داعش"}',
]


@pytest.fixture
def file(tmp_path) -> Path:
    file = tmp_path / "in.jsonl"
    file.write_text("\n".join(GIVEN) + "\n", encoding="utf-8")
    return file


def run(*arguments):
    return CliRunner().invoke(split, [*map(str, arguments)], catch_exceptions=False)


def test_documents_are_cut_in_order_and_bad_rows_listed(file, tmp_path):
    out = tmp_path / "shards"
    done = run(file, "-o", out, "--rows", 2)
    assert done.exit_code == 3
    assert sorted(path.name for path in out.iterdir()) == ["000000.parquet", "000001.parquet", "quarantine.jsonl", "split.json"]
    rows = [row for name in ("000000", "000001") for row in pq.read_table(out / f"{name}.parquet").to_pylist()]
    assert [row["id"] for row in rows] == ["a", "in.jsonl:2", "7", "d"]
    assert rows[0] == {"id": "a", "text": "داعش", "published": "2016-06-01", "source": "s"}
    bad = [json.loads(line) for line in (out / "quarantine.jsonl").read_text().splitlines()]
    assert [(each["line"], each["code"]) for each in bad] == [
        (3, "unreadable"),
        (4, "duplicate_id"),
        (5, "invalid_text"),
        (7, "invalid_document"),
    ]
    assert (bad[0]["file"], bad[0]["row"]) == (str(file), "{bad")
    counts = {"shards": 2, "documents": 4, "generated": 1, "quarantined": 4}
    assert json.loads((out / "split.json").read_text()) == counts == json.loads(done.stderr)


def test_the_answers_are_those_of_the_whole(file, tmp_path):
    good = [line for i, line in enumerate(GIVEN) if i not in {2, 3, 4, 6}]
    file.write_text("\n".join(good * 3) + "\n", encoding="utf-8")
    assert run(file, "-o", tmp_path / "shards", "--rows", 5, "--ids", "any").exit_code == 0
    assert not (tmp_path / "shards" / "quarantine.jsonl").exists()
    model = make_folder(tmp_path / "model")
    rest = ["--model", str(model.path), "--threads", "1", "--precision", "f32", "--ids", "any"]
    whole = [str(file), "-o", str(tmp_path / "whole.jsonl"), *rest]
    parts = [str(tmp_path / "shards"), "--input-format", "parquet", "-o", f"{tmp_path}/out/", *rest]
    for arguments in (whole, parts):
        assert CliRunner().invoke(score, arguments, catch_exceptions=False).exit_code == 0
    scored = b"".join((tmp_path / "out" / f"{shard:06}.jsonl").read_bytes() for shard in range(3))
    assert scored == (tmp_path / "whole.jsonl").read_bytes()


def test_it_is_there_whole_or_not_at_all(file, tmp_path):
    def source():
        yield from ()
        raise KeyboardInterrupt

    out = tmp_path / "new" / "shards"
    with pytest.raises(KeyboardInterrupt):
        cut_shards(source(), out, 2)
    assert list(out.parent.iterdir()) == []
    assert run(file, "-o", out).exit_code == 3
    again = run(file, "-o", out)
    assert (again.exit_code, "exists already" in again.stderr) == (2, True)
    assert run(tmp_path / "none.jsonl", "-o", tmp_path / "other").exit_code == 2


def test_a_disk_that_takes_no_more_is_told(file, tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    done = run(file, "-o", tmp_path / "shards")
    assert (done.exit_code, "cannot be written: No space left on device" in done.stderr) == (1, True)
    assert not (tmp_path / "shards").exists()
