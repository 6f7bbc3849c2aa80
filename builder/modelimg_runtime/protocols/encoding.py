"""``Content-Encoding`` of a request: gzip and deflate, which clients use for large batches.

The limit of a body holds for what comes out, so that a small body cannot become a large one.
Source: RFC 9110, section 8.4.1; ``deflate`` is the zlib format there, not the raw one.
"""

from __future__ import annotations

import zlib

from modelimg_runtime.errors import PayloadError

_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""zlib's window bits by coding; 16 more stand for gzip's header."""


def coding_of(header: str | None) -> str | None:
    """The coding that a ``Content-Encoding`` header names; None where there is none.

    Raises:
        PayloadError: one that is not known, or several (status 415).
    """
    coding = (header or "").strip().lower()
    if coding in ("", "identity"):
        return None
    if coding not in _WINDOWS:
        raise PayloadError(f"send gzip or deflate as content encoding, or none, not {coding[:100]}", status=415)
    return coding


def too_long(limit: int) -> PayloadError:
    """The refusal of a body that becomes longer than ``limit`` bytes, whatever it is encoded in."""
    return PayloadError(f"the body is longer than {limit} bytes once it is decoded", status=413)


def decoded(body: bytes, coding: str, limit: int) -> bytes:
    """A body without its coding.

    Args:
        body: the whole body as it came.
        coding: of ``coding_of``.
        limit: bytes that may come out.

    Raises:
        PayloadError: it is not of that coding, or cut off (status 400), or longer than ``limit`` (status 413).
    """
    reader = zlib.decompressobj(_WINDOWS[coding])
    try:
        plain = reader.decompress(body, limit + 1)
    except zlib.error as error:
        raise PayloadError(f"the body is not what its content encoding says: {coding}") from error
    if len(plain) > limit:
        raise too_long(limit)
    if not reader.eof:
        raise PayloadError(f"the body ends in the middle of its content encoding, {coding}")
    if reader.unused_data:
        raise PayloadError(f"bytes follow the end of the body's content encoding, {coding}")
    return plain
