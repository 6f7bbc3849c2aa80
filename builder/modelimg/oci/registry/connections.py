"""Connections: the proxy, the authorities and the scheme for each host."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from modelimg.errors import RegistryError
from modelimg.oci.registry.retry import Transient
from modelimg.oci.registry.settings import RegistrySettings, is_loopback

if TYPE_CHECKING:
    import ssl

    import httpx  # imported where it is used: most builds speak to no registry

_HEADERS = {"user-agent": "modelimg", "accept-encoding": "identity"}
"""A digest is of the blob's own bytes, so no server may compress it on the way."""
_CONNECT_SECONDS, _SECONDS, _PROBE_SECONDS = 10.0, 60.0, 5.0


class Connections:
    """HTTP clients, made when first needed; safe to share between threads.

    Proxies and authorities come from the environment, as httpx reads it: ``HTTPS_PROXY``, ``HTTP_PROXY``,
    ``ALL_PROXY``, ``NO_PROXY``; ``SSL_CERT_FILE`` or ``SSL_CERT_DIR`` in the place of certifi's bundle. Docker's folder
    of private authorities counts besides. Plain HTTP to loopback uses no proxy.

    Args:
        settings: which hosts are insecure.
        client: used for every host in the place of all that.
    """

    def __init__(self, settings: RegistrySettings, client: httpx.Client | None = None) -> None:
        self._settings = settings
        self._given = client
        self._clients: dict[str, httpx.Client] = {}
        self._schemes: dict[str, str] = {}
        self._lock = threading.RLock()

    def close(self) -> None:
        """Close those that were made here."""
        for client in self._clients.values():
            client.close()

    def allows_plain(self, host: str) -> bool:
        """Whether ``host[:port]`` may be spoken to over plain HTTP, and be shown credentials there."""
        return is_loopback(host) or self._settings.is_insecure(host)

    def base(self, host: str) -> str:
        """``scheme://host[:port]`` of a registry.

        HTTPS; on loopback HTTP; where the user declared it insecure HTTPS without verification, or else, if the host
        does not speak that, HTTP, as Docker does.
        """
        with self._lock:
            if host not in self._schemes:
                if self._settings.is_insecure(host):
                    self._schemes[host] = "https" if self._speaks_tls(host) else "http"
                else:
                    self._schemes[host] = "http" if is_loopback(host) else "https"
            return f"{self._schemes[host]}://{host}"

    def exchange(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        content: bytes | Iterable[bytes] | None = None,
    ) -> httpx.Response:
        """One request, one answer: neither credentials nor redirects nor status are looked at. The caller closes it.

        Raises:
            Transient: no connection, or one that broke.
            RegistryError: a certificate that does not verify, or a URL that is none.
        """
        import httpx

        client = self._client_for(url)
        try:
            request = client.build_request(method, url, headers={**_HEADERS, **headers}, content=content)
            return client.send(request, stream=True, follow_redirects=False)
        except httpx.TransportError as error:
            raise self._transient(error, url) from error
        except httpx.InvalidURL as error:
            raise RegistryError(f"{public(url)} is no URL: {error}") from error

    def _transient(self, error: httpx.TransportError, url: str) -> Transient:
        import ssl

        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLCertVerificationError):
                host = urlsplit(url).netloc
                raise RegistryError(
                    f"the certificate of {host} does not verify: {cause.verify_message}",
                    hint=f"name its authority in SSL_CERT_FILE or in {self._settings.certificates / host / 'ca.crt'}",
                ) from error
            cause = cause.__cause__ or cause.__context__
        return Transient(f"{public(url)}: {str(error) or type(error).__name__}")

    def _speaks_tls(self, host: str) -> bool:
        import httpx

        try:
            self._client_for(f"https://{host}").get(f"https://{host}/v2/", timeout=_PROBE_SECONDS)
        except httpx.TransportError:
            return False
        return True

    def _client_for(self, url: str) -> httpx.Client:
        if self._given is not None:
            return self._given
        scheme, host = urlsplit(url).scheme, urlsplit(url).netloc
        authority = self._settings.certificates / host / "ca.crt"
        if scheme == "http" and is_loopback(host):
            kind = "direct"
        elif self._settings.is_insecure(host):
            kind = "unverified"
        else:
            kind = str(authority) if scheme == "https" and authority.is_file() else "verified"
        with self._lock:
            if kind not in self._clients:
                self._clients[kind] = self._make_client(kind)
            return self._clients[kind]

    def _make_client(self, kind: str) -> httpx.Client:
        from http.cookiejar import CookieJar, DefaultCookiePolicy

        import httpx

        try:
            verify: bool | ssl.SSLContext = kind not in ("direct", "unverified")
            if verify and kind != "verified":
                verify = httpx.create_ssl_context()
                verify.load_verify_locations(kind)
            return httpx.Client(
                verify=verify,
                trust_env=kind != "direct",
                timeout=httpx.Timeout(_SECONDS, connect=_CONNECT_SECONDS, pool=None),
                # Some registries take a client that sends cookies for a browser, and want more of it.
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            )
        except (OSError, ImportError, ValueError, httpx.InvalidURL) as error:
            raise RegistryError(
                f"no HTTP client can be made: {error}",
                hint="look at the proxy variables, SSL_CERT_FILE and SSL_CERT_DIR",
            ) from error


def read_bounded(response: httpx.Response, limit: int) -> bytes:
    """The beginning of a body, at most ``limit`` bytes and what came with the last of them.

    Raises:
        Transient: the connection broke.
    """
    import httpx

    data = bytearray()
    try:
        for piece in response.iter_raw():
            data += piece
            if len(data) > limit:
                break
    except httpx.TransportError as error:
        raise Transient(f"{public(str(response.url))}: {str(error) or type(error).__name__}") from error
    return bytes(data)


def public(url: str) -> str:
    """A URL for messages: without the secrets that its query or user part may carry."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return repr(url[:200])
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
