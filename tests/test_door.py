import asyncio
import gzip
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.access_log import Entry
from serving.admission import Admission
from serving.body import parse_body, read_body
from serving.door import Door
from serving.errors import Code, SettingsError
from serving.replies import RequestFault
from serving.settings import Settings
from serving.tokens import Tokens
from tests.servers import error

TOKEN = "0123456789abcdef"


class Exchange:
    """One request to a door with nothing but `app` behind it, as ASGI has it. The client goes when `gone` is set."""

    def __init__(self, door: Door, method: str = "POST", path: str = "/analyze", body: bytes = b'{"documents": []}', **headers):
        self.door = door
        named = {"content-type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [(name.encode(), value.encode()) for name, value in named.items()]
        self.scope = {"type": "http", "method": method, "path": path, "headers": lines, "client": ("192.0.2.1", 5)}
        self.messages = [{"type": "http.request", "body": body, "more_body": False}]
        self.gone = asyncio.Event()
        self.sent: list[dict] = []

    async def run(self) -> tuple[int, bytes]:
        await self.door(self.scope, self.receive, self.send)
        return self.sent[0]["status"], self.sent[1]["body"]

    async def receive(self):
        if self.messages:
            return self.messages.pop(0)
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        self.sent.append(message)

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])


async def fine(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


def door_of(app=fine, **settings) -> Door:
    return Door(app, lambda: Settings(**settings))


def test_more_requests_than_may_wait_are_sent_away_and_may_come_again():
    async def scene():
        release = asyncio.Event()

        async def app(scope, receive, send):
            await release.wait()
            await fine(scope, receive, send)

        door = door_of(app, max_waiting=2)
        waiting = [asyncio.create_task(Exchange(door).run()) for _ in range(2)]
        await asyncio.sleep(0)
        third = Exchange(door)
        began = time.perf_counter()
        refused = await third.run()
        seconds = time.perf_counter() - began
        probe = await Exchange(door_of(), "GET", "/readyz").run()
        release.set()
        return refused, third.headers, [await task for task in waiting], await Exchange(door).run(), seconds, probe

    refused, headers, waited, later, seconds, probe = asyncio.run(scene())
    assert error(refused)[:2] == (429, "overloaded")
    assert error(refused)[2] == "2 requests wait already, at most 2 may; come again in 1 s"
    assert headers[b"retry-after"] == b"1"
    assert seconds < 1
    assert [status for status, _ in [*waited, later, probe]] == [200, 200, 200, 200]


def test_the_time_to_come_again_follows_the_pace():
    now = 100.0
    admission = Admission(3, clock=lambda: now)
    for _ in range(10):
        with admission.place():
            now += 4
    with admission.place(), admission.place(), admission.place():
        assert admission.seconds_to_wait() == 6
        with pytest.raises(RequestFault) as refused, admission.place():
            pass
        assert refused.value.headers == {"retry-after": "6"}
        now += 10_000
        assert admission.seconds_to_wait() == 30
    assert admission.waiting == 0


def test_an_idle_hour_says_nothing_of_the_pace():
    now = 0.0
    admission = Admission(3, clock=lambda: now)
    for _ in range(10):
        with admission.place():
            now += 0.02
        now += 3600
    with admission.place(), admission.place(), admission.place():
        now += 0.02
        assert admission.seconds_to_wait() == 1


def test_requests_refused_at_a_glance_say_nothing_of_the_pace():
    now = 0.0
    admission = Admission(3, clock=lambda: now)
    with admission.place():
        for code in [Code.INVALID_REQUEST] * 50 + [Code.DEADLINE_EXCEEDED] * 2:
            now += 4 if code == Code.DEADLINE_EXCEEDED else 0
            with pytest.raises(RequestFault), admission.place():
                raise RequestFault(code, "")
        with admission.place(), admission.place():
            assert admission.seconds_to_wait() == 3


def test_an_answer_that_nobody_fetches_ends_at_its_deadline(monkeypatch):
    """It goes out in pieces, each of which waits until those before are read."""
    whole = bytes(range(256)) * 1024

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": whole})

    exchange = Exchange(door_of(app))
    asyncio.run(exchange.run())
    bodies = exchange.sent[1:]
    assert b"".join(each["body"] for each in bodies) == whole
    assert max(len(each["body"]) for each in bodies) == 64 * 1024
    assert [each.get("more_body", False) for each in bodies] == [True] * 3 + [False]

    slow = Exchange(door_of(app, deadline=0.05))

    async def stalled(message):
        slow.sent.append(message)
        if len(slow.sent) == 3:
            await asyncio.sleep(60)

    slow.send = stalled
    noted = []
    monkeypatch.setattr(Entry, "write", lambda entry: noted.append((entry.code, entry.bytes_out)))
    with pytest.raises(TimeoutError):
        asyncio.run(slow.run())
    assert len(slow.sent) == 3
    assert noted == [("deadline_exceeded", 64 * 1024)]


@pytest.mark.parametrize("path", ["/analyze", "/model"])
def test_a_fault_of_the_program_says_nothing_of_itself(path, caplog):
    async def app(scope, receive, send):
        raise ZeroDivisionError("secret of the inside")

    exchange = Exchange(door_of(app), "POST", path)
    answer = asyncio.run(exchange.run())
    assert error(answer)[:2] == (500, "internal")
    assert b"secret" not in answer[1]
    assert "secret of the inside" in caplog.text
    assert exchange.headers[b"x-request-id"].decode() in caplog.text


def test_work_for_a_client_that_has_gone_is_cancelled():
    async def scene():
        started, ended = asyncio.Event(), asyncio.Event()

        async def app(scope, receive, send):
            started.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                ended.set()
                raise

        door = door_of(app, max_waiting=1)
        exchange = Exchange(door)
        task = asyncio.create_task(door(exchange.scope, exchange.receive, exchange.send))
        await started.wait()
        exchange.gone.set()
        await asyncio.wait_for(task, 5)
        return ended.is_set(), exchange.sent, door

    cancelled, sent, door = asyncio.run(scene())
    assert cancelled
    assert [message.get("status") for message in sent] == [499, None]
    assert door._admission.waiting == 0


def test_a_client_that_goes_before_its_body_is_there():
    exchange = Exchange(door_of())
    exchange.messages = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    assert asyncio.run(exchange.run()) == (499, b"")


@pytest.mark.parametrize("stuck", ["body", "answer"])
def test_the_deadline_of_the_server_and_that_of_the_client(stuck):
    async def app(scope, receive, send):
        await asyncio.sleep(60)

    exchange = Exchange(door_of(app, deadline=0.05), x_deadline_seconds="40")
    if stuck == "body":
        exchange.messages = []
    assert error(asyncio.run(exchange.run()))[:2] == (504, "deadline_exceeded")
    assert error(asyncio.run(Exchange(door_of(app), x_deadline_seconds="0.05").run()))[:2] == (504, "deadline_exceeded")


@pytest.mark.parametrize("given", ["0", "-1", "nan", "inf", "soon", "1e400"])
def test_a_deadline_that_is_none(given):
    status, code, message = error(asyncio.run(Exchange(door_of(), x_deadline_seconds=given).run()))
    assert (status, code) == (400, "invalid_request")
    assert message.startswith("x-deadline-seconds: expected a number of seconds above 0")


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ({}, 401),
        ({"authorization": f"Bearer {TOKEN}x"}, 401),
        ({"authorization": f"Basic {TOKEN}"}, 401),
        ({"authorization": "Bearer"}, 401),
        ({"authorization": f"Bearer {TOKEN}"}, 200),
        ({"authorization": f"bearer  {TOKEN} "}, 200),
        ({"authorization": "Bearer another-token-of-it"}, 200),
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", "/analyze"), ("GET", "/model"), ("GET", "/metrics"), ("GET", "/")])
def test_tokens_are_asked_for_everywhere(header, status, method, path):
    exchange = Exchange(door_of(tokens=f"{TOKEN}, another-token-of-it"), method, path, **header)
    answer = asyncio.run(exchange.run())
    assert answer[0] == status
    if status == 401:
        assert error(answer)[1] == "unauthorized"
        assert exchange.headers[b"www-authenticate"] == b"Bearer"
        assert TOKEN.encode() not in answer[1]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz"])
def test_probes_need_no_token(path):
    assert asyncio.run(Exchange(door_of(tokens=TOKEN), "GET", path).run())[0] == 200


def test_tokens_from_a_file(tmp_path):
    file = tmp_path / "tokens"
    file.write_text(f"# of the harvester\n{TOKEN}\n\n")
    Tokens.read("", file).check([(b"Authorization", f"Bearer {TOKEN}".encode())])
    assert TOKEN not in repr(Settings(tokens=TOKEN))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"# short\nshort\n", "tokens: line 2: expected a token of 16 or more"),
        (b"# nothing\n", "has no token; expected one a line"),
        (b"\xff\xfe", "cannot be read"),
        ("رمز سري طويل جدا".encode(), "line 1: expected"),
        (None, "cannot be read"),
    ],
)
def test_tokens_that_cannot_be_used(tmp_path, content, message):
    file = tmp_path / "tokens"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match=message):
        Tokens.read("", file)


