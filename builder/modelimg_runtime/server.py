"""uvicorn's server with what it leaves out: a clock for slow callers, and an end that load balancers can follow."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from modelimg_runtime.accepting import Accepting, Crowd
from modelimg_runtime.connection import Connection, connections
from modelimg_runtime.environment import DRAIN_SECONDS, Settings
from modelimg_runtime.service import Service

_TICKS_PER_SECOND = 10  # uvicorn's


@dataclass(frozen=True)
class Place:
    """A worker's place among others.

    Attributes:
        worker: its number.
        crowd: how many connections each has.
        parent: a pipe whose other end the parent has; the worker ends with it, however it ended.
    """

    worker: int
    crowd: Crowd
    parent: int


class Server(uvicorn.Server):
    """Serves one application in this process.

    On SIGTERM, readiness turns 503 at once and answers close their connections; for ``drain_delay`` seconds connections
    are still accepted, since load balancers take a while to notice; then what was accepted is answered.

    Args:
        app: the application.
        service: told when to drain.
        settings: the limits.
        place: among other workers, where there are any.
    """

    def __init__(self, app: Starlette, service: Service, settings: Settings, place: Place | None = None) -> None:
        self._service, self._delay = service, settings.drain_delay
        self._place, self._accepting = place, list[Accepting]()
        super().__init__(
            uvicorn.Config(
                app,
                loop="uvloop",
                http=connections(settings.read_timeout, lambda: service.draining, self._count),
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=settings.keep_alive,
                timeout_graceful_shutdown=DRAIN_SECONDS - settings.drain_delay,
            )
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal says to end."""
        self._service.draining = True
        if (
            self._place is None or not self.should_exit
        ):  # a terminal sends Ctrl-C to the workers, and so does their parent
            super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen on the sockets, taking turns where there are other workers."""
        await super().startup([])
        loop = asyncio.get_running_loop()
        if self._place is not None:
            loop.add_reader(self._place.parent, self._end_as_orphan, self._place.parent)
        self._accepting += [Accepting(each, self._connection, self._is_ahead, self._count) for each in sockets or []]

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second."""
        if counter % _TICKS_PER_SECOND == 0:
            self._check_connections()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain."""
        self._service.draining = True
        # Who pressed Ctrl-C, or whose model was refused, waits for no load balancer.
        for _ in range(self._delay if signal.SIGTERM in self._captured_signals else 0):
            await asyncio.sleep(1)
            self._check_connections()
        for accepting in self._accepting:
            await accepting.close()
        self._accepting.clear()
        if self._place is not None:
            self._place.crowd.leave(self._place.worker)
        await super().shutdown(sockets)

    def _connection(self) -> asyncio.Protocol:
        make: Callable[..., asyncio.Protocol] = self.config.http_protocol_class
        return make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    def _is_ahead(self) -> bool:
        return self._place is not None and self._place.crowd.is_ahead(self._place.worker)

    def _count(self) -> None:
        if self._place is not None and self._accepting:
            beginning = sum(accepting.beginning for accepting in self._accepting)
            self._place.crowd.count(self._place.worker, len(self.server_state.connections) + beginning)

    def _end_as_orphan(self, parent: int) -> None:
        asyncio.get_running_loop().remove_reader(parent)
        self.should_exit = True

    def _check_connections(self) -> None:
        now = asyncio.get_running_loop().time()
        for connection in list(self.server_state.connections):
            if isinstance(connection, Connection):
                connection.check(now)
