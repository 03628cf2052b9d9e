"""The BentoML service. Thin: the door checks, the analyzer answers, BentoML gives processes, health and packing.

No adaptive batching: one bad call in BentoML's batch fails every call in it, and its results are cut back to callers with
no check of their number. Sentences of all requests are batched by the scheduler instead.
"""

import asyncio
import gc
import json
import logging
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import Any

import bentoml
from bentoml._internal.server.http import traffic
from bentoml._internal.utils.analytics import usage_stats
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from labels.records import failure_record, prediction_record
from labels.schema import EntityLabel, EventType, Role
from labels.types import Document, Failure, Prediction
from serving.access_log import entry_of_request, set_up_logs
from serving.analyzer import Answer
from serving.current_model import CurrentModel
from serving.door import ANALYZE, DOCUMENTS, Door
from serving.metrics import CONTENT_TYPE, Metrics
from serving.openapi import describe
from serving.replies import Application, Message, Receive, Send
from serving.settings import Settings, warn_of_unknown, workers_from_environment
from serving.wire import AnalyzeRequest, AnalyzeResponse, LabelOut, LimitsOut, ModelOut, parse_documents

logger = logging.getLogger(__name__)

# BentoML reports its use to its makers unless this says "True" ("1" does not do). Set at import, against our habit,
# because `bentoml serve` imports this module before it reports and asks the service nothing later. By then it has read the
# variable once and kept the answer, so that must be forgotten.
os.environ["BENTOML_DO_NOT_TRACK"] = "True"
usage_stats.do_not_track.cache_clear()

# The door has the deadline. BentoML's would answer in another shape, and it keeps a timer of each request, answered or not,
# until its time is up: at 24 hours that was 800 bytes a request which never came back.
TIMEOUT = 24 * 60 * 60


class _Untimed:
    """In the place of BentoML's timer, which no setting leaves out."""

    def __init__(self, app: Application, timeout: float) -> None:  # noqa: ARG002  # BentoML's signature
        self.app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


traffic.TimeoutMiddleware = _Untimed  # type: ignore[assignment,misc]


class DocumentsInput(bentoml.IODescriptor, AnalyzeRequest):  # type: ignore[misc]
    """The request as the door has checked it."""

    @classmethod
    async def from_http_request(cls, request: Request, serde: Any) -> "DocumentsInput":  # noqa: ARG003  # BentoML's signature
        return cls.model_construct(documents=request.scope[DOCUMENTS])


def _read_settings() -> Settings:
    return Settings.from_environment(os.environ)


def _tracing(environment: Mapping[str, str]) -> dict[str, str]:
    """BentoML makes spans for every request and throws them away where no exporter is configured, which takes most of
    the time of sending one away. It is configured by this file and no other way."""
    return {} if "BENTOML_CONFIG" in environment else {"excluded_urls": ".*"}


@cache
def _metrics() -> Metrics:
    return Metrics()


async def _model_page(_: Request) -> Response:
    return JSONResponse(bentoml.get_current_service().describe().model_dump())


async def _openapi_page(_: Request) -> Response:
    return JSONResponse(openapi())


async def _metrics_page(_: Request) -> Response:
    return Response(await asyncio.to_thread(_metrics().show), headers={"content-type": CONTENT_TYPE})


# Mounted before BentoML adds its own: its /docs.json knows neither GET routes nor our errors, its page at / has the
# browser report the visit to others, and its metrics are off.
_pages = Starlette(
    routes=[
        Route("/", _openapi_page),
        Route("/model", _model_page),
        Route("/docs.json", _openapi_page),
        Route("/metrics", _metrics_page),
    ]
)


@bentoml.asgi_app(_pages)
@bentoml.service(
    name="marsad",
    workers=workers_from_environment(os.environ),
    traffic={"timeout": TIMEOUT},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    tracing=_tracing(os.environ),
)
class Marsad:
    """Reads Arabic conflict news: names of actors and places, and the types of events, sentence by sentence."""

    def __init__(self) -> None:
        """Ready once this returns: the model is loaded and has answered."""
        self.settings = _read_settings()
        warn_of_unknown(os.environ)
        set_up_logs()
        self._tasks: set[asyncio.Task[bool]] = set()
        with suppress(RuntimeError):  # no event loop: not in a server
            loop = asyncio.get_running_loop()
            # Before the model is opened: one that takes its place from here on is heard of, and opened after.
            signal.signal(signal.SIGHUP, lambda *_: loop.call_soon_threadsafe(self._reload))
        self.model = CurrentModel(self.settings, _metrics())
        gc.freeze()  # all that is there by now stays: looking through it for garbage would hold up requests

    @bentoml.api(route=ANALYZE, input_spec=DocumentsInput, output_spec=AnalyzeResponse)  # type: ignore[untyped-decorator]
    async def analyze(self, documents: list[Any]) -> Response:
        """Names and event types of each document; one result a document, in order."""
        with self.model.in_use() as analyzer:
            rows = await analyzer.run(lambda: parse_documents(documents))
            answers = await analyzer.analyze_async(rows)
            body = await analyzer.run(lambda: _render(answers))
        entry = entry_of_request.get()
        entry.characters = sum(len(row.text) for row in rows if isinstance(row, Document))
        for answer in answers:
            code = str(answer.code) if isinstance(answer, Failure) else ""
            entry.failures += bool(code)
            _metrics().documents.labels(code or "ok").inc()
        return Response(body, media_type="application/json")

    async def __is_ready__(self) -> bool:
        return self.model.analyzer.alive

    async def __is_alive__(self) -> bool:
        return self.model.analyzer.alive

    def _reload(self) -> None:
        if len(self._tasks) > 1:  # one is at work, and one that waits will see what is there then
            return
        task = asyncio.get_running_loop().create_task(self.model.reload())
        self._tasks.add(task)  # a task that nobody holds may be collected before it has run
        task.add_done_callback(self._tasks.discard)

    def describe(self) -> ModelOut:
        """The model, its labels and the limits of a request."""
        engine, limits = self.model.analyzer.engine, self.settings
        folder = engine.folder
        schema, manifest = folder.schema, folder.manifest
        return ModelOut(
            name=manifest.name,
            id=folder.id,
            base=manifest.base,
            precision=engine.precision,
            entities=[_label(label) for label in schema.entities],
            events=[_label(event) for event in schema.events],
            roles=[_label(role) for role in schema.roles],
            window=manifest.window,
            overlap=manifest.overlap,
            limits=LimitsOut(
                max_documents=limits.max_documents,
                max_characters=limits.max_characters,
                max_body_bytes=limits.max_body_bytes,
            ),
        )


def openapi() -> dict[str, Any]:
    """BentoML's description of the service, with the GET routes, the limits and the errors as they are."""
    spec = json.loads(json.dumps(_service.openapi_spec.asdict()))
    return describe(spec, _service.inner.__doc__, _read_settings().max_documents)


def _render(answers: list[Answer]) -> bytes:
    records = [prediction_record(r) if isinstance(r, Prediction) else failure_record(r) for r in answers]
    return json.dumps({"results": records}, ensure_ascii=False).encode()


def _label(label: EntityLabel | EventType | Role) -> LabelOut:
    return LabelOut(name=label.name, gloss_en=label.gloss_en, gloss_ar=label.gloss_ar, definition=label.definition)


_service: Any = Marsad  # what the decorators made of the class
_service.add_asgi_middleware(Door, read_settings=_read_settings, metrics=_metrics)
