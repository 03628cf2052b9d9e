"""The real server for the benchmarks: started as a user starts it, asked, measured, stopped."""

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from labels.errors import MarsadError

ROOT = Path(__file__).resolve().parent.parent
STOPPING = 10.0


class ServerError(MarsadError):
    """A server that does not start, or stops."""


@dataclass(frozen=True)
class Call:
    """One request."""

    method: str
    path: str
    body: bytes | None = None


@dataclass(frozen=True)
class Memory:
    """Megabytes of all processes of the server: `resident` counts pages they share once for each, `proportional` once."""

    processes: int
    resident: float
    proportional: float


@contextmanager
def server(
    model: Path, port: int, home: Path, threads: int | None = None, **settings: str
) -> Iterator[subprocess.Popen[bytes]]:
    """`marsad serve` as a user starts it, and its end. `settings` are MARSAD_ variables in small letters."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MARSAD_", "BENTOML_"))}
    environment |= {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"}
    environment |= {f"MARSAD_{name.upper()}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "marsad", "serve", "--port", str(port), "--model", str(model.resolve())]
    command += ["--threads", str(threads)] if threads is not None else []
    with (home / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        yield process
    finally:
        _stop(process)


def wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path, limit: float) -> float:
    """Seconds until /readyz says 200, from now."""
    began = time.perf_counter()
    while time.perf_counter() - began < limit:
        if process.poll() is not None:
            raise ServerError(f"the server ended with code {process.returncode} before it was ready:\n{_end_of(log)}")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            if ask(connection, Call("GET", "/readyz"))[0] == 200:
                return time.perf_counter() - began
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(0.02)
    raise ServerError(f"the server was not ready after {limit:.0f} seconds; give it an idle machine:\n{_end_of(log)}")


def measure_memory(process: subprocess.Popen[bytes]) -> Memory:
    """Of the process and all it started."""
    parent = psutil.Process(process.pid)
    tree = [parent, *parent.children(recursive=True)]
    read = [each.memory_full_info() for each in tree]
    resident = sum(each.rss for each in read) / 1e6
    # Only Linux knows the proportional share.
    return Memory(len(tree), resident, sum(getattr(each, "pss", each.uss) for each in read) / 1e6)


def ask(connection: http.client.HTTPConnection, call: Call) -> tuple[int, bytes]:
    """Status and body; the connection stays open."""
    headers = {"Content-Type": "application/json"} if call.body is not None else {}
    connection.request(call.method, call.path, call.body, headers)
    response = connection.getresponse()
    return response.status, response.read()


def _stop(process: subprocess.Popen[bytes]) -> None:
    """As an operator would; what does not go is killed, with what it started."""
    if process.poll() is not None:
        return
    started = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    try:
        process.wait(STOPPING)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for each in psutil.wait_procs(started, timeout=1)[1]:
        each.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _end_of(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])
