"""The real server as a process of its own, for the tests that speak HTTP to it."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from serving.wire import AnalyzeResponse, ErrorResponse

START = "from serving.cli import serve; serve()"
MAX_DOCUMENTS, MAX_BODY, MAX_CHARACTERS = 32, 4_000_000, 300_000


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """`marsad serve` as a process of its own, and a trap that every outward connection by way of a proxy would fall in."""

    def __init__(self, model: Path, home: Path, *, plain: bool = False, **settings: str) -> None:
        """`plain` starts it by BentoML's own command, with nothing of ours in the environment but the model; `settings` are
        MARSAD_ variables in small letters."""
        self.port = free_port()
        self.trap = socket.create_server(("127.0.0.1", 0))
        self.trap.settimeout(0.2)
        proxy = f"http://127.0.0.1:{self.trap.getsockname()[1]}"
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("MARSAD", "BENTOML"))}
        environment |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"), proxy)
        environment |= {"BENTOML_HOME": str(home), "MARSAD_MAX_DOCUMENTS": str(MAX_DOCUMENTS), "NO_PROXY": "", "no_proxy": ""}
        environment |= {"MARSAD_MAX_BODY_BYTES": str(MAX_BODY), "MARSAD_MAX_CHARACTERS": str(MAX_CHARACTERS)}
        environment |= {f"MARSAD_{name.upper()}": value for name, value in settings.items()}
        command = [sys.executable, "-c", START, "--port", str(self.port), "--model", str(model), "--threads", "1"]
        command += ["--precision", "f32"]
        if plain:
            command = [sys.executable, "-m", "bentoml", "serve", "serving.service:Marsad", "--port", str(self.port)]
            environment["MARSAD_MODEL"] = str(model)
        self.log = home / "server.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def __enter__(self) -> "Server":
        self.wait()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()
        self.trap.close()

    def wait(self) -> None:
        for _ in range(300):
            assert self.process.poll() is None, self.log.read_text()
            try:
                if self.call("GET", "/readyz")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.2)
        raise TimeoutError(self.log.read_text())

    def call(self, method: str, path: str, body: bytes | None = None, headers: dict | None = None) -> tuple[int, bytes]:
        return self.ask(method, path, body, headers)[:2]

    def ask(self, method: str, path: str, body: bytes | None = None, headers: dict | None = None) -> tuple[int, bytes, dict]:
        """Status, body, headers in small letters."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"} | (headers or {}))
            response = connection.getresponse()
            return response.status, response.read(), {name.lower(): value for name, value in response.getheaders()}
        finally:
            connection.close()

    def metric(self, name: str) -> float:
        """The sum over all labels that the lines beginning with `name` have."""
        lines = self.call("GET", "/metrics")[1].decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))

    def logged(self, part: str) -> str:
        """The first line of the log with `part` in it, which may be written a moment after its answer has come."""
        for _ in range(100):
            for line in self.log.read_text().splitlines():
                if part in line:
                    return line
            time.sleep(0.05)
        raise AssertionError(f"no line with {part!r} in {self.log.read_text()[-2000:]}")

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def analyze(self, documents: list) -> list[dict]:
        status, body = self.call("POST", "/analyze", json.dumps({"documents": documents}).encode())
        assert status == 200, body
        AnalyzeResponse.model_validate_json(body)
        results = json.loads(body)["results"]
        assert len(results) == len(documents)
        return results

    def assert_nothing_went_out(self) -> None:
        """By proxy, that is, which the reports of BentoML and of OpenVINO both heed (seen with each not yet switched off)."""
        with pytest.raises(TimeoutError):
            self.trap.accept()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def error(answer: tuple[int, bytes]) -> tuple[int, str, str]:
    """Status, code and message of an answer that has the one shape of errors."""
    status, body = answer
    shape = ErrorResponse.model_validate_json(body)
    assert set(json.loads(body)) == {"error"}
    return status, shape.error.code, shape.error.message
