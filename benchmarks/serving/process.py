"""A server's process: from its start to its first prediction, the memory of its tree, and its end."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.ports import free_port
from benchmarks.serving.servers import Place, Server
from benchmarks.serving.subjects import Subject, Table

_DEADLINE_SECONDS = 90
_PAUSE_SECONDS = 0.005
_REQUEST_SECONDS = 10
_END_SECONDS = 15
_LOG_LINES = 15
_SCHEDULED = 2
"""``CPUCLOCK_SCHED``: how `clock_getcpuclockid(3)` numbers the clocks of processes on Linux."""
_JSON = {"content-type": "application/json"}


class ServerFailed(RuntimeError):  # noqa: N818 - like the names of the project's other errors
    """A server did not start, gave another answer than scikit-learn, or refused a request under load."""


@dataclass(frozen=True)
class Running:
    """A server that predicts.

    Attributes:
        server: which.
        port: of the loopback that it listens on.
        seconds: from its start to its first prediction.
        process: that was started; others may be its children.
    """

    server: Server
    port: int
    seconds: float
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """Of the route."""
        return f"http://127.0.0.1:{self.port}{self.server.path}"

    def check(self, table: Table) -> None:
        """Ask for predictions once.

        Raises:
            ServerFailed: they are not scikit-learn's.
        """
        answer = _ask(self.port, self.server.path, body(self.server, table))
        if not self.server.constant:
            _compare(self.server, table, answer)

    def check_all(self, subject: Subject) -> None:
        """Ask for all predictions of a subject.

        Raises:
            ServerFailed: they are not scikit-learn's.
        """
        for tables in subject.requests.values():
            for table in tables:
                self.check(table)

    def processor(self) -> float:
        """Seconds that the process and its descendants have had of the processors, as user and in the kernel."""
        return sum(map(_processor, _tree(self.process.pid)))

    def memory(self) -> int:
        """Bytes of the process and its descendants, what several share counted once (proportional set size)."""
        return sum(map(_pss, _tree(self.process.pid)))


@contextmanager
def running(server: Server, place: Place, first: Table) -> Iterator[Running]:
    """Start a server, wait for its first prediction, and end it and all that it started.

    Args:
        server: to start.
        place: where.
        first: the request that it is asked until it answers.

    Raises:
        ServerFailed: it ends, or gives no or a wrong prediction.
    """
    port, log = free_port(), place.folder / "log.txt"
    # Neither this project's modules nor a habit of this run: byte code is used as it would be in production.
    own = {"PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "", **server.environment(place, port)}
    # A shell that activated the virtual environment has its programs on the path; some start them by name.
    path = f"{place.python.parent}{os.pathsep}{os.environ['PATH']}"
    with log.open("wb") as output:
        begin = time.perf_counter()
        process = subprocess.Popen(
            list(map(str, server.command(place, port))),
            env={**os.environ, **own, "PATH": path},
            cwd=place.folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        answer = _first_answer(server, port, process, body(server, first), begin)
        seconds = time.perf_counter() - begin
        if not server.constant:
            _compare(server, first, answer)
        yield Running(server, port, seconds, process)
    except ServerFailed as error:
        raise ServerFailed(f"{error}; the end of its log:\n{_tail(log)}") from error
    finally:
        _end(process)


def body(server: Server, table: Table) -> bytes:
    """The body of a request, on one line."""
    return json.dumps(server.payload(table.rows), separators=(",", ":")).encode()


def _first_answer(server: Server, port: int, process: subprocess.Popen[bytes], sent: bytes, begin: float) -> Any:
    """Ask until there is an answer: before that, nobody listens, or the model is still loading."""
    seen: ServerFailed | None = None
    while time.perf_counter() - begin < _DEADLINE_SECONDS:
        if process.poll() is not None:
            raise ServerFailed(f"it ended with {process.returncode} before it predicted")
        try:
            return _ask(port, server.path, sent)
        except ServerFailed as error:
            seen = error
        time.sleep(_PAUSE_SECONDS)
    raise ServerFailed(f"it gave no prediction in {_DEADLINE_SECONDS} s; at last: {seen}")


def _ask(port: int, path: str, sent: bytes) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_REQUEST_SECONDS)
    try:
        connection.request("POST", path, sent, _JSON)
        response = connection.getresponse()
        text = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise ServerFailed(f"it gave no answer: {error!r}") from error
    finally:
        connection.close()
    if response.status != 200:
        raise ServerFailed(f"it answered {response.status}: {text[:300].decode(errors='replace')}")
    try:
        return json.loads(text)
    except ValueError as error:
        raise ServerFailed(f"its answer is not JSON: {text[:300].decode(errors='replace')}") from error


def _compare(server: Server, table: Table, answer: Any) -> None:
    try:
        predictions = server.predictions(answer)
    except (KeyError, IndexError, TypeError) as error:
        raise ServerFailed(f"its answer has no predictions: {str(answer)[:300]}") from error
    if predictions != table.expected:
        raise ServerFailed(f"it predicts {str(predictions)[:300]}, scikit-learn {str(table.expected)[:300]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask all of its processes to end, and make those end that do not; its own descendants and no others."""
    family = _tree(process.pid)
    for name in (signal.SIGTERM, signal.SIGKILL):
        for pid in filter(_alive, family):
            _signal(pid, name)
        deadline = time.monotonic() + _END_SECONDS
        while any(map(_alive, family)) and time.monotonic() < deadline:
            process.poll()
            time.sleep(_PAUSE_SECONDS)
    process.wait(_END_SECONDS)


def _signal(pid: int, name: signal.Signals) -> None:
    try:
        os.kill(pid, name)
    except ProcessLookupError:
        return  # it has ended


def _alive(pid: int) -> bool:
    try:
        return _state(pid)[0] not in "ZX"
    except OSError:
        return False


def _state(pid: int) -> tuple[str, int]:
    """State and parent; the name before them, in parentheses, may hold anything."""
    state, parent = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
    return state, int(parent)


def _tree(root: int) -> list[int]:
    """A process and its descendants."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = _state(int(entry.name))[1]
            except OSError:
                continue  # it has ended since
    family = [root]
    for pid in family:  # grows meanwhile
        family += [child for child, parent in parents.items() if parent == pid]
    return family


def _pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0  # it has ended since
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def _processor(pid: int) -> float:
    """The sum of ``utime`` and ``stime`` of ``/proc/PID/stat``, in nanoseconds rather than hundredths of a second."""
    try:
        return time.clock_gettime((~pid << 3) | _SCHEDULED)
    except OSError:
        return 0.0  # it has ended since


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_LINES:])
