"""Load made by ``wrk``, a program of C that needs far less of the processor than what it measures."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving.process import ServerFailed

_SCRIPT = Path(__file__).with_name("wrk.lua")
_MARK = "figures: "
_TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class Load:
    """What a load showed.

    Attributes:
        p50: median milliseconds of a request.
        p99: the 99th percentile.
        throughput: requests per second.
        requests: that were answered.
    """

    p50: float
    p99: float
    throughput: float
    requests: int


def check_wrk() -> None:
    """See that the program is there.

    Raises:
        RuntimeError: it is not.
    """
    if shutil.which("wrk") is None:
        raise RuntimeError("the load is made by wrk, which is not installed; on Debian: apt-get install wrk")


def wrk_version() -> str:
    """The version of the program."""
    return subprocess.run(["wrk", "--version"], capture_output=True, text=True).stdout.split()[1]


def load(url: str, bodies: Path, *, connections: int, seconds: int) -> Load:
    """Send requests, each connection its next one as soon as it has the answer.

    Args:
        url: of the route.
        bodies: a file of JSON bodies, one on a line, which take turns.
        connections: that are open at a time.
        seconds: for how long.

    Raises:
        ServerFailed: a request was refused, or its connection broke.
    """
    command = ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s"]
    command += ["--timeout", f"{_TIMEOUT_SECONDS}s", "--script", str(_SCRIPT), url, "--", str(bodies)]
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{ended.stdout}{ended.stderr}")
    return parse(ended.stdout)


def parse(output: str) -> Load:
    """What `wrk.lua` printed, among what ``wrk`` prints.

    Raises:
        ServerFailed: there are refused requests, broken connections, or no answers at all.
        ValueError: there is no such line.
    """
    line = next((line for line in output.splitlines() if line.startswith(_MARK)), None)
    if line is None:
        raise ValueError(f"wrk printed no figures:\n{output}")
    figures = json.loads(line.removeprefix(_MARK))
    if figures["refused"] or figures["broken"]:
        raise ServerFailed(
            f"of {figures['requests']} requests under load it refused {figures['refused']}, "
            f"and {figures['broken']} connections broke or timed out"
        )
    seconds = figures["microseconds"] / 1e6
    if not figures["requests"]:
        raise ServerFailed(f"it answered nothing in a load of {seconds:.1f} s; --seconds makes it longer")
    return Load(figures["p50"] / 1e3, figures["p99"] / 1e3, figures["requests"] / seconds, figures["requests"])
