"""The members of a tar, read as a stream and strictly.

The standard library's reader takes a damaged header in mid-stream for the end of the archive and loses what follows
without a word; this one refuses it. It knows what image builders write: ustar and pax (POSIX.1-2001), and GNU's long
names and large numbers. Global pax headers are skipped, as Go's reader does, which Docker and its kin use.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

from modelimg.errors import ImageError

Kind = Literal["file", "directory", "symlink", "hardlink", "device"]

_BLOCK = 512
_CHUNK = 1 << 20
_MAX_EXTENSION = 1 << 20
_ZERO = bytes(_BLOCK)
_SIGNED = struct.Struct("148b8x356b")
_KINDS: dict[bytes, Kind] = {
    b"0": "file",
    b"\0": "file",
    b"7": "file",  # contiguous, which nobody tells apart any more
    b"1": "hardlink",
    b"2": "symlink",
    b"3": "device",
    b"4": "device",
    b"5": "directory",
    b"6": "device",  # a fifo
}


@dataclass(frozen=True, slots=True)
class Member:
    """One thing in a tar.

    Attributes:
        name: as it is written there; it may be absolute or lead out of the tree.
        kind: ``device`` is a character or block device or a fifo.
        mode: permission bits, set-user-id and sticky bits included.
        size: bytes of a file's content; 0 for everything else.
        mtime: seconds since the epoch.
        target: of a link, as it is written.
        offset: where the content begins in the tar.
    """

    name: str
    kind: Kind
    mode: int
    size: int
    mtime: float
    target: str
    offset: int


class TarReader:
    """Iterates over the members of a tar; between two, the content of the first can be read by `chunks`.

    Args:
        stream: of the plain tar. Contents that nobody reads are sought over where it can seek.
        what: how messages name it.

    Raises:
        ImageError: while iterating, where the tar is damaged, cut off, or holds what an image layer may not.
    """

    def __init__(self, stream: BinaryIO, *, what: str) -> None:
        self._stream, self._what = stream, what
        self._seekable = stream.seekable()
        self._position = self._left = 0

    def __iter__(self) -> Iterator[Member]:
        said: dict[str, str] = {}
        while (block := self._header()) is not None:
            typeflag = block[156:157]
            if typeflag in (b"L", b"K"):
                key = "path" if typeflag == b"L" else "linkpath"
                said[key] = _text(self._extension(block).rstrip(b"\0"))
            elif typeflag == b"x":
                said |= self._pax(self._extension(block))
            elif typeflag == b"g":
                self._extension(block)
            else:
                member = self._member(block, typeflag, said)
                said, self._left = {}, member.size
                yield member
                self._skip(self._left)
                self._left = 0
                # `umoci insert` ends a tar without filling its last block, and Go's reader does not mind.
                self._up_to(-member.size % _BLOCK)

    def chunks(self) -> Iterator[bytes]:
        """What is left of the current member's content, a MiB at a time."""
        while self._left:
            chunk = self._stream.read(min(self._left, _CHUNK))
            if not chunk:
                raise self._bad(f"it ends {self._left} bytes before the end of a file")
            self._left -= len(chunk)
            self._position += len(chunk)
            yield chunk

    def _bad(self, why: str) -> ImageError:
        return ImageError(f"{self._what} is no tar that can be read: {why}")

    def _header(self) -> bytes | None:
        """The next header block; None at the end, which is two blocks of zeros or the end of the stream."""
        block = self._exactly(_BLOCK, or_nothing=True)
        if block == _ZERO:
            block = self._exactly(_BLOCK, or_nothing=True)
            if block not in (b"", _ZERO):
                raise self._bad(f"there is something behind its end at byte {self._position - _BLOCK}")
            return None
        if not block:
            return None
        stated = self._number(block[148:156], "checksum")
        parts = block[:148], block[156:]
        if stated != sum(map(sum, parts)) + 8 * 32 and stated != sum(_SIGNED.unpack(block)) + 8 * 32:
            raise self._bad(f"the header at byte {self._position - _BLOCK} is damaged")
        return block

    def _member(self, block: bytes, typeflag: bytes, said: dict[str, str]) -> Member:
        name = said.get("path") or _name(block)
        kind = _KINDS.get(typeflag)
        if kind is None or any(key.startswith("GNU.sparse.") for key in said):
            raise self._bad(f"{name!r} is of the type {_text(typeflag)!r} or sparse, which image layers do not have")
        if typeflag == b"\0" and name.endswith("/"):
            kind = "directory"
        target = said.get("linkpath") or _text(block[157:257].partition(b"\0")[0])
        if not name or "\0" in name or "\0" in target:
            raise self._bad(f"the name {name!r} is empty or holds a NUL")
        try:
            size = int(said["size"]) if "size" in said else self._number(block[124:136], "size")
            mtime = float(said["mtime"]) if "mtime" in said else self._number(block[136:148], "mtime", signed=True)
        except ValueError as error:
            raise self._bad(f"{name!r}: {error}") from error
        if size < 0 or mtime != mtime:
            raise self._bad(f"{name!r} has a size of {size} and a time of {mtime}")
        mode = self._number(block[100:108], "mode") & 0o7777
        return Member(name, kind, mode, size if kind == "file" else 0, mtime, target, self._position)

    def _number(self, field: bytes, what: str, *, signed: bool = False) -> int:
        """Octal digits, or GNU's big-endian number behind a first bit that is set."""
        if field[0] & 0x80:
            value = int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
            value -= (field[0] & 0x40 and 1) << (8 * len(field) - 1)
        else:
            digits = field.strip(b" \0").partition(b"\0")[0]
            try:
                value = int(digits or b"0", 8)
            except ValueError:
                raise self._bad(f"the {what} {_text(field)!r} is no octal number") from None
        if value < 0 and not signed:
            raise self._bad(f"the {what} is negative")
        return value

    def _extension(self, block: bytes) -> bytes:
        size = self._number(block[124:136], "size")
        if size > _MAX_EXTENSION:
            raise self._bad(f"an extended header of {size} bytes is over the limit of {_MAX_EXTENSION}")
        data = self._exactly(size)
        self._skip(-size % _BLOCK)
        return data

    def _pax(self, data: bytes) -> dict[str, str]:
        """Records of ``<length> key=value`` and a line break, where the length counts itself."""
        records = {}
        while data:
            digits, _, _ = data.partition(b" ")
            length = int(digits) if digits.isdigit() else 0
            key, equals, value = data[len(digits) + 1 : length - 1].partition(b"=")
            if not equals or data[length - 1 : length] != b"\n":
                raise self._bad("a pax record is damaged")
            records[_text(key)] = _text(value)
            data = data[length:]
        return records

    def _exactly(self, size: int, *, or_nothing: bool = False) -> bytes:
        data = self._up_to(size)
        if len(data) < size and not (or_nothing and not data):
            raise self._bad(f"it ends in the middle, at byte {self._position}")
        return data

    def _up_to(self, size: int) -> bytes:
        data = self._stream.read(size) if size else b""
        while len(data) < size and (more := self._stream.read(size - len(data))):
            data += more
        self._position += len(data)
        return data

    def _skip(self, size: int) -> None:
        if self._seekable and size > 1:
            # To the last byte only, and then reading it: seeking beyond the end of a file would go unnoticed.
            self._stream.seek(size - 1, 1)
            self._position += size - 1
            size = 1
        while size:
            size -= len(self._exactly(min(size, _CHUNK)))


def _name(block: bytes) -> str:
    name = block[:100].partition(b"\0")[0]
    if block[257:263] == b"ustar\0" and block[345]:
        name = block[345:500].partition(b"\0")[0] + b"/" + name
    return _text(name)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
