"""Two servers of one model under load in short slices that take turns, so that both share what the machine does.

The speed of a virtual machine changes within seconds by more than what is to be measured. Two slices that follow each
other mostly have the same speed, and their ratio does not depend on it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import ClassVar, TypeVar

from benchmarks.measure import Samples, Slices
from benchmarks.serving.process import Running, running
from benchmarks.serving.rounds import MANY, Match, Quantities, bodies_of
from benchmarks.serving.servers import Server
from benchmarks.serving.subjects import BATCH
from benchmarks.serving.wrk import load
from modelimg_runtime.monitor.live import SOON_SECONDS

SIZES = {"one": "one row", "batch": f"{BATCH} rows"}
"""Size of a request → how reports call it."""

_REST_SECONDS = 2 * SOON_SECONDS
"""After a slice: rows that wait to be counted then are counted in it, not in the next one."""
_WARM_SECONDS = 1
_PROCESSOR = f"user and system time of the server's process with {MANY} connections; what `wrk` takes is not in it"

Player = TypeVar("Player")


@dataclass
class Paired(Match):
    """A model that two servers serve at the same time; while one is under load, the other has nothing to do.

    Attributes:
        pairs: of slices for each quantity in a round.
    """

    pairs: int = 4

    sampled: ClassVar[type[Samples]] = Slices
    quantities: ClassVar[Quantities] = {
        label: (
            (f"{size}-throughput", f"{label}, {MANY} connections", "req/s", ""),
            (f"{size}-processor", f"{label}, processor time", "µs", _PROCESSOR),
            (f"{size}-p50", f"{label}, p50", "ms", ""),
            (f"{size}-p99", f"{label}, p99", "ms", ""),
        )
        for size, label in SIZES.items()
    }

    def play(self, seconds: int) -> None:
        """One round. Both are started anew, since one that lies well in memory is faster for as long as it lives.

        Args:
            seconds: of each slice.
        """
        if self.failures:
            return
        with ExitStack() as stack:
            both = [it for server in self.servers if (it := self._started(server, stack))]
            for size, connections in product(SIZES, (MANY, 1)):
                for turn in turns(both, self.pairs):
                    self._play_pair(turn, size, connections, seconds)
            for it in both:
                with self._noting(it.server):
                    it.check_all(self.subject)
        shown = {quantity: self.ratios(quantity)[-self.pairs :] for quantity in self.values}
        self._show(", ".join(f"{name} {statistics.median(found):.3f}" for name, found in shown.items() if found))

    def ratios(self, quantity: str) -> tuple[float, ...]:
        """What the first server has of the second, pair by pair; none where one of them failed."""
        if self.failures:
            return ()
        values = self.values.get(quantity, {})
        first, second = (values.get(server.name, ()) for server in self.servers)
        return ratios(first, second)

    def _started(self, server: Server, stack: ExitStack) -> Running | None:
        """A server that is warm, until the stack ends; None where it does not start."""
        it = None
        with self._noting(server):
            place = self._place(server)
            it = stack.enter_context(running(server, place, self.subject.singles[0]))
            it.check_all(self.subject)
            for size in SIZES:
                load(it.url, bodies_of(place, size), connections=MANY, seconds=_WARM_SECONDS)
        return it

    def _play_pair(self, turn: Sequence[Running], size: str, connections: int, seconds: int) -> None:
        """One slice of each; what is noted is of both or, where one fails or has failed, of none."""
        found: dict[str, dict[str, float]] = {}
        for it in turn:
            if self.failures:
                return
            with self._noting(it.server):
                bodies = bodies_of(self._place(it.server), size)
                seen = measure_slice(it, bodies, connections=connections, seconds=seconds)
                found[it.server.name] = {f"{size}-{name}": value for name, value in seen.items()}
        if not self.failures:
            for name, quantities in found.items():
                self._note(name, quantities)


def measure_slice(it: Running, bodies: Path, *, connections: int, seconds: int) -> dict[str, float]:
    """Put a server under load for a moment.

    Args:
        it: the server.
        bodies: see `load`.
        connections: one for latencies, several for throughput and processor time.
        seconds: for how long.

    Returns:
        By the end of the quantity's key: ``p50`` and ``p99`` in milliseconds, or ``throughput`` in requests per second
        and ``processor`` in microseconds for each request.

    Raises:
        ServerFailed: see `load`.
    """
    before = it.processor()
    found = load(it.url, bodies, connections=connections, seconds=seconds)
    time.sleep(_REST_SECONDS)
    if connections == 1:
        return {"p50": found.p50, "p99": found.p99}
    taken = it.processor() - before
    return {"throughput": found.throughput, "processor": taken / found.requests * 1e6}


def turns(players: Sequence[Player], count: int) -> list[Sequence[Player]]:
    """A B, B A, A B, …: where the machine becomes slower all the time, it does so for both.

    Args:
        players: who take turns.
        count: how often each does.
    """
    return [players[::-1] if number % 2 else players for number in range(count)]


def ratios(first: Sequence[float], second: Sequence[float]) -> tuple[float, ...]:
    """Of two values each that were measured next to each other.

    Raises:
        ValueError: one has more than the other, so that nobody knows which belong together.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} values and {len(second)} are no pairs")
    return tuple(one / other for one, other in zip(first, second, strict=True))
