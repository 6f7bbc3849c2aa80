"""What a plan needs to know of the image that it stands on, and the default for each Python."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from modelimg.oci.blob import LazyBlob
from modelimg.oci.image import RunConfig
from modelimg.oci.manifest import Image
from modelimg.oci.values import Digest, Platform

DEBIAN_SUITES = {"3.11": "bookworm", "3.13": "trixie"}
"""Python minor version → the Debian suite that has it."""

_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class BasePackage:
    """A package that a base was made from, pinned."""

    name: str
    version: str
    architecture: str
    digest: Digest


@dataclass(frozen=True)
class ResolvedBase:
    """A base image, pinned.

    Attributes:
        name: for ``org.opencontainers.image.base.name``: ``deb:bookworm`` or a full reference.
        digest: for ``org.opencontainers.image.base.digest``: of the manifest where a registry gave it, else of the
            config.
        reference: what the Dockerfile's FROM says: ``scratch``, ``name@sha256:…`` or an image id.
        platform: of the image.
        python: version of its interpreter, ``3.11.2``, or ``3.11`` where no more is known.
        interpreter: absolute path of it.
        libc: ``glibc`` or ``musl``.
        libc_version: such as ``2.36``.
        run: how containers of it run; what an image on it inherits.
        packages: what a ``deb:`` base was made from; empty otherwise.
        tar: diff_id of its one layer, when the Dockerfile has to add it to ``scratch``.
        image: the base itself, where its layers are at hand; None for one that only a daemon has.
    """

    name: str
    digest: Digest
    reference: str
    platform: Platform
    python: str
    interpreter: str
    libc: str
    libc_version: str
    run: RunConfig = field(default_factory=RunConfig)
    packages: tuple[BasePackage, ...] = ()
    tar: Digest | None = None
    image: Image | None = field(default=None, compare=False, repr=False)

    @property
    def python_minor(self) -> str:
        """``3.11``."""
        return ".".join(self.python.split(".")[:2])

    @property
    def glibc(self) -> tuple[int, int]:
        """The C library's version, for choosing wheels."""
        major, minor = self.libc_version.split(".")[:2]
        return int(major), int(minor)

    @property
    def path(self) -> str:
        """Its executable search path."""
        return next((item[5:] for item in self.run.env if item.startswith("PATH=")), _DEFAULT_PATH)

    @property
    def tar_path(self) -> Path | None:
        """Where the layer ``tar`` is on this host; made again where the cache has lost it."""
        if self.tar is None or self.image is None:
            return None
        layer = self.image.layers[0]
        return layer.make() if isinstance(layer, LazyBlob) else None

    def without_image(self) -> ResolvedBase:
        """The same base without what leads to its bytes."""
        return replace(self, image=None)


def default_base(python: str) -> str:
    """The base that follows a training Python: ``deb:`` where Debian has that version, else the official image."""
    minor = ".".join(python.split(".")[:2])
    return f"deb:{DEBIAN_SUITES[minor]}" if minor in DEBIAN_SUITES else f"python:{minor}-slim"
