"""The one deterministic tar writer: ordered entries in, the same bytes out on every host.

Byte-sorted paths; uid and gid 0 with empty names; one constant mtime; ustar, with a PAX record only where a name
or a size does not fit (POSIX.1-2001, pax interchange format). Contents are opened one at a time and streamed, so
memory does not grow with the layer.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import zipfile
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

from modelimg.errors import LayerError
from modelimg.oci.values import Digest
from modelimg.zips import open_member

MTIME = 315532800
"""1980-01-01T00:00:00Z, the oldest date that a zip can hold; older ones make some programs refuse a file."""

_BLOCK = 512
_RECORD = 20 * _BLOCK
_CHUNK = 1 << 20
_AHEAD = 16 << 20
"""Bytes of contents that are opened before they are written, …"""
_RUN, _MOST_OPEN = 1 << 20, 64
"""… in runs of so many bytes or files."""

_MAX_OCTAL_SIZE = 8**11 - 1

Kind = Literal["file", "directory", "symlink"]
_TYPEFLAG: dict[Kind, bytes] = {"file": b"0", "directory": b"5", "symlink": b"2"}


class Content(Protocol):
    """Where a file's bytes come from. Opened when they are written, never before."""

    def open(self) -> BinaryIO:
        """A fresh stream of the whole content."""
        ...


@dataclass(frozen=True)
class BytesContent:
    """Bytes that are at hand."""

    data: bytes

    def open(self) -> BinaryIO:
        """See `Content`."""
        return io.BytesIO(self.data)


@dataclass(frozen=True)
class FileContent:
    """A file on the host."""

    path: Path

    def open(self) -> BinaryIO:
        """See `Content`."""
        return self.path.open("rb")


@dataclass(frozen=True)
class SliceContent:
    """A run of bytes in a larger file, such as a spool of many small files."""

    path: Path
    offset: int
    size: int

    def open(self) -> BinaryIO:
        """See `Content`."""
        stream = self.path.open("rb")
        stream.seek(self.offset)
        return stream


class Spool:
    """One file on disk that holds the contents of many, so that memory does not grow with them.

    Args:
        stream: takes the bytes.
        path: of the same file.
    """

    def __init__(self, stream: BinaryIO, path: Path) -> None:
        self._stream, self._path, self._size = stream, path, 0

    def add(self, content: BinaryIO) -> SliceContent:
        """Append what is left in a stream; readers see it at once."""
        shutil.copyfileobj(content, self._stream, _CHUNK)
        return self._added()

    def add_parts(self, parts: Iterable[bytes | bytearray | memoryview]) -> SliceContent:
        """Append one content, whose parts are at hand."""
        self._stream.writelines(parts)
        return self._added()

    def _added(self) -> SliceContent:
        start = self._size
        self._stream.flush()
        self._size = self._stream.tell()
        return SliceContent(self._path, start, self._size - start)


@dataclass(frozen=True)
class ZipContent:
    """A member of an open zip archive, such as a wheel."""

    archive: zipfile.ZipFile
    name: str

    def open(self) -> BinaryIO:
        """See `Content`."""
        return open_member(self.archive, self.name)


@dataclass(frozen=True)
class Entry:
    """One thing in a tree.

    Attributes:
        path: relative, ``/``-separated, without a leading or trailing slash.
        kind: ``file``, ``directory`` or ``symlink``.
        mode: permission bits; ``make_*`` give the constants that our own layers use.
        size: bytes of a file's content.
        content: a file's bytes.
        target: where a symlink points.
    """

    path: str
    kind: Kind
    mode: int
    size: int = 0
    content: Content | None = None
    target: str = ""


def make_file(path: str, content: Content, size: int, *, executable: bool = False) -> Entry:
    """A regular file, mode 0644 or 0755."""
    return Entry(path, "file", 0o755 if executable else 0o644, size, content)


def make_text(path: str, text: str) -> Entry:
    """A regular file of UTF-8 text."""
    data = text.encode()
    return make_file(path, BytesContent(data), len(data))


