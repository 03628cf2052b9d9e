"""BentoML's server in this process: its own command, and SIGHUP, which it does not know, handed on to its workers."""

import atexit
import gc
import math
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import psutil

# glibc keeps what many threads free, in a heap for each; what is as large as a pass goes back to the system at once.
_ALLOCATOR = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "262144", "MALLOC_TRIM_THRESHOLD_": "1048576"}
ROOT = Path(__file__).resolve().parent.parent


def launch(host: str, port: int, environment: Mapping[str, str], *, deadline: float) -> NoReturn:
    """Serve until a signal ends it; the exit code is BentoML's. `environment` is that of the workers. What has not left them
    `deadline` seconds after SIGTERM, and a few more, is given up: who never fetches an answer would be waited for."""
    os.environ.update(_ALLOCATOR | dict(environment))
    # Hundreds of modules are imported now, of which nothing becomes garbage: looking for it took a fifth of the time.
    gc.set_threshold(100_000, 20, 100)
    # Imported here, after the environment is as it has to be: BentoML reads it when it is imported.
    from bentoml._internal.configuration.containers import BentoMLContainer
    from bentoml_cli.cli import cli
    from circus.sighandler import SysHandler

    # A folder for the counts of this server's workers: BentoML's own is one for all servers, and each empties it at its start.
    counts = tempfile.mkdtemp(prefix="marsad-metrics-")
    atexit.register(shutil.rmtree, counts, ignore_errors=True)
    BentoMLContainer.prometheus_multiproc_dir.set(counts)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until circus listens; it means nothing before there are workers

    # circus looks for a method of this name when SIGHUP comes, and has none.
    SysHandler.handle_hup = lambda _: _hand_on()
    command = ["serve", "serving.service:Marsad", "--working-dir", str(ROOT), "--host", host, "--port", str(port)]
    command += ["--timeout-graceful-shutdown", str(math.ceil(deadline) + 5)]
    cli(command)
    sys.exit(0)


def _hand_on() -> None:
    for worker in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if _listens(worker.pid):
                worker.send_signal(signal.SIGHUP)


def _listens(process: int) -> bool:
    """Whether SIGHUP would reach a handler. A worker that is still starting has none, would die of it, and is yet to open the
    folder anyway."""
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="ascii", errors="replace")
    except OSError:  # not on Linux
        return True
    [caught] = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")]
    return bool(int(caught, 16) >> (signal.SIGHUP - 1) & 1)
