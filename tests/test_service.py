import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from serving.door import Door
from serving.errors import SettingsError
from serving.settings import Settings, warn_of_unknown, workers_from_environment
from serving.wire import AnalyzeResponse, ErrorResponse, ModelOut
from tests.folders import make_folder

START = "from serving.cli import serve; serve()"
MAX_DOCUMENTS, MAX_BODY, MAX_CHARACTERS = 32, 4_000_000, 300_000


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """`marsad serve` as a process of its own, and a trap that every outward connection by way of a proxy would fall in."""

    def __init__(self, model: Path, home: Path, *, plain: bool = False) -> None:
        """`plain` starts it by BentoML's own command, with nothing of ours in the environment but the model."""
        self.port = free_port()
        self.trap = socket.create_server(("127.0.0.1", 0))
        self.trap.settimeout(0.2)
        proxy = f"http://127.0.0.1:{self.trap.getsockname()[1]}"
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("MARSAD", "BENTOML"))}
        environment |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"), proxy)
        environment |= {"BENTOML_HOME": str(home), "MARSAD_MAX_DOCUMENTS": str(MAX_DOCUMENTS), "NO_PROXY": "", "no_proxy": ""}
        environment |= {"MARSAD_MAX_BODY_BYTES": str(MAX_BODY), "MARSAD_MAX_CHARACTERS": str(MAX_CHARACTERS)}
        command = [sys.executable, "-c", START, "--port", str(self.port), "--model", str(model), "--threads", "1"]
        command += ["--precision", "f32"]
        if plain:
            command = [sys.executable, "-m", "bentoml", "serve", "serving.service:Marsad", "--port", str(self.port)]
            environment["MARSAD_MODEL"] = str(model)
        self.log = home / "server.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

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
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

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


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return make_folder(tmp_path_factory.mktemp("model")).path


@pytest.fixture(scope="module")
def server(model, tmp_path_factory):
    server = Server(model, tmp_path_factory.mktemp("home"))
    try:
        server.wait()
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()
        server.trap.close()


def error(answer: tuple[int, bytes]) -> tuple[int, str, str]:
    status, body = answer
    shape = ErrorResponse.model_validate_json(body)
    assert set(json.loads(body)) == {"error"}
    return status, shape.error.code, shape.error.message


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
        (b"[" * 200_000, "invalid_request", "the body is not JSON that can be read"),
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
        (b'"%s"' % (b"x" * MAX_BODY), "body_too_large", f"a body may have {MAX_BODY} bytes"),
    ],
    ids=["none", "cut", "latin1", "deep", "list", "empty", "object", "null", "extra", "many", "large"],
)
def test_a_request_that_is_refused_whole(server, body, code, message):
    status, found, told = error(server.call("POST", "/analyze", body))
    assert (status, found) == ({"too_many_documents": 422, "body_too_large": 413}.get(code, 400), code)
    assert told.startswith(message)


def test_a_body_of_unknown_length_is_measured_as_it_comes(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("POST", "/analyze", iter([b" " * 100_000] * 60), {"Transfer-Encoding": "chunked"}, encode_chunked=True)
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


@pytest.mark.parametrize("kind", ["application/vnd.bentoml+pickle", "multipart/form-data", "text/plain"])
def test_a_body_is_json_whatever_it_is_called(server, kind):
    body = json.dumps({"documents": [{"id": "1", "text": "داعش"}]}).encode()
    assert server.call("POST", "/analyze", body, {"Content-Type": kind})[0] == 200
    assert error(server.call("POST", "/analyze", b"\x80\x04\x95", {"Content-Type": kind}))[:2] == (400, "invalid_request")


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
    assert set(post["responses"]) == {"200", "400", "413", "422", "500", "503"}
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
    metrics = 'bentoml_service_request_in_progress{endpoint="/analyze"'
    for _ in range(100):
        lines = server.call("GET", "/metrics")[1].decode().splitlines()
        if any(line.startswith(metrics) and line.endswith(" 1.0") for line in lines):
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


class Exchange:
    """One request to a door with nothing but `app` behind it, as ASGI has it."""

    def __init__(self, door: Door, method: str = "POST", path: str = "/analyze", body: bytes = b'{"documents": []}') -> None:
        self.door = door
        self.scope = {"type": "http", "method": method, "path": path, "headers": []}
        self.body = body
        self.sent: list[dict] = []

    async def run(self) -> tuple[int, bytes]:
        async def receive():
            return {"type": "http.request", "body": self.body, "more_body": False}

        async def send(message):
            self.sent.append(message)

        await self.door(self.scope, receive, send)
        return self.sent[0]["status"], self.sent[1]["body"]


def test_more_requests_than_may_wait_are_sent_away_and_may_come_again():
    async def scene():
        release = asyncio.Event()

        async def app(scope, receive, send):
            await release.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"{}"})

        door = Door(app, lambda: Settings(max_waiting=2))
        waiting = [asyncio.create_task(Exchange(door).run()) for _ in range(2)]
        await asyncio.sleep(0)
        third = Exchange(door)
        refused = await third.run()
        release.set()
        return refused, dict(third.sent[0]["headers"]), [await task for task in waiting], await Exchange(door).run()

    refused, headers, waited, later = asyncio.run(scene())
    assert error(refused)[:2] == (503, "overloaded")
    assert headers[b"retry-after"] == b"1"
    assert [status for status, _ in [*waited, later]] == [200, 200, 200]


@pytest.mark.parametrize("path", ["/analyze", "/model"])
def test_a_fault_of_the_program_says_nothing_of_itself(path, caplog):
    async def app(scope, receive, send):
        raise ZeroDivisionError("secret of the inside")

    answer = asyncio.run(Exchange(Door(app, Settings), "POST", path).run())
    assert error(answer)[:2] == (500, "internal")
    assert b"secret" not in answer[1]
    assert "secret of the inside" in caplog.text


def test_a_model_that_is_not_there_is_said_once(tmp_path):
    done = subprocess.run([sys.executable, "-c", START, "--model", str(tmp_path)], check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "no manifest.json" in done.stderr
    assert "Traceback" not in done.stderr


def test_torch_stays_out():
    heavy = "import sys, serving.service, serving.cli; print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_settings():
    given = {"MARSAD_MODEL": "/m", "MARSAD_THREADS": "2", "MARSAD_PRECISION": "bf16", "MARSAD_MAX_WAITING": " "}
    assert Settings.from_environment(given) == Settings(model=Path("/m"), threads=2, precision="bf16")
    assert workers_from_environment({"MARSAD_WORKERS": "3"}) == 3


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("MARSAD_THREADS", "two", "MARSAD_THREADS: expected a whole number, 0 or more, found 'two'"),
        ("MARSAD_MAX_DOCUMENTS", "0", "MARSAD_MAX_DOCUMENTS: expected a whole number, 1 or more, found '0'"),
        ("MARSAD_MAX_DOCUMENTS", "٣", "MARSAD_MAX_DOCUMENTS: expected"),
        ("MARSAD_PRECISION", "int8", "MARSAD_PRECISION: expected one of auto, f32, bf16, found 'int8'"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(variable, value, message):
    with pytest.raises(SettingsError, match=message):
        Settings.from_environment({variable: value})


def test_a_setting_that_does_not_exist_is_told(caplog):
    warn_of_unknown({"MARSAD_MODLE": "/m", "MARSAD_MODEL": "/m", "MARSAD_WORKERS": "1", "PATH": ""})
    assert [record.args[0] for record in caplog.records] == ["MARSAD_MODLE"]
