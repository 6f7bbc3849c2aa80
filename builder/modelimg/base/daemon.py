"""Bases that a Docker daemon has or can pull, pinned, with their Python and C library found by looking inside.

Nothing of the image runs: its files are read from a container that is created and never started.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from typing import Any

import docker
import docker.errors

from modelimg.base.resolve import ResolvedBase
from modelimg.cache import Cache
from modelimg.daemon import ImageFiles, image_files
from modelimg.errors import BaseError, BaseNotFound
from modelimg.oci.values import Digest, Platform, Reference

_INTERPRETERS = ("/usr/local/bin/python3", "/usr/bin/python3", "/opt/venv/bin/python3", "/bin/python3")
_PYTHON_NAME = re.compile(r"python(3\.\d+)$")
_GLIBC_VERSION = re.compile(rb"GNU C Library [^\n]*release version (\d+\.\d+)")


def resolve_daemon_base(
    client: docker.DockerClient, reference: Reference, platform: Platform, cache: Cache, report: Callable[[str], None]
) -> ResolvedBase:
    """Pin an image of the daemon's, or one that it can pull.

    Args:
        client: of the daemon.
        reference: a plain name; one with a digest is taken by it.
        platform: that it must have.
        cache: remembers what was found inside an image.
        report: takes a line of progress.

    Raises:
        BaseNotFound: the daemon has none of this name and cannot pull one.
        BaseError: of another platform, or without a Python 3 and a C library that we know.
    """
    facts = _inspect(client, reference, platform, report)
    found = f"{facts['Os']}/{facts['Architecture']}"
    if found != str(platform):
        raise BaseError(
            f"the base {reference} is for {found}, not for {platform}", hint="name one for this platform, by digest"
        )
    inside = cache.recall("base", facts["Id"])
    if inside is None:
        inside = _look_inside(client, facts, reference, platform)
        cache.note("base", facts["Id"], inside)
    digest = _repository_digest(facts, reference)
    return ResolvedBase(
        name=_full_name(reference),
        digest=digest or Digest.parse(facts["Id"]),
        reference=f"{reference.name}@{digest}" if digest else facts["Id"],
        platform=platform,
        env=tuple(facts["Config"].get("Env") or ()),
        **inside,
    )


def _inspect(
    client: docker.DockerClient, reference: Reference, platform: Platform, report: Callable[[str], None]
) -> dict[str, Any]:
    try:
        return dict(client.api.inspect_image(str(reference)))
    except docker.errors.ImageNotFound:
        report(f"pulling {reference}")
    try:
        client.images.pull(
            reference.name,
            tag=str(reference.digest) if reference.digest else reference.tag or "latest",
            platform=str(platform),
        )
        return dict(client.api.inspect_image(str(reference)))
    except docker.errors.APIError as error:
        raise BaseNotFound(
            f"the daemon has no base image {reference} and could not pull it: {error.explanation}",
            hint="check the name, the network and `docker login`, or name an image that the daemon has by --base",
        ) from error


def _repository_digest(facts: dict[str, Any], reference: Reference) -> Digest | None:
    """The manifest's digest under this name; None for an image that was built or loaded here."""
    for text in facts.get("RepoDigests") or ():
        repository = Reference.parse(text)
        if repository.name == reference.name and repository.digest:
            return repository.digest
    return None


def _full_name(reference: Reference) -> str:
    """As ``org.opencontainers.image.base.name`` wants it: fully qualified."""
    registry, repository = reference.registry or "docker.io", reference.repository
    if not reference.registry and "/" not in repository:
        repository = f"library/{repository}"
    return f"{registry}/{repository}:{reference.tag or 'latest'}"


def _look_inside(
    client: docker.DockerClient, facts: dict[str, Any], reference: Reference, platform: Platform
) -> dict[str, str]:
    with image_files(client, facts["Id"]) as reader:
        interpreter = _find_interpreter(reader, reference)
        libc, libc_version = _find_libc(reader, platform, reference)
    minor = _PYTHON_NAME.search(interpreter)
    declared = dict(item.partition("=")[::2] for item in facts["Config"].get("Env") or ()).get("PYTHON_VERSION", "")
    version = minor.group(1) if minor else ""
    python = declared if declared.startswith(f"{version}.") else version
    return {"python": python, "interpreter": interpreter, "libc": libc, "libc_version": libc_version}


def _find_interpreter(reader: ImageFiles, reference: Reference) -> str:
    for candidate in _INTERPRETERS:
        resolved = reader.resolve(candidate)
        if resolved and _PYTHON_NAME.search(resolved):
            return resolved
    raise BaseError(
        f"the base {reference} has no Python 3 in {', '.join(posixpath.dirname(c) for c in _INTERPRETERS)}",
        hint="choose a base with Python, such as deb:bookworm or python:3.11-slim",
    )


def _find_libc(reader: ImageFiles, platform: Platform, reference: Reference) -> tuple[str, str]:
    machine = platform.machine
    for folder in (f"/lib/{machine}-linux-gnu", f"/usr/lib/{machine}-linux-gnu", "/lib64", "/usr/lib64"):
        data = reader.read(f"{folder}/libc.so.6")
        if data and (found := _GLIBC_VERSION.search(data)):
            return "glibc", found.group(1).decode()
    if reader.resolve(f"/lib/ld-musl-{machine}.so.1"):
        return "musl", "1.2"
    raise BaseError(f"the base {reference} has no C library that modelimg knows", hint="it looks for glibc and musl")
