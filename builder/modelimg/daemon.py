"""A Docker daemon as a place to look things up: connecting, and reading an image's files without running it."""

from __future__ import annotations

import io
import posixpath
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import docker
import docker.errors
import requests.exceptions

from modelimg.errors import EngineUnavailable

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
