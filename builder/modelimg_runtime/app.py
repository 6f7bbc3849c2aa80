"""The HTTP side: routes, request ids, limits, and problems. What a body means is for ``protocols`` to say."""

from __future__ import annotations

import json
import logging
import os
import re
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelimg_runtime.environment import Settings
from modelimg_runtime.errors import OutputRejected, PayloadError, RuntimeFault, StartRefused
from modelimg_runtime.problems import MEDIA_TYPE, NOT_READY, Problem, problem_of
from modelimg_runtime.service import Ready, Service

log = logging.getLogger(__name__)

REQUEST_ID = "x-request-id"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:+/=@-]{1,128}")
_SCOPE_ID = "modelimg.request_id"


def create_app(settings: Settings, on_refusal: Callable[[StartRefused], None]) -> Starlette:
    """The application; it starts to load the model when it starts up, and answers ``/livez`` at once.

    Args:
        settings: which package, and the limits.
        on_refusal: called from the loading thread when the process may not serve the package.
    """
    service = Service(settings, on_refusal)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.limiter = anyio.CapacityLimiter(available_cpus())
        service.start_loading()
        yield

    app = Starlette(
        routes=[
            Route("/predict", predict, methods=["POST"]),
            Route("/livez", livez),
            Route("/readyz", readyz),
            Route("/info", info),
            Route("/schema", schema),
        ],
        middleware=[Middleware(Edge)],
        exception_handlers={HTTPException: _http_problem, RuntimeFault: _fault},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.service = service
    app.state.settings = settings
    return app


def available_cpus() -> int:
    """CPUs that this process may run on; predicting in more threads than that only adds waiting."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


async def predict(request: Request) -> Response:
    """``POST /predict``: the native protocol."""
    from modelimg_runtime.protocols import native

    ready = _ready(request)
    if ready is None:
        return _problem(request, NOT_READY)
    probabilities = _flag(request, "probabilities")
    kind = native.media_type(request.headers.get("content-type"))
    body = await _body(request, request.app.state.settings.max_body_bytes)

    def work() -> bytes:
        payload = native.parse(body, kind)
        prediction = ready.model.predict_columns(payload.columns, text=payload.text)
        return native.answer(request.scope[_SCOPE_ID], prediction, ready.classes, probabilities=probabilities)

    answer = await anyio.to_thread.run_sync(work, limiter=request.app.state.limiter)
    return Response(answer, media_type=native.JSON)


async def livez(_request: Request) -> Response:
    """``GET /livez``: the process answers."""
    return _json({"status": "alive"})


async def readyz(request: Request) -> Response:
    """``GET /readyz``: the model is loaded, its digest is the packed one, and the examples came out as in training."""
    return _json({"status": "ready"}) if _ready(request) else _problem(request, NOT_READY)


async def info(request: Request) -> Response:
    """``GET /info``: name, version, provenance, metrics, digests."""
    ready = _ready(request)
    return _json(ready.info) if ready else _problem(request, NOT_READY)


async def schema(request: Request) -> Response:
    """``GET /schema``: the input and the output contract."""
    ready = _ready(request)
    if ready is None:
        return _problem(request, NOT_READY)
    return _json(await anyio.to_thread.run_sync(ready.schema, limiter=request.app.state.limiter))


class Edge:
    """Gives every request an id, and turns what nobody foresaw into a problem whose details go to the log only.

    Args:
        app: what it wraps.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = scope[_SCOPE_ID] = _request_id(scope)
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message.get("headers", ()), (REQUEST_ID.encode(), request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except ClientDisconnect:
            log.info("request %s: the caller went away", request_id)
        except Exception as error:
            log.exception("request %s failed", request_id)
            if started:
                raise
            problem = _problem(Request(scope), problem_of(error))
            await problem(scope, receive, send_with_id)


def _ready(request: Request) -> Ready | None:
    service: Service = request.app.state.service
    return service.ready


def _flag(request: Request, name: str) -> bool:
    value = request.query_params.get(name, "false")
    if value not in ("true", "false"):
        raise PayloadError(f"the query parameter {name} is true or false")
    return value == "true"


async def _body(request: Request, limit: int) -> bytes:
    """The whole body, given up as soon as it is known to be too long.

    uvicorn then drops the rest as it comes: closing at once would take the answer from a caller who is still sending.
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


def _request_id(scope: Scope) -> str:
    """The caller's own id where it is harmless to log and to echo, else a fresh one."""
    given = dict(scope["headers"]).get(REQUEST_ID.encode(), b"").decode("latin-1")
    return given if _REQUEST_ID.fullmatch(given) else str(uuid.uuid4())


async def _fault(request: Request, error: Exception) -> Response:
    if isinstance(error, OutputRejected):
        places = "; ".join(map(str, error.violations[:20]))
        log.error("request %s: output contract broken: %s: %s", request.scope[_SCOPE_ID], error, places)
    return _problem(request, problem_of(error))


async def _http_problem(request: Request, error: Exception) -> Response:
    """404 and 405 of the router."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = {404: "there is no such route", 405: "the route does not take this method"}.get(status, "")
    return _problem(request, Problem(status, detail), dict(getattr(error, "headers", None) or {}))


def _problem(request: Request, problem: Problem, headers: dict[str, str] | None = None) -> Response:
    return Response(problem.body(request.scope[_SCOPE_ID]), problem.status, headers, MEDIA_TYPE)


def _json(data: Any) -> Response:
    return Response(json.dumps(data, ensure_ascii=False).encode(), media_type="application/json")
