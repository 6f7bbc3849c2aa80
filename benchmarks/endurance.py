"""Load at the highest throughput while a worker is killed and the server is told to end: who gets what answer?

    python -m benchmarks.endurance PACKAGE --minutes 10

Every answer is compared with the right one. At a third of the time a worker is killed with SIGKILL, at two thirds the
server gets SIGTERM, and is started again when it has ended. A request is *lost* when its connection ended without an
answer although nothing was killed; those that end with the killed worker are counted apart and sent again, and so are
those on connections that were made after SIGTERM and never accepted.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import math
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.ports import free_port
from modelimg_runtime import contract

_RIGHT, _WRONG, _LOST, _TURNED_AWAY = "right", "wrong", "lost", "turned away with 503"
_WITH_THE_KILLED, _NEVER_ACCEPTED, _REFUSED = "ended with the killed worker", "never accepted", "refused connections"
_SETTLE_SECONDS = 2.0
"""After a kill, in which a broken connection may have been the killed worker's."""
_START_SECONDS = 60.0
_WARM = 0.25
"""Part of a server's life after which its memory is taken for settled."""


@dataclass
class Served:
    """A server process, and when its memory was how large."""

    process: subprocess.Popen[bytes]
    port: int
    memory: list[tuple[float, float]] = field(default_factory=list)
    """Seconds and megabytes (proportional set size of all its processes)."""

    @classmethod
    def start(cls, package: Path, port: int, workers: int) -> Served:
        """Start one and wait until it is ready."""
        environ = {
            **os.environ,
            contract.ENV_MODEL_DIR: str(package),
            contract.ENV_HOST: "127.0.0.1",
            contract.ENV_PORT: str(port),
            "MODELIMG_WORKERS": str(workers),
        }
        process = subprocess.Popen([sys.executable, "-m", "modelimg_runtime", "serve"], env=environ)
        deadline = time.monotonic() + _START_SECONDS
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1):
                return cls(process, port)
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the server does not become ready")
            time.sleep(0.02)

    def workers(self) -> list[int]:
        """Process ids of its workers."""
        tasks = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in tasks.read_text().split()]

    def measure(self) -> None:
        """Note its memory; a process that ends meanwhile counts as none."""
        total = 0.0
        for pid in (self.process.pid, *self.workers()):
            with contextlib.suppress(OSError):
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1000
        self.memory.append((time.monotonic(), total))


@dataclass(frozen=True)
class Question:
    """A request's body, and what the answer must hold."""

    body: bytes
    predictions: list[Any]


def questions(package: Path) -> list[Question]:
    """The packed examples, one row each, with the answers of training."""
    examples = contract.Examples.from_json((package / contract.EXAMPLES).read_bytes())
    return [
        Question(json.dumps({"rows": [dict(zip(examples.columns, row, strict=True))]}).encode(), [prediction])
        for row, prediction in zip(examples.rows, examples.predictions, strict=True)
    ]


@dataclass
class Load:
    """What the callers saw.

    Attributes:
        asked: what they ask, in turns.
        port: where.
        counts: outcome → how many.
        killed_at: when a worker was killed.
        ended_at: when SIGTERM was sent; None while the server is meant to run.
        stopping: the callers finish their request and end.
    """

    asked: list[Question]
    port: int
    counts: Counter[str] = field(default_factory=Counter)
    killed_at: float = -math.inf
    ended_at: float | None = None
    stopping: bool = False
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    async def call(self) -> None:
        """Be a caller with one connection after the other, asking as fast as it is answered."""
        while not self.stopping:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                self.counts[_REFUSED] += 1
                await asyncio.sleep(0.02)
                continue
            made = time.monotonic()
            with contextlib.closing(writer):
                first = True
                while not self.stopping and await self._ask(reader, writer, made if first else None):
                    first = False

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, made: float | None) -> bool:
        """Ask once; whether the connection is still good. ``made`` is when a connection that is new was made."""
        number = next(self._numbers)
        question = self.asked[number % len(self.asked)]
        head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-Request-Id: n{number}\r\n"
        try:
            writer.write(f"{head}Content-Length: {len(question.body)}\r\n\r\n".encode() + question.body)
            answer_head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(answer_head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            body = await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError):
            self.counts[self._why(made)] += 1
            return False
        self.counts[outcome_of(answer_head, body, f"n{number}", question)] += 1
        return b"\r\nconnection: close" not in answer_head

    def _why(self, made: float | None) -> str:
        """Why a connection ended without an answer."""
        if time.monotonic() - self.killed_at < _SETTLE_SECONDS:
            return _WITH_THE_KILLED
        if made is not None and self.ended_at is not None and made > self.ended_at:
            return _NEVER_ACCEPTED
        return _LOST


