"""The server process: sockets, signals, and how it ends."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

from modelimg_runtime.environment import Settings
from modelimg_runtime.errors import SettingRefused, StartRefused

if TYPE_CHECKING:
    import uvicorn

_DRAIN_SECONDS = 25
"""Less than the 30 seconds after which Kubernetes kills."""
_BACKLOG = 2048


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then answer what was accepted and return.

    Raises:
        StartRefused: the package may not be served, or the port is not to be had.
    """
    # As process 1 of a container, SIGTERM would be ignored until uvicorn takes it, and raised again when it is done.
    for stop in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop, _end)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)

    refusals: list[StartRefused] = []

    def refuse(error: StartRefused) -> None:
        refusals.append(error)
        server.should_exit = True

    server = make_server(settings, refuse)
    with _listener(settings.host, settings.port) as listener:
        server.run(sockets=[listener])
    if refusals:
        raise refusals[0]


def make_server(settings: Settings, on_refusal: Callable[[StartRefused], None]) -> uvicorn.Server:
    """The server with its application, before it listens.

    Args:
        settings: which package, and the limits.
        on_refusal: as of `app.create_app`.
    """
    import uvicorn

    from modelimg_runtime.app import create_app

    config = uvicorn.Config(
        create_app(settings, on_refusal),
        loop="uvloop",
        http="httptools",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
    )
    return uvicorn.Server(config)


def _listener(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), backlog=_BACKLOG)
    except OSError as error:
        raise SettingRefused(f"port {port} cannot be listened on: {error.strerror}") from error


def set_process_defaults() -> None:
    """Keep joblib from starting processes: they need a writable ``/tmp``, which a read-only container has not.

    A model saved with ``n_jobs`` then computes in this thread; the server's own threads use the other CPUs.
    """
    os.environ.setdefault("JOBLIB_MULTIPROCESSING", "0")


def _end(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
