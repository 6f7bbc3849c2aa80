"""Routes: which protocol answers where. What a body means is for ``protocols`` to say, its worth for ``predict``."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from modelimg_runtime import __version__
from modelimg_runtime.batch import Prediction
from modelimg_runtime.environment import Settings
from modelimg_runtime.errors import PayloadError
from modelimg_runtime.protocols import invocations, kserve, native, oip
from modelimg_runtime.protocols.bodies import CSV, JSON, Payload, media_type
from modelimg_runtime.service import Ready, Service

REQUEST_ID = "modelimg.request_id"
_INLINE = 1 << 16
"""Bytes of a body that is small enough to be answered on the event loop, where a thread would cost more."""

Handler = Callable[[Request], Awaitable[Response]]


class NotReady(Exception):  # noqa: N818 - it says what is the case
    """The model is still being loaded and checked."""


class NoSuchModel(Exception):  # noqa: N818 - it says what is the case
    """The path names another model, or another version of it."""


@dataclass(frozen=True)
class Asked:
    """What a request asks of the model.

    Attributes:
        payload: its rows.
        answer: makes the response of a prediction.
    """

    payload: Payload
    answer: Callable[[Prediction], Response]


Parse = Callable[[Ready, bytes], Asked]


def make_routes(settings: Settings) -> list[Route]:
    """All routes of an application."""
    own = [
        Route("/predict", predict, methods=["POST"]),
        Route("/livez", livez),
        Route("/readyz", readyz),
        Route("/info", info),
        Route("/schema", schema),
        Route("/invocations", invoke, methods=["POST"]),
        Route("/ping", ping),
        Route("/v1/models", kserve_models),
        Route("/v1/models/{name}:predict", kserve_predict, methods=["POST"]),
        Route("/v1/models/{name}", kserve_model),
        Route("/v2", oip_server),
        Route("/v2/", oip_server),
        Route("/v2/health/live", livez),
        Route("/v2/health/ready", readyz),
    ]
    for prefix in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        own += [
            Route(prefix, oip_model),
            Route(f"{prefix}/ready", oip_ready),
            Route(f"{prefix}/infer", oip_infer, methods=["POST"]),
        ]
    taken = {route.path for route in own}
    if settings.vertex_predict and settings.vertex_predict not in taken:
        own.append(Route(settings.vertex_predict, vertex_predict, methods=["POST"]))
    if settings.vertex_health and settings.vertex_health not in taken:
        own.append(Route(settings.vertex_health, ping))
    return own


async def predict(request: Request) -> Response:
    """``POST /predict``: the native protocol."""
    probabilities = flag(request, "probabilities")
    kind = media_type(request.headers.get("content-type"))
    csv = wants_csv(request)

    def parse(ready: Ready, body: bytes) -> Asked:
        def answer(prediction: Prediction) -> Response:
            if csv:
                return Response(
                    native.csv_answer(prediction, ready.classes, probabilities=probabilities), media_type=CSV
                )
            identifier = request.scope[REQUEST_ID]
            return Response(
                native.answer(identifier, prediction, ready.classes, probabilities=probabilities), media_type=JSON
            )

        return Asked(native.parse(body, kind), answer)

    return await answered(request, parse)


async def invoke(request: Request) -> Response:
    """``POST /invocations``: MLflow and SageMaker."""
    kind = media_type(request.headers.get("content-type"))
    csv = wants_csv(request)

    def parse(ready: Ready, body: bytes) -> Asked:
        payload = invocations.parse(body, kind, ready.names)
        return Asked(payload, lambda p: Response(invocations.answer(p, csv=csv), media_type=CSV if csv else JSON))

    return await answered(request, parse)


async def kserve_predict(request: Request) -> Response:
    """``POST /v1/models/{name}:predict``."""
    check_model(request)
    return await _instances(request)


async def vertex_predict(request: Request) -> Response:
    """``POST`` to Vertex AI's ``AIP_PREDICT_ROUTE``: instances, and parameters of which there are none."""
    return await _instances(request)


async def _instances(request: Request) -> Response:
    media_type(request.headers.get("content-type", JSON), (JSON,))

    def parse(ready: Ready, body: bytes) -> Asked:
        return Asked(kserve.parse(body, ready.names), lambda p: Response(kserve.answer(p), media_type=JSON))

    return await answered(request, parse)


async def oip_infer(request: Request) -> Response:
    """``POST /v2/models/{name}/infer``."""
    check_model(request)
    media_type(request.headers.get("content-type", JSON), (JSON, oip.BINARY))
    json_length = request.headers.get(oip.LENGTH_HEADER)

    def parse(ready: Ready, body: bytes) -> Asked:
        infer = oip.parse(body, json_length, ready.names)

        def answer(prediction: Prediction) -> Response:
            data, head = oip.answer(infer, prediction, ready.identity)
            if head is None:
                return Response(data, media_type=JSON)
            return Response(data, headers={oip.LENGTH_HEADER: str(head)}, media_type=oip.BINARY)

        return Asked(infer.payload, answer)

    return await answered(request, parse)


