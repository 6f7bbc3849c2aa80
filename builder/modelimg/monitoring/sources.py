"""Bytes of documents: from files, standard input and URLs, never more than a limit, gzip unpacked."""

from __future__ import annotations

import io
import re
import sys
import zlib
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from modelimg.errors import DocumentError

if TYPE_CHECKING:
    import httpx

LIMIT: Final = 500 * 10**6
"""Bytes of a document at most, unpacked."""
STANDARD_INPUT: Final = "-"
_USER: Final = re.compile(r"(?<=://)[^/?#]*@")
_GZIP: Final = b"\x1f\x8b"
_GZIP_WINDOW: Final = 31  # zlib's number for a gzip header and the greatest window
_CHUNK: Final = 1 << 20
_CONNECT_SECONDS, _SECONDS = 10.0, 30.0
_REDIRECTS: Final = 5
_DETAIL: Final = 200


def name_of(source: str) -> str:
    """What messages call a source; the credentials of a URL are nobody's business."""
    if source == STANDARD_INPUT:
        return "standard input"
    return _USER.sub("", source, count=1) if _is_url(source) else source


def read(source: str, *, limit: int = LIMIT, stdin: BinaryIO | None = None) -> bytes:
    """All bytes of a file, of standard input (``-``) or of a URL; a URL without a path means its ``/monitor.json``.

    Args:
        source: path, ``-``, or ``http://`` or ``https://`` URL.
        limit: bytes at most, before and after unpacking.
        stdin: by default the process's own.

    Raises:
        DocumentError: it cannot be read, is longer, or is gzip that is damaged; an HTTP answer that is not 200, or that
            sends the reader to another host.
    """
    if _is_url(source):
        return _fetched(source, limit)
    try:
        with _opened(source, stdin) as stream:
            data = _bounded(iter(lambda: stream.read(_CHUNK), b""), source, limit)
    except OSError as error:
        raise DocumentError(f"{name_of(source)} cannot be read: {error.strerror}") from error
    except ValueError as error:  # a NUL in a path
        raise DocumentError(f"{name_of(source)!r} cannot be read: {error}") from error
    return _unpacked(data, source, limit)


def _is_url(source: str) -> bool:
    return source.startswith(("http://", "https://"))


def _opened(source: str, stdin: BinaryIO | None) -> AbstractContextManager[BinaryIO]:
    if source == STANDARD_INPUT:
        return nullcontext(stdin or sys.stdin.buffer)
    return Path(source).open("rb")


def _bounded(chunks: Iterable[bytes], source: str, limit: int) -> bytes:
    data = io.BytesIO()
    for chunk in chunks:
        if data.tell() + len(chunk) > limit:
            raise DocumentError(f"{name_of(source)} is longer than {limit / 1e6:g} MB, which no document of counts is")
        data.write(chunk)
    return data.getvalue()


def _unpacked(data: bytes, source: str, limit: int) -> bytes:
    if not data.startswith(_GZIP):
        return data
    unpacker = zlib.decompressobj(_GZIP_WINDOW)
    try:
        found = unpacker.decompress(data, limit + 1)
    except zlib.error as error:
        raise DocumentError(f"{name_of(source)} is damaged gzip: {error}") from error
    if len(found) <= limit and not unpacker.eof:
        raise DocumentError(f"{name_of(source)} is damaged gzip: it ends too early")
    return _bounded([found], source, limit)


def _fetched(source: str, limit: int) -> bytes:
    import httpx

    timeout = httpx.Timeout(_SECONDS, connect=_CONNECT_SECONDS)
    try:
        url = httpx.URL(source)
        url = url.copy_with(path="/monitor.json") if url.path in ("", "/") else url
        with httpx.Client(timeout=timeout, headers={"user-agent": "modelimg"}) as client:
            for _ in range(_REDIRECTS):
                with client.stream("GET", url) as response:
                    if not response.has_redirect_location:
                        _check_status(response, source)
                        return _unpacked(_bounded(response.iter_bytes(), source, limit), source, limit)
                    url = _next(response, source)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise DocumentError(f"{name_of(source)} cannot be read: {error or type(error).__name__}") from error
    raise DocumentError(f"{name_of(source)} is redirected again and again")


def _next(response: httpx.Response, source: str) -> httpx.URL:
    """Where a redirect leads, which must be the same host: its counts were asked for, and it may have credentials."""
    following = response.next_request
    found, before = following.url if following else response.url, response.url
    if found.host != before.host or (before.scheme, found.scheme) == ("https", "http"):
        raise DocumentError(
            f"{name_of(source)} redirects to {name_of(str(found))}, another host",
            hint="ask that one, if it is the replica that is meant",
        )
    return found


def _check_status(response: httpx.Response, source: str) -> None:
    if response.status_code == 200:
        return
    detail = ""
    if "json" in response.headers.get("content-type", ""):
        detail = _detail(_bounded(response.iter_bytes(), source, _CHUNK))
    raise DocumentError(
        f"{name_of(source)} answered with HTTP {response.status_code}{detail}",
        hint="a server answers when its model is loaded; ask again then" if response.status_code == 503 else None,
    )


def _detail(body: bytes) -> str:
    """What a problem document (RFC 9457) says."""
    import json

    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    detail = found.get("detail") if isinstance(found, dict) else None
    return f": {detail[:_DETAIL]}" if isinstance(detail, str) else ""
