"""Routes: which protocol answers where. What a body means is for ``protocols`` to say, its worth for ``predict``."""

from __future__ import annotations

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

from modelimg_runtime import __version__
from modelimg_runtime.asking import REQUEST_ID, Asked, answered, as_json, check_accepting, check_model, flag, ready_of
from modelimg_runtime.columns import Prediction
from modelimg_runtime.counters import exposition
from modelimg_runtime.environment import Settings
from modelimg_runtime.monitoring import monitor_routes, settled
from modelimg_runtime.protocols import invocations, kserve, native, oip
from modelimg_runtime.protocols.bodies import CSV, JSON, media_type
from modelimg_runtime.protocols.extras import NONE, Extras
from modelimg_runtime.protocols.negotiation import answer_kind
from modelimg_runtime.protocols.tables import TABLES, check_tables, read_table
from modelimg_runtime.routing import NamedRoute as Route
from modelimg_runtime.service import Ready
from modelimg_runtime.site import site_routes

_BODIES = (JSON, CSV, *TABLES)


def make_routes(settings: Settings) -> list[Route]:
    """All routes of an application."""
    own: list[Route] = [
        Route("/predict", predict, methods=["POST"]),
        Route("/livez", livez),
        Route("/metrics", metrics),
        Route("/readyz", readyz),
        Route("/info", info),
        Route("/schema", schema),
        *site_routes(),
        *monitor_routes(),
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
    extras = extras_of(request)
    kind, wanted = kinds_of(request)

    def parse(ready: Ready, body: bytes) -> Asked:
        def answer(prediction: Prediction) -> Response:
            identifier = request.scope[REQUEST_ID]
            data = native.answer(identifier, prediction, ready.classes, extras, wanted)
            return Response(data, media_type=wanted)

        payload = read_table(body, kind, body_limit(request)) if kind in TABLES else native.parse(body, kind)
        return Asked(payload, answer, extras.scores)

    return await answered(request, parse, inline=kind not in TABLES and wanted not in TABLES)


async def invoke(request: Request) -> Response:
    """``POST /invocations``: MLflow and SageMaker."""
    asked = extras_of(request)
    kind, wanted = kinds_of(request)

    def parse(ready: Ready, body: bytes) -> Asked:
        if kind in TABLES:
            payload, extras = read_table(body, kind, body_limit(request)), asked
        else:
            payload, more = invocations.parse(body, kind, ready.names)
            extras = asked | more

        def answer(prediction: Prediction) -> Response:
            return Response(invocations.answer(prediction, ready.classes, extras, wanted), media_type=wanted)

        return Asked(payload, answer, extras.scores)

    response = await answered(request, parse, inline=kind not in TABLES and wanted not in TABLES)
    # SageMaker lets a caller's own header through, and its answer only where the model repeats it.
    given = request.headers.get(invocations.CUSTOM_ATTRIBUTES, "")
    if invocations.may_repeat(given):
        response.headers[invocations.CUSTOM_ATTRIBUTES] = given
    return response


async def kserve_predict(request: Request) -> Response:
    """``POST /v1/models/{name}:predict``."""
    check_model(request)
    return await _instances(request)


async def vertex_predict(request: Request) -> Response:
    """``POST`` to Vertex AI's ``AIP_PREDICT_ROUTE``: instances and parameters, as KServe's first protocol has them."""
    return await _instances(request)


async def _instances(request: Request) -> Response:
    media_type(request.headers.get("content-type", JSON), (JSON,))

    def parse(ready: Ready, body: bytes) -> Asked:
        payload, extras = kserve.parse(body, ready.names)
        return Asked(
            payload, lambda p: Response(kserve.answer(p, ready.classes, extras), media_type=JSON), extras.scores
        )

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

        return Asked(infer.payload, answer, infer.scores, infer.id)

    return await answered(request, parse)


def extras_of(request: Request) -> Extras:
    """What the query asks for beside the predictions.

    Raises:
        PayloadError: a flag is neither true nor false.
    """
    if not request.scope["query_string"]:
        return NONE
    return Extras(flag(request, "probabilities"), flag(request, "scores"))


def kinds_of(request: Request) -> tuple[str, str]:
    """The media types of a body and of its answer.

    Raises:
        PayloadError: one that is not served (415), or that this image cannot read (415) or write (406).
    """
    kind = media_type(request.headers.get("content-type"), _BODIES)
    check_tables(kind, 415)
    wanted = answer_kind(request.headers.get("accept"), _BODIES[1:])
    check_tables(wanted, 406)
    return kind, wanted


def body_limit(request: Request) -> int:
    """Bytes of a body, and of what comes out of it."""
    settings: Settings = request.app.state.settings
    return settings.max_body_bytes


async def livez(_request: Request) -> Response:
    """``GET /livez``: the process answers."""
    return as_json({"status": "alive"})


async def readyz(request: Request) -> Response:
    """``GET /readyz``: the model is loaded, its digest is the packed one, and the examples came out as in training."""
    check_accepting(request)
    return as_json({"status": "ready"})


async def ping(request: Request) -> Response:
    """``GET /ping``: SageMaker's health check, an empty 200."""
    check_accepting(request)
    return Response(status_code=200)


async def metrics(request: Request) -> Response:
    """``GET /metrics``: what all workers together counted, for Prometheus."""
    state, accept = request.app.state, request.headers.get("accept", "")
    ready: Ready | None = state.service.ready
    labels, monitor = (ready.labels, ready.monitor) if ready else (None, None)
    if monitor is not None:
        await settled(request)
    more = monitor.families if monitor else None
    # A thread beside those that predict: metrics are wanted most when these are all busy.
    body, kind = await anyio.to_thread.run_sync(exposition, state.counters.board, labels, accept, more)
    return Response(body, headers={"content-type": kind})


async def info(request: Request) -> Response:
    """``GET /info``: name, version, provenance, metrics, digests."""
    return as_json(ready_of(request).info)


async def schema(request: Request) -> Response:
    """``GET /schema``: the input and the output contract."""
    ready = ready_of(request)
    return as_json(await anyio.to_thread.run_sync(ready.schema, limiter=request.app.state.load.limiter))


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
    name, version = check_accepting(request).identity
    return as_json({"name": name, "version": version, "ready": True})


async def oip_model(request: Request) -> Response:
    """``GET /v2/models/{name}``: names, types and shapes of what goes in and comes out."""
    check_model(request)
    ready = ready_of(request)
    described = await anyio.to_thread.run_sync(ready.tensors, limiter=request.app.state.load.limiter)
    return as_json(oip.model_metadata(ready.identity, *described))
