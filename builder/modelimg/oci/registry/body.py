"""A blob as the bodies of requests: whole, or chunk by chunk from any byte, and checked before its last bytes leave."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from modelimg.errors import DigestMismatch, FetchError
from modelimg.oci.blob import Blob
from modelimg.oci.values import Digest

PIECE = 64 << 10
"""Bytes handed to the socket at once; httpcore copies what is left after each write."""


@dataclass(frozen=True)
class Body:
    """What a request carries.

    Attributes:
        size: in bytes.
        make: makes its pieces; anew for each time that it is sent.
        headers: that go with it, besides ``Content-Length``.
    """

    size: int
    make: Callable[[], Iterable[bytes]]
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, data: bytes, headers: Mapping[str, str] | None = None) -> Body:
        """Bytes that are at hand."""
        return cls(len(data), lambda: _pieces(data), headers or {})


NOTHING = Body(0, lambda: ())


class BlobReader:
    """Reads a blob for sending it.

    Args:
        blob: opened when its bytes are first wanted, and again where a server wants to hear some of them again.
        chunk: bytes that are kept, so that a chunk can be repeated.
    """

    def __init__(self, blob: Blob, chunk: int) -> None:
        self._blob = blob
        self._size = blob.descriptor.size
        self._chunk = chunk
        self._stream: BinaryIO | None = None
        self._position = 0
        self._start = 0
        self._data = b""

    def close(self) -> None:
        """Close the stream, if there is one."""
        if self._stream:
            self._stream.close()
        self._stream = None

    def whole(self) -> Iterator[bytes]:
        """All of it, in pieces of bounded size.

        Raises:
            DigestMismatch: the bytes are not those of the descriptor; the last of them were not given out.
            FetchError: the blob cannot be read.
        """
        self._open()
        while self._position < self._size:
            yield from _pieces(self._read(min(self._chunk, 1 << 20)))

    def at(self, offset: int) -> bytes:
        """The bytes from an offset on, at most a chunk of them.

        Raises:
            DigestMismatch, FetchError: as `whole`.
        """
        if not self._start <= offset < self._start + len(self._data):
            if self._stream is None or offset < self._position:
                self._open()
            self._data = b""  # before the next chunk is read, or there would be two
            while self._position <= offset:
                self._start, self._data = self._position, self._read(self._chunk)
        return self._data[offset - self._start :]

    def _open(self) -> None:
        self.close()
        self._position = self._start = 0
        self._data = b""
        self._hasher = hashlib.sha256()
        try:
            self._stream = self._blob.open()
        except OSError as error:
            raise self._unreadable(error) from error

    def _read(self, count: int) -> bytes:
        assert self._stream is not None  # noqa: S101 - opened before
        digest = self._blob.descriptor.digest
        count = min(count, self._size - self._position)
        try:
            data = b"".join(self._fully(self._stream, count))
        except OSError as error:
            raise self._unreadable(error) from error
        if len(data) < count:
            raise DigestMismatch(f"the blob {digest} ended {count - len(data)} bytes too early")
        self._hasher.update(data)
        self._position += count
        if self._position == self._size and self._hasher.hexdigest() != digest.hex:
            raise DigestMismatch(f"the blob {digest} has bytes of {Digest(self._hasher.hexdigest())}")
        return data

    @staticmethod
    def _fully(stream: BinaryIO, count: int) -> Iterator[bytes]:
        while count and (data := stream.read(count)):
            count -= len(data)
            yield data

    def _unreadable(self, error: OSError) -> FetchError:
        return FetchError(f"the blob {self._blob.descriptor.digest} cannot be read: {error.strerror or error}")


def _pieces(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), PIECE):
        yield data[start : start + PIECE]
