"""Routes of the monitor: ``/monitor`` for people, ``/monitor.json`` and ``/feedback``.

What they answer is for ``pages.monitor`` and ``monitor.routes`` to say.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

from modelimg_runtime.asking import NotReady, read_body, ready_of
from modelimg_runtime.protocols.bodies import JSON, media_type
from modelimg_runtime.routing import NamedRoute as Route
from modelimg_runtime.site import base_of, loading

if TYPE_CHECKING:
    from modelimg_runtime.service import Ready


def monitor_routes() -> list[Route]:
    """Routes that an application has beside those that predict; described where something is monitored."""
    return [
        Route("/monitor", monitor_page, include_in_schema=False),
        Route("/monitor.json", monitor_json, include_in_schema=False),
        Route("/feedback", feedback, methods=["POST"], include_in_schema=False),
    ]


async def monitor_page(request: Request) -> Response:
    """``GET /monitor``: the same for people, who are told as well that nothing is monitored, or not yet."""
    settings, query, base = request.app.state.settings, request.query_params, base_of(request)
    try:
        ready = await settled(request)
    except NotReady:
        return loading()

    def made() -> Response:
        from modelimg_runtime.pages.monitor import whole

        return whole.monitor_page(ready, settings, query, base)

    return await anyio.to_thread.run_sync(made)


async def settled(request: Request) -> Ready:
    """What is served, once other workers have counted all that they answered until now."""
    ready = ready_of(request)
    if ready.monitor is not None and request.app.state.settings.workers > 1:
        from modelimg_runtime.monitor.live import SOON_SECONDS

        await asyncio.sleep(2 * SOON_SECONDS)
    return ready


async def monitor_json(request: Request) -> Response:
    """``GET /monitor.json``: all that was counted, and a report on the window that was asked for."""
    monitor, window = (await settled(request)).monitor, request.query_params.get("window", "total")

    def made() -> bytes:
        from modelimg_runtime.monitor import routes

        return routes.monitor_json(monitor, window)

    # A thread beside those that predict: it is wanted most when these are all busy.
    return Response(await anyio.to_thread.run_sync(made), media_type=JSON)


async def feedback(request: Request) -> Response:
    """``POST /feedback``: what would have been right."""
    from modelimg_runtime.monitor import routes
    from modelimg_runtime.monitor.feedback import BODIES

    await settled(request)
    state, kind = request.app.state, media_type(request.headers.get("content-type"), BODIES)
    with state.load.lease() as lease:
        body = await read_body(request, state.settings.max_body_bytes, lease)
        made = await state.load.run(lambda: routes.feedback(state.service.live, body, kind), len(body))
        return Response(made, media_type=JSON)
