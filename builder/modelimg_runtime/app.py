"""The application: its life, request ids, and what becomes of errors. Its routes are in ``routes``."""

from __future__ import annotations

import asyncio
import logging
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import perf_counter

import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelimg_runtime.asking import REQUEST_ID, Draining, NoSuchModel, NotReady
from modelimg_runtime.backpressure import RETRY_AFTER_SECONDS, Busy, Load
from modelimg_runtime.counters import OTHER, Counters, make_board
from modelimg_runtime.environment import Settings
from modelimg_runtime.errors import OutputRejected, RuntimeFault, StartRefused
from modelimg_runtime.logs import FIELDS, REQUEST
from modelimg_runtime.problems import BUSY, DRAINING, NOT_READY, Problem, problem_of
from modelimg_runtime.routes import make_routes
from modelimg_runtime.routing import ROUTE, ROWS
from modelimg_runtime.service import SAVE_SECONDS, Service
from modelimg_runtime.shapes import error_body

log = logging.getLogger(__name__)
access_log = logging.getLogger("modelimg_runtime.access")

HEADER = "x-request-id"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:+/=@-]{1,128}")
_GONE = 499
"""Counted for a caller who did not wait for the answer; nginx's number for it."""


def create_app(
    settings: Settings,
    on_refusal: Callable[[StartRefused], None] | None,
    service: Service | None = None,
    counters: Counters | None = None,
) -> Starlette:
    """The application; it starts to load the model when it starts up, and answers ``/livez`` at once.

    Args:
        settings: which package, and the limits.
        on_refusal: called from the loading thread when the process may not serve the package; None where another
            process loads it.
        service: holds the model.
        counters: of this process, where it is one of several.
    """
    service, counters = service or Service(), counters or Counters(make_board())

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.load = Load.of(settings)
        if on_refusal is not None:
            service.start_loading(settings, on_refusal)
        # Of several workers' counts, the parent takes care.
        saving = asyncio.create_task(_save_now_and_then(service)) if settings.workers == 1 else None
        yield
        if saving is not None:
            saving.cancel()
            await _save(service)

    app = Starlette(
        routes=make_routes(settings),
        middleware=[Middleware(Edge, counters=counters, log_access=settings.access_log)],
        exception_handlers={
            HTTPException: _http_problem,
            NoSuchModel: _http_problem,
            NotReady: _answer_with(NOT_READY),
            Draining: _answer_with(DRAINING),
            Busy: _answer_with(BUSY, {"retry-after": str(RETRY_AFTER_SECONDS)}),
            RuntimeFault: _fault,
        },
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.service = service
    app.state.settings = settings
    app.state.counters = counters
    return app


async def _save_now_and_then(service: Service) -> None:
    while True:
        await asyncio.sleep(SAVE_SECONDS)
        await _save(service)


async def _save(service: Service) -> None:
    """Write the monitor's counts where they are to survive a restart."""
    if service.ready is not None and service.ready.monitor is not None:
        await anyio.to_thread.run_sync(service.ready.monitor.save)


class Edge:
    """Gives every request an id, counts it, and turns what nobody foresaw into a problem whose details go to the log.

    Args:
        app: what it wraps.
        counters: of this process.
        log_access: whether each request gets a line in the log.
    """

    def __init__(self, app: ASGIApp, counters: Counters | None = None, *, log_access: bool = False) -> None:
        self._app = app
        self._counters = counters or Counters(make_board())
        self._log_access = log_access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        self._counters.began()
        request_id = scope[REQUEST_ID] = _request_id(scope)
        REQUEST.set(request_id)
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (HEADER.encode(), request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except ClientDisconnect:
            log.info("request %s: the caller went away", request_id)
        except Exception as error:
            log.exception("request %s failed", request_id)
            if status:
                raise
            problem = _problem(scope, problem_of(error))
            await problem(scope, receive, send_with_id)
        finally:
            seconds = perf_counter() - began
            self._counters.ended(scope.get(ROUTE, OTHER), status or _GONE, seconds)
            if self._log_access:
                _log_access(scope, status or _GONE, seconds)


def _log_access(scope: Scope, status: int, seconds: float) -> None:
    fields = {
        "method": scope["method"],
        "route": scope.get(ROUTE, OTHER),
        "status": status,
        "seconds": round(seconds, 6),
        "rows": scope.get(ROWS),
    }
    line = " ".join(f"{name}={value}" for name, value in fields.items() if value is not None)
    access_log.info("%s", line, extra={FIELDS: fields})


def _request_id(scope: Scope) -> str:
    """The caller's own id where it is harmless to log and to echo, else a fresh one."""
    given = dict(scope["headers"]).get(HEADER.encode(), b"").decode("latin-1")
    return given if _REQUEST_ID.fullmatch(given) else str(uuid.uuid4())


async def _fault(request: Request, error: Exception) -> Response:
    if isinstance(error, OutputRejected):
        places = "; ".join(map(str, error.violations[:20]))
        log.error("request %s: output contract broken: %s: %s", request.scope[REQUEST_ID], error, places)
    return _problem(request.scope, problem_of(error))


def _answer_with(
    problem: Problem, headers: dict[str, str] | None = None
) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(request: Request, _error: Exception) -> Response:
        return _problem(request.scope, problem, headers)

    return answer


async def _http_problem(request: Request, error: Exception) -> Response:
    """404 and 405 of the router, and 404 for another model's name."""
    status = error.status_code if isinstance(error, HTTPException) else 404
    what = "model" if isinstance(error, NoSuchModel) else "route"
    detail = {404: f"there is no such {what}", 405: "the route does not take this method"}.get(status, "")
    return _problem(request.scope, Problem(status, detail), dict(getattr(error, "headers", None) or {}))


def _problem(scope: Scope, problem: Problem, headers: dict[str, str] | None = None) -> Response:
    status, kind, body = error_body(scope["path"], problem, scope[REQUEST_ID])
    return Response(body, status, headers, kind)
