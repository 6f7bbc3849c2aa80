"""Finding an image by its name without a daemon: in a registry through the cache, in a layout, or in an archive."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from modelimg.errors import EngineUnavailable, FetchError, ImageError, UsageError
from modelimg.fetch import Fetcher
from modelimg.oci.blob import Blob, Descriptor
from modelimg.oci.compression import codec_of, media_type
from modelimg.oci.manifest import Artifact, Image
from modelimg.oci.names import ImageName
from modelimg.oci.values import Digest, Platform, Reference
from modelimg.pull import pull

if TYPE_CHECKING:
    from modelimg.oci.reading import Layout
    from modelimg.oci.registry import RegistrySettings

T = TypeVar("T")

_ELSEWHERE = "an image in a file is oci:DIR[:TAG], oci-archive:FILE or docker-archive:FILE"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Found:
    """An image, and how to find the very same one again.

    Attributes:
        image: its blobs are checked when they are copied; those of a registry go through the cache.
        name: with nothing of this host in it: a registry's full name, else what a layout calls the image, or else the
            last part of the file's or folder's path.
        reference: in a registry, pinned; None for an image in a file.
        manifest_digest: None where the image has no manifest of its own, as in a ``docker-archive:``.
    """

    image: Image
    name: str
    reference: Reference | None
    manifest_digest: Digest | None

    @property
    def digest(self) -> Digest:
        """Of its manifest, or else of its config."""
        return self.manifest_digest or self.image_id

    @property
    def image_id(self) -> Digest:
        """Of its config: what a daemon calls it once it is loaded."""
        return self.image.manifest.config.digest


def open_image(
    name: ImageName, platform: Platform | None, fetcher: Fetcher, *, settings: RegistrySettings | None = None
) -> Found:
    """One image, pinned. A plain name is one of a registry here.

    Args:
        name: of an image or of an index of several platforms' images.
        platform: that it must be for; by default this machine's of an index, or else its first.
        fetcher: its cache keeps what a registry gives.
        settings: of the registry client; by default those of the environment.

    Raises:
        ImageError: there is none of this name, or none for the platform.
        FetchError: the registry does not give it, or offline and not in the cache.
        UsageError: the name of an image in a daemon.
    """
    if name.reference is not None:
        image = _chosen(_pulled(name, platform, fetcher, settings), platform, name)
        digest = image.descriptor.digest
        return Found(image, base_name(name.reference), name.reference.with_digest(digest), digest)
    artifact, label = _in_file(name)
    image = _chosen(artifact, platform, name)
    return Found(image, label, None, None if name.transport == "docker-archive" else image.descriptor.digest)


def open_artifact(name: ImageName, fetcher: Fetcher, *, settings: RegistrySettings | None = None) -> Artifact:
    """All that a name leads to: an image, or an index with each platform's.

    Raises:
        As `open_image`.
    """
    if name.reference is None:
        return _in_file(name)[0]
    return pull(_remote(name), None, fetcher, settings=settings)


def look_everywhere(name: ImageName, in_daemon: Callable[[], T | None], elsewhere: Callable[[], T]) -> T:
    """What a name leads to: a plain one is asked of the daemon first, and then of its registry.

    Args:
        name: of the image.
        in_daemon: finds it in the daemon; None where that has none of this name.
        elsewhere: finds it without the daemon.

    Raises:
        EngineUnavailable: ``docker-daemon:`` was asked for, and none answers.
        ImageError: it is in neither place; the message says what each of them said.
        Whatever the two raise.
    """
    if name.transport not in ("", "docker-daemon"):
        return elsewhere()
    try:
        found, absent = in_daemon(), f"the daemon has no image {name.reference}"
    except EngineUnavailable as error:
        if name.transport:
            raise
        found, absent = None, error.message
    if found is not None:
        return found
    if name.transport:
        raise ImageError(absent, hint="`docker images` lists what it has; pull or build it first")
    try:
        return elsewhere()
    except FetchError as error:
        raise ImageError(f"{absent}, and {error.message}", hint=error.hint or _ELSEWHERE) from error


def base_name(reference: Reference) -> str:
    """As ``org.opencontainers.image.base.name`` wants it: fully qualified; the digest has a label of its own.

    A name that is pinned by its digest alone gets no tag: nobody said ``latest``.
    """
    if reference.digest and not reference.tag:
        return reference.full_name.rpartition(":")[0]
    return reference.full_name


def with_oci_type(blob: Blob) -> Blob:
    """The same layer under the media type that OCI has for it: Docker's own does not belong in an OCI manifest.

    Raises:
        ImageError: it is no layer that can be read, such as a Windows one that is kept elsewhere.
    """
    descriptor = blob.descriptor
    wanted = media_type(codec_of(descriptor.media_type))
    if descriptor.media_type == wanted:
        return blob
    return _Retyped(Descriptor(wanted, descriptor.digest, descriptor.size), blob)


@dataclass(frozen=True)
class _Retyped:
    descriptor: Descriptor
    blob: Blob

    def open(self) -> BinaryIO:
        """See `Blob`."""
        return self.blob.open()


def _remote(name: ImageName) -> Reference:
    if name.transport == "docker-daemon" or name.reference is None:
        raise UsageError(
            f"{name} is in a daemon, which is not asked here",
            hint=f"`docker save {name.reference} -o FILE` makes it docker-archive:FILE; or push it and name it so",
        )
    return name.reference


def _pulled(
    name: ImageName, platform: Platform | None, fetcher: Fetcher, settings: RegistrySettings | None
) -> Artifact:
    reference = _remote(name)
    if platform is None:
        try:
            return pull(reference, _host_platform(), fetcher, settings=settings)
        except ImageError:  # none for this machine, so all of them are read, and the first is as good as any
            pass
    return pull(reference, platform, fetcher, settings=settings)


def _in_file(name: ImageName) -> tuple[Artifact, str]:
    from modelimg.oci.archive import open_docker_archive
    from modelimg.oci.layout import open_archive, open_layout

    path = name.path
    assert path is not None  # noqa: S101 - it has no reference
    if name.transport == "docker-archive":
        return open_docker_archive(path), path.name
    layout = open_layout(path) if name.transport == "oci" else open_archive(path)
    artifact = layout.artifact(name.tag)
    return artifact, _label(layout, artifact.descriptor.digest, name.tag, path)


def _label(layout: Layout, digest: Digest, tag: str | None, path: Path) -> str:
    """What a layout calls an image: its full name where it says one, else the folder's or file's, with the tag."""
    from modelimg.oci.layout import CONTAINERD_NAME
    from modelimg.oci.reading import REF_NAME

    same = [
        one.annotations
        for one in layout.entries
        if one.digest == digest and tag in (None, one.annotations.get(REF_NAME))
    ]
    if full := min((one[CONTAINERD_NAME] for one in same if one.get(CONTAINERD_NAME)), default=None):
        return full
    short = min((one[REF_NAME] for one in same if one.get(REF_NAME)), default=None)
    folder = path.resolve().name
    return f"{folder}:{short}" if short else folder


def _chosen(artifact: Artifact, platform: Platform | None, name: ImageName) -> Image:
    images = (artifact,) if isinstance(artifact, Image) else artifact.images
    wanted = platform or _host_platform()
    for image in images:
        if image.config.platform == wanted:
            return image
    if platform or not images:
        offered = ", ".join(str(image.config.platform) for image in images) or "none"
        raise ImageError(f"{name} has no image for {wanted}; it has {offered}")
    return images[0]


def _host_platform() -> Platform:
    """This machine's; containers run Linux wherever they run."""
    machine = os.uname().machine
    return Platform("linux", _ARCHITECTURES.get(machine, machine))