def make_directory(path: str, mode: int = 0o755) -> Entry:
    """A directory, mode 0755 unless said otherwise."""
    return Entry(path, "directory", mode)


def make_symlink(path: str, target: str) -> Entry:
    """A symbolic link."""
    return Entry(path, "symlink", 0o777, target=target)


@dataclass(frozen=True)
class TarSummary:
    """What was written: the sha256 of the bytes (a layer's diff_id) and their count."""

    digest: Digest
    size: int


def write_tar(entries: Iterable[Entry], out: BinaryIO, *, mtime: int = MTIME) -> TarSummary:
    """Write the entries as a tar, byte-sorted by path.

    Args:
        entries: in any order; parents are not added.
        out: takes the bytes; need not be seekable.
        mtime: seconds since the epoch, on every entry.

    Returns:
        The digest and size of what was written.

    Raises:
        LayerError: as `TarStream`.
    """
    stream = TarStream(entries, mtime=mtime)
    for chunk in stream:
        out.write(chunk)
    return stream.summary


class TarStream:
    """A tar as an iterator over its bytes, for whoever compresses them on the way.

    Args:
        entries: in any order; parents are not added.
        mtime: seconds since the epoch, on every entry.

    Raises:
        LayerError: two entries share a path, a path is absolute or escapes, or a content has not its stated size.
    """

    def __init__(self, entries: Iterable[Entry], *, mtime: int = MTIME) -> None:
        self._entries = sorted(entries, key=lambda e: e.path.encode("utf-8", "surrogateescape"))
        self._mtime = mtime
        self._size, self._sha256 = 0, hashlib.sha256()

    def __iter__(self) -> Iterator[bytes]:
        for chunk in _chunks(self._entries, self._mtime):
            self._sha256.update(chunk)
            self._size += len(chunk)
            yield chunk
        if padding := bytes(-self._size % _RECORD):
            self._sha256.update(padding)
            self._size += len(padding)
            yield padding

    @property
    def summary(self) -> TarSummary:
        """Digest and size of what has been read so far: of the tar, at its end."""
        return TarSummary(Digest(self._sha256.hexdigest()), self._size)


def _chunks(entries: Sequence[Entry], mtime: int) -> Iterator[bytes]:
    _check_paths(entries)
    with closing(_opened(entries)) as opened:
        for entry, content in opened:
            yield _header(entry, mtime)
            if content is not None:
                yield from _content(entry, content)
    yield bytes(2 * _BLOCK)


def _check_paths(entries: Sequence[Entry]) -> None:
    """Of all sorted entries, before the content of any is opened."""
    previous = None
    for path in (entry.path for entry in entries):
        if path == previous:
            raise LayerError(f"two files would be written to {path!r}")
        previous = path
        if not path or any(part in ("", ".", "..") for part in path.split("/")) or "\0" in path:
            raise LayerError(f"{path!r} cannot be a path in a layer: it is empty, absolute or leaves the root")


def _opened(entries: Iterable[Entry]) -> Generator[tuple[Entry, BinaryIO | None], None, None]:
    """Each entry with its open content: the next ones are inflated while this one is read."""
    waiting: deque[tuple[list[Entry], Future[list[BinaryIO | None]]]] = deque()
    ahead = 0
    with ThreadPoolExecutor(1) as pool:
        try:
            for run in _runs(entries):
                waiting.append((run, pool.submit(_open_all, run)))
                ahead += sum(entry.size for entry in run)
                while len(waiting) > 1 and ahead > _AHEAD:
                    ahead -= sum(entry.size for entry in waiting[0][0])
                    yield from _closing_rest(*waiting.popleft())
            while waiting:
                yield from _closing_rest(*waiting.popleft())
        finally:
            for _, opening in waiting:
                if not opening.cancel() and not opening.exception():
                    _close_all(opening.result())


