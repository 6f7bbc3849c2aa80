"""A Docker daemon as a place to look things up: connecting, and reading an image's files without running it."""

from __future__ import annotations

import io
import posixpath
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import docker
import docker.errors
import requests.exceptions

from modelimg.errors import EngineError, EngineUnavailable
from modelimg.oci.archive import write_docker_archive
from modelimg.oci.manifest import Artifact, Image
from modelimg.oci.values import Platform, Reference

_API_SECONDS = 600
_MAX_LINKS = 8


def connect() -> docker.DockerClient:
    """A client of the daemon that ``DOCKER_HOST`` or the default socket leads to.

    Raises:
        EngineUnavailable: none answers.
    """
    try:
        client = docker.from_env(timeout=_API_SECONDS)
        client.ping()
    except (docker.errors.DockerException, requests.exceptions.RequestException, OSError) as error:
        raise EngineUnavailable(
            f"no Docker daemon answers: {root_cause(error)}",
            hint="start Docker, point DOCKER_HOST at a daemon, or see whether this user may open its socket",
        ) from error
    return client


def root_cause(error: BaseException) -> str:
    """The innermost reason: urllib3 and requests wrap an errno three times."""
    while error.__context__ is not None and error.__context__ is not error:
        error = error.__context__
    return str(error) or type(error).__name__


class ImageFiles:
    """Reads an image's files by path, following symbolic links inside it.

    Args:
        client: of the daemon.
        container: id of a container of the image that is never started.
    """

    def __init__(self, client: docker.DockerClient, container: str) -> None:
        self._client, self._container = client, container

    def resolve(self, path: str) -> str | None:
        """The path without symbolic links, or None where nothing is."""
        for _ in range(_MAX_LINKS):
            found = self._get(path)
            if found is None:
                return None
            chunks, stat = found
            chunks.close()
            if not stat["linkTarget"]:
                return path
            path = posixpath.normpath(posixpath.join(posixpath.dirname(path), stat["linkTarget"]))
        return None

    def read(self, path: str) -> bytes | None:
        """A file's bytes, or None where nothing is."""
        resolved = self.resolve(path)
        found = self._get(resolved) if resolved else None
        if found is None:
            return None
        with tarfile.open(fileobj=io.BytesIO(b"".join(found[0]))) as archive:
            member = archive.extractfile(archive.getmembers()[0])
            return member.read() if member else None

    def _get(self, path: str) -> tuple[Any, dict[str, Any]] | None:
        try:
            chunks, stat = self._client.api.get_archive(self._container, path)
        except docker.errors.NotFound:
            return None
        return chunks, stat


@contextmanager
def image_files(client: docker.DockerClient, image_id: str) -> Iterator[ImageFiles]:
    """The files of an image of the daemon's; nothing of it runs."""
    container = client.api.create_container(image_id, ["/never-started"])["Id"]
    try:
        yield ImageFiles(client, container)
    finally:
        client.api.remove_container(container, force=True)


def load_image(client: docker.DockerClient, artifact: Artifact, names: Sequence[Reference]) -> str:
    """Load an image into a daemon under its names: of several platforms' images, the one that the daemon runs.

    Layers that the daemon has are not sent, which takes a tenth of a second instead of seconds. A daemon that wants
    them all the same gets the whole image in a second try.

    Returns:
        The id that the daemon gives the image.

    Raises:
        EngineError: the daemon has no use for it, or refused it.
    """
    image = _runnable(client, artifact)
    held = _held_layers(client, image)
    try:
        return _send(client, image, names, held)
    except EngineError:
        if not held:
            raise
        return _send(client, image, names, 0)


def _runnable(client: docker.DockerClient, artifact: Artifact) -> Image:
    if isinstance(artifact, Image):
        return artifact
    facts = client.version()
    platform = Platform(facts["Os"], facts["Arch"])
    for image in artifact.images:
        if image.config.platform == platform:
            return image
    raise EngineError(f"the daemon runs {platform}, and no image was built for it", hint=f"add --platform {platform}")


def _held_layers(client: docker.DockerClient, image: Image) -> int:
    """How many of an image's layers, from the lowest, the daemon has in the same order: only then it can reuse them."""
    wanted = [str(diff_id) for diff_id in image.config.diff_ids]
    most = 0
    for one in client.api.images(quiet=True):
        try:
            layers = client.api.inspect_image(one)["RootFS"].get("Layers") or []
        except docker.errors.ImageNotFound:  # removed by somebody in the meantime
            continue
        same = next((n for n, (a, b) in enumerate(zip(layers, wanted, strict=False)) if a != b), len(wanted))
        most = max(most, min(same, len(layers)))
    return most


def _send(client: docker.DockerClient, image: Image, names: Sequence[Reference], held: int) -> str:
    diff_ids = image.config.diff_ids
    with tempfile.TemporaryFile() as archive:
        write_docker_archive(image, archive, names, without=frozenset(diff_ids[:held]))
        archive.seek(0)
        try:
            events = list(client.api.load_image(archive))
            facts = client.api.inspect_image(str(names[0]))
        except (docker.errors.APIError, requests.exceptions.RequestException, OSError) as error:
            raise EngineError(f"the daemon could not load the image: {root_cause(error)}") from error
    refusal = next((str(event["error"]) for event in events if "error" in event), None)
    if refusal or facts["RootFS"].get("Layers") != [str(diff_id) for diff_id in diff_ids]:
        raise EngineError(f"the daemon could not load the image: {refusal or 'it has other layers under this name'}")
    return str(facts["Id"])
