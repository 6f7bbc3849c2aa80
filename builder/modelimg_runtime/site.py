"""Routes for people and for their tools: ``/openapi.json``, ``/docs``, ``/``, and the form on it.

What makes them is imported when somebody asks: a container should not wait for it before its first prediction.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from modelimg_runtime.asking import REQUEST_ID, Asked, NotReady, answered, as_json, ready_of
from modelimg_runtime.errors import InputRejected, OutputRejected, PayloadError
from modelimg_runtime.protocols.bodies import JSON, Payload, media_type
from modelimg_runtime.routing import NamedRoute as Route

if TYPE_CHECKING:
    from modelimg_runtime.openapi import Description
    from modelimg_runtime.pages.attempt import Attempt
    from modelimg_runtime.service import Ready

FORM = "application/x-www-form-urlencoded"
_HOST = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")
_LINKS = ("/monitor", "/docs", "/openapi.json", "/info", "/schema", "/metrics", "/livez", "/readyz")


def site_routes() -> list[Route]:
    """Routes that an application has beside those that predict."""
    return [
        Route("/openapi.json", openapi),
        Route("/docs", docs),
        Route("/", home),
        Route("/try", attempt, methods=["GET", "POST"], include_in_schema=False),  # the page's form, not an API
    ]


async def openapi(request: Request) -> Response:
    """``GET /openapi.json``."""
    return await _page(request, lambda _, description: Response(description.body, media_type=JSON))


async def docs(request: Request) -> Response:
    """``GET /docs``: the same for people."""

    def work(_ready: Ready, description: Description) -> Response:
        from modelimg_runtime.pages import docs

        return docs.docs(description, base_of(request))

    return await _for_people(request, work)


async def home(request: Request) -> Response:
    """``GET /``: the model's page; links for those who ask for JSON."""
    if _wants_json(request):
        name, version = ready_of(request).identity
        return as_json({"name": name, "version": version, **{path.strip("/"): path for path in _LINKS}})
    asked = request.query_params.get("example", "")

    def work(ready: Ready, description: Description) -> Response:
        from modelimg_runtime.pages import home

        number = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 6 else 0
        return home.home(ready, description, number)

    return await _for_people(request, work)


async def attempt(request: Request) -> Response:
    """``POST /try``: the page with a prediction of what its form holds; it needs no script."""
    if request.method != "POST":
        return RedirectResponse("/#try", 303)
    media_type(request.headers.get("content-type"), (FORM,))
    tried: Attempt | None = None

    def parse(ready: Ready, body: bytes) -> Asked:
        from modelimg_runtime.openapi import described
        from modelimg_runtime.pages.attempt import Attempt

        nonlocal tried
        description = described(ready, request.app.state.settings)
        tried = made = Attempt.of(ready, description, body, request.scope[REQUEST_ID], base_of(request))
        return Asked(Payload(made.columns), made.answered)

    try:
        return await answered(request, parse, inline=False)
    except NotReady:
        return loading()
    except (InputRejected, OutputRejected, PayloadError) as error:
        if tried is None:
            raise
        return await anyio.to_thread.run_sync(tried.refused, error, limiter=request.app.state.load.limiter)


async def _for_people(request: Request, work: Callable[[Ready, Description], Response]) -> Response:
    try:
        return await _page(request, work)
    except NotReady:
        return loading()


def loading() -> Response:
    """Said to people until the model is ready."""
    from modelimg_runtime.pages.frame import loading

    return loading()


async def _page(request: Request, work: Callable[[Ready, Description], Response]) -> Response:
    """What ``work`` makes of what is served, in a thread: a wide contract makes a long page.

    Raises:
        NotReady: nothing is served yet.
    """
    ready, settings = ready_of(request), request.app.state.settings

    def made() -> Response:
        from modelimg_runtime.openapi import described

        return work(ready, described(ready, settings))

    return await anyio.to_thread.run_sync(made, limiter=request.app.state.load.limiter)


def _wants_json(request: Request) -> bool:
    accept = request.headers.get("accept", "")
    return JSON in accept and "text/html" not in accept


def base_of(request: Request) -> str:
    """Address by which the caller came here."""
    host = request.headers.get("host", "")
    return f"{request.url.scheme}://{host if _HOST.fullmatch(host) else 'localhost'}"
