import gzip
import http.client
import json
import subprocess
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from serving.wire import ModelOut
from tests.folders import make_folder
from tests.servers import MAX_BODY, MAX_CHARACTERS, MAX_DOCUMENTS, START, Server, error


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return make_folder(tmp_path_factory.mktemp("model")).path


@pytest.fixture(scope="module")
def server(model, tmp_path_factory):
    with Server(model, tmp_path_factory.mktemp("home")) as server:
        yield server


def test_a_document(server):
    text = "شنت طائرات غارة على داعش في الموصل. 😀 قال الجيش الليبي:\r\nتظاهرة ببنغازي"
    [result] = server.analyze([{"id": "d1", "text": text, "published": "2016-06-01", "source": "وكالة"}])
    assert result["id"] == "d1"
    assert [e["text"] for e in result["entities"]] == ["داعش", "الموصل", "الجيش الليبي", "بنغازي"]
    assert all(text[e["start"] : e["end"]] == e["text"] for e in result["entities"])
    assert [text[s["start"] : s["end"]] for s in result["sentences"]][-1] == "تظاهرة ببنغازي"
    assert result["event_types"] == {"airstrike": 0.9526, "protest": 0.9526}
    assert [(e["type"], e["trigger"], e["agents"], e["locations"]) for e in result["events"]] == [
        ("airstrike", None, [], []),
        ("protest", None, [], []),
    ]


def test_arabic_leaves_as_it_is(server):
    _, body = server.call("POST", "/analyze", json.dumps({"documents": [{"id": "1", "text": "داعش"}]}).encode())
    assert "داعش".encode() in body


def test_bad_documents_among_good_ones(server):
    items = [
        {"id": "1", "text": "داعش"},
        {"id": "2", "text": 5},
        7,
        {"id": "4", "text": "قال \ud83d"},
        {"id": "5", "text": "ا" * (MAX_CHARACTERS + 1)},
        {"id": "6", "text": "الموصل"},
    ]
    results = server.analyze(items)
    assert [r["id"] for r in results] == ["1", "2", None, "4", "5", "6"]
    assert [r.get("error", {}).get("code") for r in results] == [
        *(None, "invalid_document", "invalid_document", "invalid_text", "text_too_long", None)
    ]
    assert results[1]["error"]["message"] == "documents[1].text: expected a string, found 5"
    assert [r["entities"][0]["text"] for r in (results[0], results[-1])] == ["داعش", "الموصل"]


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (b"", "invalid_request", "the body is not JSON: Expecting value at line 1 column 1"),
        (b'{"documents": [', "invalid_request", "the body is not JSON: Expecting value"),
        (b'{"documents": ["\xff"]}', "invalid_request", "the body is not UTF-8: invalid start byte at byte 16"),
        (b"[" * 2_000, "invalid_request", "the body is not JSON that can be read"),
        (b"[" * 200_000, "invalid_request", "the body has 200000 brackets, commas and colons outside its strings"),
        (b"[]", "invalid_request", 'expected an object {"documents": [...]}, found list'),
        (b"{}", "invalid_request", "documents: is missing"),
        (b'{"documents": {}}', "invalid_request", "documents: expected a list, found dict"),
        (b'{"documents": null}', "invalid_request", "documents: expected a list, found None"),
        (b'{"documents": [], "lang": "ar"}', "invalid_request", "unknown field 'lang'; known: documents"),
        (
            b'{"documents": [%s]}' % b",".join([b"1"] * (MAX_DOCUMENTS + 1)),
            "too_many_documents",
            "documents: expected at most 32",
        ),
        (b'"%s"' % (b"x" * MAX_BODY), "body_too_large", f"a body may have {MAX_BODY} bytes, unpacked"),
    ],
    ids=["none", "cut", "latin1", "deep", "deeper", "list", "empty", "object", "null", "extra", "many", "large"],
)
def test_a_request_that_is_refused_whole(server, body, code, message):
    status, found, told = error(server.call("POST", "/analyze", body))
    assert (status, found) == ({"too_many_documents": 422, "body_too_large": 413}.get(code, 400), code)
    assert told.startswith(message)


