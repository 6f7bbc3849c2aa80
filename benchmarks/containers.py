"""A container from ``docker run`` to its first prediction, and the memory that it holds then."""

from __future__ import annotations

import http.client
import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import docker
import docker.errors

from benchmarks.contenders.base import Serving
from benchmarks.ports import free_port

_DEADLINE_SECONDS = 120
_PAUSE_SECONDS = 0.01
_WARM_REQUESTS = 50


@dataclass(frozen=True)
class Start:
    """What one start of a container showed.

    Attributes:
        seconds: from ``docker run`` to the first answer of 200 with a prediction.
        memory: bytes that ``docker stats`` shows after some more predictions.
        anonymous: the part of it that no file backs.
    """

    seconds: float
    memory: int
    anonymous: int


def start(client: docker.DockerClient, image: str, serving: Serving, rows: Sequence[dict[str, Any]]) -> Start:
    """Start a container, ask it until it predicts, look at its memory, and remove it.

    Args:
        client: of the daemon that runs it.
        image: to start.
        serving: how it is asked.
        rows: of one request.
    """
    port = free_port()
    url, body = f"http://127.0.0.1:{port}{serving.path}", json.dumps(serving.payload(rows)).encode()
    name = f"modelimg-bench-{port}"
    begin = time.perf_counter()
    try:
        _run(["docker", "run", "--detach", "--name", name, "--publish", f"127.0.0.1:{port}:{serving.port}", image])
        while not _predicts(url, body):
            if time.perf_counter() - begin > _DEADLINE_SECONDS:
                logs = client.api.logs(name).decode(errors="replace")
                raise RuntimeError(f"{image} gave no prediction in {_DEADLINE_SECONDS} s; its log:\n{logs}")
            time.sleep(_PAUSE_SECONDS)
        seconds = time.perf_counter() - begin
        for _ in range(_WARM_REQUESTS):
            _predicts(url, body)
        memory, anonymous = _memory(client, name)
    finally:
        with suppress(docker.errors.NotFound):
            client.api.remove_container(name, force=True)
    return Start(seconds, memory, anonymous)


def _run(command: Sequence[str]) -> None:
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed: {ended.stderr.strip()}")


def _predicts(url: str, body: bytes) -> bool:
    """Whether a prediction came back; while the server starts, Docker's proxy resets the connection."""
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            answer = json.load(response)
            return len(answer["predictions"] if isinstance(answer, dict) else answer) > 0
    except urllib.error.HTTPError as error:
        if error.code < 500:
            raise
        return False
    except (OSError, http.client.HTTPException):
        return False


def _memory(client: docker.DockerClient, container: str) -> tuple[int, int]:
    """Usage without inactive files, as ``docker stats`` computes it, and anonymous memory; cgroup v1 and v2."""
    memory = client.api.stats(container, stream=False, one_shot=True)["memory_stats"]
    details = memory["stats"]
    inactive = details.get("total_inactive_file", details.get("inactive_file", 0))
    return memory["usage"] - inactive, details.get("total_rss", details.get("anon", 0))
