"""Blobs: content that is known by its digest before it is opened."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from modelimg.errors import DigestMismatch
from modelimg.oci.values import Digest, Platform

_CHUNK = 1 << 18
"""Bytes at a time: more would be taken from the kernel anew for each chunk, at a page fault per 4 kB."""

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
LAYER_GZIP = f"{LAYER}+gzip"
LAYER_ZSTD = f"{LAYER}+zstd"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"


@dataclass(frozen=True)
class Descriptor:
    """What a manifest or an index says of a blob.

    Source: https://github.com/opencontainers/image-spec/blob/main/descriptor.md
    """

    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, media_type: str, data: bytes) -> Descriptor:
        """The descriptor of some bytes."""
        return cls(media_type, Digest.of(data), len(data))

    def to_dict(self) -> dict[str, Any]:
        """The spec's field names; what is empty is left out."""
        value: dict[str, Any] = {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size}
        if self.platform:
            value["platform"] = {"architecture": self.platform.architecture, "os": self.platform.os}
        if self.annotations:
            value["annotations"] = dict(self.annotations)
        return value

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Descriptor:
        """Read the spec's field names.

        Raises:
            KeyError, ValueError, TypeError: it is no descriptor; whoever parses the document says which.
        """
        if not isinstance(value["size"], int) or isinstance(value["size"], bool) or value["size"] < 0:
            raise ValueError(f"size is {value['size']!r}")
        platform = value.get("platform")
        return cls(
            media_type=str(value["mediaType"]),
            digest=Digest.parse(value["digest"]),
            size=value["size"],
            platform=Platform(platform["os"], platform["architecture"]) if platform else None,
            annotations=dict(value.get("annotations") or {}),
        )


class Blob(Protocol):
    """Content by digest. Opening may fetch or make it; looking at the descriptor never does."""

    @property
    def descriptor(self) -> Descriptor:
        """Media type, digest and size."""
        ...

    def open(self) -> BinaryIO:
        """A fresh stream of the whole content; `copy_blob` checks it, unless it is a `CheckedStream`."""
        ...


@dataclass(frozen=True)
class BytesBlob:
    """Bytes that are at hand."""

    descriptor: Descriptor
    data: bytes

    def open(self) -> BinaryIO:
        """See `Blob`."""
        return io.BytesIO(self.data)


@dataclass(frozen=True)
class FileBlob:
    """A file on this host, or a run of bytes in one, such as a member of an archive.

    Attributes:
        descriptor: what it should be.
        path: of the file.
        offset: where it begins in the file; it is ``descriptor.size`` bytes long.
    """

    descriptor: Descriptor
    path: Path
    offset: int = 0

    def open(self) -> BinaryIO:
        """See `Blob`."""
        stream = self.path.open("rb")
        stream.seek(self.offset)
        return stream


class CheckedStream(io.BufferedReader):
    """A stream of a file that was hashed when it was found, so that its reader need not hash it again."""


@dataclass(frozen=True)
class LazyBlob:
    """A file that is found or made when somebody wants its bytes.

    Attributes:
        descriptor: what it is.
        make: finds the file, or makes it; hashes it whichever it does, as a cache does that mends itself.
        peek: the file that `make` would look at first, unread, or None.
    """

    descriptor: Descriptor
    make: Callable[[], Path] = field(compare=False, repr=False)
    peek: Callable[[], Path | None] = field(default=lambda: None, compare=False, repr=False, kw_only=True)

    def open(self) -> CheckedStream:
        """See `Blob`."""
        return CheckedStream(io.FileIO(self.make()))


def copy_blob(blob: Blob, out: BinaryIO) -> None:
    """Copy a blob's bytes, and check them on the way where they were not checked before.

    Raises:
        DigestMismatch: other bytes, or another number of them, than the descriptor says; ``out`` holds them already.
    """
    if isinstance(blob, LazyBlob) and out.seekable() and _copied_meanwhile(blob, out):
        return
    hasher, left = hashlib.sha256(), blob.descriptor.size
    with blob.open() as stream:
        checked = isinstance(stream, CheckedStream)
        while left and (chunk := stream.read(min(_CHUNK, left))):
            if not checked:
                hasher.update(chunk)
            out.write(chunk)
            left -= len(chunk)
    if left:
        raise DigestMismatch(f"the blob {blob.descriptor.digest} ended {left} bytes too early")
    if not checked and Digest(hasher.hexdigest()) != blob.descriptor.digest:
        raise DigestMismatch(f"the blob {blob.descriptor.digest} has bytes of sha256:{hasher.hexdigest()}")


def _copied_meanwhile(blob: LazyBlob, out: BinaryIO) -> bool:
    """Copy the file that is there while another thread hashes it; False, with nothing written, if it was not right."""
    found, start, left = blob.peek(), out.tell(), blob.descriptor.size
    try:
        stream = found.open("rb") if found else None
    except OSError:
        stream = None
    if stream is None:
        return False
    with stream, ThreadPoolExecutor(1) as pool:
        checking = pool.submit(blob.make)
        while chunk := _readable(stream):
            out.write(chunk)
            left -= len(chunk)
        right = os.path.samestat(checking.result().stat(), os.fstat(stream.fileno()))  # no other file while it is open
    if left or not right:
        out.seek(start)
        out.truncate()
    return right and not left


def _readable(stream: BinaryIO) -> bytes:
    """The next bytes; none where the disk gives no more, which whoever hashes the file finds out as well."""
    try:
        return stream.read(_CHUNK)
    except OSError:
        return b""


def read_blob(blob: Blob) -> bytes:
    """A small blob's bytes, checked.

    Raises:
        DigestMismatch: as `copy_blob`.
    """
    out = io.BytesIO()
    copy_blob(blob, out)
    return out.getvalue()


def canonical_json(value: Any) -> bytes:
    """Sorted keys, no white space, UTF-8: the form of every document that we write."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