async def answered(request: Request, parse: Parse) -> Response:
    """Read the body, predict and answer: on the event loop what is small and fast, else in a thread."""
    ready = ready_of(request)
    body = await read_body(request, request.app.state.settings.max_body_bytes)
    small = parse(ready, body) if len(body) <= _INLINE else None
    if small:
        quick = ready.model.quick(small.payload.columns, text=small.payload.text)
        if quick is not None:
            return small.answer(quick)

    def work() -> Response:
        asked = small or parse(ready, body)
        # What the fast lane was asked on the event loop, it is not asked again.
        predict_columns = ready.model.predictor.predict_columns if small else ready.model.predict_columns
        return asked.answer(predict_columns(asked.payload.columns, text=asked.payload.text))

    return await anyio.to_thread.run_sync(work, limiter=request.app.state.limiter)


async def livez(_request: Request) -> Response:
    """``GET /livez``: the process answers."""
    return as_json({"status": "alive"})


async def readyz(request: Request) -> Response:
    """``GET /readyz``: the model is loaded, its digest is the packed one, and the examples came out as in training."""
    ready_of(request)
    return as_json({"status": "ready"})


async def ping(request: Request) -> Response:
    """``GET /ping``: SageMaker's health check, an empty 200."""
    ready_of(request)
    return Response(status_code=200)


async def info(request: Request) -> Response:
    """``GET /info``: name, version, provenance, metrics, digests."""
    return as_json(ready_of(request).info)


async def schema(request: Request) -> Response:
    """``GET /schema``: the input and the output contract."""
    ready = ready_of(request)
    return as_json(await anyio.to_thread.run_sync(ready.schema, limiter=request.app.state.limiter))


async def kserve_models(request: Request) -> Response:
    """``GET /v1/models``."""
    return as_json({"models": [ready_of(request).identity[0]]})


async def kserve_model(request: Request) -> Response:
    """``GET /v1/models/{name}``."""
    check_model(request)
    return as_json(kserve.model_ready(request.path_params["name"], ready=True))


async def oip_server(_request: Request) -> Response:
    """``GET /v2``: this server."""
    return as_json(oip.server_metadata("modelimg", __version__))


async def oip_ready(request: Request) -> Response:
    """``GET /v2/models/{name}/ready``."""
    check_model(request)
    name, version = ready_of(request).identity
    return as_json({"name": name, "version": version, "ready": True})


async def oip_model(request: Request) -> Response:
    """``GET /v2/models/{name}``: names, types and shapes of what goes in and comes out."""
    check_model(request)
    ready = ready_of(request)
    described = await anyio.to_thread.run_sync(ready.tensors, limiter=request.app.state.limiter)
    return as_json(oip.model_metadata(ready.identity, *described))


def ready_of(request: Request) -> Ready:
    """What is served.

    Raises:
        NotReady: nothing yet.
    """
    service: Service = request.app.state.service
    if service.ready is None:
        raise NotReady
    return service.ready


def check_model(request: Request) -> None:
    """Refuse a path that names another model, or another version.

    Raises:
        NoSuchModel: it does.
        NotReady: nothing is served yet.
    """
    name, version = ready_of(request).identity
    if request.path_params["name"] != name or request.path_params.get("version", version) != version:
        raise NoSuchModel


def flag(request: Request, name: str) -> bool:
    """A query parameter that is true or false.

    Raises:
        PayloadError: it is neither.
    """
    value = request.query_params.get(name, "false")
    if value not in ("true", "false"):
        raise PayloadError(f"the query parameter {name} is true or false")
    return value == "true"


def wants_csv(request: Request) -> bool:
    """Whether ``Accept`` names CSV and not JSON; anything else gets JSON, as callers of a JSON service expect."""
    ranges: Sequence[str] = [
        part.partition(";")[0].strip().lower() for part in request.headers.get("accept", "").split(",")
    ]
    return CSV in ranges and JSON not in ranges


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body, given up as soon as it is known to be too long.

    uvicorn then drops the rest as it comes: closing at once would take the answer from a caller who is still sending.

    Raises:
        PayloadError: it is longer than ``limit`` bytes (status 413).
    """
    too_long = PayloadError(f"the body is longer than {limit} bytes", status=413)
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise too_long
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise too_long
    return bytes(body)


def as_json(data: Any) -> Response:
    """A JSON answer."""
    return Response(json.dumps(data, ensure_ascii=False).encode(), media_type=JSON)
