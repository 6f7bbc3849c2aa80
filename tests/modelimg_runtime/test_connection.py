"""Callers who send slowly, endlessly, or take no answer, on a real server that is patient for a second."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

PATIENCE = 1


@pytest.fixture(scope="module")
def server(regressor, tools):
    limits = {"MODELIMG_READ_TIMEOUT_SECONDS": str(PATIENCE), "MODELIMG_KEEP_ALIVE_SECONDS": "2"}
    with tools.server_of(regressor.folder, **limits) as server:
        server.wait_for("/readyz")
        yield server


def connected(server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=15)


@pytest.fixture
def wire(server) -> Iterator[socket.socket]:
    with connected(server) as wire:
        yield wire


BODY = b'{"rows": [{"a": 1.0, "b": 2.0}]}'


def head(path: str = "/predict", length: int = len(BODY), extra: str = "") -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{extra}\r\n"
    ).encode()


def rest(wire: socket.socket) -> bytes:
    """All that comes until the server closes."""
    parts = []
    try:
        while part := wire.recv(1 << 16):
            parts.append(part)
    except ConnectionResetError:
        parts.append(b"<reset>")
    return b"".join(parts)


def answer(wire: socket.socket) -> tuple[int, bytes]:
    """One answer, and no byte of what comes after it."""
    with wire.makefile("rb", buffering=0) as stream:
        status, length = int(stream.readline().split()[1]), 0
        while (line := stream.readline().strip()) != b"":
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        body = b""
        while len(body) < length:
            body += stream.read(length - len(body)) or pytest.fail("the answer is cut off")
        return status, body


def trickle(wire: socket.socket, data: bytes, seconds: float) -> None:
    """Send byte for byte, as slowly as to be kept alive by whoever looks at silence only."""
    deadline = time.monotonic() + seconds
    for byte in data:
        if time.monotonic() > deadline:
            return
        try:
            wire.sendall(bytes([byte]))
        except OSError:
            return
        time.sleep(0.05)


def test_a_head_that_trickles_in_is_given_up_with_408(wire):
    trickle(wire, head() * 10, 8)
    assert rest(wire).startswith(b"HTTP/1.1 408 ")


PATHS = {
    "/predict": "detail",
    "/invocations": "message",
    "/v1/models/demo:predict": "error",
    "/v2/models/demo/infer": "error",
}


@pytest.mark.parametrize("sent", [b"", BODY[:7]])
def test_a_body_that_does_not_come_is_408_in_the_protocols_own_shape(server, sent):
    with ExitStack() as stack:
        wires = {path: stack.enter_context(connected(server)) for path in PATHS}
        for path, wire in wires.items():
            wire.sendall(head(path) + sent)
        for path, wire in wires.items():
            status_line, _, body = rest(wire).partition(b"\r\n\r\n")
            assert status_line.startswith(b"HTTP/1.1 408 ")
            assert b"connection: close" in status_line.lower()
            assert "did not come in time" in json.loads(body)[PATHS[path]]


def test_who_connects_and_says_nothing_is_closed(wire):
    assert rest(wire) == b""


def test_empty_lines_do_not_keep_a_connection(wire):
    wire.sendall(head() + BODY)
    assert answer(wire)[0] == 200
    trickle(wire, b"\r\n" * 100, 8)
    assert rest(wire) in (b"", b"<reset>")


@pytest.mark.parametrize("piece", [b"X-Long: " + b"a" * 200_000, b"X: y\r\n" * 20_000])
def test_a_head_without_end_is_431_before_it_is_long(wire, piece):
    wire.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\n" + piece[:30_000])
    time.sleep(0.1)
    try:
        wire.sendall(piece[30_000:])
        assert rest(wire).startswith((b"HTTP/1.1 431 ", b"<reset>"))
    except (ConnectionResetError, BrokenPipeError):
        pass  # it was closed under what we were sending


def test_trailers_without_end_are_cut_off(wire):
    chunked = head(extra="Transfer-Encoding: chunked\r\n").replace(f"Content-Length: {len(BODY)}\r\n".encode(), b"")
    wire.sendall(chunked + b"%x\r\n%b\r\n0\r\n" % (len(BODY), BODY))
    sent = 0
    with pytest.raises(OSError):  # noqa: PT011 - reset, or a broken pipe
        while sent < 50_000_000:
            sent += wire.send(b"X-Trailer: " + b"a" * 1000 + b"\r\n")
    assert sent < 20_000_000


def test_a_chunked_body_with_a_trailer_is_answered_and_the_connection_kept(wire):
    chunked = head(extra="Transfer-Encoding: chunked\r\n").replace(f"Content-Length: {len(BODY)}\r\n".encode(), b"")
    for _ in range(2):
        wire.sendall(chunked)
        time.sleep(0.05)
        wire.sendall(b"5\r\n%b\r\n" % BODY[:5])
        time.sleep(0.05)
        wire.sendall(b"%x\r\n%b\r\n0\r\nX-Sum: 1\r\n\r\n" % (len(BODY) - 5, BODY[5:]))
        status, body = answer(wire)
        assert (status, json.loads(body)["predictions"]) == (200, [pytest.approx(4)])


def test_a_connection_is_kept_longer_than_a_request_may_take_but_not_for_ever(wire):
    for _ in range(2):
        wire.sendall(head() + BODY)
        assert answer(wire)[0] == 200
        time.sleep(PATIENCE + 0.3)
    assert rest(wire) == b""  # before this socket's own patience ends


def test_requests_that_are_sent_at_once_are_answered_in_turn(wire):
    wire.sendall((head() + BODY) * 20 + head()[:30])
    found = rest(wire)  # until the unfinished last one is given up
    assert found.count(b"HTTP/1.1 200 ") == 20
    assert found.count(b"HTTP/1.1 408 ") == 1


def test_after_an_answer_to_half_a_body_the_rest_is_not_waited_for_for_ever(wire):
    wire.sendall(head(length=11_000_000) + b"x" * 100)
    assert answer(wire)[0] == 413
    trickle(wire, b"x" * 1000, 8)
    assert rest(wire) in (b"", b"<reset>")


def test_who_takes_no_answer_is_cut_off(server):
    with socket.socket() as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wire.settimeout(20)
        wire.connect(("127.0.0.1", server.port))
        wire.setblocking(False)
        request, sent = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n", 0
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            try:
                sent += wire.send(request * 100)
            except BlockingIOError:
                time.sleep(0.1)
            except OSError:
                break
        else:
            pytest.fail("the server waits for a caller who takes nothing")
    server.wait_for("/readyz")


def test_a_slow_caller_costs_nobody_else_anything(server, wire):
    wire.sendall(head() + BODY[:5])
    status, _, body = server.request("POST", "/predict", BODY, content_type="application/json")
    assert (status, json.loads(body)["predictions"]) == (200, [pytest.approx(4)])
    wire.sendall(BODY[5:])
    assert answer(wire)[0] == 200
