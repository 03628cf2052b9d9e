"""The BentoML service. Thin: the door checks, the analyzer answers, BentoML gives processes, health, metrics and packing.

No adaptive batching: one bad call in BentoML's batch fails every call in it, and its results are cut back to callers with
no check of their number. A request's own documents are batched by the engine's token budget instead, and requests share
the engine pass by pass.
"""

import json
import logging
import os
from typing import Any

import bentoml
from bentoml._internal.utils.analytics import usage_stats
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from labels import __version__
from labels.folder import ModelFolder
from labels.records import failure_record, prediction_record
from labels.schema import EntityLabel, EventType, Role
from labels.types import Document, Failure, Prediction
from serving.analyzer import Analyzer
from serving.door import ANALYZE, DOCUMENTS, Door
from serving.engine import Engine
from serving.errors import HTTP_STATUS, EngineError
from serving.settings import Settings, warn_of_unknown, workers_from_environment
from serving.thresholds import parse_thresholds
from serving.wire import AnalyzeRequest, AnalyzeResponse, ErrorResponse, LabelOut, LimitsOut, ModelOut, parse_documents

logger = logging.getLogger(__name__)

# BentoML reports its use to its makers unless this says "True" ("1" does not do). Set at import, against our habit,
# because `bentoml serve` imports this module before it reports and asks the service nothing later. By then it has read the
# variable once and kept the answer, so that must be forgotten.
os.environ["BENTOML_DO_NOT_TRACK"] = "True"
usage_stats.do_not_track.cache_clear()

THREADS = 4  # requests analysed at a time in one process
# BentoML cannot stop a request's thread, so a limit here would only hide its answer. `max_waiting` bounds the load.
TIMEOUT = 24 * 60 * 60
_WARM_UP = Document("warm-up", "قال مصدر في المدينة اليوم.")


class DocumentsInput(bentoml.IODescriptor, AnalyzeRequest):  # type: ignore[misc]
    """The request as the door has checked it."""

    @classmethod
    async def from_http_request(cls, request: Request, serde: Any) -> "DocumentsInput":  # noqa: ARG003  # BentoML's signature
        return cls.model_construct(documents=request.scope[DOCUMENTS])


def _read_settings() -> Settings:
    return Settings.from_environment(os.environ)


async def _model_page(_: Request) -> Response:
    return JSONResponse(bentoml.get_current_service().describe().model_dump())


async def _openapi_page(_: Request) -> Response:
    return JSONResponse(openapi())


# Mounted before BentoML adds its own: its /docs.json knows neither GET routes nor our errors, and its page at / has the
# browser report the visit to others.
_pages = Starlette(routes=[Route("/", _openapi_page), Route("/model", _model_page), Route("/docs.json", _openapi_page)])


@bentoml.asgi_app(_pages)
@bentoml.service(name="marsad", workers=workers_from_environment(os.environ), threads=THREADS, traffic={"timeout": TIMEOUT})
class Marsad:
    """Reads Arabic conflict news: names of actors and places, and the types of events, sentence by sentence."""

    def __init__(self) -> None:
        """Ready once this returns: the model is loaded and has answered."""
        self.settings = _read_settings()
        warn_of_unknown(os.environ)
        engine = Engine(
            ModelFolder.open(self.settings.model),
            threads=self.settings.threads or None,
            precision=self.settings.precision,
        )
        thresholds = parse_thresholds(self.settings.thresholds, engine.folder.schema.event_types, "MARSAD_THRESHOLDS")
        self.analyzer = Analyzer(engine, max_characters=self.settings.max_characters, thresholds=thresholds)
        [answer] = self.analyzer.analyze([_WARM_UP])
        if isinstance(answer, Failure):
            raise EngineError(f"{self.settings.model}: the model did not answer at warm-up: {answer.message}")
        logger.info("%s is ready, in %s", engine.folder.id, engine.precision)

    @bentoml.api(route=ANALYZE, input_spec=DocumentsInput, output_spec=AnalyzeResponse)  # type: ignore[untyped-decorator]
    def analyze(self, documents: list[Any]) -> Response:
        """Names and event types of each document; one result a document, in order."""
        parsed = parse_documents(documents)
        answers = iter(self.analyzer.analyze([item for item in parsed if isinstance(item, Document)]))
        results = [item if isinstance(item, Failure) else next(answers) for item in parsed]
        records = [prediction_record(r) if isinstance(r, Prediction) else failure_record(r) for r in results]
        return Response(json.dumps({"results": records}, ensure_ascii=False).encode(), media_type="application/json")

    def describe(self) -> ModelOut:
        """The model, its labels and the limits of a request."""
        folder, limits = self.analyzer.engine.folder, self.settings
        schema, manifest = folder.schema, folder.manifest
        return ModelOut(
            name=manifest.name,
            id=folder.id,
            base=manifest.base,
            precision=self.analyzer.engine.precision,
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


_service: Any = Marsad  # what the decorators made of the class
_service.add_asgi_middleware(Door, read_settings=_read_settings)


def openapi() -> dict[str, Any]:
    """BentoML's description of the service, with the GET routes and the errors as they are."""
    spec: dict[str, Any] = json.loads(json.dumps(_service.openapi_spec.asdict()))
    # In place of BentoML's advertisement and the address of its makers, who do not answer for this service.
    spec["info"] = {"title": "Marsad", "version": __version__, "description": _service.inner.__doc__}
    schemas: dict[str, Any] = {}
    for shape in (AnalyzeRequest, AnalyzeResponse, ErrorResponse, ModelOut):
        described = shape.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= described.pop("$defs", {}) | {shape.__name__: described}
    spec["components"]["schemas"] = schemas
    errors = {
        str(status): {"description": code.value, "content": _json_of("ErrorResponse")} for code, status in HTTP_STATUS.items()
    }
    post = spec["paths"][ANALYZE]["post"]
    post["requestBody"] = {"required": True, "content": _json_of("AnalyzeRequest")}
    post["responses"] = {"200": {"description": "one result a document", "content": _json_of("AnalyzeResponse")}}
    post["responses"] |= {key: errors[key] for key in ("400", "413", "422", "500", "503")}
    spec["paths"]["/model"] = {
        "get": {
            "tags": post["tags"],
            "description": "The model that answers, its labels and the limits of a request.",
            "operationId": "marsad__model",
            "responses": {"200": {"description": "the model", "content": _json_of("ModelOut")}},
        }
    }
    return spec


def _json_of(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _label(label: EntityLabel | EventType | Role) -> LabelOut:
    return LabelOut(name=label.name, gloss_en=label.gloss_en, gloss_ar=label.gloss_ar, definition=label.definition)
