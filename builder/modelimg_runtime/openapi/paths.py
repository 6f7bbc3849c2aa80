"""Our own routes: predictions, the model, health and pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Final

from modelimg_runtime.openapi.examples import Shown
from modelimg_runtime.openapi.responses import JSON, json_body, ok, problems, text_body
from modelimg_runtime.openapi.schemas import Contract, closed, extras_of, ref
from modelimg_runtime.openapi.table import Schema
from modelimg_runtime.protocols.tables import ARROW, PARQUET

PREDICT, MODEL, HEALTH, PAGES = "Predict", "Model", "Health", "Pages"
CSV: Final = "text/csv"
HTML: Final = "text/html"

_UNREADY: Final = (503,)
_ASKED: Final = (400, 406, 408, 413, 415, 422, 500, 503)


def operation(
    identifier: str,
    tag: str,
    summary: str,
    responses: Mapping[str, Schema],
    *,
    description: str = "",
    parameters: Sequence[Schema] = (),
    body: Mapping[str, Schema] | None = None,
) -> Schema:
    """One operation; every one takes and gives a request id."""
    return {
        "operationId": identifier,
        "tags": [tag],
        "summary": summary,
        **({"description": description} if description else {}),
        "parameters": [*parameters, {"$ref": "#/components/parameters/RequestId"}],
        **({"requestBody": {"required": True, "content": dict(body)}} if body else {}),
        "responses": dict(responses),
    }


def asked(model: Contract, shown: Shown) -> dict[str, Schema]:
    """``/predict``."""
    answer = {"id": {"type": "string"}, "predictions": {"type": "array", "minItems": 1, "items": ref("Prediction")}}
    answer |= {name: {"type": "array", "minItems": 1, "items": each} for name, each in extras_of(model).items()}
    examples = {"predictions": shown.answer(model.classes, probabilities=False)}
    if shown.probabilities is not None:
        examples["with_probabilities"] = shown.answer(model.classes, probabilities=True)
    given = {
        **json_body(closed(answer, optional=list(extras_of(model))), **examples),
        **text_body(CSV, "A header, then one line per row."),
        **table_bodies(),
    }
    body = {
        **json_body(
            {"oneOf": [closed({"rows": ref("Rows")}), closed({"columns": ref("Columns")})]},
            rows={"rows": shown.records},
            columns={"columns": shown.columns},
        ),
        **text_body(CSV, "A header with the columns' names, then one line per row.", rows=shown.csv()),
        **table_bodies(),
    }
    first = model.names[0] if model.names else None
    predict = operation(
        "predict",
        PREDICT,
        "Predict",
        {"200": ok("One prediction per row, in order.", given), **problems(_ASKED, first)},
        description="Rows as objects, as columns of one length, or as CSV; gzip and deflate are taken as content "
        "encoding. The rows are checked by the input contract before the model sees them, and the predictions by the "
        "output contract before you see them.",
        parameters=flags(model),
        body=body,
    )
    return {"/predict": {"post": predict}}


def flags(model: Contract) -> list[Schema]:
    """Query parameters that ask for more than predictions."""
    schema = {"type": "boolean", "default": False}
    return [
        {"name": name, "in": "query", "description": _FLAGS[name], "required": False, "schema": schema}
        for name in extras_of(model)
    ]


_FLAGS: Final = {
    "probabilities": "The probability of each class, too.",
    "scores": "The decision scores, too.",
}


def table_bodies() -> dict[str, Schema]:
    """Arrow and Parquet, where this image can read them."""
    if find_spec("pyarrow") is None:
        return {}
    return {
        ARROW: {"schema": {"type": "string", "description": "An Arrow stream (IPC)."}},
        PARQUET: {"schema": {"type": "string", "description": "A Parquet file."}},
    }


def about() -> dict[str, Schema]:
    """``/info``, ``/schema`` and this document."""
    info = operation(
        "info",
        MODEL,
        "Where the model comes from",
        {
            "200": ok(
                "Name, version, provenance, metrics and the digest of every packed file.", json_body(ref("Info"))
            ),
            **problems(_UNREADY),
        },
    )
    schema = operation(
        "schema",
        MODEL,
        "The contract",
        {
            "200": ok(
                "What goes in and what comes out, column by column, and as pandera writes it.",
                json_body(ref("Contract")),
            ),
            **problems(_UNREADY),
        },
    )
    document = operation(
        "openapi",
        MODEL,
        "This document",
        {"200": ok("OpenAPI 3.1.", json_body({"type": "object"})), **problems(_UNREADY)},
    )
    return {"/info": {"get": info}, "/schema": {"get": schema}, "/openapi.json": {"get": document}}


def about_schemas(model: Contract) -> dict[str, Schema]:
    """What these answer, by name."""
    text, anything = {"type": "string"}, {"type": ["object", "null"]}
    names = {
        "name": {"const": model.name},
        "version": {"const": model.version},
        "task": text,
        "model": {"type": "object"},
        "provenance": anything,
        "metrics": anything,
        "files": {"type": "object", "additionalProperties": {**text, "pattern": "^[0-9a-f]{64}$"}},
    }
    side = {
        "type": "object",
        "properties": {
            "columns": {"type": "array", "items": {"type": "object", "required": ["name", "dtype", "type"]}},
            "checks": {"type": "array", "items": text},
            "pandera": anything,
        },
        "required": ["columns", "checks", "pandera"],
    }
    return {
        "Info": {"type": "object", "properties": names, "required": list(names)},
        "Contract": closed({"input": side, "output": side}),
    }


def health(tag: str = HEALTH) -> dict[str, Schema]:
    """``/livez`` and ``/readyz``."""
    return {
        "/livez": {"get": alive("livez", tag, "The process answers")},
        "/readyz": {"get": ready("readyz", tag, "The model is loaded, checked, and gives its packed predictions")},
        "/metrics": {
            "get": operation(
                "metrics",
                tag,
                "Counters for Prometheus",
                {
                    "200": ok(
                        "Prometheus' text format, or OpenMetrics.", text_body("text/plain", "One sample per line.")
                    )
                },
            )
        },
    }


def alive(identifier: str, tag: str, summary: str) -> Schema:
    """A route that says that the process answers."""
    return operation(identifier, tag, summary, {"200": ok("It does.", json_body(_status("alive")))})


def ready(identifier: str, tag: str, summary: str, errors: Mapping[str, Schema] | None = None) -> Schema:
    """A route that says that the model is there."""
    failures = problems(_UNREADY) if errors is None else errors
    return operation(identifier, tag, summary, {"200": ok("It is.", json_body(_status("ready"))), **failures})


def _status(value: str) -> Schema:
    return closed({"status": {"const": value}})


def pages() -> dict[str, Schema]:
    """``/`` and ``/docs``."""
    links = {"type": "object", "additionalProperties": {"type": "string"}}
    content = {**text_body(HTML, "A page."), **json_body(links)}
    loading = {"503": {**problems(_UNREADY)["503"], "content": text_body(HTML, "A page that asks again by itself.")}}
    home = operation(
        "home",
        PAGES,
        "The model's page",
        {"200": ok(f"A page with a form; links with `Accept: {JSON}`.", content), **loading},
    )
    docs = operation(
        "docs", PAGES, "This description as a page", {"200": ok("A page.", text_body(HTML, "A page.")), **loading}
    )
    return {"/": {"get": home}, "/docs": {"get": docs}}
