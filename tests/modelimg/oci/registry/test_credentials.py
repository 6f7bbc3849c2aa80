"""Credentials where Docker and Podman keep them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from modelimg.errors import RegistryError
from modelimg.oci.registry.credentials import Credentials, find_credentials
from modelimg.oci.registry.settings import Repository
from modelimg.oci.values import Reference


def encoded(user: str = "ada", password: str = "secret") -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def docker(home: Path, value: Any) -> Path:
    (home / ".docker").mkdir(exist_ok=True)
    path = home / ".docker/config.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def podman(home: Path, value: Any) -> Path:
    (home / ".config/containers").mkdir(parents=True, exist_ok=True)
    path = home / ".config/containers/auth.json"
    path.write_text(json.dumps(value))
    return path


def find(name: str) -> Credentials | None:
    return find_credentials(Repository.of(Reference.parse(name)))


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A credential helper of one's own; it writes down what it is asked."""

    def write(name: str, script: str) -> Path:
        (tmp_path / "bin").mkdir(exist_ok=True)
        program = tmp_path / f"bin/docker-credential-{name}"
        program.write_text(f'#!/bin/sh\necho "$1 $(cat)" >>{tmp_path}/asked\n{script}\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
        return tmp_path / "asked"

    return write


def test_without_files_there_are_none() -> None:
    assert find("ghcr.io/a/b") is None


def test_without_a_home_there_are_none(monkeypatch) -> None:
    monkeypatch.delenv("HOME")
    assert find("ghcr.io/a/b") is None


@pytest.mark.parametrize("key", ["ghcr.io", "https://ghcr.io", "https://ghcr.io/v2/", "http://ghcr.io/v1/"])
def test_docker_writes_hosts_and_urls(home, key) -> None:
    docker(home, {"auths": {key: encoded()}})
    assert find("ghcr.io/a/b") == Credentials("ada", "secret")
    assert find("ghcr.io.evil.example/a/b") is None
    assert find("evil.example/ghcr.io/b") is None


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "index.docker.io", "docker.io", "registry-1.docker.io"])
@pytest.mark.parametrize("name", ["python", "docker.io/library/python", "index.docker.io/a/b"])
def test_docker_hub_has_several_names(home, key, name) -> None:
    docker(home, {"auths": {key: encoded()}})
    assert find(name) == Credentials("ada", "secret")
    assert find("ghcr.io/library/python") is None


def test_a_port_belongs_to_the_host(home) -> None:
    docker(home, {"auths": {"example.com:5000": encoded()}})
    assert find("example.com:5000/x") == Credentials("ada", "secret")
    assert find("example.com/x") is None
    assert find("example.com:500/x") is None


def test_a_password_may_hold_colons_and_padding(home) -> None:
    docker(home, {"auths": {"ghcr.io": encoded(password="a:b\0\0")}})
    assert find("ghcr.io/a") == Credentials("ada", "a:b")


def test_identity_tokens_stand_beside_or_in_the_place_of_the_user(home) -> None:
    docker(home, {"auths": {"a.io": {"identitytoken": "t1"}, "b.io": encoded("<token>", "t2")}})
    assert find("a.io/x") == Credentials(identity_token="t1")
    assert find("b.io/x") == Credentials(identity_token="t2")


def test_secrets_are_not_shown() -> None:
    assert "s3cret" not in repr(Credentials("ada", "s3cret", "s3cret"))


def test_podman_names_namespaces_and_the_most_specific_wins(home) -> None:
    keys = ["quay.io", "quay.io/team", "quay.io/team/model", "docker.io/library"]
    podman(home, {"auths": {key: encoded(user=key) for key in keys}})
    assert find("quay.io/other/x").username == "quay.io"
    assert find("quay.io/team/x").username == "quay.io/team"
    assert find("quay.io/teamwork/x").username == "quay.io"
    assert find("quay.io/team/model").username == "quay.io/team/model"
    assert find("quay.io/team/model/part").username == "quay.io/team/model"
    assert find("python").username == "docker.io/library"
    assert find("docker.io/ada/x") is None


def test_a_file_that_is_named_comes_before_dockers_and_dockers_before_podmans(home, tmp_path, environment) -> None:
    podman(home, {"auths": {"a.io": encoded("config")}})
    assert find("a.io/x").username == "config"
    (tmp_path / "run/containers").mkdir(parents=True)
    (tmp_path / "run/containers/auth.json").write_text(json.dumps({"auths": {"a.io": encoded("runtime")}}))
    environment(XDG_RUNTIME_DIR=str(tmp_path / "run"))
    assert find("a.io/x").username == "runtime"
    docker(home, {"auths": {"a.io": encoded("docker")}})
    assert find("a.io/x").username == "docker"
    (tmp_path / "other").mkdir()
    (tmp_path / "other/config.json").write_text(json.dumps({"auths": {"a.io": encoded("other")}}))
    environment(DOCKER_CONFIG=str(tmp_path / "other"))
    assert find("a.io/x").username == "other"
    (tmp_path / "named.json").write_text(json.dumps({"auths": {"a.io": encoded("named")}}))
    environment(REGISTRY_AUTH_FILE=str(tmp_path / "named.json"))
    assert find("a.io/x").username == "named"


