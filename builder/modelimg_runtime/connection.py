"""A connection that cannot be kept busy with nothing: limits on time and on heads that uvicorn leaves to a proxy.

uvicorn bounds how long an idle connection is kept, and nothing else. Here, a whole request must have come within some
seconds of its first byte, a head must end within some bytes, and an answer must be taken. The clock is looked at once a
second for all connections together, so that a request costs no timer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from modelimg_runtime.routing import LATE

MOST_HEAD_BYTES = 1 << 16
"""Of a request line with its headers, and of what follows a chunked body."""
LINGER_SECONDS = 0.5
"""For which an idle connection is kept while draining: the caller's next request may be on its way."""


class Connection(HttpToolsProtocol):
    """One connection; see the module.

    Args:
        config: uvicorn's.
        server_state: uvicorn's.
        app_state: uvicorn's.
        _loop: uvicorn's.
    """

    read_timeout = 60.0
    """Seconds."""
    on_count: Callable[[], None] = staticmethod(lambda: None)
    """Told when the number of connections changes."""
    is_draining: Callable[[], bool] = staticmethod(lambda: False)
    """Whether answers are to be the last ones of their connections."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._reading_since = 0.0
        """Time of the first byte of a request that has not come to its end, or of the connection; else 0."""
        self._unframed = 0
        """Bytes received since the last byte of a body: of a head, or of what follows a chunked body."""
        self._begun, self._head_ended = False, False
        """Whether a request is being read, and whether its head has been."""
        self._unsent, self._unsent_since = 0, 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A caller that connects is expected to ask."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self._reading_since = self.loop.time()
        self.on_count()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        super().connection_lost(exc)
        self.on_count()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and give up on a head without end."""
        self._unframed += len(data)
        if not self._reading_since:
            self._reading_since = self.loop.time()
        super().data_received(data)
        if self._unframed > MOST_HEAD_BYTES and self._reading_since:
            self._refuse(431, b"The request's head is too long.")

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._begun, self._head_ended = True, False
        if not self._reading_since:  # it came together with the end of another
            self._reading_since = self.loop.time()

    def on_headers_complete(self) -> None:
        """Start answering; while draining, the caller is told that the connection ends with this answer."""
        super().on_headers_complete()
        self._head_ended = True
        self.headers = []  # what comes after a chunked body is for nobody
        if self.is_draining():
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Pass on a part of a body."""
        self._unframed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The last byte of a request."""
        self._unframed, self._reading_since = 0, 0.0
        self._begun, self._head_ended = False, False
        super().on_message_complete()

    def shutdown(self) -> None:
        """Drain: answer what was asked; close when nothing more comes, not under a request that is on its way."""
        if self._is_idle():
            self.loop.call_later(LINGER_SECONDS, self._close_if_idle)
        elif self.cycle is not None:
            self.cycle.keep_alive = False

    def check(self, now: float) -> None:
        """Give up where the caller is too slow.

        Args:
            now: the loop's time.
        """
        self._check_sending(now)
        if not self._reading_since or self.transport.is_closing():
            return
        answering = self.cycle is not None and not self.cycle.response_complete
        if self.flow.read_paused or (answering and not self._head_ended):
            self._reading_since = now  # it is we who keep the caller waiting
        elif now - self._reading_since > self.read_timeout:
            if answering:
                self.cycle.scope[LATE] = True  # type: ignore[literal-required]
                self.cycle.keep_alive = False
                self.cycle.message_event.set()  # wakes who waits for the body; `asking.read_body` answers
                self._reading_since = now
            elif self._begun and not self._head_ended:
                self._refuse(408, b"The request did not come in time.")
            else:
                self.transport.close()

    def _check_sending(self, now: float) -> None:
        unsent = self.transport.get_write_buffer_size()
        if unsent == 0 or unsent != self._unsent:
            self._unsent, self._unsent_since = unsent, now
        elif now - self._unsent_since > self.read_timeout:
            self.transport.abort()

    def _is_idle(self) -> bool:
        reading = self._begun and not self._head_ended
        return not reading and (self.cycle is None or self.cycle.response_complete)

    def _close_if_idle(self) -> None:
        if self._is_idle() and not self.transport.is_closing():
            self.transport.close()

    def _refuse(self, status: int, text: bytes) -> None:
        """Say why in plain text, since the request says neither route nor protocol yet, and close."""
        if not self.transport.is_closing():
            if self.cycle is None or self.cycle.response_complete:
                head = b"content-type: text/plain\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(text)
                self.transport.write(STATUS_LINE[status] + head + text)
            self.transport.close()
        self._reading_since = 0.0


def connections(read_timeout: float, is_draining: Callable[[], bool], on_count: Callable[[], None]) -> type[Connection]:
    """The class of one server's connections.

    Args:
        read_timeout: seconds that a caller may take to send a request, or to take any of an answer.
        is_draining: whether answers are to be the last ones of their connections.
        on_count: told when the number of connections changes.
    """
    own = {"is_draining": staticmethod(is_draining), "on_count": staticmethod(on_count)}
    return type("Connection", (Connection,), {"read_timeout": float(read_timeout), **own})
