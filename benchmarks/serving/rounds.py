"""Rounds in which all servers take turns, each alone on the machine: started, looked at, put under load, ended."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from benchmarks.measure import Row, Samples, Section
from benchmarks.serving.process import body, running
from benchmarks.serving.servers import Place, Server
from benchmarks.serving.subjects import BATCH, NAMES, Subject
from benchmarks.serving.venvs import make_venv
from benchmarks.serving.wrk import load

MANY = 16
"""Connections that throughput is measured with."""
Quantities = Mapping[str, Sequence[tuple[str, str, str, str]]]
"""Title of a section → key, label, unit and note of its rows."""

_MB = 1_000_000
_WARM_SECONDS, _WARM_REQUESTS = 1, 50
_TREE = "proportional set size of the process and its descendants: after 51 predictions of one row, and after the loads"
_QUANTITIES: Quantities = {
    "one row": (
        ("one-p50", "one row, p50", "ms", ""),
        ("one-p99", "one row, p99", "ms", ""),
        ("one-throughput", f"one row, {MANY} connections", "req/s", ""),
    ),
    f"{BATCH} rows": (
        ("batch-p50", f"{BATCH} rows, p50", "ms", ""),
        ("batch-p99", f"{BATCH} rows, p99", "ms", ""),
        ("batch-throughput", f"{BATCH} rows, {MANY} connections", "req/s", ""),
    ),
    "process": (
        ("start", "start to the first prediction", "s", ""),
        ("memory", "memory while serving", "MB", _TREE),
        ("memory-loaded", "memory after the load", "MB", _TREE),
    ),
}


@dataclass
class Match:
    """A model that servers take turns to serve.

    Attributes:
        subject: the model.
        servers: who takes part; who fails is left out from then on.
        work: folder of virtual environments and of what servers are given.
        failures: name of who failed → why.
        values: by quantity and name, in the order of the rounds.
        quantities: what is measured.
        sampled: what its values are.
    """

    subject: Subject
    servers: Sequence[Server]
    work: Path
    failures: dict[str, str] = field(default_factory=dict)
    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    quantities: ClassVar[Quantities] = _QUANTITIES
    sampled: ClassVar[type[Samples]] = Samples

    def rehearse(self) -> None:
        """Install, give the model, start and compare all answers. Not measured; it also fills the page cache."""
        for server in self._standing():
            with self._noting(server):
                place = self._place(server)
                place.folder.mkdir(parents=True, exist_ok=True)
                server.prepare(place)
                for size, tables in self.subject.requests.items():
                    lines = b"".join(body(server, table) + b"\n" for table in tables)
                    bodies_of(place, size).write_bytes(lines)
                with running(server, place, self.subject.singles[0]) as it:
                    it.check_all(self.subject)
                self._show(f"{server.name}: starts and answers")

    def play(self, seconds: int) -> None:
        """One round.

        Args:
            seconds: of each load.
        """
        for server in self._standing():
            with self._noting(server):
                found = _visit(server, self._place(server), seconds)
                self._note(server.name, found)
                shown = ", ".join(f"{quantity} {value:.3g}" for quantity, value in found.items())
                self._show(f"{server.name}: {shown}")

    def sections(self) -> Iterator[Section]:
        """What was measured of those who did not fail."""
        for title, quantities in self.quantities.items():
            rows = tuple(self._row(*quantity) for quantity in quantities)
            yield Section(f"{NAMES[self.subject.key].capitalize()}: {title}", rows)

    def _row(self, quantity: str, label: str, unit: str, note: str) -> Row:
        values = self.values.get(quantity, {})
        samples = {name: self.sampled(tuple(found)) for name, found in values.items() if name not in self.failures}
        return Row(f"{self.subject.key}-{quantity}", label, unit, samples, note)

    def _note(self, name: str, found: Mapping[str, float]) -> None:
        for quantity, value in found.items():
            self.values.setdefault(quantity, {}).setdefault(name, []).append(value)

    def _standing(self) -> list[Server]:
        return [server for server in self.servers if server.name not in self.failures]

    def _place(self, server: Server) -> Place:
        python = make_venv(self.work / "venvs", [*server.pins, *server.requirements])
        return Place(self.subject, python, self.work / "places" / self.subject.key / server.key)

    @contextmanager
    def _noting(self, server: Server) -> Iterator[None]:
        """Go on without a server that cannot be installed or started, or that fails: the others' figures still hold."""
        try:
            yield
        except RuntimeError as error:  # what commands raise that fail, and `ServerFailed`
            self.failures[server.name] = str(error)
            self._show(f"{server.name} is left out: {error}")

    def _show(self, text: str) -> None:
        print(f"{NAMES[self.subject.key]}, {text}", file=sys.stderr, flush=True)


def failures_of(matches: Sequence[Match]) -> dict[str, str]:
    """Who failed to serve what → why."""
    return {f"{name}, {NAMES[match.subject.key]}": why for match in matches for name, why in match.failures.items()}


def left_out(failures: Mapping[str, str]) -> list[str]:
    """A paragraph for a report of who is missing and why, without logs; none where nobody is."""
    lines = [f"- {who}: {why.partition('; the end of its log')[0]}" for who, why in failures.items()]
    return ["\n".join(["### Left out", "", *lines])] if lines else []


def _visit(server: Server, place: Place, seconds: int) -> dict[str, float]:
    """One start of a server, and everything that is measured of it, by quantity."""
    subject = place.subject
    with running(server, place, subject.singles[0]) as it:
        for number in range(_WARM_REQUESTS):
            it.check(subject.singles[number % len(subject.singles)])
        found = {"start": it.seconds, "memory": it.memory() / _MB}
        it.check_all(subject)
        for size in subject.requests:
            bodies = bodies_of(place, size)
            load(it.url, bodies, connections=1, seconds=_WARM_SECONDS)
            alone = load(it.url, bodies, connections=1, seconds=seconds)
            crowd = load(it.url, bodies, connections=MANY, seconds=seconds)
            found |= {f"{size}-p50": alone.p50, f"{size}-p99": alone.p99, f"{size}-throughput": crowd.throughput}
        found["memory-loaded"] = it.memory() / _MB
        it.check_all(subject)
    return found


def bodies_of(place: Place, size: str) -> Path:
    """The bodies of requests of that size, which `Match.rehearse` leaves for a server."""
    return place.folder / f"{size}.jsonl"
