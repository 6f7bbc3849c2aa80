"""What every request goes through, once: an id, counters, the log, and what becomes of an error."""

from __future__ import annotations

import logging
import re
import uuid
from time import perf_counter
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelimg_runtime.asking import REQUEST_ID, Draining, NoSuchModel, NotReady
from modelimg_runtime.backpressure import RETRY_AFTER_SECONDS, Busy
from modelimg_runtime.counters import OTHER, Counters
from modelimg_runtime.errors import OutputRejected, RuntimeFault
from modelimg_runtime.logs import FIELDS, REQUEST
from modelimg_runtime.problems import BUSY, DRAINING, NOT_READY, Problem, problem_of
from modelimg_runtime.routing import ROUTE, ROWS, NamedRoute
from modelimg_runtime.shapes import error_body

log = logging.getLogger(__name__)
access_log = logging.getLogger("modelimg_runtime.access")

HEADER: Final = "x-request-id"
_HEADER: Final = HEADER.encode()
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:+/=@-]{1,128}")
_GONE: Final = 499
"""Counted for a caller who did not wait for the answer; nginx's number for it."""


class Edge:
    """Gives every request an id, counts it, and turns an exception into a problem; what nobody foresaw goes to the log.

    Args:
        app: answers.
        counters: of this process.
        log_access: whether each request gets a line in the log.
    """

    def __init__(self, app: ASGIApp, counters: Counters, *, log_access: bool = False) -> None:
        self._app, self._counters, self._log_access = app, counters, log_access

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
                message["headers"] = [*message.get("headers", ()), (_HEADER, request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except ClientDisconnect:
            log.info("request %s: the caller went away", request_id)
        except Exception as error:
            problem = _answer_to(error, scope)
            if status:
                raise
            await problem(scope, receive, send_with_id)
        finally:
            seconds = perf_counter() - began
            self._counters.ended(scope.get(ROUTE, OTHER), status or _GONE, seconds)
            if self._log_access:
                _log_access(scope, status or _GONE, seconds)


class Shortcut:
    """Finds the route of a path without parameters at once; the router, which tries one after the other, all others.

    Args:
        router: of `NamedRoute`.
    """

    def __init__(self, router: Router) -> None:
        self._router = router
        self._routes: dict[str, NamedRoute] = {}
        for route in router.routes:
            if isinstance(route, NamedRoute) and not route.param_convertors:
                self._routes.setdefault(route.path, route)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        route = self._routes.get(scope["path"]) if scope["type"] == "http" and not scope.get("root_path") else None
        if route is None:
            await self._router(scope, receive, send)
        else:
            scope[ROUTE] = route.path
            await route.handle(scope, receive, send)


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
    given = dict(scope["headers"]).get(_HEADER, b"").decode("latin-1")
    return given if _REQUEST_ID.fullmatch(given) else str(uuid.uuid4())


def _answer_to(error: Exception, scope: Scope) -> Response:
    """The problem that an exception is to the caller; the log has what the caller is not told."""
    problem, headers = _PROBLEMS.get(type(error)), None
    if isinstance(error, Busy):
        headers = {"retry-after": str(RETRY_AFTER_SECONDS)}
    elif isinstance(error, HTTPException):  # 404 and 405 of the router
        problem, headers = Problem(error.status_code, _DETAILS.get(error.status_code, "")), dict(error.headers or {})
    elif isinstance(error, OutputRejected):
        places = "; ".join(map(str, error.violations[:20]))
        log.error("request %s: output contract broken: %s: %s", scope[REQUEST_ID], error, places)
    elif problem is None and not isinstance(error, RuntimeFault):
        log.exception("request %s failed", scope[REQUEST_ID])
    status, kind, body = error_body(scope["path"], problem or problem_of(error), scope[REQUEST_ID])
    return Response(body, status, headers, kind)


_DETAILS: Final = {404: "there is no such route", 405: "the route does not take this method"}
_PROBLEMS: Final[dict[type[Exception], Problem]] = {
    NoSuchModel: Problem(404, "there is no such model"),
    NotReady: NOT_READY,
    Draining: DRAINING,
    Busy: BUSY,
}
