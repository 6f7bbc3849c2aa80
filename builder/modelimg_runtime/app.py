"""The application and its life. Its routes are in ``routes``, and what every request goes through is in ``edge``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio.to_thread
from starlette.applications import Starlette
from starlette.types import ASGIApp

from modelimg_runtime.backpressure import Load
from modelimg_runtime.counters import Counters, make_board
from modelimg_runtime.edge import Edge, Shortcut
from modelimg_runtime.environment import Settings
from modelimg_runtime.errors import StartRefused
from modelimg_runtime.routes import make_routes
from modelimg_runtime.service import SAVE_SECONDS, Service


class Application(Starlette):
    """Starlette without its layers of middleware, which cost a request as much as a small model does.

    What they are for, `edge.Edge` does once for all routes.
    """

    def build_middleware_stack(self) -> ASGIApp:
        """What a request goes through."""
        shortcut = Shortcut(self.router)
        return Edge(shortcut, self.state.counters, log_access=self.state.settings.access_log)


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
        if service.live is not None:
            service.live.flush()
        if saving is not None:
            saving.cancel()
            await _save(service)

    app = Application(routes=make_routes(settings), lifespan=lifespan)
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
