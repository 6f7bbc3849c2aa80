"""Compressing layers so that the bytes follow from the tar and the compressor alone, and reading any layer back.

A stream is cut into blocks of a fixed size, and each becomes a gzip member (RFC 1952, section 2.2) or a zstd frame
(RFC 8878, section 3.1) of its own; both formats read back as the concatenation. So blocks are compressed side by side
in bounded memory, and neither the number of threads nor how the source was chunked shows in the result.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import struct
import sys
import zlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, BinaryIO, Literal

from modelimg.errors import DigestMismatch, ImageError
from modelimg.oci.blob import DOCKER_LAYER, DOCKER_LAYER_GZIP, LAYER, LAYER_GZIP, LAYER_ZSTD, Blob, Descriptor
from modelimg.oci.values import Digest

if TYPE_CHECKING:
    from types import ModuleType

Codec = Literal["none", "gzip", "zstd"]

BLOCK = 2 << 20
"""Uncompressed bytes of a member or frame. Matches do not cross its borders: 1 MiB costs zstd 2 %, and 4 MiB, which
would gain as much, twice the memory. See docs/decisions/0005-compression.md."""

GZIP_LEVEL = 5
"""Of libdeflate: the size that zlib's default gives, in a quarter of the time."""
ZSTD_LEVEL = 3

GZIP_HEADER = b"\x1f\x8b\x08\x00" + bytes(4) + b"\x00\xff"
"""Magic, deflate, no flags and so no name, mtime 0, no extra flags, operating system unknown (RFC 1952, 2.3)."""

_MAX_THREADS = 4
_BUFFER = 1 << 18
_MEDIA_TYPES: dict[Codec, str] = {"none": LAYER, "gzip": LAYER_GZIP, "zstd": LAYER_ZSTD}
_CODEC_OF: dict[str, Codec] = {
    **{media_type: codec for codec, media_type in _MEDIA_TYPES.items()},
    DOCKER_LAYER: "none",
    DOCKER_LAYER_GZIP: "gzip",
}


@dataclass(frozen=True)
class Compressed:
    """What was written: digest and size in bytes of the compressed stream."""

    digest: Digest
    size: int


def codec_of(media_type: str) -> Codec:
    """How a layer of this media type, OCI's or Docker's, is compressed.

    Raises:
        ImageError: it is no media type of a layer that can be read.
    """
    try:
        return _CODEC_OF[media_type]
    except KeyError:
        raise ImageError(
            f"a layer has the unknown media type {media_type!r}", hint=f"known are {', '.join(_CODEC_OF)}"
        ) from None


def media_type(codec: Codec) -> str:
    """OCI's media type of a layer that is compressed so."""
    return _MEDIA_TYPES[codec]


def compress(source: Iterable[bytes], out: BinaryIO, codec: Codec, *, threads: int | None = None) -> Compressed:
    """Compress a stream, in memory that does not grow with it.

    Args:
        source: the bytes, in chunks of any size; read in the caller's thread, and to its end.
        out: takes the compressed bytes; need not be seekable.
        codec: ``none`` copies.
        threads: that compress; by default one for each processor, four at most. The bytes do not depend on it.

    Raises:
        Whatever reading ``source`` or writing ``out`` raises; no thread is left running.
    """
    hasher, size = hashlib.sha256(), 0
    with closing(_pass_on(source) if codec == "none" else _side_by_side(source, codec, threads)) as pieces:
        for piece in pieces:
            out.write(piece)
            hasher.update(piece)
            size += len(piece)
    return Compressed(Digest(hasher.hexdigest()), size)


@cache
def fingerprint(codec: Codec) -> str:
    """A short text that identifies the compressor: equal fingerprints, equal bytes.

    It names what is chosen here (codec, level, block), the library with its version, and the digest of a compressed
    sample, which tells builds apart that share a version.
    """
    if codec == "none":
        return "none"
    if codec == "gzip":
        level, library = GZIP_LEVEL, f"deflate-{_deflate_version()}"
    else:
        level, library = ZSTD_LEVEL, f"libzstd-{import_zstd().zstd_version}"
    sample = Digest.of(_COMPRESSORS[codec](bytearray(_sample()))).hex[:16]
    return f"{codec}-{level}-{BLOCK >> 20}MiB-{library}-{sample}"