def test_a_body_of_unknown_length_is_measured_as_it_comes(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    headers = {"Transfer-Encoding": "chunked", "Content-Type": "application/json"}
    connection.request("POST", "/analyze", iter([b" " * 100_000] * 60), headers, encode_chunked=True)
    response = connection.getresponse()
    assert error((response.status, response.read()))[:2] == (413, "body_too_large")
    connection.close()


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/analyze", 405, "method_not_allowed"),
        ("DELETE", "/model", 405, "method_not_allowed"),
    ],
)
def test_errors_of_the_framework_have_our_shape(server, method, path, status, code):
    assert error(server.call(method, path))[:2] == (status, code)


@pytest.mark.parametrize("kind", ["application/vnd.bentoml+pickle", "multipart/form-data", "text/plain", ""])
def test_a_body_that_is_not_called_json_is_refused(server, kind):
    body = json.dumps({"documents": [{"id": "1", "text": "داعش"}]}).encode()
    status, code, told = error(server.call("POST", "/analyze", body, {"Content-Type": kind}))
    assert (status, code) == (415, "unsupported_media_type")
    assert told.startswith("content-type: expected application/json, found ")


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON", "application/vnd.api+json"])
def test_json_by_any_of_its_names(server, kind):
    assert server.call("POST", "/analyze", b'{"documents": []}', {"Content-Type": kind}) == (200, b'{"results": []}')


