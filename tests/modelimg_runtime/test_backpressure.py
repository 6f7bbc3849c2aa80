from __future__ import annotations

import json
import socket
import threading
from contextlib import ExitStack

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelimg_runtime import container
from modelimg_runtime.backpressure import EXPANSION, Busy, Load, warn_of_memory
from modelimg_runtime.environment import Settings

MB = 1_000_000


def load(threads=1, large=1, most_waiting=2, most_bytes=100):
    return Load(threads, large, most_waiting, most_bytes)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 80)), max_size=40))
def test_what_is_held_never_exceeds_the_bound_but_for_a_single_request(steps):
    async def run():
        one = load()
        with ExitStack() as stack:
            leases = [stack.enter_context(one.lease()) for _ in range(5)]
            held = [0] * 5
            for number, count in steps:
                try:
                    leases[number].hold(count)
                    held[number] += count
                except Busy:
                    assert sum(held) - held[number] > 0
                    assert sum(held) + count > 100
                assert one.held == sum(held)
                assert sum(held) <= 100 or sum(map(bool, held)) == 1
        assert one.held == 0

    anyio.run(run)


def test_a_request_beyond_the_bound_is_let_in_where_nobody_else_holds_anything():
    async def run():
        one = load()
        with one.lease() as first:
            one.check(500)
            first.hold(500)
            first.hold(500)
            with one.lease() as second, pytest.raises(Busy):
                second.hold(1)
            with pytest.raises(Busy):
                one.check(1)
        one.check(500)

    anyio.run(run)


def test_what_is_held_is_given_back_however_a_request_ends():
    async def run():
        one = load()
        with pytest.raises(ValueError, match="broken"), one.lease() as lease:
            lease.hold(60)
            raise ValueError("broken")
        assert one.held == 0

    anyio.run(run)


@pytest.mark.parametrize("size", [10, 2 << 20])
def test_beyond_those_at_work_and_those_that_may_wait_a_request_is_refused_and_then_let_in_again(size):
    async def run():
        one, gate, done, refused = load(threads=2, large=1, most_waiting=3), threading.Event(), [], []

        async def ask(number):
            try:
                done.append(await one.run(lambda: gate.wait(20) and number, size))
            except Busy:
                refused.append(number)

        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(ask, number)
            await anyio.sleep(0.1)
            assert (sorted(refused), done, one.admitted) == ([5, 6, 7], [], 5)
            gate.set()
        assert sorted(done) == [0, 1, 2, 3, 4]
        assert one.admitted == 0
        assert await one.run(lambda: "in", size) == "in"

    anyio.run(run)


def test_of_large_bodies_no_more_are_worked_on_than_memory_has_room_for():
    async def run():
        one, lock, now, most = load(threads=4, large=2, most_waiting=50), threading.Lock(), 0, 0

        def work():
            nonlocal now, most
            with lock:
                now += 1
                most = max(most, now)
            threading.Event().wait(0.01)
            with lock:
                now -= 1

        async with anyio.create_task_group() as tasks:
            for _ in range(12):
                tasks.start_soon(one.run, work, 2 << 20)
        assert most == 2

    anyio.run(run)


def test_work_that_fails_frees_its_place():
    async def run():
        one = load(threads=1, most_waiting=1)
        for _ in range(5):
            with pytest.raises(ZeroDivisionError):
                await one.run(lambda: 1 / 0, 1)
        assert one.admitted == 0

    anyio.run(run)