@pytest.mark.parametrize(
    ("given", "message"), [(",", "MARSAD_TOKENS: has no token"), (f"{TOKEN},short", "MARSAD_TOKENS: token 2")]
)
def test_a_variable_that_came_out_empty_does_not_open_the_door(given, message):
    with pytest.raises(SettingsError, match=message):
        Tokens.read(given, None)
    Tokens.read("", None).check([])  # not set at all
    for name in ("MARSAD_TOKENS", "MARSAD_TOKENS_FILE"):
        with pytest.raises(SettingsError, match=f"{name}: is set and empty"):
            Settings.from_environment({name: " "})


def test_answers_that_have_begun_are_broken_off(caplog):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(Exchange(door_of(app)).run())


def read(parts: list[bytes], limit: int, **headers: str) -> bytes:
    messages = [{"type": "http.request", "body": part, "more_body": i + 1 < len(parts)} for i, part in enumerate(parts)]

    async def receive():
        return messages.pop(0)

    return asyncio.run(read_body([(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()], receive, limit))


@given(st.binary(max_size=300), st.integers(0, 300), st.integers(1, 50), st.booleans())
def test_a_body_is_read_to_its_limit_and_no_further(body, limit, size, packed):
    sent = gzip.compress(body) if packed else body
    parts = [sent[i : i + size] for i in range(0, len(sent), size)] or [b""]
    headers = {"content_encoding": "gzip"} if packed else {}
    if len(body) <= limit:
        assert read(parts, limit, **headers) == body
    else:
        with pytest.raises(RequestFault, match=f"a body may have {limit} bytes"):
            read(parts, limit, **headers)


@pytest.mark.parametrize("sent", [gzip.compress(b"{}")[:-1], gzip.compress(b"{}") + b"x", b"", b"{}"])
def test_what_is_not_gzip(sent):
    with pytest.raises(RequestFault, match="the body is not gzip"):
        read([sent], 100, content_encoding="gzip")


def test_a_string_that_never_ends_is_looked_through_once():
    """An expression that tries again from each quote within would take hours."""
    body = '{"documents":[' + "{}," * 3000 + '"' + '\\"' * 2_000_000
    with pytest.raises(RequestFault, match="found 3000"):
        parse_body(body.encode(), 3)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_a_body_in_another_encoding_is_refused(encoding):
    with pytest.raises(RequestFault, match=r"the body is not (UTF-8|JSON)"):
        parse_body(json.dumps({"documents": ["\u0622"]}).encode(encoding), 3)


def test_far_too_many_documents_are_too_many_documents():
    document = {"id": "1", "text": "قال", "source": None, "published": "[{,:"}
    with pytest.raises(RequestFault, match="documents: expected at most 3, found 5000") as refused:
        parse_body(json.dumps({"documents": [document] * 5000}).encode(), 3)
    assert refused.value.code == Code.TOO_MANY_DOCUMENTS


@pytest.mark.parametrize("inner", ["{}", "[]", '{"a":1}', "1.5", '"\\\\",{}'])
def test_a_body_that_would_grow_in_memory_is_refused_unparsed(inner):
    body = f'{{"documents":[[{",".join([inner] * 2000)}]]}}'.encode()
    with pytest.raises(RequestFault, match=r"the body has [0-9]+ brackets, commas and colons outside its strings"):
        parse_body(body, 3)


@given(st.text(alphabet='{}[],:"\\ a\nا', min_size=300, max_size=600))
def test_a_text_may_hold_any_signs(text):
    for ascii_only in (True, False):
        body = json.dumps({"documents": [{"id": "1", "text": text}]}, ensure_ascii=ascii_only).encode()
        assert parse_body(body, 1) == [{"id": "1", "text": text}]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=10,
)


@given(json_values | st.fixed_dictionaries({"documents": json_values}) | st.binary(max_size=60))
def test_any_body_is_parsed_or_refused(value):
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    try:
        found = parse_body(body, 3)
    except RequestFault as fault:
        found, told = None, fault.message
    assert isinstance(found, list) or (told.encode() and len(told) < 300)
