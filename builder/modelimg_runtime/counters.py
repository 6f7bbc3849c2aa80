"""What is counted while serving, and its exposition for Prometheus.

``prometheus_client`` is imported when somebody asks for ``/metrics``: a container should not wait for it before its
first answer. Values of labels come from the routes, the contract and the package alone, never from callers, so nobody
can blow up their number.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modelimg_runtime.errors import InputRejected, OutputRejected
from modelimg_runtime.tally import Board, Key, Number

if TYPE_CHECKING:
    from prometheus_client.core import Metric

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds in seconds: predictions take from half a millisecond to seconds."""
OTHER = "other"
"""The route of a path that is none, and the check of a name that is one too many."""
PREDICTED, REJECTED, FAILED = "predicted", "rejected", "failed"
"""What becomes of rows: answered; in a request that breaks the contract; in one at which the model failed."""

_KEYS = 8192
_CELLS = 1 << 16
_MOST_CHECKS = 500
_NUMBERED = re.compile(r"\d+ ")
"""Before the names of the few checks that say how many rows there should have been."""
_PID = ("pid",)
_REQUESTS, _BUCKETS, _SECONDS, _ROWS, _FAILURES = "requests", "buckets", "seconds", "rows", "failures"
_IN_FLIGHT, _STARTS = ("in flight",), ("starts",)


def make_board(processes: int = 1) -> Board:
    """Shared memory for the counters of so many processes."""
    return Board(processes, _KEYS, _CELLS)


class Counters:
    """Counts of one process in memory that all share.

    Args:
        board: the shared memory.
        slot: of this process.
    """

    def __init__(self, board: Board, slot: int = 0) -> None:
        self.board = board
        self.tally = board.slot(slot)
        """Where other modules may count, too."""
        self._requests: dict[tuple[str, int], int] = {}
        self._durations: dict[str, tuple[memoryview, int]] = {}
        self._checks: set[str] = set()
        self._in_flight = self.tally.cell(_IN_FLIGHT)
        self.tally.set_at(self._in_flight, 0)  # its predecessor's are gone with it
        self.tally.set_at(self.tally.cell(_PID), os.getpid())
        self.tally.add(_STARTS)

    def began(self) -> None:
        """A request has begun."""
        self.tally.add_at(self._in_flight)

    def ended(self, route: str, status: int, seconds: float) -> None:
        """A request that began was answered, or given up.

        Args:
            route: the route's path, with its parameters in braces.
            status: of the answer.
            seconds: since it began.
        """
        requests = self._requests.get((route, status))
        if requests is None:
            requests = self._requests[route, status] = self.tally.cell((_REQUESTS, route, str(status)))
        durations = self._durations.get(route)
        if durations is None:
            block = self.tally.block((_BUCKETS, route), len(BUCKETS) + 1)
            durations = self._durations[route] = block, self.tally.float_cell((_SECONDS, route))
        buckets, total = durations
        self.tally.add_at(requests)
        self.tally.add_at(self._in_flight, -1)
        self.tally.add_float_at(total, seconds)
        with self.tally.lock:
            buckets[bisect_left(BUCKETS, seconds)] += 1

    def rows(self, outcome: str, count: int) -> None:
        """Count rows by what became of them."""
        self.tally.add((_ROWS, outcome), count)

    def rejected(self, error: InputRejected | OutputRejected, columns: Iterable[str]) -> None:
        """Count the failing cells of a rejection.

        Args:
            error: with its violations.
            columns: of the input that may stand in a label; others are counted without a name.
        """
        direction = "input" if isinstance(error, InputRejected) else "output"
        known = frozenset(columns if direction == "input" else (each.column or "" for each in error.violations))
        found = Counter((violation.column, violation.check) for violation in error.violations)
        found.update(error.more)
        for (column, check), count in found.items():
            label = column if column is not None and column in known else ""
            self.tally.add((_FAILURES, direction, label, self._bounded(check)), count)

    def _bounded(self, check: str) -> str:
        """The check's name. The contract bounds their number; should anything else not, the first ones are named."""
        name = _NUMBERED.sub("", check, count=1)
        if name not in self._checks and len(self._checks) >= _MOST_CHECKS:
            return OTHER
        self._checks.add(name)
        return name


