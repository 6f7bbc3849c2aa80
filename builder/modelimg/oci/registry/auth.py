"""Answering a registry's challenge: basic authentication, or a token from the server that it names.

Sources: RFC 9110, section 11.6.1 (``WWW-Authenticate``), https://distribution.github.io/distribution/spec/auth/token/
and https://distribution.github.io/distribution/spec/auth/oauth/ (identity tokens).
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from modelimg.errors import RegistryError, Unauthorized
from modelimg.oci.registry.connections import Connections, public, read_bounded
from modelimg.oci.registry.credentials import Credentials, find_credentials
from modelimg.oci.registry.retry import RETRIED, Transient, parse_retry_after
from modelimg.oci.registry.settings import Repository

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110's word
_PARAMETER = re.compile(rf'[\s,]*({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))')
_SCHEME = re.compile(rf"[\s,]*({_TOKEN})(?=\s|,|$)")
_BEARER = re.compile(r"[!-~]+")
_ANSWER_LIMIT = 1 << 20
_SHORTEST_LIFE, _MARGIN = 60.0, 10.0
"""Seconds: the least that the token specification lets a token live, and how long before its end it is renewed."""


@dataclass(frozen=True)
class Challenge:
    """One challenge of a ``WWW-Authenticate`` header.

    Attributes:
        scheme: ``basic``, ``bearer``, in lower case.
        parameters: by their names in lower case.
    """

    scheme: str
    parameters: Mapping[str, str]


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """The challenges of ``WWW-Authenticate`` headers; what follows something unreadable is left out."""
    challenges = []
    for header in headers:
        position = 0
        while scheme := _SCHEME.match(header, position):
            position, parameters = scheme.end(), {}
            while parameter := _PARAMETER.match(header, position):
                name, quoted, plain = parameter.groups()
                parameters[name.lower()] = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
                position = parameter.end()
            challenges.append(Challenge(scheme[1].lower(), parameters))
    return challenges


@dataclass(frozen=True)
class _Grant:
    """A header that a registry accepted once.

    Attributes:
        header: the value of ``Authorization``.
        until: on the monotonic clock.
    """

    header: str
    until: float


class Authenticator:
    """Knows which ``Authorization`` header to send; safe to share between threads.

    Args:
        connections: for the token server.
        find: where credentials come from.
    """

    def __init__(
        self, connections: Connections, find: Callable[[Repository], Credentials | None] = find_credentials
    ) -> None:
        self._connections = connections
        self._find = find
        self._challenges: dict[str, Challenge] = {}
        self._grants: dict[tuple[Repository, tuple[str, ...]], _Grant] = {}
        self._lock = threading.Lock()

    def header(self, repository: Repository, scopes: tuple[str, ...]) -> str | None:
        """The header for a request, or None as long as the registry has asked for none.

        Raises:
            Transient, RegistryError, Unauthorized: as `renew`.
        """
        with self._lock:
            grant = self._grants.get((repository, scopes))
            if grant and time.monotonic() < grant.until:
                return grant.header
            challenge = self._challenges.get(repository.host)
            return self._grant(challenge, repository, scopes).header if challenge else None

    def renew(
        self, repository: Repository, scopes: tuple[str, ...], headers: Sequence[str], rejected: str | None
    ) -> str:
        """Another header in the place of one that the registry rejected.

        Args:
            repository: that was asked.
            scopes: what the request needs.
            headers: ``WWW-Authenticate``, as the registry sent them.
            rejected: the header that was sent.

        Raises:
            Unauthorized: the registry wants credentials and there are none, or it does not accept those that there are.
            RegistryError: a challenge or an answer that makes no sense.
            Transient: the token server did not answer.
        """
        with self._lock:
            grant = self._grants.get((repository, scopes))
            if grant and grant.header != rejected:  # another thread was faster
                return grant.header
            challenge = self._choose(parse_challenges(headers), repository)
            fresh = self._grant(challenge, repository, scopes)
            self._challenges[repository.host] = challenge
            if challenge.scheme == "basic" and fresh.header == rejected:
                raise refused(repository, "the registry does not accept the credentials")
            return fresh.header

    @staticmethod
    def _choose(challenges: Sequence[Challenge], repository: Repository) -> Challenge:
        by_scheme = {challenge.scheme: challenge for challenge in reversed(challenges)}
        chosen = by_scheme.get("bearer") or by_scheme.get("basic")
        if chosen is None:
            offered = ", ".join(by_scheme) or "no challenge"
            raise Unauthorized(f"{repository.host} asks for credentials by {offered}; modelimg knows basic and bearer")
        return chosen

    def _grant(self, challenge: Challenge, repository: Repository, scopes: tuple[str, ...]) -> _Grant:
        credentials = self._find(repository)
        if challenge.scheme == "bearer":
            grant = self._fetch_token(challenge, repository, scopes, credentials)
        elif credentials is None or credentials.identity_token:
            raise refused(repository, "the registry wants a user name and a password")
        else:
            grant = _Grant(credentials.basic, float("inf"))
        self._grants[repository, scopes] = grant
        return grant

    def _fetch_token(
        self,
        challenge: Challenge,
        repository: Repository,
        scopes: tuple[str, ...],
        credentials: Credentials | None,
    ) -> _Grant:
        realm = challenge.parameters.get("realm", "")
        self._check_realm(realm, repository)
        service, wanted = challenge.parameters.get("service", ""), _wanted(challenge, scopes)
        headers = {"accept": "application/json"}
        if credentials and credentials.identity_token:
            form = {"grant_type": "refresh_token", "refresh_token": credentials.identity_token, "service": service}
            form |= {"scope": " ".join(wanted), "client_id": "modelimg"}
            headers["content-type"] = "application/x-www-form-urlencoded"
            return self._ask("POST", realm, headers, repository, urlencode(form).encode())
        if credentials:
            headers["authorization"] = credentials.basic
        query = urlencode([*([("service", service)] if service else []), *(("scope", scope) for scope in wanted)])
        url = f"{realm}{'&' if urlsplit(realm).query else '?'}{query}" if query else realm
        return self._ask("GET", url, headers, repository)

    def _check_realm(self, realm: str, repository: Repository) -> None:
        """A registry that is spoken to over TLS may not have credentials sent in the clear."""
        try:
            scheme, host = urlsplit(realm).scheme, urlsplit(realm).netloc
        except ValueError:
            scheme, host = "", ""
        if scheme not in ("http", "https") or not host or "@" in host:
            raise RegistryError(f"{repository.host} names no token server: {realm[:200]!r}")
        plain_registry = self._connections.base(repository.host).startswith("http:")
        if scheme == "http" and not (plain_registry and self._connections.allows_plain(host)):
            raise RegistryError(f"{repository.host} wants credentials sent over plain HTTP, to {host}; they were not")

    def _ask(
        self, method: str, url: str, headers: dict[str, str], repository: Repository, content: bytes | None = None
    ) -> _Grant:
        response = self._connections.exchange(method, url, headers=headers, content=content)
        try:
            data = read_bounded(response, _ANSWER_LIMIT)
        finally:
            response.close()
        status = response.status_code
        if status in RETRIED:
            raise Transient(f"{public(url)}: HTTP {status}", parse_retry_after(response.headers.get("retry-after")))
        if status in (400, 401, 403):
            raise refused(repository, f"the token server {public(url)} says HTTP {status}")
        if status != 200:
            raise RegistryError(f"the token server of {repository.host}, {public(url)}, says HTTP {status}")
        try:
            return _grant_of(json.loads(data))
        except (ValueError, TypeError, AttributeError) as error:
            raise RegistryError(f"the token server of {repository.host}, {public(url)}, sent no token") from error


def _wanted(challenge: Challenge, scopes: tuple[str, ...]) -> list[str]:
    """What the request needs, and what a registry with words of its own asks for besides."""
    ours = {scope.rpartition(":")[0] for scope in scopes}
    others = challenge.parameters.get("scope", "").split()
    return [*scopes, *(s for s in others if not s.startswith("repository:") and s.rpartition(":")[0] not in ours)]


def _grant_of(answer: Any) -> _Grant:
    token = answer.get("token") or answer.get("access_token")
    if not isinstance(token, str) or not _BEARER.fullmatch(token):
        raise ValueError("no token")
    life = answer.get("expires_in")
    seconds = max(float(life), _SHORTEST_LIFE) if isinstance(life, int | float) else _SHORTEST_LIFE
    return _Grant(f"Bearer {token}", time.monotonic() + seconds - _MARGIN)


def refused(repository: Repository, why: str) -> Unauthorized:
    """The error that says which login is missing."""
    return Unauthorized(f"no access to {repository.name}: {why}", hint=f"docker login {repository.registry}")
