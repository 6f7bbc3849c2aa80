"""The application: its life, request ids, and what becomes of errors. Its routes are in ``routes``."""

from __future__ import annotations

import logging
import os
import re
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelimg_runtime.asking import REQUEST_ID, NoSuchModel, NotReady
from modelimg_runtime.environment import Settings
from modelimg_runtime.errors import OutputRejected, RuntimeFault, StartRefused
from modelimg_runtime.problems import NOT_READY, Problem, problem_of
from modelimg_runtime.routes import make_routes
from modelimg_runtime.service import Service
from modelimg_runtime.shapes import error_body

log = logging.getLogger(__name__)

HEADER = "x-request-id"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:+/=@-]{1,128}")


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
        routes=make_routes(settings),
        middleware=[Middleware(Edge)],
        exception_handlers={
            HTTPException: _http_problem,
            NoSuchModel: _http_problem,
            NotReady: _not_ready,
            RuntimeFault: _fault,
        },
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.service = service
    app.state.settings = settings
    return app


def available_cpus() -> int:
    """CPUs that this process may run on; predicting in more threads than that only adds waiting."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
        request_id = scope[REQUEST_ID] = _request_id(scope)
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message.get("headers", ()), (HEADER.encode(), request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except ClientDisconnect:
            log.info("request %s: the caller went away", request_id)
        except Exception as error:
            log.exception("request %s failed", request_id)
            if started:
                raise
            problem = _problem(scope, problem_of(error))
            await problem(scope, receive, send_with_id)


def _request_id(scope: Scope) -> str:
    """The caller's own id where it is harmless to log and to echo, else a fresh one."""
    given = dict(scope["headers"]).get(HEADER.encode(), b"").decode("latin-1")
    return given if _REQUEST_ID.fullmatch(given) else str(uuid.uuid4())


async def _fault(request: Request, error: Exception) -> Response:
    if isinstance(error, OutputRejected):
        places = "; ".join(map(str, error.violations[:20]))
        log.error("request %s: output contract broken: %s: %s", request.scope[REQUEST_ID], error, places)
    return _problem(request.scope, problem_of(error))


async def _not_ready(request: Request, _error: Exception) -> Response:
    return _problem(request.scope, NOT_READY)


async def _http_problem(request: Request, error: Exception) -> Response:
    """404 and 405 of the router, and 404 for another model's name."""
    status = error.status_code if isinstance(error, HTTPException) else 404
    what = "model" if isinstance(error, NoSuchModel) else "route"
    detail = {404: f"there is no such {what}", 405: "the route does not take this method"}.get(status, "")
    return _problem(request.scope, Problem(status, detail), dict(getattr(error, "headers", None) or {}))


def _problem(scope: Scope, problem: Problem, headers: dict[str, str] | None = None) -> Response:
    status, kind, body = error_body(scope["path"], problem, scope[REQUEST_ID])
    return Response(body, status, headers, kind)
