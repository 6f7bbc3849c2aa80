"""Bad input of the wire: what is no good HTTP, sent byte by byte. Data for a test and for the docs."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bad_input import GOOD, LIMIT, PREDICT, WRAP

BODY = WRAP[PREDICT]([GOOD]).encode()


def post(body: bytes, *headers: str, path: str = PREDICT, version: str = "1.1") -> bytes:
    lines = [f"POST {path} HTTP/{version}", "Host: x", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def sized(body: bytes = BODY, *headers: str, path: str = PREDICT) -> bytes:
    return post(body, f"Content-Length: {len(body)}", *headers, path=path)


def chunked(body: bytes, size: int = 7) -> bytes:
    parts = (body[at : at + size] for at in range(0, len(body), size))
    data = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return post(data + b"0\r\n\r\n", "Transfer-Encoding: chunked", "Connection: close")


CLOSE = "Connection: close"


@dataclass(frozen=True)
class Wire:
    """One line of the table.

    Attributes:
        sent: what is sent, in the words of the docs.
        data: the bytes, in pieces between which the client pauses for ``pause`` seconds.
        statuses: of the answers in their order.
        says: a part of the last one.
        leaves: the client closes its end without reading.
    """

    sent: str
    data: Sequence[bytes]
    statuses: tuple[int, ...]
    says: str = ""
    pause: float = 0
    leaves: bool = False


TABLE: tuple[Wire, ...] = (
    Wire(
        "another model: `/v2/models/other/infer`",
        [sized(BODY, CLOSE, path="/v2/models/other/infer")],
        (404,),
        "there is no such model",
    ),
    Wire(
        "another model: `/v1/models/other:predict`",
        [sized(BODY, CLOSE, path="/v1/models/other:predict")],
        (404,),
        "there is no such model",
    ),
    Wire(
        "another version: `/v2/models/demo/versions/9/infer`",
        [sized(BODY, CLOSE, path="/v2/models/demo/versions/9/infer")],
        (404,),
        "there is no such model",
    ),
    Wire("another route", [sized(BODY, CLOSE, path="/predict/../etc/passwd")], (404,), "there is no such route"),
    Wire(
        "`GET` where only `POST` is",
        [b"GET /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"],
        (405,),
        "does not take this method",
    ),
    Wire(
        "a method that HTTP has not", [b"PREDICT /predict HTTP/1.1\r\nHost: x\r\n\r\n"], (400,), "Invalid HTTP request"
    ),
    Wire("a body in chunks, without a length", [chunked(BODY)], (200,)),
    Wire(
        "more than the limit, in chunks", [chunked(b" " * (LIMIT + 1), 1 << 20)], (413,), "longer than 10000000 bytes"
    ),
    Wire(
        "a chunk whose size is no number",
        [post(b"zz\r\n{}\r\n0\r\n\r\n", "Transfer-Encoding: chunked")],
        (400,),
        "Invalid HTTP request",
    ),
    Wire(
        "a `Content-Length` beyond the limit, and no body",
        [post(b"", "Content-Length: 99999999999", CLOSE)],
        (413,),
        "longer than 10000000 bytes",
    ),
    Wire("a `Content-Length` that is no number", [post(BODY, "Content-Length: abc")], (400,), "Invalid HTTP request"),
    Wire("a negative `Content-Length`", [post(BODY, "Content-Length: -1")], (400,), "Invalid HTTP request"),
    Wire(
        "two different lengths",
        [post(BODY, "Content-Length: 5", f"Content-Length: {len(BODY)}")],
        (400,),
        "Invalid HTTP request",
    ),
    Wire(
        "a length and chunks",
        [post(b"0\r\n\r\n", "Content-Length: 5", "Transfer-Encoding: chunked")],
        (400,),
        "Invalid HTTP request",
    ),
    Wire("a length that is too short", [post(BODY, "Content-Length: 9", CLOSE)], (400,), "not JSON"),
    Wire("two requests at once (pipelining)", [sized() + sized(BODY, CLOSE)], (200, 200)),
    Wire("a bad request and a good one at once", [sized(b"{") + sized(BODY, CLOSE)], (400, 200)),
    Wire("a head of 100 kB, and no end of it", [sized(BODY, "X-Long: " + "x" * 100_000)[:100_000]], (431,), "too long"),
    Wire("no HTTP at all", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"], (400,), "Invalid HTTP request"),
    Wire("a client that waits for `100 Continue`", [sized(BODY, "Expect: 100-continue", CLOSE)], (200,)),
    Wire(
        "a slow client, a few bytes at a time",
        [sized(BODY, CLOSE)[at : at + 8] for at in range(0, 200, 8)] + [sized(BODY, CLOSE)[200:]],
        (200,),
        pause=0.02,
    ),
    Wire("a client that goes away in the middle of its body", [sized(BODY)[:-9]], (), leaves=True),
    Wire("a client that goes away before its answer", [sized(BODY)], (), leaves=True),
)


def exchange(port: int, wire: Wire) -> list[tuple[int, str]]:
    """Status and body of each answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        for piece in wire.data:
            connection.sendall(piece)
            time.sleep(wire.pause)
        return [] if wire.leaves else [answer_on(connection) for _ in wire.statuses]


def answer_on(connection: socket.socket) -> tuple[int, str]:
    """The next answer, read no further than to its end."""
    response = http.client.HTTPResponse(_Unbuffered(connection), method="POST")  # type: ignore[arg-type]
    response.begin()
    return response.status, response.read().decode()


class _Unbuffered:
    """What ``HTTPResponse`` takes for a socket: a file without read-ahead, which would swallow the next answer."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def makefile(self, mode: str) -> object:
        return self._connection.makefile(mode, buffering=0)


def as_markdown(lines: Sequence[tuple[Wire, Sequence[tuple[int, str]]]]) -> str:
    """The table of the docs."""
    shown = (f"| {wire.sent} | {', '.join(str(status) for status, _ in seen) or 'none'} |\n" for wire, seen in lines)
    return "| sent | answered |\n|---|---|\n" + "".join(shown)
