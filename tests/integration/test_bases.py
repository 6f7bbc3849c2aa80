"""Bases by reference: an image that the daemon has, and one from a registry on loopback."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import docker.errors
import pytest

from modelimg.base.resolve import default_base
from real_registry import RealRegistry

pytestmark = pytest.mark.engine

OCI = "org.opencontainers.image."


@pytest.fixture(scope="module")
def debian_image(built, client, cli, tmp_path_factory) -> Iterator[str]:
    """The deb: base as an image of its own, standing in for the official python:3.11-slim."""
    context = tmp_path_factory.mktemp("base") / "context"
    assert cli("render", built.package, "-o", context).code == 0
    name = "modelimg-test/python:3.11-slim"
    path = "/usr/local/bin:/usr/bin:/bin"
    (context / "Base").write_text(
        f'FROM scratch\nADD base.tar /\nENV PATH={path} PYTHON_VERSION=3.11.2\nCMD ["python3"]\n'
    )
    shutil.move(context / "Base", context / "Dockerfile")
    client.images.build(path=str(context), tag=name, rm=True)
    yield name
    client.images.remove(name, force=True)


def test_an_image_that_the_daemon_has_may_be_the_base(
    built, client, debian_image: str, image_builder, tmp_path: Path
) -> None:
    image = image_builder(built.package, "modelimg-test/on-local:1", tmp_path, "--base", debian_image)
    labels = client.api.inspect_image(image.name)["Config"]["Labels"]
    assert labels[OCI + "base.name"] == f"docker.io/{debian_image}"
    assert labels[OCI + "base.digest"] == client.images.get(debian_image).id
    assert image.layers[0] == built.layers[0]
    assert image.metadata["gate"] == {"how": "container", "passed": True}


def test_a_base_from_a_registry_is_pinned_by_digest(
    built, client, debian_image: str, registry: RealRegistry, image_builder, tmp_path: Path
) -> None:
    remote = f"{registry.host}/library/python"
    client.images.get(debian_image).tag(remote, "3.11-slim")
    client.images.push(remote, tag="3.11-slim")
    digest = client.images.get(f"{remote}:3.11-slim").attrs["RepoDigests"][0].partition("@")[2]
    client.images.remove(f"{remote}:3.11-slim")
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get(f"{remote}:3.11-slim")
    image = image_builder(built.package, "modelimg-test/on-remote:1", tmp_path, "--base", f"{remote}:3.11-slim")
    labels = client.api.inspect_image(image.name)["Config"]["Labels"]
    assert labels[OCI + "base.name"] == f"{remote}:3.11-slim"
    assert labels[OCI + "base.digest"] == digest
    by_digest = image_builder(built.package, "modelimg-test/on-digest:1", tmp_path, "--base", f"{remote}@{digest}")
    assert by_digest.layers == image.layers


def test_a_base_without_python_is_refused(built, client, cli) -> None:
    client.api.import_image_from_data(b"", repository="modelimg-test/empty", tag="1")
    refused = cli("build", built.package, "-t", "x:1", "--base", "modelimg-test/empty:1")
    client.images.remove("modelimg-test/empty:1")
    assert refused.code == 1
    assert "has no Python 3" in refused.err


def test_a_base_with_another_python_names_both_versions(built, cli) -> None:
    refused = cli("build", built.package, "-t", "x:1", "--base", "deb:trixie")
    assert refused.code == 1
    assert "has Python 3.13" in refused.err
    assert "locked for Python 3.11" in refused.err


def test_the_default_base_of_another_python_is_the_official_image() -> None:
    assert default_base("3.12.4") == "python:3.12-slim"
    assert default_base("3.13.0") == "deb:trixie"
    assert default_base("3.11.7") == "deb:bookworm"
