"""What counting costs one process: memory of the counters, and time of a row.

Usage: python -m benchmarks.footprint PACKAGE STATE_DIR

It runs in a process of its own, with the packages of an image, and prints JSON. The counts of 24 hours that it leaves
in the directory are for a server to go on from, so that what it shows is as long as it gets.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import os
import subprocess
import sys
import time
import timeit
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from modelimg_runtime.allocator import keep_freed_memory
from modelimg_runtime.columns import Batch, Prediction
from modelimg_runtime.monitor import Baseline, Limits, Live, Monitor
from modelimg_runtime.monitor.layout import Layout
from modelimg_runtime.monitor.state import State
from modelimg_runtime.served import ServedModel, open_served

_ONE, _MANY = 1, 100
_TIMES: Mapping[int, int] = {_ONE: 5000, _MANY: 1000}
_TOGETHER: Mapping[int, int] = {_ONE: 100, _MANY: 10}
"""Rows of a request → how many requests wait until they are counted together."""
_REPEATS = 5
_ROOM = 2048
"""Rows that wait at most; of many columns, fewer."""
_HOUR = 3600


@dataclass(frozen=True)
class Footprint:
    """Of one process with 24 windows.

    Attributes:
        columns: of the input.
        cells: counters of a window.
        counters: bytes of all windows at most.
        remembered: bytes of remembered predictions at most.
        resident: bytes by which the process grew until each window had counted some rows, and as many rows had waited
            as can, with none remembered.
        one: microseconds of a row that comes alone, waits, and is counted together with others.
        many: microseconds of a row that comes with 99 others, likewise.
        one_at_once: microseconds of a row that comes alone and is counted at once.
        many_at_once: microseconds of a row that comes with 99 others, which are counted at once.
    """

    columns: int
    cells: int
    counters: int
    remembered: int
    resident: int
    one: float
    many: float
    one_at_once: float
    many_at_once: float


async def footprint(package: Path, state: Path) -> Footprint:
    """Count the packed examples in 24 hours, and leave the counts in a directory."""
    model = open_served(package, fast_path=True)
    one, many = (_asked(model, rows) for rows in (_ONE, _MANY))
    baseline = Baseline.of(model.package)
    clock, limits = _Clock(), Limits()
    _warm(baseline, one, many)
    _give_back()
    before = _resident()
    alone = Monitor(baseline, replace(limits, recent_rows=0), clock=clock)
    _wait(_fill(alone, clock, one, many), one, many)
    grown = _resident() - before
    whole = Monitor(baseline, limits, clock=clock, state=State(state, baseline.identity))
    live = _fill(whole, clock, one, many)
    times = [await _soon(live, asked) for asked in (one, many)] + [_at_once(live, asked) for asked in (one, many)]
    whole.save()
    cells = Layout(baseline).shape(limits.windows).cells
    return Footprint(len(baseline.input.columns), cells, alone.bytes, whole.bytes - alone.bytes, grown, *times)


def measured(python: Path, package: Path, state: Path) -> Footprint:
    """The same in a process of its own.

    Args:
        python: the interpreter, with the packages of an image.
        package: the model package.
        state: directory for the counts.
    """
    import modelimg_runtime

    roots = [Path(__file__).parents[1], Path(modelimg_runtime.__file__).parents[1]]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, roots))}
    command: list[str | Path] = [python, "-m", "benchmarks.footprint", package, state]
    ended = subprocess.run(command, env=environ, capture_output=True, text=True)
    if ended.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} failed:\n{ended.stderr}")
    return Footprint(**json.loads(ended.stdout))


class _Clock:
    """Stands still, so many hours ago."""

    def __init__(self) -> None:
        self._now, self.ago = time.time(), 0

    def __call__(self) -> float:
        return self._now - self.ago * _HOUR


def _fill(monitor: Monitor, clock: _Clock, *asked: Prediction) -> Live:
    """Count in every window of the ring; the last one is that of now."""
    live = monitor.live()
    for clock.ago in reversed(range(monitor.limits.windows)):
        for each in asked:
            _observe(live, each)
    return live


def _asked(model: ServedModel, rows: int) -> Prediction:
    """The answer to so many rows, taken from the examples in turn."""
    examples = model.examples
    table = [examples.rows[number % len(examples.rows)] for number in range(rows)]
    columns = zip(*table, strict=True)
    return model.predict_columns(dict(zip(examples.columns, map(list, columns), strict=True)))


def _observe(live: Live, asked: Prediction) -> None:
    live.observe(_rows(asked), asked, "request")


def _rows(asked: Prediction) -> Batch:
    if asked.accepted is None:
        raise RuntimeError("the prediction does not hold its rows")
    return asked.accepted


def _wait(live: Live, *asked: Prediction) -> None:
    """Let as many rows wait as can, since their table is kept; they come faster than the event loop has a turn."""
    for each in asked:
        for _ in range(_ROOM // len(each.predictions) + 1):
            live.observe_soon(_rows(each), each, "request")
        live.flush()


def _warm(baseline: Baseline, *asked: Prediction) -> None:
    """Let what every process has be there before memory is measured: count in the bins of one column."""
    small = replace(baseline, input=replace(baseline.input, columns=baseline.input.columns[:1]))
    live = Monitor(small).live()
    for each in asked:
        _observe(live, each)


async def _soon(live: Live, asked: Prediction) -> float:
    """Microseconds of a row as in a server: it waits with others, and the event loop has a turn for each 100 rows."""
    batch, rows = _rows(asked), len(asked.predictions)
    requests, taken = _TOGETHER[rows], []
    for _ in range(_REPEATS):
        begin = time.perf_counter()
        for number in range(1, _TIMES[rows] + 1):
            live.observe_soon(batch, asked, "request")
            if number * rows % _MANY == 0:
                await asyncio.sleep(0)
            if number % requests == 0:
                live.flush()
        taken.append(time.perf_counter() - begin)
    return _least(taken, rows)


def _at_once(live: Live, asked: Prediction) -> float:
    """Microseconds of a row that does not wait."""
    batch, rows = _rows(asked), len(asked.predictions)
    return _least(timeit.repeat(lambda: live.observe(batch, asked, "r"), number=_TIMES[rows], repeat=_REPEATS), rows)


def _least(taken: Sequence[float], rows: int) -> float:
    """Microseconds of a row in the best of several repeats, which others on the machine disturb least."""
    return min(taken) / _TIMES[rows] / rows * 1e6


def _give_back() -> None:
    """Let go of all memory that is free: the process would grow by less if it had some left from something else."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    keep_freed_memory()  # as a server does
    print(json.dumps(asdict(asyncio.run(footprint(Path(sys.argv[1]), Path(sys.argv[2]))))))
