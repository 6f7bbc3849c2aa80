"""Accepting connections from a socket that several workers share, so that each gets its share.

Left to itself, the kernel lets whoever is awake first take most of a burst of connections, and where connections are
kept, one worker then works while another idles. Here, a worker that has more connections than another lets it go first.
"""

from __future__ import annotations

import asyncio
import logging
import mmap
import socket
from collections.abc import Callable

log = logging.getLogger(__name__)

_BATCH = 16
"""Connections that are accepted before other events have their turn."""
_YIELD_SECONDS = 0.001
"""For which a worker that is ahead leaves a connection to the others; then it takes it, since they may be busy."""
_ABSENT = 2**62
_FULL_SECONDS = 1.0
"""For which nothing is accepted when there is no file descriptor left."""


class Crowd:
    """How many connections each worker has, in memory that they share. Make it before forking.

    Args:
        workers: how many there are.
    """

    def __init__(self, workers: int) -> None:
        self._counts = memoryview(mmap.mmap(-1, 8 * workers)).cast("q")
        for worker in range(workers):
            self.leave(worker)

    def count(self, worker: int, connections: int) -> None:
        """Say how many connections a worker has."""
        self._counts[worker] = connections

    def leave(self, worker: int) -> None:
        """Say that a worker is not there: nobody waits for it."""
        self._counts[worker] = _ABSENT

    def has(self, worker: int) -> bool:
        """Whether a worker is there."""
        return self._counts[worker] != _ABSENT

    def is_ahead(self, worker: int) -> bool:
        """Whether it has more than another."""
        return self._counts[worker] > min(self._counts)


class Accepting:
    """Accepts on the running event loop until it is closed.

    Args:
        listener: the shared socket.
        make_protocol: for a connection.
        is_ahead: whether another worker should go first.
        on_accept: told of each connection before it has a protocol.
    """

    def __init__(
        self,
        listener: socket.socket,
        make_protocol: Callable[[], asyncio.Protocol],
        is_ahead: Callable[[], bool],
        on_accept: Callable[[], None],
    ) -> None:
        self._listener, self._make_protocol = listener, make_protocol
        self._is_ahead, self._on_accept = is_ahead, on_accept
        self._loop = asyncio.get_running_loop()
        self._yielded = False
        self._closed = False
        self._beginning: set[asyncio.Task[object]] = set()
        listener.setblocking(False)
        self._listen()

    @property
    def beginning(self) -> int:
        """Connections that are accepted and have no protocol yet."""
        return len(self._beginning)

    async def close(self) -> None:
        """Accept what has connected already, and then no more."""
        self._closed = True
        self._loop.remove_reader(self._listener)
        while self._accept_one():
            pass
        self._listener.close()
        if self._beginning:
            await asyncio.wait(self._beginning)

    def _listen(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._listener, self._accept)

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener)
        self._loop.call_later(seconds, self._listen)

    def _accept(self) -> None:
        for _ in range(_BATCH):
            if not self._yielded and self._is_ahead():
                self._yielded = True
                self._pause(_YIELD_SECONDS)
                return
            self._yielded = False
            if not self._accept_one():
                return

    def _accept_one(self) -> bool:
        """Whether there may be more."""
        try:
            connection, _address = self._listener.accept()
        except BlockingIOError:
            return False  # there is none, or another worker was faster
        except (InterruptedError, ConnectionError):
            return True  # the caller has gone already
        except OSError:
            log.exception("no connection can be accepted")
            self._pause(_FULL_SECONDS)
            return False
        self._begin(connection)
        return True

    def _begin(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task: asyncio.Task[object] = self._loop.create_task(
            self._loop.connect_accepted_socket(self._make_protocol, connection)
        )
        self._beginning.add(task)
        task.add_done_callback(self._beginning.discard)
        self._on_accept()
