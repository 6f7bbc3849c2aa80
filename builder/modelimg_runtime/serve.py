"""The server process: sockets, signals, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

from modelimg_runtime import container
from modelimg_runtime.activation import inherited_listener, notify_ready
from modelimg_runtime.allocator import keep_freed_memory
from modelimg_runtime.environment import Settings
from modelimg_runtime.errors import SettingRefused, StartRefused

if TYPE_CHECKING:
    from modelimg_runtime.counters import Counters
    from modelimg_runtime.server import Place, Server
    from modelimg_runtime.service import Service

_BACKLOG = 2048
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then answer what was accepted and return.

    Raises:
        StartRefused: the package may not be served, or the port is not to be had.
    """
    from modelimg_runtime.backpressure import warn_of_memory
    from modelimg_runtime.logs import configure

    # As process 1 of a container, SIGTERM would be ignored until uvicorn takes it, and raised again when it is done.
    for stop in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop, _end)
    keep_freed_memory()
    configure(settings.log_format, settings.log_level)
    warn_of_memory(settings)
    inherited = inherited_listener(os.environ)
    with inherited or _listener(settings.host, settings.port) as listener:
        if settings.workers == 1 and inherited:
            _serve_when_ready(settings, listener)
        elif settings.workers == 1:
            _serve_alone(settings, listener)
        else:
            from modelimg_runtime.workers import Workers

            Workers(settings, listener).run()


def _serve_alone(settings: Settings, listener: socket.socket) -> None:
    refusals: list[StartRefused] = []

    def refuse(error: StartRefused) -> None:
        refusals.append(error)
        server.should_exit = True

    server = make_server(settings, refuse)
    server.run(sockets=[listener])
    if refusals:
        raise refusals[0]


def _serve_when_ready(settings: Settings, listener: socket.socket) -> None:
    """Load first: who connects meanwhile waits in the socket, or is answered by who else listens there."""
    from modelimg_runtime.service import Service, prepare_or_refuse

    server = make_server(settings, None, Service(prepare_or_refuse(settings)))
    notify_ready(os.environ)
    server.run(sockets=[listener])


def make_server(
    settings: Settings,
    on_refusal: Callable[[StartRefused], None] | None,
    service: Service | None = None,
    counters: Counters | None = None,
    place: Place | None = None,
) -> Server:
    """The server with its application, before it listens; the arguments are those of `app.create_app` and `Server`."""
    from modelimg_runtime.app import create_app
    from modelimg_runtime.server import Server
    from modelimg_runtime.service import Service

    service = service or Service()
    return Server(create_app(settings, on_refusal, service, counters), service, settings, place)


def _listener(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), backlog=_BACKLOG)
    except OSError as error:
        raise SettingRefused(f"port {port} cannot be listened on: {error.strerror}") from error


def set_process_defaults(workers: int = 1) -> None:
    """Set what numeric libraries read when they are loaded, so call it before NumPy is imported.

    They would take the host's CPUs for theirs, whatever the container may use. joblib would start processes, which need
    a writable ``/tmp``, which a read-only container has not: a model saved with ``n_jobs`` computes in this thread, and
    the server's own threads use the other CPUs.

    Args:
        workers: processes that share the container's CPUs.
    """
    os.environ.setdefault("JOBLIB_MULTIPROCESSING", "0")
    for name in _THREAD_VARIABLES:
        os.environ.setdefault(name, str(max(container.cpus() // workers, 1)))


def _end(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