@contextmanager
def decompressed(blob: Blob) -> Iterator[BinaryIO]:
    """A layer's plain tar as a stream, whatever compressed it.

    The blob's digest and size are checked on the way. Who stops before the end of the tar learns of a mismatch when the
    block ends: the rest is hashed then.

    Raises:
        ImageError: a media type that cannot be read, or the publisher's own bytes are no such stream.
        DigestMismatch: other bytes, or another number of them, than the descriptor says.
    """
    codec = codec_of(blob.descriptor.media_type)
    with blob.open() as stream:
        checked = _Checked(stream, blob.descriptor)
        with io.BufferedReader(_Plain(checked, codec), _BUFFER) as plain:
            yield plain
            checked.check()


def _pass_on(source: Iterable[bytes]) -> Generator[bytes, None, None]:
    yield from source


def _side_by_side(source: Iterable[bytes], codec: Codec, threads: int | None) -> Generator[bytes, None, None]:
    """The compressed blocks in order; a few more than there are threads are in memory at once."""
    compress_block = _COMPRESSORS[codec]
    threads = threads or min(_MAX_THREADS, os.cpu_count() or 1)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="compress")
    pending: deque[Future[bytes]] = deque()
    try:
        for block in _blocks(source):
            pending.append(pool.submit(compress_block, block))
            if len(pending) > threads + 1:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _blocks(source: Iterable[bytes]) -> Iterator[bytearray]:
    """The same bytes in blocks of `BLOCK`; the last may be shorter, and an empty stream is one empty block."""
    block = bytearray()
    empty = True
    for chunk in source:
        view = memoryview(chunk)
        while len(view):
            room = BLOCK - len(block)
            block += view[:room]
            view = view[room:]
            if len(block) == BLOCK:
                yield block
                block, empty = bytearray(), False
    if block or empty:
        yield block


def _gzip_member(block: bytearray) -> bytes:
    import deflate

    body = deflate.deflate_compress(block, GZIP_LEVEL)
    return b"".join((GZIP_HEADER, body, struct.pack("<II", deflate.crc32(block), len(block))))


def _zstd_frame(block: bytearray) -> bytes:
    frame: bytes = import_zstd().compress(block, ZSTD_LEVEL)
    return frame


_COMPRESSORS: dict[Codec, Callable[[bytearray], bytes]] = {"gzip": _gzip_member, "zstd": _zstd_frame}


def _deflate_version() -> str:
    import deflate

    return deflate.__version__


def import_zstd() -> ModuleType:
    """The standard library's zstd module, or its backport; imported where it is used, because few layers are zstd."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


def _sample() -> bytes:
    """Text of words of unequal frequency, noise, zeros and a far repeat: every part of a compressor has work to do."""
    noise = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(256))
    words = [noise[start : start + 2 + start % 11].hex().encode() for start in range(0, 4096, 16)]
    text = b" ".join(words[noise[number] * noise[(7 * number + 1) % 8192] >> 8] for number in range(5000))
    return text + noise + bytes(4096) + noise


class _Checked(io.RawIOBase):
    """A blob's own bytes, hashed while they are read, and no more of them than its descriptor says."""

    def __init__(self, stream: BinaryIO, descriptor: Descriptor) -> None:
        self._stream, self.descriptor = stream, descriptor
        self._left, self._sha256 = descriptor.size, hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._stream.read(min(len(buffer), self._left))
        buffer[: len(data)] = data
        self._sha256.update(data)
        self._left -= len(data)
        return len(data)

    def check(self) -> None:
        """Read what is left, and compare."""
        while self.read(_BUFFER):
            pass
        digest = self.descriptor.digest
        if self._left:
            raise DigestMismatch(f"the layer {digest} ended {self._left} bytes too early")
        if self._sha256.hexdigest() != digest.hex:
            raise DigestMismatch(f"the layer {digest} has bytes of sha256:{self._sha256.hexdigest()}")


class _Plain(io.RawIOBase):
    """The tar in a blob; a decompressor's errors become ours."""

    def __init__(self, checked: _Checked, codec: Codec) -> None:
        self._checked, self._codec = checked, codec
        source = io.BufferedReader(checked, _BUFFER)
        self._errors: tuple[type[Exception], ...] = ()
        self._stream: io.BufferedIOBase = source
        if codec == "gzip":
            self._errors = (gzip.BadGzipFile, EOFError, zlib.error)
            self._stream = gzip.GzipFile(fileobj=source, mode="rb")
        elif codec == "zstd":
            self._errors = (import_zstd().ZstdError, EOFError)
            self._stream = import_zstd().ZstdFile(source, "rb")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            return self._stream.readinto(buffer)
        except self._errors as error:
            self._checked.check()  # bytes that were damaged on the way say so, rather than what is wrong with them
            raise ImageError(
                f"the layer {self._checked.descriptor.digest} is no intact {self._codec} stream: {error}",
                hint="it was published so; build or pull the image anew",
            ) from error
