"""What a worker makes of the shards it is given. No cluster is needed, nor is Ray."""

import json
import os
from dataclasses import replace
from pathlib import Path
from threading import Timer
from types import SimpleNamespace

import pytest

from serving.batch.inputs import find_inputs
from serving.batch.job import Request
from serving.batch.ledger import open_ledger, parts_folder
from serving.batch.ray_engine import Cluster, room
from serving.batch.ray_worker import TRIES, Work, Worker, outcome_of, shard_of, shard_row
from serving.batch.run import Outcome
from serving.batch.shards import shards_of
from serving.errors import SettingsError
from tests.folders import make_folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("model"))


@pytest.fixture
def work(model, monkeypatch) -> Work:
    monkeypatch.chdir(Path.cwd())  # the worker goes elsewhere
    environment = {"MARSAD_MODEL": str(model.path), "MARSAD_THREADS": "1", "MARSAD_PRECISION": "f32"}
    return Work(Request((), (), part_rows=8), environment, model.id, Path.cwd(), run="1")


@pytest.fixture
def request_(tmp_path, work) -> Request:
    file = tmp_path / "in.jsonl"
    file.write_text("".join(json.dumps({"id": str(i), "text": "غارة على داعش."}) + "\n" for i in range(20)))
    [request] = shards_of(replace(work.request, files=find_inputs([file])), tmp_path / "out", "answers", "jsonl")
    return request


def score(work: Work, request: Request) -> Outcome:
    row = Worker(work)(shard_row(3, request))
    assert (row["number"], row["unfit"]) == (3, "")
    return outcome_of(json.loads(row["outcome"]))


def test_a_shard_goes_through_plain_columns(request_, work):
    row = shard_row(0, request_)
    assert all(isinstance(value, str | int) for value in row.values())
    assert shard_of(row, work.request) == request_


def test_a_shard_that_is_in_use_is_waited_for(request_, work):
    held = open_ledger(request_.output, {})
    held.__enter__()
    (parts_folder(request_.output) / "job.json").unlink()
    in_use = score(replace(work, patience=0), request_)
    assert in_use.state == "failed"
    assert f"is in use by process {os.getpid()} on " in in_use.error
    Timer(0.3, held.__exit__, (None, None, None)).start()
    done = score(work, request_)
    assert (done.state, done.summary.documents) == ("done", 20)


def test_what_is_wrong_with_a_shard_is_its_outcome(request_, work, tmp_path, monkeypatch):
    (tmp_path / "out" / "in.jsonl").write_text("of somebody else")
    assert "exists already" in score(work, request_).error
    (tmp_path / "out" / "in.jsonl").unlink()
    with monkeypatch.context() as patched:
        patched.setattr("serving.batch.outputs.join_parts", broken)
        assert "in.jsonl: ZeroDivisionError: x (on " in score(work, request_).error
    assert score(work, request_).resumed == 20


def broken(*_):
    raise ZeroDivisionError("x")


def test_a_part_at_which_worker_after_worker_dies_is_left(request_, work):
    with open_ledger(request_.output, {}):
        pass
    (parts_folder(request_.output) / "job.json").unlink()
    for _ in range(TRIES):
        Worker(work)._count_tries(request_)  # and dies
    assert f"{TRIES} workers died at the same part of it" in score(work, request_).error
    assert score(replace(work, run="2"), request_).state == "done"


def test_a_machine_with_another_model_says_so_and_does_nothing(request_, work, model):
    row = Worker(replace(work, model="another"))(shard_row(0, request_))
    assert f"{model.path}: is {model.id}, the job is for another" in row["unfit"]
    row = Worker(replace(work, environment={"MARSAD_MODEL": "none"}))(shard_row(0, request_))
    assert "none: no manifest.json" in row["unfit"]
    assert list(request_.output.parent.iterdir()) == []


def test_workers_take_cores_and_parts_of_a_gpu():
    large = {"Alive": True, "Resources": {"CPU": 16.0, "GPU": 2.0}}
    plain = {"Alive": True, "Resources": {"CPU": 3.0}}
    nodes = SimpleNamespace(nodes=lambda: [large, plain, {"Alive": False, "Resources": {"CPU": 99.0}}])
    assert room(nodes, Cluster()) == 19
    assert room(nodes, Cluster(threads=2)) == 9
    assert room(nodes, Cluster(threads=2, gpus=0.25)) == 8
    assert room(nodes, Cluster("head:6379", gpus=4)) == 0  # a machine that has them may join
    with pytest.raises(SettingsError, match="this machine has no room for a worker of 32 cores"):
        room(nodes, Cluster(threads=32))
