"""The small values of the OCI image spec: digests, platforms and references, each parsed once.

Source: https://github.com/opencontainers/image-spec (descriptor.md, image-index.md) and the reference grammar
of https://github.com/distribution/reference.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import BinaryIO

from modelimg.errors import UsageError

_MACHINE = {"amd64": "x86_64", "arm64": "aarch64"}
_HEX = re.compile(r"[0-9a-f]{64}")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_REGISTRY = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::[0-9]+)?")


@dataclass(frozen=True, order=True)
class Digest:
    """A sha256 digest. ``str()`` gives ``sha256:<hex>``."""

    hex: str

    def __post_init__(self) -> None:
        if not _HEX.fullmatch(self.hex):
            raise ValueError(f"not a sha256 digest: {self.hex!r}")

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Read ``sha256:<64 hex digits>``.

        Raises:
            ValueError: another algorithm, or not 64 lower-case hex digits.
        """
        algorithm, _, hexadecimal = text.partition(":")
        if algorithm != "sha256":
            raise ValueError(f"not a sha256 digest: {text!r}")
        return cls(hexadecimal)

    @classmethod
    def of(cls, data: bytes) -> Digest:
        """The digest of some bytes."""
        return cls(hashlib.sha256(data).hexdigest())

    @classmethod
    def of_stream(cls, stream: BinaryIO) -> Digest:
        """The digest of what is left in a stream, read in bounded memory."""
        return cls(hashlib.file_digest(stream, "sha256").hexdigest())  # type: ignore[arg-type]  # readinto

    def __str__(self) -> str:
        return f"sha256:{self.hex}"


@dataclass(frozen=True, order=True)
class Platform:
    """An operating system and an architecture in Go's words: ``linux/amd64``."""

    os: str
    architecture: str

    KNOWN = ("linux/amd64", "linux/arm64")

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Read ``os/arch``.

        Raises:
            UsageError: a platform that modelimg does not build for.
        """
        if text not in cls.KNOWN:
            raise UsageError(f"unknown platform {text!r}", hint=f"known platforms: {', '.join(cls.KNOWN)}")
        return cls(*text.split("/"))

    @property
    def machine(self) -> str:
        """The architecture in the kernel's words, as ``uname -m``, wheels and Debian's library folders have it."""
        return _MACHINE[self.architecture]

    def __str__(self) -> str:
        return f"{self.os}/{self.architecture}"


DEFAULT_PLATFORM = Platform("linux", "amd64")


def check_tag(tag: str) -> str:
    """Return ``tag`` if it may stand behind the colon of an image reference.

    Raises:
        UsageError: empty, over 128 characters, or with a character that a tag may not hold.
    """
    if not _TAG.fullmatch(tag):
        raise UsageError(
            f"{tag!r} is not a valid image tag",
            hint="a tag has 1 to 128 letters, digits, '_', '.' or '-', and starts with none of '.' and '-'",
        )
    return tag


@dataclass(frozen=True)
class Reference:
    """An image name: ``[registry/]repository[:tag][@digest]``.

    ``registry`` is empty where none was written; Docker reads such a name as one of Docker Hub's.
    """

    registry: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a plain reference.

        Raises:
            UsageError: not a reference; the message says which part.
        """
        rest, at, digest_text = text.partition("@")
        digest = None
        if at:
            try:
                digest = Digest.parse(digest_text)
            except ValueError as error:
                raise UsageError(f"{text!r} is not an image reference: {error}") from error
        head, slash, tail = rest.partition("/")
        has_registry = bool(slash) and (any(c in head for c in ".:[") or head == "localhost" or head != head.lower())
        registry, path = (head, tail) if has_registry else ("", rest)
        repository, colon, tag = path.rpartition(":")
        if not colon:
            repository, tag = path, ""
        if has_registry and not _REGISTRY.fullmatch(registry):
            raise UsageError(f"{text!r} is not an image reference: bad registry {registry!r}")
        if not _REPOSITORY.fullmatch(repository) or len(repository) > 255:
            raise UsageError(
                f"{text!r} is not an image reference: bad repository {repository!r}",
                hint="a repository is lower-case letters and digits, parted by '.', '_', '-' or '/'",
            )
        return cls(registry, repository, check_tag(tag) if colon else None, digest)

    @property
    def name(self) -> str:
        """Registry and repository, without tag and digest."""
        return f"{self.registry}/{self.repository}" if self.registry else self.repository

    @property
    def full_name(self) -> str:
        """``registry/repository:tag`` with nothing left out; Docker completes a short name so."""
        registry = self.registry or "docker.io"
        official = registry == "docker.io" and "/" not in self.repository
        return f"{registry}/{'library/' * official}{self.repository}:{self.tag or 'latest'}"

    def with_digest(self, digest: Digest) -> Reference:
        """The same name, pinned."""
        return Reference(self.registry, self.repository, self.tag, digest)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.name}{tag}" + (f"@{self.digest}" if self.digest else "")
