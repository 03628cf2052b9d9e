"""What stands over the workers: which of them hear of a new model."""

import signal
import subprocess
import sys

from serving.launch import _listens

LISTENING = "import signal, sys; signal.signal(signal.SIGHUP, lambda *_: None); print(flush=True); sys.stdin.read()"
DEAF = "import sys; print(flush=True); sys.stdin.read()"


def started(code: str) -> subprocess.Popen:
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdout.readline()
    return process


def test_a_worker_listens_once_it_has_said_so() -> None:
    for code, listens in ((LISTENING, True), (DEAF, False)):
        with started(code) as process:
            assert _listens(process.pid) is listens
            process.send_signal(signal.SIGTERM)
