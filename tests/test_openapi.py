import json
import subprocess
import sys
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error

from labels import __version__
from serving.errors import HTTP_STATUS, Code
from serving.openapi import describe
from serving.settings import Settings
from tests.folders import make_folder
from tests.servers import MAX_DOCUMENTS, Server

GOLDEN = Path(__file__).parent / "golden" / "openapi.json"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Server(make_folder(tmp_path_factory.mktemp("model")).path, tmp_path_factory.mktemp("home")) as server:
        yield server


def test_the_description_is_the_one_that_is_kept(server):
    """Whoever changes the interface changes this file: `python -m serving.openapi > tests/golden/openapi.json`."""
    kept = json.loads(GOLDEN.read_text(encoding="utf-8"))
    kept["info"]["version"] = __version__
    served = json.loads(server.call("GET", "/docs.json")[1])
    documents = served["components"]["schemas"]["AnalyzeRequest"]["properties"]["documents"]
    assert documents["maxItems"] == MAX_DOCUMENTS  # as this server is set; the file has what holds by itself
    documents["maxItems"] = Settings().max_documents
    assert served == kept
    printed = subprocess.run([sys.executable, "-m", "serving.openapi"], capture_output=True, text=True, check=True).stdout
    assert json.loads(printed) == kept


def test_every_error_of_a_request_is_described():
    responses = json.loads(GOLDEN.read_text(encoding="utf-8"))["paths"]["/analyze"]["post"]["responses"]
    elsewhere = {Code.NOT_FOUND, Code.METHOD_NOT_ALLOWED}
    assert {str(status) for code, status in HTTP_STATUS.items() if code not in elsewhere} | {"200"} == set(responses)


def test_nothing_points_to_what_is_not_there():
    description = describe({"paths": {"/analyze": {"post": {"description": ""}}}}, "", 1)
    used = {part.split('"')[0] for part in json.dumps(description).split("#/components/schemas/")[1:]}
    assert used <= set(description["components"]["schemas"])


@pytest.mark.parametrize("path", ["/analyze", "/model", "/docs.json", "/livez", "/readyz", "/healthz"])
def test_the_server_does_what_its_description_says(server, path):
    """Requests made from the description, good and bad ones: each answer as it is described, and no fault of the server. That
    a deadline of next to nothing is not kept is none."""
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{server.port}/docs.json")
    [operation] = [made.ok() for made in schema.get_all_operations() if made.ok().path == path]

    @settings(max_examples=100, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(operation.as_strategy())
    def check(case):
        response = case.call()
        case.validate_response(response, excluded_checks=[not_a_server_error])
        assert response.status_code < 500 or (response.status_code == 504 and "X-Deadline-Seconds" in case.headers)

    check()