@pytest.mark.parametrize(("packing", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_packed_body_is_unpacked(server, packing, pack):
    body = pack(json.dumps({"documents": [{"id": "1", "text": "داعش"}]}).encode())
    status, answer = server.call("POST", "/analyze", body, {"Content-Encoding": packing})
    assert (status, len(json.loads(answer)["results"][0]["entities"])) == (200, 1)
    assert error(server.call("POST", "/analyze", body[:-4], {"Content-Encoding": packing}))[:2] == (400, "invalid_request")
    assert error(server.call("POST", "/analyze", b"{}", {"Content-Encoding": packing}))[:2] == (400, "invalid_request")


def test_a_small_body_that_unpacks_to_a_large_one_is_refused(server):
    bomb = gzip.compress(b" " * 500 * MAX_BODY, compresslevel=9)
    assert len(bomb) < MAX_BODY
    before = psutil.Process(server.workers()[0].pid).memory_info().rss
    assert error(server.call("POST", "/analyze", bomb, {"Content-Encoding": "gzip"}))[:2] == (413, "body_too_large")
    assert psutil.Process(server.workers()[0].pid).memory_info().rss - before < 20 * MAX_BODY


def test_a_packing_nobody_knows(server):
    answer = server.call("POST", "/analyze", b"{}", {"Content-Encoding": "br"})
    assert error(answer) == (
        415,
        "unsupported_media_type",
        "content-encoding: expected one of gzip, deflate, identity, found 'br'",
    )


def test_a_request_keeps_its_id(server):
    assert server.ask("GET", "/model", headers={"X-Request-ID": "mine-1"})[2]["x-request-id"] == "mine-1"
    made = server.ask("GET", "/nothing", headers={"X-Request-ID": "x" * 200})[2]["x-request-id"]
    assert len(made) == 32
    assert json.loads(server.logged("mine-1"))["path"] == "/model"


def test_the_log_has_a_line_an_answer_and_no_text(server):
    headers = {"X-Request-ID": "logged-1", "traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}
    body = json.dumps({"documents": [{"id": "1", "text": "قال داعش"}, 5]}).encode()
    server.call("POST", "/analyze", body, headers)
    entry = json.loads(server.logged("logged-1"))
    assert entry["trace_id"] == "ab" * 16
    assert {entry[name] for name in ("documents", "characters", "failures", "status")} == {2, 8, 1, 200}
    assert entry["bytes_in"] == len(body)
    assert "داعش" not in server.log.read_text()


def test_a_deadline_that_is_too_short(server):
    text = "قال داعش في الموصل. " * 14_000
    answer = server.call(
        "POST",
        "/analyze",
        json.dumps({"documents": [{"id": "1", "text": text}]}).encode(),
        {"X-Deadline-Seconds": "0.01"},
    )
    assert error(answer)[:2] == (504, "deadline_exceeded")
    refused = server.call("POST", "/analyze", b'{"documents": []}', {"X-Deadline-Seconds": "soon"})
    assert error(refused) == (400, "invalid_request", "x-deadline-seconds: expected a number of seconds above 0, found 'soon'")
    assert server.analyze([{"id": "1", "text": "داعش"}])[0]["entities"]


def test_metrics_count_what_was_done(server):
    names = ("marsad_documents_total", "marsad_pieces_total", "marsad_stage_seconds_count", "marsad_pass_rows_count")
    before = [server.metric(name) for name in names]
    server.analyze([{"id": "1", "text": "قال داعش"}, 5])
    after = [server.metric(name) for name in names]
    assert after[0] - before[0] == 2
    assert after[1] - before[1] == 4  # two pieces, and the special ones around them
    assert all(b > a for a, b in zip(before, after, strict=True))
    refused = 'marsad_requests_total{code="not_found",path="other",status="404"}'
    count = server.metric(refused)
    server.call("GET", "/wp-admin.php")
    assert server.metric(refused) == count + 1


def test_no_documents(server):
    assert server.analyze([]) == []


@pytest.mark.parametrize(
    ("text", "names", "warnings"),
    [
        ("قال داعش. " * 20_000, 20_000, []),
        ("قال داعش في " * 417, 417, ["1 sentence read in windows"]),
        ("", 0, ["empty text"]),
    ],
    ids=["200,000 characters", "5,000 without a stop", "empty"],
)
def test_texts_of_any_length(server, text, names, warnings):
    [result] = server.analyze([{"id": "d", "text": text}])
    assert len(result["entities"]) == names
    assert result["warnings"] == warnings


def test_clients_get_their_own_answers(server):
    def ask(number: int) -> list[str]:
        text = "قال داعش. " * number
        [result] = server.analyze([{"id": f"d{number}", "text": text}])
        return [result["id"], len(result["entities"])]

    numbers = [*range(1, 9)] * 5
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, numbers)) == [[f"d{n}", n] for n in numbers]


def test_the_model_page(server, model):
    status, body = server.call("GET", "/model")
    page = ModelOut.model_validate_json(body)
    assert status == 200
    assert (page.name, page.precision, page.window) == ("tiny", "f32", 16)
    assert [(label.name, label.gloss_ar) for label in page.entities] == [("ACTOR", "فاعل"), ("LOCATION", "")]
    assert (page.limits.max_documents, page.limits.max_characters) == (MAX_DOCUMENTS, MAX_CHARACTERS)


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz", "/metrics", "/"])
def test_pages_of_the_framework(server, path):
    assert server.call("GET", path)[0] == 200


def test_the_description_shows_what_is(server):
    _, body = server.call("GET", "/docs.json")
    description = json.loads(body)
    assert {"/analyze", "/model", "/livez", "/readyz"} <= set(description["paths"])
    post = description["paths"]["/analyze"]["post"]
    assert set(post["responses"]) == {"200", "400", "401", "413", "415", "422", "429", "500", "503", "504"}
    schemas = description["components"]["schemas"]
    used = {part.split('"')[0] for part in json.dumps(description).split("#/components/schemas/")[1:]}
    assert used <= set(schemas)
    document = schemas["AnalyzeRequest"]["properties"]["documents"]["items"]
    assert set(document["properties"]) == {"id", "text", "published", "source"}
    assert set(schemas["PredictionOut"]["properties"]) >= {"id", "model", "entities", "events", "event_types", "warnings"}


def test_sigterm_lets_a_request_finish(server):
    """Last: it ends the module's server."""
    text = "قال داعش في الموصل. " * 15_000
    answers: list[list[dict]] = []
    client = threading.Thread(
        target=lambda: answers.append(server.analyze([{"id": str(i), "text": text[:280_000]} for i in range(2)]))
    )
    client.start()
    for _ in range(100):
        if server.metric("marsad_requests_waiting") == 1:
            break
        time.sleep(0.02)
    else:
        pytest.fail("the request was not seen in flight")
    assert server.stop() == 0
    client.join()
    assert [len(result["entities"]) for result in answers[0]] == [28_000] * 2
    assert "Traceback" not in server.log.read_text()
    server.assert_nothing_went_out()


def test_bentoml_started_by_itself_is_as_silent(model, tmp_path):
    server = Server(model, tmp_path, plain=True)
    try:
        server.wait()
        assert server.analyze([{"id": "1", "text": "داعش"}])[0]["entities"]
    finally:
        assert server.stop() == 0
    server.assert_nothing_went_out()
    server.trap.close()


def test_a_model_that_is_not_there_is_said_once(tmp_path):
    done = subprocess.run([sys.executable, "-c", START, "--model", str(tmp_path)], check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "no manifest.json" in done.stderr
    assert "Traceback" not in done.stderr


def test_torch_stays_out():
    heavy = "import sys, serving.service, serving.cli; print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
