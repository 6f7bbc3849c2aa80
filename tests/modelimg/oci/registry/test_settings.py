"""Where a name is asked for, and which hosts may be spoken to in the clear."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelimg.errors import UsageError
from modelimg.oci.registry.settings import RegistrySettings, Repository, is_loopback
from modelimg.oci.values import Reference


@pytest.mark.parametrize(
    ("name", "registry", "host", "path"),
    [
        ("python", "docker.io", "registry-1.docker.io", "library/python"),
        ("python:3.11-slim", "docker.io", "registry-1.docker.io", "library/python"),
        ("ada/model", "docker.io", "registry-1.docker.io", "ada/model"),
        ("docker.io/python", "docker.io", "registry-1.docker.io", "library/python"),
        ("index.docker.io/a/b/c", "docker.io", "registry-1.docker.io", "a/b/c"),
        ("ghcr.io/x", "ghcr.io", "ghcr.io", "x"),
        ("localhost/x", "localhost", "localhost", "x"),
        ("127.0.0.1:5000/x/y", "127.0.0.1:5000", "127.0.0.1:5000", "x/y"),
    ],
)
def test_a_name_is_asked_of_the_host_in_it_and_else_of_docker_hub(name, registry, host, path) -> None:
    repository = Repository.of(Reference.parse(name))
    assert (repository.registry, repository.host, repository.path) == (registry, host, path)


def test_mirrors_come_first_with_their_prefix() -> None:
    settings = RegistrySettings(mirrors={"docker.io": ("mirror.example.com/hub", "other.example.com:5000")})
    assert Repository.sources(Reference.parse("python"), settings) == (
        Repository("mirror.example.com", "hub/library/python"),
        Repository("other.example.com:5000", "library/python"),
        Repository("docker.io", "library/python"),
    )
    assert Repository.sources(Reference.parse("ghcr.io/x"), settings) == (Repository("ghcr.io", "x"),)


def test_the_environment_says_it_in_lists(environment) -> None:
    environment(
        MODELIMG_INSECURE_REGISTRIES="a.example:5000, b.example,",
        MODELIMG_REGISTRY_MIRRORS="docker.io=m.example/hub/,docker.io=n.example, ghcr.io=m.example",
    )
    settings = RegistrySettings.from_environment()
    assert settings.insecure == {"a.example:5000", "b.example"}
    assert settings.mirrors == {"docker.io": ("m.example/hub", "n.example"), "ghcr.io": ("m.example",)}


def test_an_empty_environment_says_nothing() -> None:
    assert RegistrySettings.from_environment() == RegistrySettings()


@pytest.mark.parametrize("value", ["docker.io", "=m.example", "docker.io=", "docker.io=https://m.example", "a b=c"])
def test_a_mirror_that_is_none_is_refused(environment, value) -> None:
    environment(MODELIMG_REGISTRY_MIRRORS=value)
    with pytest.raises(UsageError, match="MODELIMG_REGISTRY_MIRRORS has"):
        RegistrySettings.from_environment()


@pytest.mark.parametrize("value", ["http://a.example", "a.example/x", "a b", "10.0.0.0/8"])
def test_an_insecure_host_that_is_none_is_refused(environment, value) -> None:
    environment(MODELIMG_INSECURE_REGISTRIES=value)
    with pytest.raises(UsageError, match="MODELIMG_INSECURE_REGISTRIES has"):
        RegistrySettings.from_environment()


def test_a_host_is_insecure_with_any_port_or_with_one() -> None:
    settings = RegistrySettings(insecure=frozenset({"a.example", "b.example:5000"}))
    assert settings.is_insecure("a.example")
    assert settings.is_insecure("a.example:443")
    assert settings.is_insecure("b.example:5000")
    assert not settings.is_insecure("b.example")
    assert not settings.is_insecure("b.example:5001")
    assert not settings.is_insecure("x.a.example")


@pytest.mark.parametrize("host", ["localhost", "localhost:5000", "127.0.0.1", "127.9.9.9:80", "[::1]", "[::1]:5000"])
def test_loopback_is_known_by_its_names_and_addresses_with_any_port(host) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1.example.com", "localhost.example.com", "0.0.0.0", "10.0.0.1", "[::2]", "128.0.0.1", "", "127.0.0", "a"],
)
def test_what_only_looks_like_loopback_is_not(host) -> None:
    assert not is_loopback(host)


@given(st.from_regex(r"[a-z0-9][a-z0-9.-]{0,20}\.[a-z]{2,5}", fullmatch=True))
def test_no_name_with_a_domain_is_loopback(host) -> None:
    assert not is_loopback(host)
