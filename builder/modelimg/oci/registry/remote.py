"""A blob that is in a registry, read when it is opened."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from modelimg.errors import DigestMismatch, FetchError, RegistryError
from modelimg.oci.blob import Descriptor
from modelimg.oci.registry.connections import public
from modelimg.oci.registry.retry import TRIES, Stopped, Transient
from modelimg.oci.registry.settings import Repository
from modelimg.oci.registry.transport import Call, Transport

if TYPE_CHECKING:
    import httpx

MIRROR_TRIES = 2
"""There is another place to ask, so a mirror that is down holds nobody up."""
_BUFFER = 1 << 18
_GOOD_WAY = 1 << 20
"""Bytes after which a download that breaks has its tries counted anew."""
_RANGE_REFUSED = 416


@dataclass(frozen=True)
class RemoteBlob:
    """A blob in a registry.

    Attributes:
        descriptor: what it should be.
        sources: where to read it: mirrors first, the registry itself last.
        transport: the requests' way.
    """

    descriptor: Descriptor
    sources: tuple[Repository, ...]
    transport: Transport = field(repr=False, compare=False)

    def open(self) -> BinaryIO:
        """A stream of at most ``descriptor.size`` bytes, which goes on after a connection that broke.

        Raises:
            NotFound, Unauthorized, RegistryError: it cannot be had; reading raises them, too.
            DigestMismatch: the registry announces another size.
        """
        if not self.descriptor.size:
            return io.BytesIO()
        for source in self.sources[:-1]:
            with suppress(FetchError):  # the registry itself has the last word
                return io.BufferedReader(_BlobStream(self, source, MIRROR_TRIES), _BUFFER)
        return io.BufferedReader(_BlobStream(self, self.sources[-1], TRIES), _BUFFER)


class _BlobStream(io.RawIOBase):
    """A blob's bytes from one repository, however many requests that takes."""

    def __init__(self, blob: RemoteBlob, source: Repository, tries: int) -> None:
        super().__init__()
        self._blob = blob
        self._what = f"reading the blob {blob.descriptor.digest} of {source.name}"
        self._source = source
        self._patience = blob.transport.patience(self._what, tries)
        self._position = self._mark = 0
        self._rest = memoryview(b"")
        self._answer = ExitStack()
        self._pieces: Iterator[bytes] | None = None
        self._patience.until(self._connect)

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._answer.close()
        super().close()

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._rest and self._position < self._blob.descriptor.size:
            self._patience.until(self._more)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def _more(self) -> None:
        try:
            self._take_piece()
        except Transient:
            self._answer.close()
            self._pieces = None
            raise

    def _take_piece(self) -> None:
        """The next bytes, never more than the descriptor says there are."""
        import httpx

        if self._blob.transport.stop.is_set():
            raise Stopped
        if self._pieces is None:
            self._connect()
            assert self._pieces is not None  # noqa: S101 - what `_connect` is for
        try:
            piece = next(self._pieces, b"")
        except httpx.TransportError as error:
            raise Transient(str(error) or type(error).__name__) from error
        if not piece:
            raise Transient(f"it ended {self._blob.descriptor.size - self._position} bytes too early")
        self._rest = memoryview(piece)[: self._blob.descriptor.size - self._position]
        self._position += len(self._rest)
        if self._position - self._mark > _GOOD_WAY:
            self._mark = self._position
            self._patience.renew()

    def _connect(self) -> None:
        """Ask for what is still missing."""
        digest, size, start = self._blob.descriptor.digest, self._blob.descriptor.size, self._position
        call = Call(
            self._source,
            "GET",
            f"blobs/{digest}",
            self._what,
            (self._source.scope("pull"),),
            expect=frozenset({200, 206, _RANGE_REFUSED}) if start else frozenset({200}),
            headers={"range": f"bytes={start}-"} if start else {},
        )
        with ExitStack() as stack:
            response = stack.enter_context(self._blob.transport.open(call))
            begin = self._begin_of(response, start)
            announced = response.headers.get("content-length")
            if announced is not None and announced.isdigit() and int(announced) != size - begin:
                raise DigestMismatch(
                    f"the blob {digest} of {self._source.name} should have {size} bytes, but "
                    f"{public(str(response.url))} announces {begin + int(announced)}"
                )
            self._pieces = _skip(response.iter_raw(), start - begin)
            self._answer = stack.pop_all()

    def _begin_of(self, response: httpx.Response, start: int) -> int:
        """Where in the blob the answer begins."""
        if response.status_code == 200:
            return 0
        if response.headers.get("content-range", "").startswith(f"bytes {start}-"):
            return start
        raise RegistryError(f"{self._what} failed: the registry cannot continue at byte {start}")


def _skip(pieces: Iterator[bytes], count: int) -> Iterator[bytes]:
    """The pieces without their first ``count`` bytes: not every server does ranges."""
    for piece in pieces:
        if count < len(piece):
            yield piece[count:]
        count = max(0, count - len(piece))
