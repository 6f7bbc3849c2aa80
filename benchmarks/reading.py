"""Models whose counters and pages are looked at: how much memory they take, and how long it takes to read them."""

from __future__ import annotations

import http.client
import json
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression

import modelimg
from benchmarks.footprint import Footprint, measured
from benchmarks.measure import Row, Samples, Section
from benchmarks.serving.process import running
from benchmarks.serving.servers import Modelimg, Place
from benchmarks.serving.subjects import Subject, Table

PAGES = ("/monitor.json", "/metrics", "/monitor")
"""What people and machines read; one that the server does not have is left out."""

_WIDE, _ROWS = 300, 2000
_READS = 10
_MAPPED = "8 bytes × counters × (windows + 2), for each worker; what was never counted in costs nothing"
_RESIDENT = (
    "resident memory after rows in each of 24 windows, and after as many have waited together as can, with what is "
    "compiled of the bins, and no predictions remembered"
)
_WAITS = "as a server does it: 100 requests of one row, or ten of 100 rows, wait and are counted together"
_AT_ONCE = "as where a model is too slow for the event loop, and each request is counted in its thread"
_QUANTITIES: Mapping[str, Sequence[tuple[str, str, str, str, Callable[[Footprint], float]]]] = {
    "Memory of a worker's counters": (
        ("cells", "counters of a window", "", "", lambda it: it.cells),
        ("counters", "24 windows at most", "kB", _MAPPED, lambda it: it.counters / 1e3),
        ("per-column", "of each column", "kB", _MAPPED, lambda it: it.counters / 1e3 / it.columns),
        ("resident", "the process grew by", "kB", _RESIDENT, lambda it: it.resident / 1e3),
        ("remembered", "100,000 remembered predictions", "MB", "", lambda it: it.remembered / 1e6),
    ),
    "Counting": (
        ("one", "a row that comes alone", "µs", _WAITS, lambda it: it.one),
        ("many", "each row of 100", "µs", _WAITS, lambda it: it.many),
        ("one-at-once", "alone, at once", "µs", _AT_ONCE, lambda it: it.one_at_once),
        ("many-at-once", "of 100, at once", "µs", _AT_ONCE, lambda it: it.many_at_once),
    ),
}
"""Title of a section → key, label, unit and note of its rows, and what they are of a footprint."""


class Monitored(Modelimg):
    """As it is served by default."""

    def environment(self, place: Place, port: int) -> dict[str, str]:
        """See `Server`."""
        return {**super().environment(place, port), "MODELIMG_MONITOR": "on"}


class Restored(Monitored):
    """It goes on from the counts of 24 hours."""

    key = "restored"

    def environment(self, place: Place, port: int) -> dict[str, str]:
        """See `Server`."""
        return {**super().environment(place, port), "MODELIMG_STATE_DIR": str(state_of(place))}


@dataclass
class Reading:
    """A model whose counters and pages are looked at, once in every round.

    Attributes:
        place: where it is served.
        footprints: of each round.
        pages: path → milliseconds and bytes of each round.
    """

    place: Place
    footprints: list[Footprint] = field(default_factory=list)
    pages: dict[str, list[tuple[float, int]]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """How reports call it."""
        return f"{self.footprints[0].columns} columns"

    def play(self, pins: Sequence[str]) -> None:
        """One round, with these packages."""
        place = self.place
        shutil.rmtree(place.folder, ignore_errors=True)
        place.folder.mkdir(parents=True)
        self.footprints.append(measured(place.python, place.subject.package, state_of(place)))
        with running(Restored(pins), place, place.subject.singles[0]) as it:
            for path in PAGES:
                if found := read(it.port, path):
                    self.pages.setdefault(path, []).append(found)
        shown = ", ".join(f"{path} {found[-1][0]:.3g} ms" for path, found in self.pages.items())
        print(f"{self.name}: {self.footprints[-1]}, {shown}", file=sys.stderr, flush=True)


def make_wide(folder: Path, lock: Path) -> Subject:
    """A regression on as many columns as a page must still show.

    Args:
        folder: for it; what an earlier run left is replaced.
        lock: of the other models, whose packages it has.
    """
    X, y = make_classification(_ROWS, _WIDE, n_informative=20, random_state=0)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    frame = pd.DataFrame(X, columns=[f"x{number}" for number in range(_WIDE)])
    train, test = frame[: _ROWS // 2], frame[_ROWS // 2 :]
    model = LogisticRegression(max_iter=1000).fit(train, y[: len(train)])
    one = Table(json.loads(test[:1].to_json(orient="records", double_precision=15)), model.predict(test[:1]).tolist())
    modelimg.pack(
        model,
        folder / "package",
        name="bench-wide",
        version="1.0.0",
        train=(train, y[: len(train)]),
        test=(test, y[len(train) :]),
        requirements=lock,
    )
    return Subject("wide", folder, (), (one,), ())


def state_of(place: Place) -> Path:
    """Where the counts are that a server goes on from."""
    return place.folder / "state"


def read(port: int, path: str) -> tuple[float, int] | None:
    """Read a page some times over one connection.

    Returns:
        The median of milliseconds, and bytes; None where there is no such page.

    Raises:
        RuntimeError: it was answered with something else.
    """
    connection, times, size = http.client.HTTPConnection("127.0.0.1", port, timeout=30), [], 0
    try:
        for _ in range(1 + _READS):
            begin = time.perf_counter()
            connection.request("GET", path)
            response = connection.getresponse()
            size = len(response.read())
            times.append((time.perf_counter() - begin) * 1e3)
            if response.status == 404:
                return None
            if response.status != 200:
                raise RuntimeError(f"{path} was answered with {response.status}")
    finally:
        connection.close()
    return statistics.median(times[1:]), size  # the first one imports


def sections_of(readings: Sequence[Reading]) -> Iterator[Section]:
    """Memory, time of a row, and pages."""
    for title, quantities in _QUANTITIES.items():
        rows = [
            Row(key, label, unit, {it.name: Samples(tuple(map(value, it.footprints))) for it in readings}, note)
            for key, label, unit, note, value in quantities
        ]
        yield Section(title, tuple(rows))
    yield Section("Pages that show the counts of 24 windows", tuple(_pages(readings)))


def _pages(readings: Sequence[Reading]) -> Iterator[Row]:
    for path in PAGES:
        there = [it for it in readings if path in it.pages]
        if not there:
            continue
        for key, label, unit, place, scale in (("ms", path, "ms", 0, 1), ("kB", f"{path}, length", "kB", 1, 1000)):
            samples = {it.name: Samples(tuple(each[place] / scale for each in it.pages[path])) for it in there}
            yield Row(f"{path}-{key}", label, unit, samples)
