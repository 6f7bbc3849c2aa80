"""Writing images: files that appear whole, and plain deterministic tars of blobs."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tarfile import DIRTYPE, PAX_FORMAT, TarInfo
from typing import BinaryIO

from modelimg.oci.blob import Blob, canonical_json, copy_blob
from modelimg.oci.values import Reference

MTIME = 315532800
"""1980-01-01T00:00:00Z, of every member."""

_BLOCK = 512


@contextmanager
def replacing(path: Path, *, aside: Path | None = None) -> Iterator[BinaryIO]:
    """A stream whose bytes become the file when the block ends well; a reader sees the old file or the whole new one.

    The file is readable by all, whatever the umask.

    Args:
        path: of the file; its folder exists.
        aside: folder for the unfinished file, in the same file system; by default the file's own.

    Raises:
        OSError: the file cannot be written; what was there before stays.
    """
    handle, name = tempfile.mkstemp(dir=aside or path.parent, prefix=f".{path.name[:64]}.")
    unfinished = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
        unfinished.chmod(0o644)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


class TarWriter:
    """A tar of documents and blobs, whose bytes depend on nothing else: one owner, one time, modes 0644 and 0755.

    Args:
        out: takes the bytes; need not be seekable.
    """

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def directory(self, name: str) -> None:
        """Add a folder."""
        self._header(name, 0, folder=True)

    def document(self, name: str, data: bytes) -> None:
        """Add a file of bytes that are at hand."""
        self._header(name, len(data))
        self._out.write(data + bytes(-len(data) % _BLOCK))

    def blob(self, name: str, blob: Blob) -> None:
        """Add a blob's bytes, streamed and checked.

        Raises:
            DigestMismatch: they are not the ones that its descriptor names; the tar is worthless then.
        """
        self._header(name, blob.descriptor.size)
        copy_blob(blob, self._out)
        self._out.write(bytes(-blob.descriptor.size % _BLOCK))

    def end(self) -> None:
        """Write what ends a tar."""
        self._out.write(bytes(2 * _BLOCK))

    def _header(self, name: str, size: int, *, folder: bool = False) -> None:
        info = TarInfo(name)
        info.size, info.mtime, info.mode = size, MTIME, 0o755 if folder else 0o644
        if folder:
            info.type = DIRTYPE
        # A pax header stands only before a blob of 8 GiB and more; all else is plain ustar.
        self._out.write(info.tobuf(PAX_FORMAT, "utf-8", "strict"))


def docker_manifest(config: str, layers: Sequence[str], names: Sequence[Reference]) -> bytes:
    """The ``manifest.json`` that ``docker load`` reads.

    Args:
        config: member of the tar that is the image's config.
        layers: members that are its layers, lowest first.
        names: that the image gets.
    """
    tags = [f"{name.name}:{name.tag or 'latest'}" for name in names]
    return canonical_json([{"Config": config, "Layers": list(layers), "RepoTags": tags}])
