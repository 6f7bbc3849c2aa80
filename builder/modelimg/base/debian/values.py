"""The values of this package: a Debian package, the packages of a base, and where they are fetched from."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args
from urllib.parse import quote

from debian.debian_support import Version

from modelimg.errors import BaseError
from modelimg.oci.values import Digest, Platform

ArchiveName = Literal["debian", "debian-security"]
ARCHIVES: tuple[ArchiveName, ...] = get_args(ArchiveName)

ENV_MIRROR = "MODELIMG_DEBIAN_MIRROR"
ENV_SECURITY_MIRROR = "MODELIMG_DEBIAN_SECURITY_MIRROR"
ENV_SNAPSHOT = "MODELIMG_DEBIAN_SNAPSHOT"

SNAPSHOT_TIME = "%Y%m%dT%H%M%SZ"
"""How the snapshot archive writes a moment, in UTC."""

_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")  # Debian Policy 5.6.1
_FILENAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+.~_/-]*\.deb")


@dataclass(frozen=True)
class DebianPackage:
    """One ``.deb``, pinned.

    Attributes:
        name: ``libc6``.
        version: Debian's own, ``2.36-9+deb12u14``.
        architecture: ``amd64``, ``arm64`` or ``all``.
        filename: path below the archive's root, ``pool/main/g/glibc/libc6_2.36-9+deb12u14_amd64.deb``.
        size: bytes of the file.
        sha256: of the file.
        archive: which of Debian's two archives has it.

    Raises:
        ValueError: a name or a file name that no Debian archive has, such as one that leaves the archive.
    """

    name: str
    version: str
    architecture: str
    filename: str
    size: int
    sha256: Digest
    archive: ArchiveName

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is not a package name")
        if not _FILENAME.fullmatch(self.filename) or ".." in self.filename.split("/"):
            raise ValueError(f"{self.filename!r} is not the path of a .deb file")
        if self.archive not in ARCHIVES:
            raise ValueError(f"{self.archive!r} is not one of {', '.join(ARCHIVES)}")
        Version(self.version)

    @property
    def title(self) -> str:
        """How messages name it."""
        return f"{self.name} {self.version} ({self.architecture})"

    @property
    def upstream_version(self) -> str:
        """The version without Debian's epoch and revision: ``2.36``."""
        return str(Version(self.version).upstream_version)


@dataclass(frozen=True)
class DebianPackages:
    """The packages that one base is made from: what resolving gives and a lock file holds.

    Attributes:
        suite: ``bookworm`` or ``trixie``.
        platform: of the packages.
        packages: sorted by name, each once.
        dates: per archive, the newest ``Date`` of the signed indexes that named the packages, as the snapshot archive
            writes it (``20261121T021046Z``): at that moment every one of them was there.
    """

    suite: str
    platform: Platform
    packages: tuple[DebianPackage, ...]
    dates: Mapping[ArchiveName, str] = field(hash=False)

    def __post_init__(self) -> None:
        names = [package.name for package in self.packages]
        if names != sorted(set(names)):
            raise ValueError("the packages are not sorted by name, each once")
        if set(self.dates) != set(ARCHIVES):
            raise ValueError(f"there is not one date for each of {', '.join(ARCHIVES)}")
        for date in self.dates.values():
            datetime.strptime(date, SNAPSHOT_TIME).replace(tzinfo=UTC)

    def package(self, name: str) -> DebianPackage:
        """The package of this name.

        Raises:
            BaseError: it is not among them.
        """
        for package in self.packages:
            if package.name == name:
                return package
        raise BaseError(f"the packages of {self.suite} for {self.platform} lack {name}")

    @property
    def python_minor(self) -> str:
        """``3.11``.

        Raises:
            BaseError: no interpreter is among the packages.
        """
        for package in self.packages:
            if match := re.fullmatch(r"python(3\.[0-9]+)-minimal", package.name):
                return match[1]
        raise BaseError(f"the packages of {self.suite} for {self.platform} lack a Python interpreter")

    @property
    def python(self) -> str:
        """The interpreter's full version, ``3.11.2``."""
        return self.package(f"python{self.python_minor}-minimal").upstream_version

    @property
    def libc(self) -> tuple[str, str]:
        """The C library and its version, ``("glibc", "2.36")``."""
        return "glibc", self.package("libc6").upstream_version


@dataclass(frozen=True)
class Mirrors:
    """Where Debian's archives are fetched from. What they say is signed, so plain HTTP is no risk to the image.

    Attributes:
        debian: root of a mirror of the main archive, holding ``dists/`` and ``pool/``.
        security: the same for the security archive.
        snapshot: root of the snapshot archive, holding ``archive/<name>/<timestamp>/pool/``.
    """

    debian: str = "http://deb.debian.org/debian"
    security: str = "http://deb.debian.org/debian-security"
    snapshot: str = "https://snapshot.debian.org"

    @classmethod
    def from_environment(cls) -> Mirrors:
        """The defaults, but for what the environment says.

        ``MODELIMG_DEBIAN_MIRROR``, ``MODELIMG_DEBIAN_SECURITY_MIRROR`` and ``MODELIMG_DEBIAN_SNAPSHOT``.
        """
        return cls(
            debian=os.environ.get(ENV_MIRROR) or cls.debian,
            security=os.environ.get(ENV_SECURITY_MIRROR) or cls.security,
            snapshot=os.environ.get(ENV_SNAPSHOT) or cls.snapshot,
        )

    def root(self, archive: ArchiveName) -> str:
        """An archive's address, without a slash at its end."""
        return (self.debian if archive == "debian" else self.security).rstrip("/")

    def pool_url(self, package: DebianPackage) -> str:
        """Where a package is as long as its suite has it."""
        return f"{self.root(package.archive)}/{_quoted(package.filename)}"

    def snapshot_urls(self, package: DebianPackage, timestamp: str) -> tuple[str, str]:
        """Where a package that an index of this date named stays for good.

        The snapshot archive rounds a timestamp down to its last visit, and it visits a few times a day: what was
        published with that very index is found a day later, what was replaced within the day at the date itself.
        """
        later = datetime.strptime(timestamp, SNAPSHOT_TIME).replace(tzinfo=UTC) + timedelta(days=1)
        root = f"{self.snapshot.rstrip('/')}/archive/{package.archive}"
        path = _quoted(package.filename)
        return f"{root}/{later.strftime(SNAPSHOT_TIME)}/{path}", f"{root}/{timestamp}/{path}"


def _quoted(filename: str) -> str:
    return quote(filename, safe="/+~")