def test_a_file_without_this_registry_leaves_it_to_the_next(home) -> None:
    docker(home, {"auths": {"b.io": encoded()}})
    podman(home, {"auths": {"a.io": encoded("podman")}})
    assert find("a.io/x").username == "podman"


def test_a_helper_of_the_registry_is_asked(home, helper) -> None:
    asked = helper("vault", 'echo \'{"ServerURL": "x", "Username": "ada", "Secret": "s"}\'')
    docker(home, {"credHelpers": {"gcr.io": "vault"}, "auths": {"gcr.io": encoded("inline")}})
    assert find("gcr.io/a/b") == Credentials("ada", "s")
    assert find("ghcr.io/a/b") is None
    assert asked.read_text() == "get gcr.io\n"


def test_a_store_for_all_registries_needs_no_auths(home, helper) -> None:
    asked = helper("desktop", 'echo \'{"Username": "<token>", "Secret": "t"}\'')
    docker(home, {"credsStore": "desktop"})
    assert find("python") == Credentials(identity_token="t")
    assert find("ghcr.io/a") == Credentials(identity_token="t")
    assert asked.read_text() == "get https://index.docker.io/v1/\nget ghcr.io\n"


def test_with_a_store_docker_leaves_an_empty_entry(home, helper) -> None:
    helper("desktop", 'echo \'{"Username": "ada", "Secret": "s"}\'')
    docker(home, {"credsStore": "desktop", "auths": {"ghcr.io": {}}})
    assert find("ghcr.io/a") == Credentials("ada", "s")


def test_a_store_that_knows_nothing_means_none(home, helper) -> None:
    helper("desktop", "echo credentials not found in native keychain; exit 1")
    docker(home, {"credsStore": "desktop"})
    assert find("ghcr.io/a") is None


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo the vault is sealed >&2; exit 1", "failed for ghcr.io: the vault is sealed"),
        ("echo nonsense s3cret", "answered with no credentials"),
        ("echo '[\"s3cret\"]'", "answered with no credentials"),
        ('echo \'{"Username": "ada"}\'', "answered with no credentials"),
    ],
)
def test_a_helper_that_fails_is_named_with_its_file(home, helper, script, message) -> None:
    helper("desktop", script)
    path = docker(home, {"credsStore": "desktop"})
    with pytest.raises(RegistryError, match=message) as failed:
        find("ghcr.io/a")
    assert str(path) in str(failed.value)
    assert "s3cret" not in str(failed.value)


def test_a_helper_that_is_absent_is_named_with_its_file(home, monkeypatch) -> None:
    path = docker(home, {"credsStore": "desktop"})
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(RegistryError, match="docker-credential-desktop, which cannot be run") as failed:
        find("ghcr.io/a")
    assert str(path) in str(failed.value)


@pytest.mark.parametrize("name", ["../../tmp/evil", "a/b", "", 7, "-x", "a;b"])
def test_a_helper_with_an_odd_name_is_not_run(home, helper, name) -> None:
    asked = helper("x", "true")
    docker(home, {"credHelpers": {"ghcr.io": name}})
    with pytest.raises(RegistryError, match="is no name of a credential helper"):
        find("ghcr.io/a")
    assert not asked.exists()


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "7",
        '"text"',
        '{"auths": ["ghcr.io"]}',
        '{"auths": {"ghcr.io": "ada:secret"}}',
        '{"auths": {"ghcr.io": {"auth": 7}}}',
        '{"auths": {"ghcr.io": {"auth": "%%%"}}}',
        '{"auths": {"ghcr.io": {"auth": "bm8gY29sb24="}}}',
        '{"auths": {"ghcr.io": {"auth": "/////w=="}}}',
        '{"auths": {"ghcr.io": {"identitytoken": ["t"]}}}',
        '{"credHelpers": "desktop"}',
        '{"credsStore": {"ghcr.io": "desktop"}}',
    ],
)
def test_a_file_that_cannot_be_used_is_named(home, content) -> None:
    path = docker(home, content)
    with pytest.raises(RegistryError) as failed:
        find("ghcr.io/a")
    assert failed.value.message.startswith(f"{path} cannot be used for credentials: ")


@pytest.mark.parametrize("content", ["", "{}", '{"auths": null}', '{"auths": {"ghcr.io": {"auth": null}}}'])
def test_an_empty_file_holds_none(home, content) -> None:
    docker(home, content)
    assert find("ghcr.io/a") is None


def test_a_file_that_cannot_be_read_is_named(home) -> None:
    (home / ".docker/config.json").mkdir(parents=True)
    with pytest.raises(RegistryError, match=r"read from .*config\.json: Is a directory"):
        find("ghcr.io/a")


def test_a_named_file_has_to_exist(environment, tmp_path) -> None:
    environment(REGISTRY_AUTH_FILE=str(tmp_path / "absent.json"))
    with pytest.raises(RegistryError, match="does not exist"):
        find("ghcr.io/a")
