"""Killed anywhere, nothing is lost and nothing is there twice."""

import json
import subprocess
import sys

import pytest

from tests.folders import make_folder


@pytest.mark.timeout(600)
def test_a_hundred_kills_leave_no_trace(tmp_path):
    make_folder(tmp_path / "model")
    with (tmp_path / "in.jsonl").open("w", encoding="utf-8") as handle:
        for number in range(160):
            text = f"غارة على داعش في الموصل {number}. " * (number % 7)
            handle.write(json.dumps({"id": str(number % 150), "text": text}) + "\n" if number % 40 else "no JSON\n")
    command = [sys.executable, "-m", "tests.killing", str(tmp_path), "100", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=580, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["kills"] == 100
    assert seen["finished"] > 0
    assert seen["with parts"] > 10
    assert seen["different"] == 0, (tmp_path / "log").read_text()
    assert seen["codes"] == [3]
