"""The description of the HTTP interface that is served at /docs.json, and kept as tests/golden/openapi.json."""

import json
import sys
from typing import Any

from labels import __version__
from serving.errors import HTTP_STATUS, Code
from serving.wire import AnalyzeRequest, AnalyzeResponse, ErrorResponse, ModelOut

_ANALYZE = "/analyze"
# What each code means for a whole request; those of single documents stand in their place.
_MEANING = {
    Code.INVALID_REQUEST: "not UTF-8, not JSON, not the shape of a request, or not what its content-encoding says",
    Code.UNAUTHORIZED: "the server wants a bearer token",
    Code.BODY_TOO_LARGE: "more bytes than the server takes, unpacked",
    Code.UNSUPPORTED_MEDIA_TYPE: "a body that is not called JSON, or packed in a way that is not known",
    Code.TOO_MANY_DOCUMENTS: "more documents than the server takes in one request",
    Code.OVERLOADED: "as many requests as may wait do; come again after Retry-After seconds",
    Code.INTERNAL: "a fault of the program",
    Code.NOT_READY: "no model answers just now",
    Code.DEADLINE_EXCEEDED: "not answered in time; the rest of the work is dropped",
}
_PROBES = {
    "/livez": "200 while the process can answer",
    "/readyz": "200 while the model answers",
    "/healthz": "as /livez",
}


def describe(spec: dict[str, Any], description: str, max_documents: int) -> dict[str, Any]:
    """BentoML's description made true: with the GET routes, the headers, the limit of documents, and the errors as they are."""
    # In place of BentoML's advertisement and the address of its makers, who do not answer for this service.
    spec["info"] = {"title": "Marsad", "version": __version__, "description": description}
    spec.pop("tags", None)
    spec["openapi"] = "3.1.0"  # pydantic writes JSON Schema as this version has it
    schemas: dict[str, Any] = {}
    for shape in (AnalyzeRequest, AnalyzeResponse, ErrorResponse, ModelOut):
        described = shape.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= described.pop("$defs", {}) | {shape.__name__: described}
    schemas["AnalyzeRequest"]["properties"]["documents"]["maxItems"] = max_documents
    spec["components"] = {"schemas": schemas, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}}
    spec["paths"] = {
        _ANALYZE: {"post": _analyze(spec["paths"][_ANALYZE]["post"]["description"])},
        "/model": {"get": _get("The model that answers, its labels, the limits of a request.", "model", _json_of("ModelOut"))},
        "/docs.json": {"get": _get("This description.", "docs", {"application/json": {"schema": {"type": "object"}}})},
        "/metrics": {"get": _get("Prometheus metrics.", "metrics", {"text/plain": {"schema": {"type": "string"}}})},
    } | {path: {"get": _probe(told, path[1:])} for path, told in _PROBES.items()}
    return spec


def _analyze(description: str) -> dict[str, Any]:
    retry = {"Retry-After": {"description": "seconds", "schema": {"type": "integer", "minimum": 1}}}
    errors = {str(HTTP_STATUS[code]): _error(code) for code in _MEANING}
    errors[str(HTTP_STATUS[Code.OVERLOADED])]["headers"] = retry
    return {
        "description": description,
        "operationId": "analyze",
        "security": [{}, {"token": []}],
        "parameters": [
            _header("X-Request-ID", "shown in the log and in the answer; made up where there is none", {"type": "string"}),
            _header(
                "X-Deadline-Seconds",
                "after so long the answer is not wanted any more; the server has a limit of its own",
                {"type": "number", "exclusiveMinimum": 0},
            ),
        ],
        "requestBody": {"required": True, "content": _json_of("AnalyzeRequest")},
        "responses": {"200": {"description": "one result a document", "content": _json_of("AnalyzeResponse")}} | errors,
    }


def _get(description: str, name: str, content: dict[str, Any]) -> dict[str, Any]:
    codes = (Code.UNAUTHORIZED, Code.INTERNAL)
    return {
        "description": description,
        "operationId": name,
        "security": [{}, {"token": []}],
        "responses": {"200": {"description": name, "content": content}}
        | {str(HTTP_STATUS[code]): _error(code) for code in codes},
    }


def _probe(description: str, name: str) -> dict[str, Any]:
    return {
        "description": description,
        "operationId": name,
        "responses": {"200": {"description": "yes"}, "503": _error(Code.NOT_READY)},
    }


def _error(code: Code) -> dict[str, Any]:
    return {"description": f"{code.value}: {_MEANING[code]}", "content": _json_of("ErrorResponse")}


def _header(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": description, "schema": schema}


def _json_of(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


if __name__ == "__main__":
    from serving.service import openapi

    sys.stdout.write(json.dumps(openapi(), ensure_ascii=False, indent=1) + "\n")
