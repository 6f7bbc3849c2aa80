"""Fetching blobs over HTTP by their digest, through the cache."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar
from urllib.parse import unquote, urlsplit

from modelimg.cache import Cache
from modelimg.errors import DigestMismatch, FetchError, NotFound
from modelimg.oci.values import Digest

if TYPE_CHECKING:
    import httpx  # imported where it is used: a build whose cache has everything never needs it

_TRIES = 4
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
_ABSENT = frozenset({404, 410})
_HEADERS = {"user-agent": "modelimg", "accept-encoding": "identity"}
"""A digest is of the file's own bytes, so no server may compress it on the way."""
_CONNECT_SECONDS, _SECONDS = 10.0, 30.0

T = TypeVar("T")


class Fetcher:
    """Fetches through a cache; safe to share between threads. A context manager that closes its connections.

    Args:
        cache: where blobs are looked for first and kept.
        offline: refuse to open a connection.
        client: made when first needed; it honours proxies, ``SSL_CERT_FILE`` and netrc.
    """

    def __init__(self, cache: Cache, *, offline: bool = False, client: httpx.Client | None = None) -> None:
        self.cache = cache
        self.offline = offline
        self._client = client
        self._making_client = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._client is not None:
            self._client.close()

    @property
    def client(self) -> httpx.Client:
        """The HTTP client."""
        with self._making_client:
            if self._client is None:
                import httpx

                timeout = httpx.Timeout(_SECONDS, connect=_CONNECT_SECONDS)
                self._client = httpx.Client(follow_redirects=True, timeout=timeout, headers=_HEADERS)
            return self._client

    def blob(self, url: str, digest: Digest, *, what: str) -> Path:
        """The file with this digest, from the cache or else from ``url`` (``http``, ``https`` or ``file``).

        Args:
            url: where to look when the cache has it not.
            digest: what its bytes must hash to.
            what: how messages name it, such as ``numpy-2.4.6-….whl``.

        Raises:
            NotFound: the server has no such file.
            DigestMismatch: the server has other bytes than the pinned ones.
            FetchError: offline, or no answer.
        """
        if path := self.cache.blob(digest):
            return path
        if url.startswith("file:"):
            return self._adopt_local(Path(unquote(urlsplit(url).path)), digest, what)
        return self._patiently(lambda: self._download(url, digest, what), url, what)

    def text(self, url: str, *, what: str) -> bytes:
        """A small document whose digest is not known beforehand, such as a signed index. Never cached.

        Raises:
            NotFound: the server has no such file.
            FetchError: offline, or no answer.
        """
        return self._patiently(lambda: self._get(url, what), url, what)

    def _patiently(self, attempt: Callable[[], T], url: str, what: str) -> T:
        """Try again, each time later, where the connection broke or the server asked for patience."""
        if self.offline:
            raise FetchError(
                f"{what} is not in the cache and --offline forbids fetching it from {_public(url)}",
                hint="build once with the network, or copy the cache directory",
            )
        import httpx

        last: Exception | None = None
        for number in range(_TRIES):
            if number:
                time.sleep(0.25 * 2**number)
            try:
                return attempt()
            except (httpx.TransportError, _RetryLater) as error:
                last = error
        raise FetchError(f"{what} could not be fetched from {_public(url)} in {_TRIES} tries: {last}")

    def _get(self, url: str, what: str) -> bytes:
        response = self.client.get(url)
        self._check_status(response, url, what)
        return response.content

    def _download(self, url: str, digest: Digest, what: str) -> Path:
        hasher = hashlib.sha256()
        with self.client.stream("GET", url) as response, self.cache.writing() as (stream, path):
            self._check_status(response, url, what)
            for chunk in response.iter_bytes(1 << 20):
                hasher.update(chunk)
                stream.write(chunk)
            stream.flush()
            self._check_digest(Digest(hasher.hexdigest()), digest, url, what)
            return self.cache.adopt(path, digest)

    def _adopt_local(self, source: Path, digest: Digest, what: str) -> Path:
        try:
            data = source.read_bytes()
        except OSError as error:
            raise FetchError(f"{what} could not be read from {source}: {error.strerror}") from error
        self._check_digest(Digest.of(data), digest, str(source), what)
        return self.cache.add(data, digest)

    @staticmethod
    def _check_digest(got: Digest, expected: Digest, url: str, what: str) -> None:
        if got != expected:
            raise DigestMismatch(
                f"{what} from {_public(url)} has {got}, but the lock pins {expected}",
                hint="the file was replaced or damaged on the way; pack again only if you trust the new one",
            )

    @staticmethod
    def _check_status(response: httpx.Response, url: str, what: str) -> None:
        if response.status_code in _RETRIED:
            raise _RetryLater(f"HTTP {response.status_code}")
        if response.status_code in _ABSENT:
            raise NotFound(f"{what} could not be fetched from {_public(url)}: HTTP {response.status_code}")
        if response.status_code != 200:
            raise FetchError(f"{what} could not be fetched from {_public(url)}: HTTP {response.status_code}")


class _RetryLater(Exception):  # noqa: N818 - never leaves this module
    """The server asked for patience."""


def _public(url: str) -> str:
    """The URL without the credentials that it may carry."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if parts.netloc else url
