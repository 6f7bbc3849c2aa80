"""Routes of the monitor: ``/monitor.json`` and ``/feedback``. What they answer is for ``monitor.routes`` to say."""

from __future__ import annotations

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

from modelimg_runtime.asking import read_body, ready_of
from modelimg_runtime.protocols.bodies import JSON, media_type
from modelimg_runtime.routing import NamedRoute as Route


def monitor_routes() -> list[Route]:
    """Routes that an application has beside those that predict; described where something is monitored."""
    return [
        Route("/monitor.json", monitor_json, include_in_schema=False),
        Route("/feedback", feedback, methods=["POST"], include_in_schema=False),
    ]


async def monitor_json(request: Request) -> Response:
    """``GET /monitor.json``: all that was counted, and a report on the window that was asked for."""
    monitor, window = ready_of(request).monitor, request.query_params.get("window", "total")

    def made() -> bytes:
        from modelimg_runtime.monitor import routes

        return routes.monitor_json(monitor, window)

    # A thread beside those that predict: it is wanted most when these are all busy.
    return Response(await anyio.to_thread.run_sync(made), media_type=JSON)


async def feedback(request: Request) -> Response:
    """``POST /feedback``: what would have been right."""
    from modelimg_runtime.monitor import routes
    from modelimg_runtime.monitor.feedback import BODIES

    ready_of(request)
    state, kind = request.app.state, media_type(request.headers.get("content-type"), BODIES)
    with state.load.lease() as lease:
        body = await read_body(request, state.settings.max_body_bytes, lease)
        made = await state.load.run(lambda: routes.feedback(state.service.live, body, kind), len(body))
        return Response(made, media_type=JSON)
