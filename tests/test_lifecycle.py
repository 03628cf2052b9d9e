import http.client
import json
import os
import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from labels.folder import GRAPH_WEIGHTS, MANIFEST
from tests.folders import make_folder
from tests.servers import Server

DOCUMENT = json.dumps({"documents": [{"id": "1", "text": "قال داعش في الموصل."}]}).encode()


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("models")
    return {name: make_folder(home / name, name=name).path for name in ("first", "second")}


def serving(server: Server) -> str:
    return json.loads(server.call("GET", "/model")[1])["name"]


def until(condition, what: str) -> None:
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail(what)


class Asking:
    """Clients that ask without pause, and what they were answered."""

    def __init__(self, server: Server, clients: int = 4) -> None:
        self.server, self.statuses, self.failures = server, [], []
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(clients)
        self._work = [self._pool.submit(self._ask) for _ in range(clients)]

    def _ask(self) -> None:
        while not self._stop.is_set():
            try:
                self.statuses.append(self.server.call("POST", "/analyze", DOCUMENT)[0])
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(error)

    def __enter__(self) -> "Asking":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for work in self._work:
            work.result(60)
        self._pool.shutdown()


def test_a_new_model_takes_over_without_a_lost_request_and_a_bad_one_does_not(models, tmp_path):
    current = tmp_path / "current"
    current.symlink_to(models["first"])
    with Server(current, tmp_path) as server:
        assert serving(server) == "first"
        with Asking(server) as asking:
            other = tmp_path / "other"
            other.symlink_to(models["second"])
            os.replace(other, current)
            server.process.send_signal(signal.SIGHUP)
            until(lambda: serving(server) == "second", "the new model did not take over")
            server.logged("first@")
            server.logged("is no longer in use")

            damaged = tmp_path / "damaged"
            shutil.copytree(models["first"], damaged)
            weights = damaged / GRAPH_WEIGHTS
            weights.write_bytes(weights.read_bytes()[:-1])
            other.symlink_to(damaged)
            os.replace(other, current)
            server.process.send_signal(signal.SIGHUP)
            assert GRAPH_WEIGHTS in server.logged("the model was not reloaded, second@")
            assert serving(server) == "second"
        assert set(asking.statuses) == {200}
        assert asking.failures == []
        assert server.metric('marsad_reloads_total{taken="yes"}') == 1
        assert server.metric('marsad_reloads_total{taken="no"}') == 1
        assert server.stop() == 0


def test_a_reload_asked_for_too_early_kills_nobody(models, tmp_path):
    server, asked = Server(models["first"], tmp_path), 0
    try:
        until(lambda: "Starting production" in server.log.read_text(), "it does not start")
        [worker] = server.workers()
        while "is ready, in" not in server.log.read_text() and worker.is_running():
            server.process.send_signal(signal.SIGHUP)
            asked += 1
            time.sleep(0.05)
    except BaseException:
        server.stop()
        raise
    with server:
        assert asked > 3
        assert [each.pid for each in server.workers()] == [worker.pid]
        assert server.call("POST", "/analyze", DOCUMENT)[0] == 200
        assert server.stop() == 0


def test_two_servers_count_apart(models, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    with Server(models["first"], home) as one:
        assert one.call("POST", "/analyze", DOCUMENT)[0] == 200
        with Server(models["first"], home) as two:
            assert one.metric("marsad_documents_total") == 1
            assert two.metric("marsad_documents_total") == 0
            assert two.stop() == 0
        assert one.metric("marsad_documents_total") == 1
        assert one.stop() == 0


def test_a_worker_that_is_killed_comes_back_and_the_other_answers_meanwhile(models, tmp_path):
    with Server(models["first"], tmp_path, workers="2") as server:
        until(lambda: len(server.workers()) == 2, "there are not two workers")
        until(lambda: server.log.read_text().count("is ready, in") == 2, "not both are ready")
        before = {worker.pid for worker in server.workers()}
        with Asking(server) as asking:
            until(lambda: len(asking.statuses) > 20, "nothing is answered")
            victim = min(before)
            os.kill(victim, signal.SIGKILL)
            until(lambda: len({w.pid for w in server.workers()} - before) == 1, "no worker came in its place")
            until(lambda: server.log.read_text().count("is ready, in") == 3, "it did not get ready")
            answered = len(asking.statuses)
            until(lambda: len(asking.statuses) > answered + 20, "nothing is answered any more")
        assert set(asking.statuses) == {200}
        # Those whose answer was being made by the worker that was killed know it by a broken connection.
        assert len(asking.failures) <= 4
        assert server.stop() == 0


def test_a_flood_is_sent_away_at_once_and_probes_are_answered(models, tmp_path):
    with Server(models["first"], tmp_path, max_waiting="2") as server:
        long = json.dumps({"documents": [{"id": "1", "text": "قال داعش في الموصل. " * 14_000}]}).encode()
        with ThreadPoolExecutor(12) as pool:
            flood = [pool.submit(server.ask, "POST", "/analyze", long) for _ in range(10)]
            until(lambda: server.metric("marsad_requests_waiting") == 2, "nothing waits")
            began = time.perf_counter()
            refused = server.ask("POST", "/analyze", DOCUMENT)
            seconds = time.perf_counter() - began
            ready = server.call("GET", "/readyz")[0]
            answers = [request.result() for request in flood]
        assert refused[0] == 429
        assert 1 <= int(refused[2]["retry-after"]) <= 30
        assert seconds < 5  # far below what the long ones take; how fast is for benchmarks/
        assert ready == 200
        assert sorted({status for status, _, _ in answers}) == [200, 429]
        assert server.call("POST", "/analyze", DOCUMENT)[0] == 200


def test_work_for_a_client_that_goes_is_dropped(models, tmp_path):
    with Server(models["first"], tmp_path, deadline="600") as server:
        text = "قال داعش في الموصل. " * 14_000
        body = json.dumps({"documents": [{"id": str(i), "text": text} for i in range(5)]}, ensure_ascii=False).encode()
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.request("POST", "/analyze", body, {"Content-Type": "application/json"})
        until(lambda: server.metric("marsad_requests_waiting") == 1, "it was not seen")
        connection.close()
        until(lambda: server.metric("marsad_clients_gone_total") == 1, "that it went was not seen")
        until(lambda: server.metric("marsad_requests_waiting") == 0, "it waits still")
        time.sleep(0.5)  # for the passes that ran when it went
        read = server.metric("marsad_pieces_total")
        time.sleep(0.5)
        assert server.metric("marsad_pieces_total") == read
        assert json.loads(server.logged("client_gone"))["status"] == 499
        assert server.stop() == 0


@pytest.mark.parametrize("fault", ["truncated", "newer", "schema"])
def test_a_folder_that_is_not_what_it_says_is_refused_at_the_start(models, tmp_path, fault):
    folder = tmp_path / "model"
    shutil.copytree(models["first"], folder)
    if fault == "truncated":
        (folder / GRAPH_WEIGHTS).write_bytes(b"")
        said = GRAPH_WEIGHTS
    else:
        manifest = json.loads((folder / MANIFEST).read_text())
        if fault == "newer":
            manifest["format_version"] = 99
            said = "99"
        else:
            manifest["schema_fingerprint"] = "0" * 16
            said = "schema"
        (folder / MANIFEST).write_text(json.dumps(manifest))
    server = Server(folder, tmp_path)
    assert server.process.wait(60) == 2
    server.trap.close()
    log = server.log.read_text()
    assert said in log
    assert str(folder) in log
    assert "Traceback" not in log
