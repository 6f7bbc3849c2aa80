"""The image's health check: one request by hand, since ``http.client`` alone takes longer to import than to run."""

from __future__ import annotations

import socket

_SECONDS = 2.0


def is_ready(port: int) -> bool:
    """Whether the server on this machine's ``port`` answers ``/readyz`` with 200."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=_SECONDS) as connection:
            connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            status_line = connection.makefile("rb").readline(100)
    except OSError:
        return False
    return status_line.startswith(b"HTTP/1.1 200 ")