def outcome_of(head: bytes, body: bytes, identifier: str, question: Question) -> str:
    """What an answer is: a server that is still loading the model may turn a request away."""
    if head.startswith(b"http/1.1 503 "):
        return _TURNED_AWAY
    return _RIGHT if head.startswith(b"http/1.1 200 ") and is_right(body, identifier, question) else _WRONG


def is_right(body: bytes, identifier: str, question: Question) -> bool:
    """Whether an answer is the right one to the right question."""
    answer = json.loads(body)
    return answer["id"] == identifier and all(
        math.isclose(got, expected, rel_tol=1e-9) if isinstance(expected, float) else got == expected
        for got, expected in zip(answer["predictions"], question.predictions, strict=True)
    )


@dataclass(frozen=True)
class Report:
    """How it went.

    Attributes:
        seconds: of load.
        counts: outcome → how many requests.
        exit_code: of the server after SIGTERM.
        replaced_seconds: from the kill until there were as many workers again.
        memory: of each server, megabytes when it was warm and at its end.
    """

    seconds: float
    counts: Counter[str]
    exit_code: int
    replaced_seconds: float
    memory: list[tuple[float, float]]

    @property
    def is_good(self) -> bool:
        """No wrong answer, no lost request, an orderly end."""
        return not (self.counts[_WRONG] or self.counts[_LOST] or self.exit_code) and self.counts[_RIGHT] > 0

    def lines(self) -> list[str]:
        """For people."""
        rate = self.counts[_RIGHT] / self.seconds
        outcomes = (_RIGHT, _WRONG, _LOST, _TURNED_AWAY, _WITH_THE_KILLED, _NEVER_ACCEPTED, _REFUSED)
        return [
            f"{self.seconds:.0f} s, {rate:.0f} right answers a second",
            *(f"{self.counts[outcome]:>9} {outcome}" for outcome in outcomes),
            f"the killed worker was replaced after {1000 * self.replaced_seconds:.0f} ms",
            f"exit code after SIGTERM: {self.exit_code}",
            *(f"memory: {warm:.1f} MB when warm, {end:.1f} MB at the end" for warm, end in self.memory),
        ]


async def endure(package: Path, seconds: float, workers: int = 2, connections: int = 16) -> Report:
    """Put a server under load, kill a worker, end the server, start it again, and see what becomes of the requests.

    Args:
        package: model package.
        seconds: of load in all.
        workers: of the server.
        connections: callers.
    """
    port = free_port()
    servers = [await asyncio.to_thread(Served.start, package, port, workers)]
    load = Load(questions(package), port)
    callers = [asyncio.create_task(load.call()) for _ in range(connections)]
    began = time.monotonic()
    try:
        await _until(began + seconds / 3, servers[-1])
        load.killed_at = time.monotonic()
        before = set(servers[-1].workers())
        os.kill(min(before), signal.SIGKILL)
        replaced = await _replaced(servers[-1], before)
        await _until(began + seconds * 2 / 3, servers[-1])
        load.ended_at = time.monotonic()
        servers[-1].process.terminate()
        code = await asyncio.to_thread(servers[-1].process.wait, 60)
        servers.append(await asyncio.to_thread(Served.start, package, port, workers))
        load.ended_at = None
        await _until(began + seconds, servers[-1])
        load.stopping = True
        await asyncio.gather(*callers)
        took = time.monotonic() - began
    finally:
        for server in servers:
            server.process.kill()
            server.process.wait()
    return Report(took, load.counts, code, replaced, [_warm_and_end(server) for server in servers])


async def _until(deadline: float, server: Served) -> None:
    while (left := deadline - time.monotonic()) > 0:
        await asyncio.sleep(min(left, 0.5))
        server.measure()


async def _replaced(server: Served, before: set[int]) -> float:
    began = time.monotonic()
    while len(set(server.workers()) - {min(before)}) < len(before):
        await asyncio.sleep(0.001)
    return time.monotonic() - began


def _warm_and_end(server: Served) -> tuple[float, float]:
    sizes = [size for _, size in server.memory] or [0.0]
    return sizes[int(len(sizes) * _WARM)], sizes[-1]


def main() -> int:
    """Run it; 0 where nothing was wrong or lost."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("package", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--connections", type=int, default=16)
    options = parser.parse_args()
    report = asyncio.run(endure(options.package, options.minutes * 60, options.workers, options.connections))
    print("\n".join(report.lines()))
    return 0 if report.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
