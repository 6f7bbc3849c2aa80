"""Who is measured: each builds the same model with the same pins into an image that serves ``POST /predict``.

A further tool, or a further engine of ours, is one more class of this shape.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import docker
import docker.errors

from benchmarks.models import requirements
from modelimg.engines.docker import PARENT_REPOSITORY

HERE = Path(__file__).parent
_CACHE_HIT = "Using cache"
_REPOSITORY = "modelimg-bench/modelimg"
_PEER_REPOSITORY = "modelimg-bench/handwritten"


class NotColdError(RuntimeError):
    """The daemon had layers left of a build that was to start without any, so its time would mean nothing."""


class Contender(Protocol):
    """What can be asked of a way to build images."""

    name: str

    def image(self, version: int) -> str:
        """Name of the image of a version of the model."""
        ...

    def forget(self, *, downloads: bool) -> None:
        """Drop every image and layer of its own, and what it has downloaded if asked. Not timed."""
        ...

    def build(self, version: int, *, cold: bool = False) -> float:
        """Build the image of a version; seconds of the whole command.

        Args:
            version: of the model.
            cold: nothing of an earlier build may be used.

        Raises:
            NotColdError: the daemon used some all the same.
        """
        ...


class HandWritten:
    """``docker build`` of ``handwritten/Dockerfile``: pins first, model last, pip in a ``RUN``.

    Args:
        client: of the daemon that builds.
        packages: where each version's model file and the pins come from.
        python_image: what its ``FROM`` names.
        work: folder for the build context.
    """

    name = "hand-written"

    def __init__(self, client: docker.DockerClient, packages: Sequence[Path], python_image: str, work: Path) -> None:
        self._client, self._packages, self._python_image = client, packages, python_image
        self._context = work / "handwritten"
        shutil.copytree(HERE / "handwritten", self._context, ignore=shutil.ignore_patterns("__pycache__"))
        (self._context / "requirements.txt").write_text(requirements(packages[0]))

    def image(self, version: int) -> str:
        """See `Contender`."""
        return f"{_PEER_REPOSITORY}:{version}"

    def forget(self, *, downloads: bool) -> None:  # noqa: ARG002 - pip keeps none: --no-cache-dir, as people write it
        """See `Contender`."""
        _remove_images(self._client, _PEER_REPOSITORY)

    def build(self, version: int, *, cold: bool = False) -> float:
        """See `Contender`; with the classic builder, as ours."""
        shutil.copy(self._packages[version] / "model.joblib", self._context)
        command = ["docker", "build", "--tag", self.image(version), "--build-arg", f"PYTHON={self._python_image}"]
        proxies = [name for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY") if name in os.environ]
        arguments = [part for name in proxies for part in ("--build-arg", name)]
        # pip needs the host's way to its index; a bridge without NAT or with other name servers would not lead there.
        command += [*arguments, "--network", "host", str(self._context)]
        return _timed(command, {"DOCKER_BUILDKIT": "0"}, cold=cold)


class Modelimg:
    """``modelimg build`` with the docker engine.

    Args:
        client: of the daemon that builds.
        packages: one of each version.
        work: folder for a cache of its own.
        gate: replay the packed examples in what was built, as ``modelimg build`` does unless told otherwise.
    """

    name = "modelimg"

    def __init__(self, client: docker.DockerClient, packages: Sequence[Path], work: Path, *, gate: bool) -> None:
        self._client, self._packages, self._gate = client, packages, gate
        self._cache = work / "cache"
        # An installed modelimg has its byte code, whatever the environment of this run says.
        self._environment = {
            "MODELIMG_CACHE_DIR": str(self._cache),
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": str(work / "pycache"),
        }

    def image(self, version: int) -> str:
        """See `Contender`."""
        return f"{_REPOSITORY}:{version}"

    def forget(self, *, downloads: bool) -> None:
        """See `Contender`. What is known of layers and bases goes; wheels and Debian packages stay unless asked."""
        parents = self._parents()
        _remove_images(self._client, _REPOSITORY)
        for parent in parents:
            self._client.images.remove(parent)
        shutil.rmtree(self._cache if downloads else self._cache / "facts", ignore_errors=True)

    def build(self, version: int, *, cold: bool = False) -> float:
        """See `Contender`."""
        command = [sys.executable, "-m", "modelimg", "build", str(self._packages[version]), "--engine", "docker"]
        options = ["--tag", self.image(version), "--gate" if self._gate else "--no-gate"]
        try:
            return _timed([*command, *options], self._environment, cold=cold)
        except NotColdError as error:
            raise NotColdError(
                f"{error}; this removes those that share them: docker rmi {' '.join(self._sharing())}"
            ) from error

    def _sharing(self) -> list[str]:
        """Names of images, not of this benchmark, that stand on the same base."""
        bases = {image.attrs["RootFS"]["Layers"][0] for image in self._client.images.list(_REPOSITORY)}
        sharing = [image for image in self._client.images.list() if bases & set(image.attrs["RootFS"]["Layers"])]
        own = self._parents()
        tags = {tag for image in sharing for tag in image.tags} - own
        return sorted(tag for tag in tags if not tag.startswith(f"{_REPOSITORY}:"))

    def _parents(self) -> set[str]:
        """Names of the parent images that our images were made from."""
        ours = [image.id for image in self._client.images.list(_REPOSITORY)]
        steps = [step for image in ours for step in self._client.api.history(image)]
        return {tag for step in steps for tag in step["Tags"] or () if tag.startswith(f"{PARENT_REPOSITORY}:")}


def _timed(command: Sequence[str], environment: dict[str, str], *, cold: bool) -> float:
    begin = time.perf_counter()
    ended = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
    seconds = time.perf_counter() - begin
    output = ended.stdout + ended.stderr
    if ended.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{output}")
    if cold and _CACHE_HIT in output:
        raise NotColdError(f"{' '.join(command)} was to be cold, but the daemon has layers of it from another image")
    return seconds


def _remove_images(client: docker.DockerClient, repository: str) -> None:
    for image in client.images.list(repository):
        for tag in image.tags:
            if tag.startswith(f"{repository}:"):
                client.images.remove(tag)