def retire(board: Board, slot: int) -> None:
    """Say that the process of a slot is no more and gets no successor; what it counted stays.

    Args:
        board: the shared memory.
        slot: of the process, which must have ended.
    """
    tally = board.slot(slot)
    for gauge in (_PID, _IN_FLIGHT):
        tally.set_at(tally.cell(gauge), 0)


def exposition(
    board: Board, info: Mapping[str, str] | None, accept: str, more: Callable[[], Iterable[Metric]] | None = None
) -> tuple[bytes, str]:
    """Body and content type of ``/metrics``: what all processes together counted, and what each of them uses.

    Args:
        board: the shared memory.
        info: labels of ``modelimg_info``; None until the model is loaded.
        accept: the request's header; Prometheus asks for OpenMetrics.
        more: further families, such as the monitor's.
    """
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import choose_encoder
    from prometheus_client.registry import Collector

    class Once(Collector):
        def collect(self) -> Iterable[Metric]:
            yield from _service_metrics(board, info)
            yield from _process_metrics(board)
            yield from more() if more else ()

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Once())
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def _service_metrics(board: Board, info: Mapping[str, str] | None) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

    totals = board.totals()
    if info is not None:
        yield InfoMetricFamily("modelimg", "The model that is served.", value=dict(info))

    def counter(name: str, text: str, kind: str, labels: Sequence[str]) -> Metric:
        family = CounterMetricFamily(f"modelimg_{name}", text, labels=labels)
        for key, value in sorted(_of(totals, kind)):
            family.add_metric(key, value)
        return family

    yield counter("requests", "Answered requests.", _REQUESTS, ("route", "code"))
    yield _durations(board, totals)
    yield counter("rows", "Rows by what became of them.", _ROWS, ("outcome",))
    yield counter(
        "validation_failures", "Places where a contract was broken.", _FAILURES, ("direction", "column", "check")
    )
    yield GaugeMetricFamily(
        "modelimg_requests_in_flight", "Requests that have begun and not ended.", totals.get(_IN_FLIGHT, 0)
    )
    yield CounterMetricFamily("modelimg_process_starts", "Serving processes started.", totals.get(_STARTS, 0))
    yield CounterMetricFamily("modelimg_uncounted", "Additions to counters for which there was no room.", board.lost)


def _durations(board: Board, totals: Mapping[Key, Number]) -> Metric:
    from prometheus_client.core import HistogramMetricFamily

    family = HistogramMetricFamily(
        "modelimg_request_duration_seconds", "From a request's head to the end of its answer.", labels=("route",)
    )
    for (route,), counts in sorted(_of(board.blocks(), _BUCKETS)):
        family.add_metric((route,), list(_cumulated(counts)), totals.get((_SECONDS, route), 0.0))
    return family


def _process_metrics(board: Board) -> Iterator[Metric]:
    """Memory, time and files, as ``prometheus_client`` names them; with a label ``worker`` where there are several."""
    from prometheus_client import ProcessCollector
    from prometheus_client.core import Metric as Family

    pids = {number: int(pid) for number in range(board.slots) if (pid := board.of_slot(number).get(_PID))}
    families: dict[str, Family] = {}
    for number, pid in pids.items():
        for found in ProcessCollector(pid=_constant(pid), registry=None).collect():
            family = families.setdefault(found.name, Family(found.name, found.documentation, found.type))
            worker = {"worker": str(number)} if len(pids) > 1 else {}
            family.samples += [sample._replace(labels=worker) for sample in found.samples]
    yield from families.values()


def _constant(pid: int) -> Callable[[], int]:
    return lambda: pid


def _of(numbers: Mapping[Key, Any], kind: str) -> Iterator[tuple[Key, Any]]:
    """The keys of a kind, without it."""
    return ((key[1:], value) for key, value in numbers.items() if key[0] == kind and len(key) > 1)


def _cumulated(counts: Sequence[Number]) -> Iterator[tuple[str, Number]]:
    total: Number = 0
    for bound, count in zip((*map(str, BUCKETS), "+Inf"), counts, strict=True):
        total += count
        yield bound, total
