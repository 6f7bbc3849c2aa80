"""What can be asked of a way to build images, and what several of them share."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import docker

REPOSITORY = "modelimg-bench"
"""What the name of every image that is made here begins with."""

_CACHE_HIT = "Using cache"
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


class NotColdError(RuntimeError):
    """The daemon had layers left of a build that was to start without any, so its time would mean nothing."""


@dataclass(frozen=True)
class Site:
    """Where everyone builds.

    Attributes:
        client: of the daemon.
        packages: one model package for each version of the model; their requirements are equal.
        python_image: what a Dockerfile's ``FROM`` names.
        work: folder for contexts, caches and tools.
    """

    client: docker.DockerClient
    packages: Sequence[Path]
    python_image: str
    work: Path

    @property
    def requirements(self) -> Path:
        """The packages' lock as a ``requirements.txt``."""
        return self.work / "requirements.txt"

    def model(self, version: int) -> Path:
        """The model file of a version."""
        return self.packages[version] / "model.joblib"


@dataclass(frozen=True)
class Serving:
    """How an image is asked for a prediction.

    Attributes:
        port: that it listens on.
        path: of the route.
        payload: the rows of a request → its JSON body.
    """

    port: int
    path: str
    payload: Callable[[Sequence[dict[str, Any]]], Any]


class Contender(Protocol):
    """A way to build images. Everything it makes has a name of its own, and goes when it is told to forget."""

    @property
    def name(self) -> str:
        """How reports call it."""
        ...

    @property
    def serving(self) -> Serving:
        """How its images predict."""
        ...

    @property
    def base_layers(self) -> int:
        """How many of an image's layers are its base's."""
        ...

    def prepare(self) -> None:
        """Make what cold builds are to keep: downloads, and byte code of the tool itself. Not timed."""
        ...

    def cold(self, *, kept: bool) -> float:
        """Build the first version with nothing of an earlier build but, if ``kept``, its downloads.

        Returns:
            Seconds of the whole command; dropping what is left does not count.

        Raises:
            NotColdError: something was used all the same.
        """
        ...

    def build(self, version: int) -> float:
        """Build a version of the model with all that earlier builds left; seconds of the whole command."""
        ...

    def load(self, version: int) -> str:
        """Name of the image of a version that was built, in the daemon. Not timed."""
        ...

    def push(self, version: int, repository: str) -> float:
        """Push a version that was built as ``repository:version``; seconds."""
        ...

    def forget(self) -> None:
        """Drop every image, layer, download and tool of its own."""
        ...


def timed(
    command: Sequence[str | Path],
    environment: Mapping[str, str] | None = None,
    *,
    cold: bool = False,
    cwd: Path | None = None,
) -> float:
    """Run a command; its seconds.

    Args:
        command: to run.
        environment: on top of this process's.
        cold: a daemon's cache must not have been used.
        cwd: where to run it.

    Raises:
        NotColdError: it was to be cold, and its output says otherwise.
        RuntimeError: it failed; the message holds its output.
    """
    # A tool that is installed has its byte code, whatever the environment of this run says.
    variables = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", **(environment or {})}
    begin = time.perf_counter()
    ended = subprocess.run(list(map(str, command)), env=variables, cwd=cwd, capture_output=True, text=True)
    seconds = time.perf_counter() - begin
    output, line = ended.stdout + ended.stderr, " ".join(map(str, command))
    if ended.returncode != 0:
        raise RuntimeError(f"{line} failed:\n{output}")
    if cold and _CACHE_HIT in output:
        raise NotColdError(f"{line} was to be cold, but the daemon has layers of it from another image")
    return seconds


def docker_build(context: Path, tag: str, arguments: Mapping[str, str] | None = None, *, cold: bool = False) -> float:
    """``docker build`` with the classic builder, which is the one that all contenders use; its seconds."""
    proxies = {name: os.environ[name] for name in _PROXIES if name in os.environ}
    pairs = [f"{name}={value}" for name, value in {**proxies, **(arguments or {})}.items()]
    # pip needs the host's way to its index; a bridge without NAT or with other name servers would not lead there.
    command = ["docker", "build", "--force-rm", "--network", "host", "--tag", tag]
    command += [part for pair in pairs for part in ("--build-arg", pair)]
    return timed([*command, context], {"DOCKER_BUILDKIT": "0"}, cold=cold)


def docker_push(client: docker.DockerClient, image: str, name: str) -> float:
    """``docker push`` of an image under a name that it has for that long; its seconds."""
    client.images.get(image).tag(name)
    try:
        return timed(["docker", "push", name])
    finally:
        client.images.remove(name)


def remove_images(client: docker.DockerClient, repository: str) -> None:
    """Remove the images of one repository, and of no other."""
    for image in client.images.list(repository):
        for tag in image.tags:
            if tag.startswith(f"{repository}:"):
                client.images.remove(tag)
