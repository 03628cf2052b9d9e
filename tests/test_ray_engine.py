"""`marsad score --engine ray` on a cluster of three nodes on this machine, two of which have a core each: the bytes of the
local engine, also where a node is killed, the driver is killed, or a shard is bad."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from labels.folder import ModelFolder
from serving.batch.cli import score
from tests.folders import make_folder

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # before Ray is imported, as the engine itself does it
os.environ["RAY_AUTH_MODE"] = "disabled"  # else Ray writes a token into the home folder
ray = pytest.importorskip("ray")
pytest.importorskip("ray.data")

from ray.cluster_utils import Cluster  # noqa: E402

# Ray Data warns of options when it sets its own defaults.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context")

SHARDS, ROWS, PART = 5, 1500, 50
NODE = {"object_store_memory": 80 * 1024 * 1024, "include_dashboard": False}


@dataclass
class Nodes:
    cluster: Cluster

    @property
    def address(self) -> str:
        return self.cluster.address

    def add(self):
        return self.cluster.add_node(num_cpus=1, **NODE)

    def at_work(self, node) -> list[int]:
        """Processes of the node, as the system tells its parents."""
        [raylet] = node.all_processes["raylet"]
        return [child.pid for child in psutil.Process(raylet.process.pid).children(recursive=True)]


@pytest.fixture(scope="module")
def nodes():
    # Workers are as polite as the tests themselves: else a busy machine leaves them nothing.
    head = {"num_cpus": 0, "_system_config": {"worker_niceness": 0}, **NODE}
    nodes = Nodes(Cluster(initialize_head=True, head_node_args=head))
    nodes.add()
    nodes.add()
    yield nodes
    nodes.cluster.shutdown()


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> ModelFolder:
    return make_folder(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    for shard in range(SHARDS):
        lines = [json.dumps({"id": f"{shard}-{row}", "text": "غارة على داعش في الموصل. " * (row % 5)}) for row in range(ROWS)]
        lines[7] = "{" if shard == 1 else lines[7]
        (folder / f"{shard}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def alone(model, shards, tmp_path_factory) -> dict[str, bytes]:
    """What the local engine makes of them."""
    out = tmp_path_factory.mktemp("alone")
    assert run(model, shards, out).exit_code == 3
    return contents(out)


def arguments_of(model, shards, out, *arguments) -> list[str]:
    files = sorted(shards.iterdir())
    given = [*files, "-o", f"{out}/", "--output-format", "parquet", "--part-rows", PART]
    return [*map(str, given), "--model", str(model.path), "--threads", "1", "--precision", "f32", *arguments]


def run(model, shards, out, *arguments):
    return CliRunner().invoke(score, arguments_of(model, shards, out, *arguments), catch_exceptions=False)


def start(model, shards, out, *arguments) -> subprocess.Popen:
    command = [sys.executable, "-m", "marsad", "score", *arguments_of(model, shards, out, *arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def on(nodes) -> tuple[str, ...]:
    return "--engine", "ray", "--address", nodes.address


def contents(out) -> dict[str, bytes]:
    """All files but the summaries, which tell the time."""
    return {file.name: file.read_bytes() for file in out.iterdir() if not file.name.endswith("summary.json")}


def under_way(out) -> dict[int, Path]:
    """Shards that have some parts and not all: the process at work on each, by its lock."""
    found = {}
    for ledger in out.glob("*.parts/ledger.jsonl"):
        try:
            parts, holder = ledger.read_bytes().count(b"\n"), (ledger.parent / "lock").read_text()
        except FileNotFoundError:  # finished just now
            continue
        if 3 <= parts < ROWS // PART // 2 and holder:
            found[int(holder.split()[1])] = ledger.parent
    return found


def wait_for(condition, process):
    until = time.monotonic() + 60
    while not (found := condition()):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.02)
    return found


def test_a_shard_that_cannot_be_read_does_the_others_no_harm(nodes, model, shards, alone, tmp_path):
    out, broken = tmp_path / "out", tmp_path / "broken.csv"
    broken.write_text("body\nx\n")
    out.mkdir()
    (out / "0.parquet").write_bytes(b"of somebody else")
    done = run(model, shards, out, str(broken), *on(nodes))
    assert done.exit_code == 1, done.stderr
    assert f"{out}/0.parquet: exists already" in done.stderr
    assert f"{broken}: no column 'text'; found body" in done.stderr
    assert f"{SHARDS - 1} of {SHARDS + 1} outputs are finished; failed: {out}/" in done.stderr
    assert contents(out) == alone | {"0.parquet": b"of somebody else"}
    assert not (out / "summary.json").exists()
    (out / "0.parquet").unlink()
    done = run(model, shards, out, *on(nodes))
    assert done.exit_code == 3, done.stderr
    assert done.stderr.count("was finished before") == SHARDS - 1
    assert contents(out) == alone
    assert json.loads((out / "summary.json").read_text())["documents"] == SHARDS * ROWS


def test_a_driver_that_is_stopped_and_one_that_is_killed_lose_nothing(nodes, model, shards, alone, tmp_path):
    out = tmp_path / "out"
    with start(model, shards, out, *on(nodes)) as driver:
        wait_for(lambda: under_way(out), driver)
        driver.send_signal(signal.SIGTERM)
        said = driver.stderr.read()
        assert driver.wait(60) == 143, said
    assert f"of {SHARDS} outputs are finished; run the same command again to go on" in said
    with start(model, shards, out, *on(nodes)) as driver:
        holder, _ = wait_for(lambda: held_still(out), driver)
        driver.kill()
        os.kill(holder, signal.SIGKILL)  # which Ray would do in its own time
    done = run(model, shards, out, *on(nodes))
    assert done.exit_code == 3, done.stderr
    assert "of them in an earlier run" in done.stderr
    assert contents(out) == alone


def test_a_node_that_is_killed_loses_and_doubles_nothing(nodes, model, shards, alone, tmp_path):
    """Last, as it leaves one node with a core: the shard of the other has to wait for a place there. The worker is held still
    first, so that it is surely at work, and mostly outlives its node by a moment, with the shard's lock in its hands."""
    out = tmp_path / "out"
    with start(model, shards, out, *on(nodes), "--workers", "2") as driver:
        holder, left_behind = wait_for(lambda: held_still(out), driver)
        [victim] = [node for node in nodes.cluster.worker_nodes if holder in nodes.at_work(node)]
        nodes.cluster.remove_node(victim, allow_graceful=False)
        time.sleep(1)
        with suppress(ProcessLookupError):  # it may have gone with its node
            os.kill(holder, signal.SIGKILL)
        said = driver.stderr.read()
        assert driver.wait(120) == 3, said
    assert contents(out) == alone
    resumed = next(line for line in said.splitlines() if line.startswith(str(out / left_behind.stem)))
    assert f"{ROWS:,} documents, " in resumed
    assert "of them in an earlier run" in resumed


