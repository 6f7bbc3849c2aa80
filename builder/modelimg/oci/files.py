"""The files of an image: read by path, or unpacked on this host, with nothing of the image run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from modelimg.errors import ImageError
from modelimg.oci.blob import Blob
from modelimg.oci.compression import codec_of, decompressed
from modelimg.oci.members import TarReader
from modelimg.oci.tree import Node, Tree

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK = 1 << 20
_MAX_TIME = 2**33
"""Seconds; what file systems and the system call take. A later time, or one before the epoch, is moved there."""


class ImageFiles:
    """An image's files by path: the top layer wins, whiteouts hide, links are followed inside the image.

    Args:
        layers: lowest first. Each is read through once, and its digest checked, when the first path is asked for.
    """

    def __init__(self, layers: Sequence[Blob]) -> None:
        self._layers = tuple(layers)

    def resolve(self, path: str) -> str | None:
        """The absolute path without symbolic links, or None where nothing is.

        Raises:
            ImageError: a layer cannot be read; the same goes for the other methods.
            DigestMismatch: a layer has other bytes than its descriptor says.
        """
        node = self._tree.find(path)
        return None if node is None else f"/{node.path}"

    def read(self, path: str) -> bytes | None:
        """A file's bytes; None where there is no file."""
        node = self._tree.find(path)
        if node is None or node.kind != "file" or node.member is None:
            return None
        with _tar_at(self._layers[node.source], node.member.offset) as stream:
            return stream.read(node.member.size)

    def exists(self, path: str) -> bool:
        """Whether something is there, at the end of all links."""
        return self._tree.find(path) is not None

    def names(self, under: str) -> list[str]:
        """The absolute path of everything below a folder, at any depth, sorted; links are named, not followed."""
        node = self._tree.find(under)
        return sorted(f"/{below.path}" for below in node.walk()) if node else []

    @cached_property
    def _tree(self) -> Tree:
        tree = Tree()
        for number, layer in enumerate(self._layers):
            with decompressed(layer) as stream:
                for member in TarReader(stream, what=_named(layer)):
                    tree.apply(member, number)
        return tree


def unpack(layers: Sequence[Blob], root: Path) -> None:
    """Unpack an image's layers into a folder that will be a sandbox's root.

    Everything belongs to the calling user. Modes and times are kept, but that set-user-id and set-group-id bits are
    dropped, and that the owner may read every file and change every folder, so that the tree can be removed again.
    Devices and fifos are left out. No name in a tar leads out of the folder: paths are resolved in memory, and symbolic
    links, whose targets are kept as they are, are made last, so that nothing is ever written through one.

    Args:
        layers: lowest first; their digests are checked on the way.
        root: an empty folder, or one that is made here.

    Raises:
        ImageError: the folder is not empty, or a layer cannot be unpacked; the message names the path. What has been
            unpacked until then stays for the caller to remove.
        DigestMismatch: a layer has other bytes than its descriptor says.
    """
    tree = _UnpackedTree(root)
    for number, layer in enumerate(layers):
        with decompressed(layer) as stream:
            reader = TarReader(stream, what=_named(layer))
            for member in reader:
                with _naming(member.name):
                    node = tree.apply(member, number)
                    if node is not None and member.kind == "file":
                        tree.write(node, reader.chunks())
    tree.finish()


class _UnpackedTree(Tree):
    """A tree whose folders and files are on this host too; its symbolic links are made by `finish`."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        root.mkdir(parents=True, exist_ok=True)
        if any(root.iterdir()):
            raise ImageError(f"{root} is not empty, so no image is unpacked there")
        self._root = f"{root}/"

    def added(self, node: Node) -> None:
        if node.kind == "directory":
            os.mkdir(self._root + node.path, 0o700)  # noqa: PTH102 - a Path for each of many thousands takes its time
        elif node.original and node.kind == "file":
            os.link(self._root + node.original.path, self._root + node.path, follow_symlinks=False)

    def removed(self, node: Node) -> None:
        if node.kind == "directory":
            shutil.rmtree(self._root + node.path)
        elif node.kind == "file":
            os.unlink(self._root + node.path)  # noqa: PTH108

    def write(self, node: Node, content: Iterable[bytes]) -> None:
        """Write a file that has just been added."""
        assert node.member is not None  # noqa: S101 - a file comes from a member
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        handle = os.open(self._root + node.path, flags, 0o600)
        try:
            for chunk in content:
                view = memoryview(chunk)
                while view:
                    view = view[os.write(handle, view) :]
            os.fchmod(handle, node.member.mode & 0o777 | 0o400)
            os.utime(handle, _times(node))
        finally:
            os.close(handle)

    def finish(self) -> None:
        """Make the symbolic links; set the modes and times of folders, which making things in them changed."""
        nodes = [self.root, *self.root.walk()]
        for node in nodes:
            if node.kind == "symlink" and node.member:
                with _naming(node.path):
                    os.symlink(node.member.target, self._root + node.path)  # noqa: PTH211
                    os.utime(self._root + node.path, _times(node), follow_symlinks=False)
        for node in reversed(nodes):
            if node.kind == "directory":
                mode = node.member.mode & 0o1777 | 0o700 if node.member else 0o755
                os.chmod(self._root + node.path, mode)  # noqa: PTH101
                os.utime(self._root + node.path, _times(node))


def _times(node: Node) -> tuple[float, float]:
    mtime = min(max(node.member.mtime, 0), _MAX_TIME) if node.member else 0
    return mtime, mtime


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Say which path the system refused: too long a name, a full disk."""
    try:
        yield
    except OSError as error:
        raise ImageError(f"{name!r} cannot be unpacked: {error.strerror}") from error


@contextmanager
def _tar_at(layer: Blob, offset: int) -> Iterator[BinaryIO]:
    """A layer's plain tar from some byte on; one that is not compressed is sought in."""
    if codec_of(layer.descriptor.media_type) == "none":
        with layer.open() as stream:
            if stream.seekable():
                stream.seek(offset, os.SEEK_CUR)
                yield stream
                return
    with decompressed(layer) as stream:
        while offset:
            offset -= len(stream.read(min(offset, _CHUNK)))
        yield stream


def _named(layer: Blob) -> str:
    return f"the layer {layer.descriptor.digest}"