@pytest.mark.parametrize(
    ("memory", "workers", "large", "held"),
    [
        (16_000 * MB, 1, 4, 2_000 * MB),
        (16_000 * MB, 2, 2, 1_000 * MB),  # two threads for each of the workers
        (640 * MB, 1, 2, 80 * MB),
        (512 * MB, 1, 1, 64 * MB),
        (64 * MB, 1, 1, 10 * MB),  # a body at the limit is always let in
    ],
)
def test_the_defaults_follow_from_the_containers_memory_and_cpus(memory, workers, large, held, monkeypatch):
    monkeypatch.setattr(container, "memory", lambda: memory)
    monkeypatch.setattr(container, "cpus", lambda: 4)

    async def run():
        one = Load.of(Settings(workers=workers))
        assert one.limiter.total_tokens == 4 // workers
        assert (one._large.total_tokens, one.most_bytes) == (large, held)
        assert Load.of(Settings(max_held_bytes=7)).most_bytes == 7

    anyio.run(run)


@pytest.mark.parametrize(("memory", "warned"), [(2 * 10 * MB * EXPANSION, False), (2 * 10 * MB * EXPANSION - 2, True)])
def test_a_body_limit_that_memory_does_not_allow_is_warned_of(memory, warned, monkeypatch, caplog):
    monkeypatch.setattr(container, "memory", lambda: memory)
    warn_of_memory(Settings())
    assert ("lower MODELIMG_MAX_BODY_BYTES" in caplog.text) is warned


@pytest.fixture(scope="module")
def small(mixed, tools):
    """A server with room for a megabyte of bodies, one thread's work and one that waits; scikit-learn predicts."""
    limits = {"MODELIMG_MAX_HELD_BYTES": "1000000", "MODELIMG_FAST_PATH": "off", "MODELIMG_MAX_WAITING": "1"}
    with tools.server_of(mixed.folder, **limits) as server:
        server.wait_for("/readyz")
        yield server


PATHS = ("/predict", "/invocations", "/v1/models/demo:predict", "/v2/models/demo/infer")


def test_beyond_the_bytes_that_may_be_held_every_protocol_says_503_and_when_to_come_again(small, mixed):
    body = json.dumps({"rows": mixed.rows}).encode()
    padded = body + b" " * (1_200_000 - len(body))
    with socket.create_connection(("127.0.0.1", small.port), timeout=20) as wire:
        head = "POST /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
        wire.sendall(f"{head}Content-Length: {len(padded)}\r\n\r\n".encode() + padded[:-5])
        for path in PATHS:
            small.wait_for("/readyz")
            while (answer := small.request("POST", path, padded[:500_000], content_type="application/json"))[0] != 503:
                assert answer[0] in (200, 400, 422)  # the first part of the other body has not been read yet
            _, headers, document = answer
            assert headers["retry-after"] == "1"
            assert "too much is waiting" in document.decode()
        for path in ("/livez", "/readyz", "/metrics", "/v2/health/live", "/ping"):
            assert small.request("GET", path)[0] == 200
        wire.sendall(padded[-5:])
        with wire.makefile("rb") as stream:
            assert stream.readline().startswith(b"HTTP/1.1 200 ")
            stream.read()
    assert small.request("POST", "/predict", padded, content_type="application/json")[0] == 200


def test_a_flood_is_partly_refused_never_wrongly_answered_and_then_all_is_as_before(small, mixed, show):
    body = json.dumps({"rows": mixed.rows}).encode()
    expected = json.loads(mixed.files["examples.json"])["predictions"]
    statuses, wrong = [], []

    def ask():
        for _ in range(15):
            status, headers, answer = small.request("POST", "/predict", body, content_type="application/json")
            statuses.append(status)
            if status == 200 and json.loads(answer)["predictions"] != expected:
                wrong.append(answer)
            if status == 503:
                assert headers["retry-after"] == "1"

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (set(statuses), wrong) == ({200, 503}, [])
    text = small.request("GET", "/metrics")[2].decode()
    assert 'modelimg_requests_total{code="503",route="/predict"}' in text
    assert "modelimg_requests_in_flight 1.0" in text  # the one that asks
    assert small.request("POST", "/predict", body, content_type="application/json")[0] == 200
    show(
        f"of {len(statuses)} requests from 12 callers, {statuses.count(200)} were answered, {statuses.count(503)} refused"
    )
