"""Routes: which protocol answers where. What a body means is for ``protocols`` to say, its worth for ``predict``."""

from __future__ import annotations

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from modelimg_runtime import __version__
from modelimg_runtime.asking import REQUEST_ID, Asked, answered, as_json, check_model, flag, ready_of, wants_csv
from modelimg_runtime.columns import Prediction
from modelimg_runtime.environment import Settings
from modelimg_runtime.protocols import invocations, kserve, native, oip
from modelimg_runtime.protocols.bodies import CSV, JSON, media_type
from modelimg_runtime.service import Ready


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
