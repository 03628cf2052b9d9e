import json
import random

import numpy as np
import pytest

from benchmarks import batch_independence, engine_speed, fuzz, overload, soak
from benchmarks.engine_speed import operations
from benchmarks.overload import Seen, table
from labels.openvino import ov
from tests.folders import make_folder

ops = ov.opset13


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("model")).path


def test_what_nobody_should_send_is_answered(model, capsys):
    assert fuzz.main(["--model", str(model), "--requests", "600"]) == 0
    told = capsys.readouterr().out
    assert "600 requests" in told
    assert "Tracebacks in the log: 0. Answers that break a rule: 0" in told


@pytest.mark.parametrize("command", [fuzz, batch_independence, engine_speed, overload, soak])
def test_a_model_that_is_not_there_is_named(command, tmp_path, capsys):
    assert command.main(["--model", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"{command.__name__}: {tmp_path}")


@pytest.mark.parametrize(
    ("status", "body", "headers", "broken"),
    [
        (200, b"{}", {}, ""),
        (500, b'{"error": {"code": "internal", "message": "no"}}', {}, "status 500"),
        (504, b'{"error": {"code": "deadline_exceeded", "message": "no"}}', {}, "status 504"),
        (504, b'{"error": {"code": "deadline_exceeded", "message": "no"}}', {"x-deadline-seconds": "1"}, ""),
        (400, b'[{"detail": "no"}]', {}, "status 400 without the shape of errors"),
        (400, b'{"error": "no"}', {}, "status 400 without the shape of errors"),
        (404, b'{"error": {"code": "not_found", "message": "no"}}', {}, ""),
    ],
)
def test_the_rules_of_an_answer(status, body, headers, broken):
    assert fuzz.rule_broken(status, body, "POST", headers) == broken


def test_a_seed_gives_the_same_requests():
    def made() -> list:
        draw = random.Random(7)
        return [fuzz.some_request(draw) for _ in range(300)]

    first, again = made(), made()
    assert [r[:2] + r[3:] for r in first] == [r[:2] + r[3:] for r in again]
    good = [r for r in first if r[0] == "POST" and r[1] == "/analyze" and r[3]["content-type"] == "application/json"]
    assert any(isinstance(json.loads(r[2]), dict) for r in good if "content-encoding" not in r[3] and _is_json(r[2]))


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def test_answers_alone_and_together(model, capsys):
    arguments = ["--model", str(model), "--number", "8", "--orders", "2", "--precision", "f32"]
    assert batch_independence.main(arguments) == 0
    assert "0 answers with other types or spans" in capsys.readouterr().out


def test_operations_are_counted_in_the_graph():
    given = ops.parameter([-1, 4], np.float32)
    product = ops.matmul(given, ops.constant(np.ones((3, 4), np.float32)), transpose_a=False, transpose_b=True)
    scores = ops.matmul(product, product, transpose_a=False, transpose_b=True)
    assert operations(ov.Model([ops.result(scores)], [given], "m")) == (24.0, 6.0)


def test_the_table_of_a_flood():
    seen = Seen()
    for status, took in ((200, 10.0), (429, 1.0), (429, 3.0), (0, 60_000.0)):
        seen.add(status, took)
    lines = table(seen, Seen()).splitlines()
    assert lines[2].startswith("| analyze: no answer | 1 | 60,000")
    assert lines[4].startswith("| analyze: 429 | 2 | 2 |")