def _runs(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """The entries in short runs: to hand each of many thousand files to a thread takes longer than to open it."""
    run: list[Entry] = []
    size = 0
    for entry in entries:
        run.append(entry)
        size += entry.size
        if size > _RUN or len(run) == _MOST_OPEN:
            yield run
            run, size = [], 0
    if run:
        yield run


def _open_all(run: Sequence[Entry]) -> list[BinaryIO | None]:
    with ExitStack() as stack:
        opened = [stack.enter_context(entry.content.open()) if entry.content else None for entry in run]
        stack.pop_all()
        return opened


def _closing_rest(
    run: Sequence[Entry], opening: Future[list[BinaryIO | None]]
) -> Generator[tuple[Entry, BinaryIO | None], None, None]:
    """A run's entries; whatever of it nobody takes is closed."""
    contents = opening.result()
    try:
        yield from zip(run, contents, strict=True)
    finally:
        _close_all(contents)


def _close_all(contents: Iterable[BinaryIO | None]) -> None:
    for content in contents:
        if content:
            content.close()


def _content(entry: Entry, stream: BinaryIO) -> Iterator[bytes]:
    left = entry.size
    with stream:
        at_once = left if isinstance(stream, io.BytesIO) else _CHUNK  # what is in memory whole need not be copied
        while left and (chunk := stream.read(min(left, at_once))):
            yield chunk
            left -= len(chunk)
    if left:
        raise LayerError(f"{entry.path!r} ended {left} bytes before its stated size of {entry.size}")
    if padding := bytes(-entry.size % _BLOCK):
        yield padding


def _header(entry: Entry, mtime: int) -> bytes:
    """The ustar block of an entry, behind a PAX block where the name, link or size does not fit."""
    name = entry.path.encode("utf-8", "surrogateescape") + (b"/" if entry.kind == "directory" else b"")
    link = entry.target.encode("utf-8", "surrogateescape")
    records: dict[str, bytes] = {}
    prefix, short = _split(name)
    if short is None or not name.isascii():
        records["path"] = name
        prefix, short = b"", name[:100]
    if len(link) > 100 or not link.isascii():
        records["linkpath"], link = link, link[:100]
    size = entry.size
    if size > _MAX_OCTAL_SIZE:
        records["size"], size = str(size).encode(), 0
    block = _ustar(short, prefix, link, entry.mode, size, mtime, _TYPEFLAG[entry.kind])
    if not records:
        return block
    body = b"".join(_pax_record(key, records[key]) for key in sorted(records))
    head = _ustar(b"././@PaxHeader", b"", b"", 0o644, len(body), mtime, b"x")
    return head + body + bytes(-len(body) % _BLOCK) + block


def _split(name: bytes) -> tuple[bytes, bytes | None]:
    """Prefix and name of the ustar fields; a name of ``None`` does not fit in them."""
    if len(name) <= 100:
        return b"", name
    cut = name.find(b"/", len(name) - 101, len(name) - 1)
    if cut < 1 or cut > 155:
        return b"", None
    return name[:cut], name[cut + 1 :]


def _ustar(name: bytes, prefix: bytes, link: bytes, mode: int, size: int, mtime: int, typeflag: bytes) -> bytes:
    block = b"".join(
        (
            name.ljust(100, b"\0"),
            b"%07o\0" % mode,
            b"0000000\0" * 2,  # uid, gid
            b"%011o\0" % size,
            b"%011o\0" % mtime,
            b" " * 8,  # the checksum counts as blanks
            typeflag,
            link.ljust(100, b"\0"),
            b"ustar\x0000",
            bytes(64),  # user and group names
            b"0000000\0" * 2,  # device numbers
            prefix.ljust(155, b"\0"),
            bytes(12),
        )
    )
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _pax_record(key: str, value: bytes) -> bytes:
    """``<length> key=value`` and a line break, where the length counts its own digits."""
    body = b" " + key.encode() + b"=" + value + b"\n"
    length = len(body) + len(str(len(body)))
    length = len(body) + len(str(length))
    return str(length).encode() + body