def held_still(out) -> tuple[int, Path] | None:
    """A worker that was stopped in the middle of a shard, and the shard's parts."""
    for pid, parts in under_way(out).items():
        try:
            worker = psutil.Process(pid)
            worker.suspend()
        except psutil.NoSuchProcess:  # an earlier run's, which nobody has taken over yet
            continue
        until = time.monotonic() + 10  # it may be in the middle of a write, which it finishes first
        while worker.status() != psutil.STATUS_STOPPED and time.monotonic() < until:
            time.sleep(0.01)
        if pid in under_way(out):
            return pid, parts
        worker.resume()
    return None


def test_nothing_of_ray_is_imported_without_the_option(model, shards, tmp_path):
    arguments = arguments_of(model, shards, tmp_path / "out", "--limit", "1")
    code = (
        "import sys, marsad\ntry: marsad.main()\nfinally: print([name for name in sys.modules if name.split('.')[0] == 'ray'])"
    )
    done = subprocess.run([sys.executable, "-c", code, "score", *arguments], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_without_the_package_it_says_what_to_install(model, shards, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    done = run(model, shards, tmp_path / "out", "--engine", "ray")
    assert (done.exit_code, "pip install 'marsad[ray]'" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workers", "2"], "--workers: expected --engine ray as well"),
        (["--engine", "ray", "-o", "out.jsonl"], "--engine ray: expected OUT to be a folder/"),
        (["--engine", "ray", "--gpus", "0.5"], "--gpus: expected --device cuda as well"),
        (["--engine", "ray", "--model", "none"], "none: no manifest.json"),
        (["--engine", "ray", "--address", "127.0.0.1:9"], "--address 127.0.0.1:9: no Ray cluster answers there"),
    ],
)
def test_what_does_not_go_together_is_refused(model, shards, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    done = run(model, shards, tmp_path / "out", *arguments)
    assert (done.exit_code, message in done.stderr) == (2, True), done.stderr
