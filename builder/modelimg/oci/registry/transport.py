"""One request to a registry: credentials, redirects, refusals, and trying again."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from modelimg.errors import FetchError, NotFound, RegistryError
from modelimg.oci.registry.auth import Authenticator, refused
from modelimg.oci.registry.connections import Connections, public, read_bounded
from modelimg.oci.registry.retry import RETRIED, TRIES, Patience, Sleep, Stopped, Transient, parse_retry_after
from modelimg.oci.registry.settings import Repository, host_name, is_loopback

if TYPE_CHECKING:
    import httpx

_ERROR_LIMIT = 64 << 10
_REDIRECTED = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
_ABSENT = frozenset({404, 410})

Content = Callable[[], Iterable[bytes]]
"""Makes a request's body; anew for each time that it is sent."""


@dataclass(frozen=True)
class Call:
    """A request.

    Attributes:
        repository: that it is about; only its own host is ever shown credentials.
        method: of HTTP.
        path: below ``/v2/NAME/``, or a whole URL that the registry named.
        what: how messages name it, as the beginning of a sentence: ``pushing the blob … to …``.
        scopes: what a token for it has to allow.
        expect: statuses that are answers; all others are errors.
        headers: besides credentials.
        content: makes the body.
        limit: of the answer's body, in bytes.
    """

    repository: Repository
    method: str
    path: str
    what: str
    scopes: tuple[str, ...]
    expect: frozenset[int] = frozenset({200})
    headers: Mapping[str, str] = field(default_factory=dict)
    content: Content | None = None
    limit: int = _ERROR_LIMIT


@dataclass(frozen=True)
class Answer:
    """An expected answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    url: str
    data: bytes


class Transport:
    """Sends requests; safe to share between threads.

    Args:
        connections: to all hosts.
        auth: for all registries.
        sleep: waits between tries; tests hand in their own.
        stop: set when the operation that these requests belong to has failed.
    """

    def __init__(
        self,
        connections: Connections,
        auth: Authenticator,
        sleep: Sleep | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        self.connections = connections
        self.stop = stop or threading.Event()
        self._auth = auth
        self._sleep = sleep

    def for_operation(self) -> Transport:
        """The same connections and tokens, to be stopped on its own."""
        return Transport(self.connections, self._auth, self._sleep)

    def patience(self, what: str, tries: int = TRIES) -> Patience:
        """What to wait with between tries of something."""
        return Patience(what, self.stop, self._sleep, tries)

    def send(self, call: Call, *, tries: int = TRIES) -> Answer:
        """Send it, and again where that may help.

        Raises:
            Unauthorized, NotFound, RegistryError: the registry says no, or there is no answer.
        """
        return self.patience(call.what, tries).until(lambda: self.once(call))

    def once(self, call: Call) -> Answer:
        """Send it once.

        Raises:
            Transient: trying again may help.
            Unauthorized, NotFound, RegistryError: the registry says no.
        """
        with self.open(call) as response:
            data = read_bounded(response, call.limit)
            if len(data) > call.limit:
                raise RegistryError(f"{call.what} failed: the answer has more than {call.limit} bytes")
            return Answer(response.status_code, response.headers, str(response.url), data)

    @contextmanager
    def open(self, call: Call) -> Iterator[httpx.Response]:
        """An expected answer whose body is still to be read.

        Raises:
            Transient, Unauthorized, NotFound, RegistryError: as `once`.
        """
        if self.stop.is_set():
            raise Stopped
        response = self._authorized(call)
        try:
            if response.status_code not in call.expect:
                raise _failure(call, response)
            yield response
        finally:
            response.close()

    def _authorized(self, call: Call) -> httpx.Response:
        """Answer a challenge, once; only the registry itself is given an answer."""
        url = urljoin(f"{self.connections.base(call.repository.host)}/v2/{call.repository.path}/", call.path)
        header = self._auth.header(call.repository, call.scopes) if self._is_registry(call, url) else None
        response = self._follow(call, url, header)
        if response.status_code != 401 or not self._is_registry(call, str(response.url)):
            return response
        response.close()
        fresh = self._auth.renew(
            call.repository, call.scopes, response.headers.get_list("www-authenticate"), rejected=header
        )
        return self._follow(call, url, fresh)

    def _is_registry(self, call: Call, url: str) -> bool:
        return _origin(url) == _origin(self.connections.base(call.repository.host))

    def _follow(self, call: Call, url: str, authorization: str | None) -> httpx.Response:
        """Send it; reads follow redirects, and leave the credentials behind with the registry's host."""
        credentials = {"authorization": authorization} if authorization else {}
        for _ in range(_MOST_REDIRECTS + 1):
            response = self.connections.exchange(
                call.method, url, headers={**call.headers, **credentials}, content=self._content(call)
            )
            location = response.headers.get("location")
            if response.status_code not in _REDIRECTED or not location or call.method not in ("GET", "HEAD"):
                return response
            response.close()
            target = resolve_location(url, location, call.what)
            if _origin(target) != _origin(url):
                credentials = {}
            url = target
        raise RegistryError(f"{call.what} failed: more than {_MOST_REDIRECTS} redirects")

    def _content(self, call: Call) -> Iterable[bytes] | None:
        if call.content is None:
            return None
        return self._stoppable(call.content())

    def _stoppable(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            if self.stop.is_set():
                raise Stopped
            yield piece


def resolve_location(base: str, location: str, what: str) -> str:
    """The URL that a ``Location`` header names.

    Args:
        base: URL of the request.
        location: absolute or relative.
        what: as in `Call`.

    Raises:
        RegistryError: it is no HTTP URL, or leads from HTTPS to plain HTTP on another machine.
    """
    try:
        target = urlsplit(urljoin(base, location))
        target = target._replace(netloc=target.netloc.rpartition("@")[2], fragment="")
        name = host_name(target.netloc) if target.port != 0 else ""
    except ValueError as error:
        raise RegistryError(f"{what} failed: the registry named {location[:200]!r} as the next address") from error
    if target.scheme not in ("http", "https") or not name:
        raise RegistryError(f"{what} failed: the registry named {location[:200]!r} as the next address")
    if target.scheme == "http" and urlsplit(base).scheme == "https" and not is_loopback(target.netloc):
        raise RegistryError(
            f"{what} failed: the registry leads from HTTPS to plain HTTP, to {public(target.geturl())}",
            hint="a registry behind a proxy that ends TLS needs X-Forwarded-Proto, or its own address configured",
        )
    return target.geturl()


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _failure(call: Call, response: httpx.Response) -> FetchError | Transient:
    """What an unexpected status means."""
    status = response.status_code
    if status in RETRIED:
        return Transient(f"HTTP {status}{_said(response)}", parse_retry_after(response.headers.get("retry-after")))
    if status in (401, 403):
        return refused(call.repository, f"{call.what} failed: HTTP {status}{_said(response)}")
    message = f"{call.what} failed: HTTP {status}{_said(response)}"
    return NotFound(message) if status in _ABSENT else RegistryError(message)


def _said(response: httpx.Response) -> str:
    """The registry's own words, from the ``errors`` of the distribution spec, as the end of a sentence."""
    try:
        errors = json.loads(read_bounded(response, _ERROR_LIMIT))["errors"]
        words = "; ".join(f"{error['code']}: {error.get('message') or ''}" for error in errors)
    except (Transient, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ""
    printable = "".join(c if c.isprintable() else " " for c in words)
    return f", {printable[:300].rstrip(': ')}" if printable else ""
