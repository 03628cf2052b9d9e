"""The command `marsad score`: files, streams, folders, signals, a full disk, exit codes."""

import gzip
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from serving.batch.cli import score
from serving.batch.progress import Progress, describe
from serving.batch.summary import Summary
from tests.folders import make_folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("model"))


def arguments_of(model, *arguments) -> list[str]:
    return [*map(str, arguments), "--model", str(model.path), "--threads", "1", "--precision", "f32"]


def run(model, *arguments, **options):
    environment = {"MARSAD_MAX_CHARACTERS": None}
    return CliRunner().invoke(score, arguments_of(model, *arguments), catch_exceptions=False, env=environment, **options)


def process(model, *arguments, **options) -> subprocess.Popen:
    command = [sys.executable, "-m", "marsad", "score", *arguments_of(model, *arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_documents(path, documents: int, text: str = "غارة على داعش في الموصل. ") -> None:
    with path.open("w", encoding="utf-8") as handle:
        for number in range(documents):
            handle.write(json.dumps({"id": str(number), "text": text * 3}) + "\n")


def test_the_command(model, tmp_path):
    source, out = tmp_path / "in.csv", tmp_path / "out.jsonl"
    source.write_text("body,url,date\nغارة على داعش,1,2016-06-01\n,,\nفي الموصل,,\n", encoding="utf-8")
    given = ["--text", "body", "--id", "url", "--published", "date", "--also", f"entities={tmp_path / 'entities.tsv'}"]
    done = run(model, source, "-o", out, *given)
    assert done.exit_code == 0, done.output
    assert [(r["id"], [e["text"] for e in r["entities"]]) for r in lines(out)] == [
        ("1", ["داعش"]),
        ("in.csv:3", []),
        ("in.csv:4", ["الموصل"]),
    ]
    assert (tmp_path / "entities.tsv").read_text().splitlines()[1].startswith("1\t2016-06-01\t\ta1\tACTOR\tداعش\t9\t13\t")
    summary = json.loads((tmp_path / "out.jsonl.summary.json").read_text())
    assert (summary["documents"], summary["generated_ids"], summary["errors"]) == (3, 2, {})
    assert (summary["model"], summary["marsad"]["output_schema"]) == (model.id, 1)
    assert summary["entities"] == {"ACTOR": 1, "LOCATION": 1}
    assert summary["stages"]["graph"] > 0
    assert done.stdout == ""
    assert "3 documents" in done.stderr


def test_bad_rows_are_in_quarantine_and_the_exit_code_says_it(model, tmp_path):
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"id": "1", "text": "داعش"}\n{"id": "2"}\n{"id": "3", "text": "' + "ا" * 50 + '"}\n', encoding="utf-8")
    done = run(model, source, "-o", out, "--max-characters", 40)
    assert done.exit_code == 3
    codes = [None, "invalid_document", "text_too_long"]
    assert [record.get("error", {}).get("code") for record in lines(out)] == codes
    quarantine = lines(tmp_path / "out.jsonl.quarantine.jsonl")
    assert [(record["line"], record["id"], record["code"]) for record in quarantine] == [
        (2, "2", "invalid_document"),
        (3, "3", "text_too_long"),
    ]
    assert quarantine[0]["row"] == '{"id": "2"}'
    assert f"2 without an answer are in {out}.quarantine.jsonl" in done.stderr
    again = run(model, source, "-o", out, "--max-characters", 40)
    assert (again.exit_code, "was finished before" in again.stderr) == (3, True)
    few = run(model, source, "-o", tmp_path / "few.jsonl", "--max-characters", 40, "--max-errors", 1, "--part-rows", 1)
    assert (few.exit_code, "stopped at more than 1 errors" in few.stderr) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.jsonl", "-o", "out.jsonl"], "none.jsonl: no such file"),
        (["in.jsonl", "-o", "in.jsonl", "--force"], "in.jsonl: is one of the inputs"),
        (["in.jsonl", "-o", "there.jsonl"], "there.jsonl: exists already"),
        (["in.jsonl", "-o", "out.jsonl", "--also", "events=there.jsonl"], "there.jsonl: exists already"),
        (["in.jsonl", "-o", "out.jsonl", "--also", "answers=out.jsonl"], "out.jsonl: is asked for twice"),
        (["in.jsonl", "-o", "out.jsonl", "--also", "roles=x.csv"], "expected TABLE=FILE with TABLE one of answers, documents"),
        (["in.jsonl", "-o", "none/out.jsonl"], "none/out.jsonl: its folder is not there"),
        (["in.jsonl", "-o", "out.doc"], "cannot tell the format by the name; give --output-format"),
        (["in.jsonl", "-o", "out.jsonl", "--delimiter", "ab"], "expected one character, found 'ab'"),
        (["in.jsonl", "-o", "-", "--restart"], "OUT is -, nothing is kept there"),
        (["in.jsonl", "-o", "-", "--output-format", "parquet"], "standard output takes text only"),
        (["-", "-o", "out/"], "standard input has no name"),
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


def test_a_folder_gets_a_file_for_each_input(model, tmp_path):
    news = tmp_path / "news"
    (news / "2016").mkdir(parents=True)
    (news / "a.jsonl").write_text('{"id": "1", "text": "داعش"}\n{bad\n')
    (news / "2016" / "b.jsonl.gz").write_bytes(gzip.compress(b'{"id": "2", "text": ""}\n'))
    out = tmp_path / "out"
    given = [news, "--input-format", "jsonl", "-o", f"{out}/", "--output-format", "parquet"]
    done = run(model, *given)
    assert done.exit_code == 3, done.stderr
    assert pq.read_table(out / "2016" / "b.parquet")["id"].to_pylist() == ["2"]
    assert pq.read_table(out / "a.parquet")["id"].to_pylist() == ["1", "a.jsonl:2"]
    assert json.loads((out / "summary.json").read_text())["documents"] == 3
    (out / "a.parquet").unlink()
    done = run(model, *given)
    assert "b.parquet: was finished before" in done.stderr
    assert (out / "a.parquet").exists()
    (news / "a.csv").write_text("text\nx\n")
    done = run(model, news / "a.jsonl", news / "a.csv", "-o", f"{out}/")
    assert (done.exit_code, "give them different names" in done.stderr) == (2, True)


def test_from_standard_input_to_standard_output(model):
    given = '{"id": "1", "text": "داعش"}\n[]\n{"id": "1", "text": "في الموصل"}\n'
    done = run(model, "-", "-o", "-", input=given)
    assert done.exit_code == 3
    first, second, third = map(json.loads, done.stdout.splitlines())
    assert [entity["text"] for entity in first["entities"]] == ["داعش"]
    assert second["error"]["message"] == "stdin:2: expected a JSON object, found list"
    assert third["error"]["code"] == "duplicate_id"
    assert json.loads(done.stderr[done.stderr.index("{") :])["documents"] == 3
    table = run(model, "-", "-o", "-", "--table", "entities", "--input-format", "tsv", "--limit", 1, input="text\nداعش\nداعش\n")
    assert [line.split(",")[0] for line in table.stdout.splitlines()] == ["document", "stdin:2"]
    wrong = run(model, "-", "-o", "-", "--input-format", "csv", input="body\nx\n")
    assert (wrong.exit_code, "stdin: no column 'text'; found body" in wrong.stderr) == (2, True)


def test_standard_input_to_a_file_begins_again(model, tmp_path):
    out = tmp_path / "out.jsonl"
    for text in ("one", "two"):
        done = run(model, "-", "-o", out, "--force", input=json.dumps({"id": text, "text": text}))
        assert done.exit_code == 0, done.stderr
        assert [record["id"] for record in lines(out)] == [text]


def test_who_reads_may_stop(model, tmp_path):
    write_documents(tmp_path / "in.jsonl", 2000)
    with process(model, tmp_path / "in.jsonl", "-o", "-") as running:
        assert running.stdout.readline().startswith(b'{"id": "0"')
        running.stdout.close()
        said = running.stderr.read().decode()
        assert running.wait(60) == 0, said
        assert "Traceback" not in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_the_part_and_says_how_to_go_on(model, tmp_path, number):
    out = tmp_path / "out.jsonl"
    write_documents(tmp_path / "in.jsonl", 30_000)
    with process(model, tmp_path / "in.jsonl", "-o", out, "--part-rows", 50) as running:
        wait_for(tmp_path / "out.jsonl.parts" / "000002.0")
        running.send_signal(number)
        said = running.stderr.read().decode()
        assert running.wait(60) == 128 + number, said
    assert "run the same command again to go on" in said
    assert not out.exists()
    parts = lines(tmp_path / "out.jsonl.parts" / "ledger.jsonl")
    assert all(part["rows"] == 50 for part in parts)
    assert f"stopped after {50 * len(parts):,} documents" in said
    assert len(parts) < 600


def test_the_second_signal_ends_it_at_once(model, tmp_path):
    write_documents(tmp_path / "in.jsonl", 30_000)
    with process(model, tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl", "--part-rows", 30_000) as running:
        wait_for(tmp_path / "out.jsonl.parts" / "ids")
        running.send_signal(signal.SIGTERM)
        assert b"once more to stop at once" in running.stderr.readline() + running.stderr.readline()
        running.send_signal(signal.SIGTERM)
        assert running.wait(10) == 143


def wait_for(path) -> None:
    until = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < until, f"{path} does not come"
        time.sleep(0.01)


FULL = """
mount -t tmpfs -o size=256k tmpfs "$1" || exit 99
cp "$2" "$1/in.jsonl"
shift 2
cd "$DISK"
"$@" -o out.jsonl
echo "code $?" >&2
ls >&2
mount -o remount,size=8m "$DISK"
"$@" -o out.jsonl
echo "code $?" >&2
cp out.jsonl* "$KEPT"
"""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare is not installed")
def test_a_full_disk_is_told_and_with_room_it_goes_on(model, tmp_path):
    """On a file system of 256 kB in a mount namespace of its own."""
    write_documents(tmp_path / "in.jsonl", 400)
    assert run(model, tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl").exit_code == 0
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    kept.mkdir()
    scored = [sys.executable, "-m", "marsad", "score", *arguments_of(model, "in.jsonl", "--part-rows", 20)]
    command = ["unshare", "--mount", "--map-root-user", "sh", "-c", FULL, "sh", disk, tmp_path / "in.jsonl", *scored]
    environment = os.environ | {"DISK": str(disk), "KEPT": str(kept), "PYTHONPATH": os.getcwd()}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode == 99 or "unshare:" in done.stderr:  # only what the machine does not let us do
        pytest.skip(f"no file system can be mounted here: {done.stderr[-200:]}")
    first, second = done.stderr.split("code 1\n")
    assert "No space left on device; what was finished is kept: make room and run the same again" in first
    assert second.splitlines()[:2] == ["in.jsonl", "out.jsonl.parts"]
    assert "code 0" in second
    assert "of them in an earlier run" in second
    assert (kept / "out.jsonl").read_bytes() == (tmp_path / "out.jsonl").read_bytes()


def test_progress_says_how_far_and_how_long():
    here = Summary(documents=1200, seconds=10)
    assert describe(Summary(), here, 0.4) == "1,200 documents, 120 a second, 40 % read, 0:15 left"
    before = Summary(documents=600)
    assert describe(before, here, 0.6, 0.2) == "1,800 documents, 120 a second, 60 % read, 0:10 left"
    assert describe(before, Summary(documents=10, seconds=10), 0.2011, 0.2).endswith("20 % read, 2:01:03 left")
    before.errors["unreadable"] = 3
    assert describe(before, here) == "1,800 documents, 120 a second, 3 errors"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_renews_its_line_in_a_terminal_and_is_quiet_elsewhere(monkeypatch, caplog):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    terminal, file = Terminal(), io.StringIO()
    with caplog.at_level("DEBUG"):
        for stream in (terminal, file):
            progress = Progress(stream)
            for seconds in (1, 29, 31, 32, 62):
                now[0] += seconds
                progress(Summary(), Summary(documents=seconds, seconds=seconds), 0.0)
            progress.clear()
    renewed = [f"{seconds} documents, 1 a second, 0 % read" for seconds in (1, 29, 31, 32, 62)]
    assert terminal.getvalue() == "".join(f"\r\x1b[2K{line}" for line in [*renewed, ""])
    assert file.getvalue() == ""
    assert caplog.messages == renewed[1:]
