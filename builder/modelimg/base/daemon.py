"""Bases that a Docker daemon has or can pull, pinned, with their Python and C library found by looking inside.

Nothing of the image runs: its files are read from a container that is created and never started.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import docker
import docker.errors

from modelimg.base.inside import Inside, check_platform, look_inside
from modelimg.base.resolve import ResolvedBase
from modelimg.cache import Cache
from modelimg.daemon import image_files
from modelimg.errors import BaseNotFound
from modelimg.images import base_name
from modelimg.oci.image import RunConfig
from modelimg.oci.values import Digest, Platform, Reference


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
        BaseError: of another platform, a model image, or without a Python 3 and a C library that we know.
    """
    facts = _inspect(client, reference, platform, report)
    check_platform(reference, Platform(facts["Os"], facts["Architecture"]), platform)
    inside = cache.recall("base", facts["Id"])
    if inside is None:
        inside = _look_inside(client, facts, reference, platform)
        cache.note("base", facts["Id"], inside)
    digest = _repository_digest(facts, reference)
    return ResolvedBase(
        name=base_name(reference),
        digest=digest or Digest.parse(facts["Id"]),
        reference=f"{reference.name}@{digest}" if digest else facts["Id"],
        platform=platform,
        run=RunConfig.from_dict(facts["Config"]),
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


def _look_inside(
    client: docker.DockerClient, facts: dict[str, Any], reference: Reference, platform: Platform
) -> Inside:
    with image_files(client, facts["Id"]) as reader:
        return look_inside(reader, base=reference, platform=platform, env=facts["Config"].get("Env") or ())
