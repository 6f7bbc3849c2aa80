"""TLS, authorities and proxies. A scripted registry plays the proxy, so that hosts of any name end on loopback."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelimg.errors import RegistryError, Unauthorized
from modelimg.oci.registry import RegistryClient, RegistrySettings
from modelimg.oci.values import Reference
from registry_server import Fault, Reply, ScriptedRegistry

HOST = "registry.example.test"
NAME = Reference.parse(f"{HOST}/team/model:1")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate that is its own authority, with its key, for `HOST` and loopback."""
    path = tmp_path_factory.mktemp("tls") / "own.pem"
    names = f"subjectAltName=DNS:{HOST},IP:127.0.0.1"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=own", "-addext", names, "-keyout", str(path), "-out", f"{path}.crt"]
    subprocess.run(command, check=True, capture_output=True)
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


@pytest.fixture
def proxy(certificate: Path) -> Iterator[ScriptedRegistry]:
    """A registry that answers for every host: to HTTPS through CONNECT, to HTTP as a proxy is asked."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = ScriptedRegistry(tls=context)
    yield server
    server.close()


@pytest.fixture
def connect(pauses: list[float]) -> Iterator[Callable[..., RegistryClient]]:
    """Clients with connections of their own, as the command line makes them."""
    made: list[RegistryClient] = []

    def make(settings: RegistrySettings | None = None) -> RegistryClient:
        made.append(RegistryClient(settings or RegistrySettings(), threads=1, sleep=pauses.append))
        return made[-1]

    yield make
    for client in made:
        client.__exit__()


def test_the_proxy_of_the_environment_is_used(proxy, connect, image_of, environment, certificate) -> None:
    environment(HTTPS_PROXY=proxy.url, SSL_CERT_FILE=str(certificate))
    image = image_of(b"one")
    connect().push(image, NAME)
    assert proxy.requests[0].line == f"CONNECT {HOST}:443"
    assert proxy.storage.tags["team/model"] == {"1": str(image.descriptor.digest)}


def test_hosts_that_need_no_proxy_get_none(proxy, connect, environment, registry, name_at, image_of) -> None:
    environment(HTTPS_PROXY=proxy.url, HTTP_PROXY=proxy.url, NO_PROXY="127.0.0.2,invalid.test")
    with pytest.raises(RegistryError, match="failed in 5 tries"):
        connect().resolve(Reference.parse("invalid.test/x"))
    connect().push(image_of(b"one"), name_at(registry))  # loopback never needs one
    assert proxy.requests == []
    assert registry.storage.tags["team/model"]


def test_a_proxy_that_is_none_is_a_clear_error(connect, environment) -> None:
    environment(HTTPS_PROXY="nonsense://proxy.example:1")
    with pytest.raises(RegistryError, match=r"no HTTP client can be made: .*nonsense"):
        connect().resolve(NAME)


def test_a_certificate_of_an_unknown_authority_is_refused_at_once(proxy, connect, environment, pauses) -> None:
    environment(HTTPS_PROXY=proxy.url)
    with pytest.raises(RegistryError, match=f"certificate of {HOST} does not verify: self-signed") as failed:
        connect().resolve(NAME)
    assert "SSL_CERT_FILE" in str(failed.value.hint)
    assert f"/etc/docker/certs.d/{HOST}/ca.crt" in str(failed.value.hint)
    assert pauses == []


def test_a_certificate_for_another_host_is_refused(proxy, connect, environment, certificate) -> None:
    environment(HTTPS_PROXY=proxy.url, SSL_CERT_FILE=str(certificate))
    with pytest.raises(RegistryError, match=r"certificate of other\.example\.test does not verify: Hostname mismatch"):
        connect().resolve(Reference.parse("other.example.test/team/model"))


def test_a_file_of_authorities_that_is_absent_is_a_clear_error(connect, environment, tmp_path) -> None:
    environment(SSL_CERT_FILE=str(tmp_path / "absent.pem"))
    with pytest.raises(RegistryError, match="no HTTP client can be made") as failed:
        connect().resolve(NAME)
    assert "SSL_CERT_FILE" in str(failed.value.hint)


def test_dockers_folder_of_authorities_counts_for_its_host_only(
    proxy, connect, environment, certificate, tmp_path, image_of
) -> None:
    environment(HTTPS_PROXY=proxy.url)
    (tmp_path / f"certs.d/{HOST}").mkdir(parents=True)
    shutil.copy(certificate, tmp_path / f"certs.d/{HOST}/ca.crt")
    settings = RegistrySettings(certificates=tmp_path / "certs.d")
    connect(settings).push(image_of(b"one"), NAME)
    assert proxy.storage.tags["team/model"]
    with pytest.raises(RegistryError, match="does not verify"):
        connect(settings).resolve(Reference.parse(f"{HOST}:444/team/model"))


def test_tls_is_the_rule_and_plain_http_no_fallback(registry, connect, environment, pauses) -> None:
    """A proxy without TLS: nothing but the attempt to connect arrives."""
    environment(HTTPS_PROXY=registry.url, HTTP_PROXY=registry.url)
    with pytest.raises(RegistryError, match="failed in 5 tries"):
        connect().resolve(NAME)
    assert {r.method for r in registry.requests} == {"CONNECT"}
    assert len(pauses) == 4


def test_a_host_declared_insecure_is_not_verified(proxy, connect, environment, log_in, image_of) -> None:
    environment(HTTPS_PROXY=proxy.url, HTTP_PROXY=proxy.url)
    proxy.accounts, proxy.scheme = {"ada": "secret"}, "basic"
    log_in(HOST)
    connect(RegistrySettings(insecure=frozenset({HOST}))).push(image_of(b"one"), NAME)
    assert proxy.requests[0].line == f"CONNECT {HOST}:443"
    assert proxy.storage.tags["team/model"]


def test_a_host_declared_insecure_that_speaks_no_tls_is_spoken_to_in_the_clear(
    registry, connect, environment, log_in, image_of
) -> None:
    environment(HTTPS_PROXY=registry.url, HTTP_PROXY=registry.url)
    registry.accounts, registry.scheme = {"ada": "secret"}, "basic"
    log_in(HOST)
    connect(RegistrySettings(insecure=frozenset({HOST}))).push(image_of(b"one"), NAME)
    assert registry.lines()[0] == f"CONNECT {HOST}:443"
    assert {r.host for r in registry.requests[1:]} == {HOST}
    assert registry.storage.tags["team/model"]


def test_loopback_is_spoken_to_in_the_clear(registry, connect, name_at, image_of) -> None:
    connect().push(image_of(b"one"), name_at(registry))
    assert registry.storage.tags["team/model"]


def test_loopback_declared_insecure_may_speak_tls(certificate, connect, image_of) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = ScriptedRegistry(listen_tls=context)
    settings = RegistrySettings(insecure=frozenset({server.host}))
    connect(settings).push(image_of(b"one"), Reference.parse(f"{server.host}/team/model:1"))
    assert server.storage.tags["team/model"]
    server.close()


@pytest.mark.parametrize("where", ["upload", "blob", "realm"])
def test_nothing_leads_from_tls_to_plain_http(
    proxy, connect, environment, certificate, log_in, image_of, put, where
) -> None:
    environment(HTTPS_PROXY=proxy.url, HTTP_PROXY=proxy.url, SSL_CERT_FILE=str(certificate))
    put(proxy, "team/model", image_of(b"old"), "1")
    proxy.uploads_at = f"http://{HOST}" if where == "upload" else ""
    proxy.blobs_at = f"http://{HOST}" if where == "blob" else ""
    if where == "realm":
        proxy.accounts, proxy.realm = {"ada": "secret"}, f"http://{HOST}/token"
        log_in(HOST)
    client = connect()
    with pytest.raises(RegistryError, match="plain HTTP"):
        client.push(image_of(b"new"), NAME) if where == "upload" else client.pull(NAME)
    assert {r.host for r in proxy.requests if r.method != "CONNECT"} == {HOST}
    assert not [r for r in proxy.requests if "authorization" in r.headers]


def test_a_token_server_on_loopback_is_no_place_for_another_hosts_credentials(
    proxy, registry, connect, environment, certificate, log_in
) -> None:
    environment(HTTPS_PROXY=proxy.url, SSL_CERT_FILE=str(certificate))
    proxy.accounts, proxy.realm = {"ada": "secret"}, f"{registry.url}/token"
    log_in(HOST)
    with pytest.raises(RegistryError, match="they were not"):
        connect().resolve(NAME)
    assert registry.requests == []


def test_credentials_go_to_the_registry_and_its_token_server_only(
    proxy, connect, environment, certificate, log_in, image_of
) -> None:
    """Registry, token server, uploads and blobs on four hosts, all behind TLS."""
    environment(HTTPS_PROXY=proxy.url, SSL_CERT_FILE=str(certificate))
    proxy.accounts, proxy.realm = {"ada": "secret"}, f"https://{HOST}:8443/token"
    proxy.uploads_at, proxy.blobs_at = f"https://{HOST}:8444", f"https://{HOST}:8445"
    open_hosts = {f"{HOST}:8444", f"{HOST}:8445"}
    proxy.is_open = lambda request: request.host in open_hosts
    log_in(HOST)
    client, image = connect(), image_of(b"one")
    client.push(image, NAME)
    proxy.is_open = lambda request: request.host in open_hosts
    pulled = client.pull(NAME)
    assert pulled.config_data == image.config_data
    shown: dict[str, set[str]] = {}
    for request in proxy.requests:
        if request.method != "CONNECT":
            kind = request.headers.get("authorization", "none").partition(" ")[0]
            shown.setdefault(request.host, set()).add(kind)
    assert shown[HOST] == {"none", "Bearer"}  # the first request waits to be asked
    assert shown[f"{HOST}:8443"] == {"Basic"}
    assert shown[f"{HOST}:8444"] == shown[f"{HOST}:8445"] == {"none"}


def test_a_login_for_another_host_is_not_used(proxy, connect, environment, certificate, log_in) -> None:
    environment(HTTPS_PROXY=proxy.url, SSL_CERT_FILE=str(certificate))
    proxy.accounts, proxy.scheme = {"ada": "secret"}, "basic"
    log_in("other.example.test")
    with pytest.raises(Unauthorized):
        connect().resolve(NAME)
    assert not [r for r in proxy.requests if "authorization" in r.headers]


def test_cookies_are_not_kept(registry, connect, name_at, image_of) -> None:
    registry.fault = lambda request: Fault(edit=lambda r: Reply(r.status, {**r.headers, "set-cookie": "a=b"}, r.body))
    connect().push(image_of(b"one"), name_at(registry))
    assert not [r for r in registry.requests if "cookie" in r.headers]
