"""A ``.deb`` as tree entries: an ``ar`` archive of two tars, read in-process.

Maintainer scripts are not run: what the few that matter would do is done by hand in `tree`.

Source: deb(5), https://manpages.debian.org/deb.5
"""

from __future__ import annotations

import lzma
import posixpath
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from debian.arfile import ArError, ArFile

from modelimg.errors import BaseError
from modelimg.tar import Entry, SliceContent, Spool, make_directory, make_symlink

_MERGED = frozenset({"bin", "sbin", "lib", "lib32", "lib64", "libx32"})
"""Root directories that are links into ``/usr``: https://wiki.debian.org/UsrMerge."""

_EXECUTABLE, _SET_ID, _DIRECTORY_BITS = 0o111, 0o6000, 0o1777
_DAMAGED = (ArError, tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError)


@dataclass(frozen=True)
class Unpacked:
    """What a ``.deb`` holds.

    Attributes:
        control: its control file, as it is.
        entries: its tree under the merged ``/usr``, in its own order.
    """

    control: bytes
    entries: tuple[Entry, ...]


def unpack_deb(deb: Path, spool: Spool, keep: Callable[[str], bool], *, name: str) -> Unpacked:
    """Read a ``.deb``, whose digest has been checked.

    Args:
        deb: the file.
        spool: takes the contents of its files.
        keep: whether a path (after the ``/usr`` merge) is wanted; the contents of others are skipped.
        name: how messages name it.

    Raises:
        BaseError: damaged, compressed in a way that the standard library cannot read, or holding what may not become
            part of a base: a path that leaves the root, a device, a set-user-id program.
    """
    with _open_part(deb, "control.tar", name) as control:
        text = next((_content(control, member) for member in control if _clean(member.name, name) == "control"), None)
        if text is None:
            raise BaseError(f"{name} has no control file")
        control_bytes = text.read()
    with _open_part(deb, "data.tar", name) as data:
        return Unpacked(control_bytes, tuple(_entries(data, spool, keep, name)))


@contextmanager
def _open_part(deb: Path, part: str, name: str) -> Iterator[tarfile.TarFile]:
    try:
        with deb.open("rb") as stream:
            members = [member for member in ArFile(fileobj=stream).getmembers() if member.name.startswith(part)]
            if len(members) != 1:
                raise BaseError(f"{name} is not a Debian package: it has {len(members)} members named {part}")
            if members[0].name.endswith(".zst"):
                raise BaseError(
                    f"{name} is compressed with Zstandard, which Debian's own packages are not",
                    hint="use a mirror of Debian; derivatives such as Ubuntu are not supported",
                )
            with tarfile.open(fileobj=cast("BinaryIO", members[0]), mode="r|*") as tar:
                yield tar
    except _DAMAGED as error:
        raise BaseError(f"{name} cannot be unpacked: {error}") from error


def _entries(data: tarfile.TarFile, spool: Spool, keep: Callable[[str], bool], name: str) -> Iterator[Entry]:
    files: dict[str, Entry] = {}
    for member in data:
        original = _clean(member.name, name)
        path = merged(original)
        if not path or not keep(path) or (original in _MERGED and member.issym()):
            continue  # trixie's base-files brings the links of the merge itself; `tree` makes them for every suite
        if member.isreg():
            _refuse_set_id(member, name)
            content = spool.add(_content(data, member))
            files[original] = _file(path, member.mode, content)
            yield files[original]
        elif member.islnk():
            yield _linked_file(path, files.get(_clean(member.linkname, name)), name)
        elif member.isdir():
            # A directory's set-group-id bit hands a group on to new files; here everything is root's and stays so.
            yield make_directory(path, member.mode & _DIRECTORY_BITS)
        elif member.issym():
            yield make_symlink(path, _link_target(original, member.linkname, name))
        else:
            raise BaseError(f"{name} holds a device or a pipe, {member.name}, which a base must not have")


def merged(path: str) -> str:
    """A relative path under the merged ``/usr``: ``lib/x`` → ``usr/lib/x``.

    No entry is left that would replace the links ``lib`` → ``usr/lib`` by a directory.
    """
    return f"usr/{path}" if path.partition("/")[0] in _MERGED else path


def _clean(path: str, name: str) -> str:
    parts = path.removeprefix("./").rstrip("/").split("/")
    if path.startswith("/") or ".." in parts:
        raise BaseError(f"{name} holds a path that leaves the root: {path}")
    return "/".join(part for part in parts if part != ".")


def _refuse_set_id(member: tarfile.TarInfo, name: str) -> None:
    if member.mode & _SET_ID:
        raise BaseError(
            f"{name} holds a set-user-id or set-group-id program, {member.name}, which a base must not have"
        )


def _file(path: str, mode: int, content: SliceContent) -> Entry:
    return Entry(path, "file", 0o755 if mode & _EXECUTABLE else 0o644, content.size, content)


def _linked_file(path: str, target: Entry | None, name: str) -> Entry:
    """A hard link becomes a file of its own with the same bytes."""
    if target is None:
        raise BaseError(f"{name} holds a hard link {path} to a file that it does not hold or that bases leave out")
    return Entry(path, "file", target.mode, target.size, target.content)


def _link_target(original: str, target: str, name: str) -> str:
    """Where a link points after the merge, either end of which may have moved.

    Relative always, so that the tree means the same under any root.
    """
    beside = posixpath.normpath(posixpath.join(posixpath.dirname(original), target))
    if beside == ".." or beside.startswith("../"):
        raise BaseError(f"{name} holds a link that leaves the root: {original} -> {target}")
    return posixpath.relpath(f"/{merged(beside.lstrip('/'))}", posixpath.dirname(f"/{merged(original)}"))


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> BinaryIO:
    stream = tar.extractfile(member)
    if stream is None:
        raise BaseError(f"{member.name} is not a regular file")
    return stream  # type: ignore[return-value]
