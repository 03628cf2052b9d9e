"""A run in parts: gone on with, refused, stopped, finished."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from labels.types import Document, Failure
from serving.analyzer import Analyzer
from serving.batch.inputs import find_inputs
from serving.batch.job import Request
from serving.batch.ledger import open_ledger, parts_folder
from serving.batch.run import run_job
from serving.batch.shards import shards_of
from serving.batch.sinks import GROUP_ROWS, Sink
from serving.batch.stages import StageTimes
from serving.engine import Engine
from serving.errors import FileError, WriteError
from tests.folders import make_folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def stages() -> StageTimes:
    return StageTimes()


@pytest.fixture(scope="module")
def analyzer(model, stages) -> Analyzer:
    return Analyzer(Engine(model, threads=1, precision="f32"), watch=stages)


@pytest.fixture
def request_(tmp_path) -> Request:
    return make_request(tmp_path)


def make_request(folder, documents: int = 50, **options) -> Request:
    file = folder / "in.jsonl"
    lines = [json.dumps({"id": str(i), "text": "غارة على داعش. " * (i % 5)}) for i in range(documents)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Request(find_inputs([file]), [Sink.at(folder / "out.jsonl")], **{"part_rows": 8} | options)


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def after(parts: int):
    """Asks to stop after so many parts."""
    left = iter([False] * parts)
    return lambda: next(left, True)


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_it_goes_on_where_it_was_stopped(request_, analyzer, stages, tmp_path):
    stopped = run_job(request_, analyzer, stages, asked=after(3))
    assert (stopped.state, stopped.summary.documents) == ("stopped", 24)
    assert not (tmp_path / "out.jsonl").exists()
    told = []
    done = run_job(request_, analyzer, stages, told=lambda before, here, share: told.append((before, here.documents, share)))
    assert (done.state, done.resumed, done.summary.documents) == ("done", 24, 50)
    assert [here for _, here, _ in told] == list(range(1, 27))
    assert told[0][0].documents == 24
    assert told[-1][2] == 1
    assert [record["id"] for record in lines(tmp_path / "out.jsonl")] == [str(i) for i in range(50)]
    assert names(tmp_path) == ["in.jsonl", "out.jsonl", "out.jsonl.summary.json"]
    whole = tmp_path / "whole"
    whole.mkdir()
    again = replace(request_, sinks=[Sink.at(whole / "out.jsonl")])
    assert run_job(again, analyzer, stages).summary.events == done.summary.events
    assert (whole / "out.jsonl").read_bytes() == (tmp_path / "out.jsonl").read_bytes()


def test_asked_before_it_began_it_does_nothing(request_, analyzer, stages):
    assert run_job(request_, analyzer, stages, asked=lambda: True).summary.documents == 0


def test_what_is_finished_is_not_done_again(request_, analyzer, stages, tmp_path):
    first = run_job(request_, analyzer, stages)
    stamp = (tmp_path / "out.jsonl").stat().st_mtime_ns
    again = run_job(request_, analyzer, stages)
    assert (again.state, again.already) == ("done", True)
    assert again.summary.record() == first.summary.record()
    assert (tmp_path / "out.jsonl").stat().st_mtime_ns == stamp
    with (tmp_path / "out.jsonl").open("a") as handle:
        handle.write("touched\n")
    with pytest.raises(FileError, match="exists already"):  # not what the run left there
        run_job(request_, analyzer, stages)
    assert not run_job(replace(request_, force=True), analyzer, stages).already
    assert len(lines(tmp_path / "out.jsonl")) == 50


def test_what_is_finished_is_known_where_tables_lie_elsewhere(request_, analyzer, stages, tmp_path):
    (tmp_path / "tables").mkdir()
    request = replace(request_, sinks=[*request_.sinks, Sink.at(tmp_path / "tables" / "out.jsonl", "events")])
    run_job(request, analyzer, stages)
    assert run_job(request, analyzer, stages).already
    (tmp_path / "tables" / "out.jsonl").unlink()
    with pytest.raises(FileError, match="exists already"):
        run_job(request, analyzer, stages)


def test_another_job_is_refused_and_says_what_changed(request_, analyzer, stages, model, tmp_path):
    run_job(request_, analyzer, stages, asked=after(2))
    stricter = Analyzer(analyzer.engine, thresholds={"airstrike": 0.9})
    other_model = make_folder(tmp_path / "m", name="other")
    changed = [
        (replace(request_, limit=30), analyzer, "options: limit was not set, is 30"),
        (replace(request_, ids="any"), analyzer, "options: ids was unique, is any"),
        (request_, stricter, "options: thresholds: airstrike was 0.5, is 0.9"),
        (request_, Analyzer(Engine(other_model, precision="f32")), f"model: id was {model.id}, is {other_model.id}"),
    ]
    for asked, reader, message in changed:
        with pytest.raises(FileError, match=f"{message}.*--restart"):
            run_job(asked, reader, stages)
    (tmp_path / "in.jsonl").write_text('{"id": "1", "text": "x"}\n')
    with pytest.raises(FileError, match=r"input: in\.jsonl: bytes was \d+, is 25; input: in\.jsonl: sha256 was .*--restart"):
        run_job(request_, analyzer, stages)
    done = run_job(replace(request_, restart=True), analyzer, stages)
    assert (done.resumed, done.summary.documents) == (0, 1)


def test_an_input_that_changes_meanwhile_is_told(request_, analyzer, stages, tmp_path):
    def told(_, here, __):
        if here.documents == 20:
            with (tmp_path / "in.jsonl").open("a") as handle:
                handle.write('{"id": "late", "text": "x"}\n')

    with pytest.raises(FileError, match=r"in\.jsonl: was changed while it was read"):
        run_job(request_, analyzer, stages, told=told)
    assert not (tmp_path / "out.jsonl").exists()


def test_two_runs_at_one_output_are_one_too_many(request_, analyzer, stages, tmp_path):
    with open_ledger(request_.output, {}), pytest.raises(FileError, match=r"is in use by process \d+ on "):
        run_job(request_, analyzer, stages)
    hold = "import sys; from pathlib import Path; from serving.batch.ledger import open_ledger\n"
    hold += "with open_ledger(Path(sys.argv[1]), {}): print(1, flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(request_.output)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "1\n"
        with pytest.raises(FileError, match=f"is in use by process {other.pid} on "):
            run_job(request_, analyzer, stages)
        other.kill()
    (parts_folder(request_.output) / "job.json").unlink()
    assert run_job(request_, analyzer, stages).state == "done"  # a lock dies with its holder


def test_where_locks_do_not_hold_the_ledger_tells_of_another_run(request_, analyzer, stages, tmp_path):
    def told(_, here, __):
        if here.documents == 12:
            ledger = parts_folder(request_.output) / "ledger.jsonl"
            ledger.write_bytes(ledger.read_bytes() * 2)

    with pytest.raises(FileError, match="another run writes there too"):
        run_job(request_, analyzer, stages, told=told)
    assert not (tmp_path / "out.jsonl").exists()


def test_a_torn_line_of_the_ledger_is_a_part_that_does_not_count(request_, analyzer, stages, tmp_path):
    run_job(request_, analyzer, stages, asked=after(3))
    ledger = parts_folder(request_.output) / "ledger.jsonl"
    whole = ledger.read_bytes()
    for torn in (whole[:-1], whole[:-30], whole[: whole.index(b"\n") + 1] + b"\0" * 100, b""):
        ledger.write_bytes(torn)
        assert run_job(request_, analyzer, stages, asked=lambda: True).resumed == 8 * torn.count(b"\n")
    ledger.write_bytes(whole[:-1])
    assert run_job(request_, analyzer, stages).summary.documents == 50
    assert len(lines(tmp_path / "out.jsonl")) == 50


def test_a_damaged_part_is_told(request_, analyzer, stages, tmp_path):
    run_job(request_, analyzer, stages, asked=after(3))
    part = parts_folder(request_.output) / "000001.0"
    part.write_bytes(part.read_bytes().replace(b"0", b"1"))
    with pytest.raises(FileError, match=r"000001\.0: is not what the run wrote there; begin again with --restart"):
        run_job(request_, analyzer, stages)
    assert not (tmp_path / "out.jsonl").exists()
    part.unlink()
    with pytest.raises(FileError, match=r"000001\.0: cannot be read"):
        run_job(request_, analyzer, stages)
    assert run_job(replace(request_, restart=True), analyzer, stages).state == "done"


def test_ids_that_stood_before_across_a_stop(analyzer, stages, tmp_path):
    request = make_request(tmp_path)
    text = (tmp_path / "in.jsonl").read_text().splitlines()
    text[40] = text[3]
    text[41] = '{"text": "no id"}'
    (tmp_path / "in.jsonl").write_text("\n".join(text) + "\n")
    run_job(request, analyzer, stages, asked=after(2))
    done = run_job(request, analyzer, stages)
    assert dict(done.summary.errors) == {"duplicate_id": 1}
    assert done.summary.generated_ids == 1
    [bad] = lines(tmp_path / "out.jsonl.quarantine.jsonl")
    file = tmp_path / "in.jsonl"
    assert bad["message"] == f"{file}:41: id '3' stands at {file}:4 already; --ids any lets ids stand again"
    assert (bad["row"]["id"], bad["line"]) == ("3", 41)
    assert lines(tmp_path / "out.jsonl")[40] == {"id": "3", "error": {"code": "duplicate_id", "message": bad["message"]}}
    kinds = {"any": {}, "required": {"duplicate_id": 1, "missing_id": 1}}
    for rule, errors in kinds.items():
        outcome = run_job(replace(request, ids=rule, restart=True, force=True), analyzer, stages)
        assert dict(outcome.summary.errors) == errors
    assert (tmp_path / "out.jsonl.quarantine.jsonl").exists()
    run_job(replace(request, ids="any", force=True), analyzer, stages)
    assert not (tmp_path / "out.jsonl.quarantine.jsonl").exists()  # that of the output before


def test_near_copies_are_marked_across_a_stop(analyzer, stages, tmp_path):
    news = [
        f"شنت طائرات غارة على داعش في مدينة الموصل رقم {n} ثم قال الجيش الليبي في بنغازي إن تظاهرة قرب مدينة سرت رقم {n * 7}"
        f" انتهت مساء الأحد من دون إصابات بحسب شهود عيان تحدثوا إلى مراسلين في المكان نفسه عام {n * 11}"
        for n in range(20)
    ]
    texts = [*news, f"عاجل: {news[3]}", news[3], news[5]]
    file = tmp_path / "in.jsonl"
    file.write_text("".join(json.dumps({"id": f"d{i}", "text": text}) + "\n" for i, text in enumerate(texts)))
    sinks = [Sink.at(tmp_path / "out.jsonl"), Sink.at(tmp_path / "ev.csv", "documents")]
    request = Request(find_inputs([file]), sinks, dedup=0.8, part_rows=4)
    run_job(request, analyzer, stages, asked=after(3))
    done = run_job(request, analyzer, stages)
    marks = {record["id"]: record["duplicate_of"] for record in lines(tmp_path / "out.jsonl")}
    assert {key: mark["id"] for key, mark in marks.items() if mark} == {"d20": "d3", "d21": "d3", "d22": "d5"}
    assert marks["d22"]["similarity"] == 1
    assert done.summary.duplicates == 3
    assert (tmp_path / "ev.csv").read_text().splitlines()[-1].endswith(",d5,1.0")


def test_too_many_errors_stop_it_and_more_let_it_go_on(request_, analyzer, stages, tmp_path):
    text = (tmp_path / "in.jsonl").read_text().splitlines()
    (tmp_path / "in.jsonl").write_text("\n".join("{" if i % 10 == 0 else line for i, line in enumerate(text)) + "\n")
    stopped = run_job(replace(request_, max_errors=1), analyzer, stages)
    assert (stopped.state, stopped.summary.failed) == ("failed", 2)
    assert [record["line"] for record in lines(tmp_path / "out.jsonl.quarantine.jsonl")] == [1, 11]
    assert run_job(replace(request_, max_errors=1), analyzer, stages).summary.documents == stopped.summary.documents
    done = run_job(replace(request_, max_errors=5), analyzer, stages)
    assert (done.state, done.summary.failed, done.resumed) == ("done", 5, 16)
    assert [record["line"] for record in lines(tmp_path / "out.jsonl.quarantine.jsonl")] == [1, 11, 21, 31, 41]


def test_too_many_errors_in_the_last_part_stop_it_too(request_, analyzer, stages, tmp_path):
    (tmp_path / "in.jsonl").write_text('{"id": "1", "text": "قال"}\n{\n{\n', encoding="utf-8")
    stopped = run_job(replace(request_, max_errors=1), analyzer, stages)
    assert (stopped.state, stopped.summary.failed) == ("failed", 2)
    assert not request_.output.exists()
    assert [record["line"] for record in lines(tmp_path / "out.jsonl.quarantine.jsonl")] == [2, 3]
    assert run_job(replace(request_, max_errors=1), analyzer, stages).state == "failed"
    done = run_job(replace(request_, max_errors=2), analyzer, stages)
    assert (done.state, done.resumed) == ("done", 3)
    assert len(lines(request_.output)) == 3


def test_files_in_another_order_are_another_job(request_, analyzer, stages, tmp_path):
    (tmp_path / "other.jsonl").write_text('{"id": "x", "text": "قال"}\n' * 30, encoding="utf-8")
    first, second = find_inputs([tmp_path / "in.jsonl"]), find_inputs([tmp_path / "other.jsonl"])
    request = replace(request_, files=[*first, *second], ids="any")
    run_job(request, analyzer, stages, asked=after(2))
    with pytest.raises(FileError, match="unfinished parts are of another job: options: order was"):
        run_job(replace(request, files=[*second, *first]), analyzer, stages)
    assert run_job(request, analyzer, stages).state == "done"


def test_an_input_is_not_replaced_by_what_stands_beside_the_output(request_, analyzer, stages, tmp_path):
    kept = tmp_path / "out.jsonl.quarantine.jsonl"
    (tmp_path / "in.jsonl").rename(kept)
    with pytest.raises(FileError, match=r"quarantine\.jsonl: is one of the inputs"):
        run_job(replace(request_, files=find_inputs([kept]), force=True), analyzer, stages)
    assert len(lines(kept)) == 50


def test_a_file_whose_name_is_no_text(analyzer, stages, tmp_path):
    folder = tmp_path / "old"
    folder.mkdir()
    for name, content in ((b"\xce\xc8\xd1.txt", "قال داعش"), (b"\xd1.txt", b"\xff"), (b"b.txt", "نعم")):
        (folder / os.fsdecode(name)).write_bytes(content if isinstance(content, bytes) else content.encode())
    request = Request(find_inputs([folder]), [Sink.at(tmp_path / "out.jsonl")])
    assert run_job(request, analyzer, stages).state == "done"
    assert {record["id"] for record in lines(request.output)} == {"\\xce\\xc8\\xd1.txt", "\\xd1.txt", "b.txt"}
    [bad] = lines(tmp_path / "out.jsonl.quarantine.jsonl")
    assert bad["file"].endswith("\\xd1.txt")


def test_no_name_leads_out_of_the_folder_of_answers(request_, monkeypatch, tmp_path):
    for folder in ("here", "data/deep"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "in.jsonl").rename(tmp_path / "data" / "deep" / "in.jsonl.jsonl")
    monkeypatch.chdir(tmp_path / "here")
    request = replace(request_, files=find_inputs(["../data/*/*.jsonl"]))
    [shard] = shards_of(request, Path("answers"), "answers", "jsonl")
    assert shard.output == Path("answers/data/deep/in.jsonl.jsonl")
    [shard] = shards_of(
        replace(request, files=find_inputs([f"/{tmp_path}/data/*/*.jsonl"])), Path("answers"), "answers", "jsonl"
    )
    assert shard.output == Path(f"answers{tmp_path}/data/deep/in.jsonl.jsonl")


def test_a_part_is_full_by_characters_too(request_, analyzer, stages):
    run_job(replace(request_, part_characters=100), analyzer, stages, asked=after(4))
    parts = lines(parts_folder(request_.output) / "ledger.jsonl")
    assert [part["rows"] for part in parts] == [5] * 4  # of 0, 15, 30, 45 and 60 characters
    assert sum(part["counts"]["seconds"] for part in parts) > 0
    assert parts[0]["counts"]["stages"]["graph"] > 0


def test_row_groups_are_large_however_small_the_parts(analyzer, stages, tmp_path):
    request = make_request(tmp_path, documents=GROUP_ROWS + 10, ids="any", part_rows=500)
    request = replace(request, sinks=[Sink.at(tmp_path / "out.parquet"), Sink.at(tmp_path / "ev.parquet", "events")])
    done = run_job(request, analyzer, stages)
    file = pq.ParquetFile(tmp_path / "out.parquet")
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [GROUP_ROWS, 10]
    assert pq.read_table(tmp_path / "out.parquet")["id"].to_pylist() == [str(i) for i in range(GROUP_ROWS + 10)]
    assert pq.read_metadata(tmp_path / "ev.parquet").num_rows == sum(done.summary.events.values())


def test_nothing_read_gives_an_empty_output(analyzer, stages, tmp_path):
    request = make_request(tmp_path, documents=0)
    (tmp_path / "in.jsonl").write_text("")
    sinks = [Sink.at(tmp_path / name) for name in ("out.jsonl", "out.csv.gz", "out.parquet")]
    assert run_job(replace(request, sinks=sinks), analyzer, stages).summary.documents == 0
    assert (tmp_path / "out.jsonl").read_bytes() == b""
    assert pq.read_metadata(tmp_path / "out.parquet").num_rows == 0


def test_a_write_that_fails_leaves_what_was_finished(request_, analyzer, stages, monkeypatch, tmp_path):
    run_job(request_, analyzer, stages, asked=after(2))
    with monkeypatch.context() as patched:

        def full(_):
            raise OSError(28, "No space left on device")

        def told(*_):
            patched.setattr("os.fsync", full)

        with pytest.raises(WriteError, match="cannot be written: No space left on device"):
            run_job(request_, analyzer, stages, told=told)
    assert run_job(request_, analyzer, stages).resumed == 16
    assert names(tmp_path) == ["in.jsonl", "out.jsonl", "out.jsonl.summary.json"]


def test_a_fault_in_the_engine_is_that_documents_alone(request_, analyzer, stages, monkeypatch, tmp_path):
    def broken(document, *_):
        if document.id == "7":
            raise ZeroDivisionError
        return real(document, *_)

    import serving.analyzer

    real = serving.analyzer.assemble
    monkeypatch.setattr(serving.analyzer, "assemble", broken)
    done = run_job(request_, analyzer, stages)
    assert dict(done.summary.errors) == {"internal": 1}
    assert lines(tmp_path / "out.jsonl.quarantine.jsonl")[0]["row"]["text"] == "غارة على داعش. غارة على داعش. "


def test_rows_held_do_not_grow_with_the_input(analyzer):
    read = 0

    def rows():
        nonlocal read
        for number in range(20_000):
            read += 1
            yield Failure(str(number), "unreadable", "no") if number % 3 else Document(str(number), "قال داعش.")

    for number, answer in enumerate(analyzer.stream(rows())):
        assert answer.id == str(number)
        assert read - number < 4_000
