"""Counts of several worker processes, some of which are gone."""

import os
import subprocess
import sys

import pytest

from serving.metrics import Metrics

GONE = 2**22 + 1  # above the highest number that a process can have


def test_what_dead_workers_had_under_way_is_forgotten(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    names = [
        f"{kind}_{process}.db" for kind in ("gauge_livesum", "gauge_livemax", "counter") for process in (GONE, os.getpid())
    ]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    Metrics()
    left = {file.name for file in tmp_path.iterdir()}
    assert left == {name for name in names if str(GONE) not in name or name.startswith("counter")}


NO_TIMER = """
from bentoml._internal.server.base_app import BaseAppFactory
from serving import service

class App(BaseAppFactory):
    name, index_page = "app", None

assert [each.cls for each in App(timeout=service.TIMEOUT).middlewares] == [service._Untimed]
"""


def test_no_timer_outlives_a_request() -> None:
    """BentoML's keeps one of each until its time is up. In a process of its own: importing BentoML warns."""
    subprocess.run([sys.executable, "-c", NO_TIMER], timeout=60, check=True)
