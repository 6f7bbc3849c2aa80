"""Bases and rebases with the real things: Debian's base in a real registry and in files that skopeo wrote."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from modelimg.base.image import resolve_image_base
from modelimg.base.resolve import ResolvedBase
from modelimg.cache import ENV_CACHE_DIR, Cache
from modelimg.fetch import Fetcher
from modelimg.oci.layout import open_layout
from modelimg.oci.manifest import Image
from modelimg.oci.names import ImageName
from real_registry import RealRegistry, skopeo
from small_images import AMD64, in_layout, with_layer

pytestmark = pytest.mark.engine

OCI = "org.opencontainers.image."


@pytest.fixture(scope="module")
def patched(bookworm: ResolvedBase) -> Image:
    """The same base with one more layer, and one more variable: what a security update looks like from above."""
    assert bookworm.image
    image = with_layer(bookworm.image, {"etc/motd": b"patched\n"})
    run = replace(image.config.run, env=(*image.config.run.env, "PATCHED=1"))
    return Image.assemble(replace(image.config, run=run), image.layers)


@pytest.fixture(scope="module")
def names(
    bookworm: ResolvedBase, patched: Image, registry: RealRegistry, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """Where the two bases are: in the registry, and as skopeo copies them from there."""
    folder = tmp_path_factory.mktemp("bases")
    assert bookworm.image
    remote = f"docker://{registry.host}/library/python"
    for image, tag in ((bookworm.image, "3.11"), (patched, "3.11-patched")):
        skopeo("copy", "--dest-tls-verify=false", in_layout(image, folder / "source", tag), f"{remote}:{tag}")
    copies = {
        "oci": f"oci:{folder}/layout:3.11",
        "oci-archive": f"oci-archive:{folder}/archive.tar",
        "docker-archive": f"docker-archive:{folder}/saved.tar",
    }
    for name in copies.values():
        skopeo("copy", "--src-tls-verify=false", f"{remote}:3.11", name)
    return {"docker": f"{remote}:3.11", **copies, "patched": f"{remote}:3.11-patched"}


@pytest.fixture(scope="module")
def built_on_registry(
    cli: Callable[..., Any], breast_cancer: Path, names: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> str:
    """An image that the embedded engine built on the base in the registry; the daemon has it, too."""
    folder = tmp_path_factory.mktemp("built")
    name = f"oci:{folder}/image:1"
    options = ["--engine", "embedded", "--bytecode", "none", "--no-gate", "--load", "-t", "modelimg-test/on-registry:1"]
    done = cli("build", breast_cancer, "--base", names["docker"], "--output", name, *options)
    assert done.code == 0, done.err
    return name


def image_at(name: str) -> Image:
    parsed = ImageName.parse(name)
    assert parsed.path
    image = open_layout(parsed.path).artifact(parsed.tag)
    assert isinstance(image, Image)
    return image


@pytest.mark.parametrize("transport", ["docker", "oci", "oci-archive", "docker-archive"])
def test_wherever_the_base_is_its_python_and_c_library_are_found(
    bookworm: ResolvedBase, names: dict[str, str], transport: str, tmp_path: Path
) -> None:
    with Fetcher(Cache(tmp_path / "cache")) as fetcher:
        base = resolve_image_base(ImageName.parse(names[transport]), AMD64, fetcher, print)
    assert (base.python, base.interpreter) == (bookworm.python_minor, bookworm.interpreter)
    assert (base.libc, base.libc_version) == (bookworm.libc, bookworm.libc_version)
    assert base.run.env == bookworm.run.env
    assert base.image
    assert bookworm.image
    assert base.image.config.diff_ids == bookworm.image.config.diff_ids


def test_an_image_on_a_registrys_base_says_so_and_runs(built_on_registry: str, registry: RealRegistry, client) -> None:
    image = image_at(built_on_registry)
    labels = image.config.run.labels
    assert labels[OCI + "base.name"] == f"{registry.host}/library/python:3.11"
    answer = requests.head(
        f"http://{registry.host}/v2/library/python/manifests/3.11",
        headers={"accept": "application/vnd.oci.image.manifest.v1+json"},
        timeout=10,
    )
    assert labels[OCI + "base.digest"] == answer.headers["docker-content-digest"]
    assert selftest(client, "modelimg-test/on-registry:1")["passed"] is True


def selftest(client, tag: str) -> dict[str, Any]:
    """What an image in the daemon says of itself; it is removed."""
    try:
        return json.loads(client.containers.run(tag, ["selftest"], remove=True, network_mode="none", read_only=True))
    finally:
        client.images.remove(tag, force=True)


def test_a_rebased_image_keeps_its_own_blobs_and_runs_on_the_new_base(
    cli, client, built_on_registry: str, names: dict[str, str], patched: Image, tmp_path: Path
) -> None:
    out = f"oci:{tmp_path}/out:2"
    tag = "modelimg-test/rebased:2"
    done = cli("rebase", built_on_registry, "--base", names["patched"], "-t", tag, "--output", out, "--load")
    assert done.code == 0, done.err
    assert "the packed examples came out the same" in done.err
    before, after = image_at(built_on_registry), image_at(out)
    assert after.config.diff_ids == (*patched.config.diff_ids, *before.config.diff_ids[1:])
    assert [b.descriptor for b in after.layers[2:]] == [b.descriptor for b in before.layers[1:]]
    assert "PATCHED=1" in after.config.run.env
    assert after.config.run.labels[OCI + "base.name"].endswith("/library/python:3.11-patched")
    assert client.containers.run(tag, ["-c", "print(open('/etc/motd').read())"], entrypoint="python3") == b"patched\n\n"
    assert selftest(client, tag)["passed"] is True


def test_rebasing_gives_what_a_build_on_the_new_base_gives(
    cli, breast_cancer: Path, built_on_registry: str, names: dict[str, str], tmp_path: Path
) -> None:
    common = ["-t", "tiny:1", "--no-gate", "--base", names["patched"]]
    rebased = cli("rebase", built_on_registry, *common, "--output", f"oci:{tmp_path}/one:1")
    assert rebased.code == 0, rebased.err
    engine = ["--engine", "embedded", "--bytecode", "none"]
    built = cli("build", breast_cancer, *common, *engine, "--output", f"oci:{tmp_path}/two:1")
    assert built.code == 0, built.err
    one, two = image_at(f"oci:{tmp_path}/one:1"), image_at(f"oci:{tmp_path}/two:1")
    assert one.config_data == two.config_data
    assert one.manifest_data == two.manifest_data


def test_an_image_of_the_docker_engine_is_rebased_in_the_daemon(cli, client, built, names: dict[str, str]) -> None:
    done = cli("rebase", built.name, "--base", names["patched"], "-t", "modelimg-test/moved:1", "--load", "--no-gate")
    assert done.code == 0, done.err
    before, after = (client.api.inspect_image(name) for name in (built.name, "modelimg-test/moved:1"))
    try:
        own = len(before["RootFS"]["Layers"]) - 1
        assert after["RootFS"]["Layers"][-own:] == before["RootFS"]["Layers"][-own:]
        said = client.containers.run("modelimg-test/moved:1", ["selftest"], remove=True, network_mode="none")
        assert json.loads(said)["passed"] is True
    finally:
        client.images.remove("modelimg-test/moved:1", force=True)


def test_a_rebased_image_that_is_pushed_sends_only_what_the_registry_lacks(
    cli, registry: RealRegistry, built_on_registry: str, names: dict[str, str], tmp_path: Path
) -> None:
    repository = f"{registry.host}/team/tiny"
    skopeo("copy", "--dest-tls-verify=false", built_on_registry, f"docker://{repository}:1")
    before = len(registry.log.read_text())
    rebase = ["rebase", f"docker://{repository}:1", "--base", names["patched"], "-t", f"{repository}:2", "--push"]
    pushed = cli(*rebase, "--no-gate", env={ENV_CACHE_DIR: str(tmp_path / "cache")})
    assert pushed.code == 0, pushed.err
    written = [
        line for line in registry.log.read_text()[before:].splitlines() if "PUT" in line and "/blobs/uploads/" in line
    ]
    own = [str(layer.descriptor.digest) for layer in image_at(built_on_registry).layers[1:]]
    assert not [line for line in written for digest in own if digest.partition(":")[2] in line]
    skopeo("inspect", "--tls-verify=false", f"docker://{repository}:2")


@pytest.mark.parametrize("transport", ["oci", "oci-archive", "docker-archive"])
def test_the_docker_engine_refuses_a_base_in_a_file_by_name(
    cli, breast_cancer: Path, names: dict[str, str], transport: str
) -> None:
    refused = cli("build", breast_cancer, "-t", "x:1", "--engine", "docker", "--base", names[transport])
    assert refused.code == 2
    assert names[transport] in refused.err
    assert "--engine embedded" in refused.err


def test_a_base_that_was_used_once_is_built_on_without_its_registry(
    cli,
    breast_cancer: Path,
    registry: RealRegistry,
    built_on_registry: str,
    names: dict[str, str],
    tmp_path: Path,
) -> None:
    options = ["--engine", "embedded", "--bytecode", "none", "--no-gate", "-t", "tiny:1", "--base", names["docker"]]
    registry.stop()
    try:
        again = cli("build", breast_cancer, *options, "--output", f"oci:{tmp_path}/out:1", "--offline")
        online = cli("inspect", f"docker://{registry.host}/library/absent:1", "--offline")
    finally:
        registry.start()
    assert again.code == 0, again.err
    assert image_at(f"oci:{tmp_path}/out:1").manifest_data == image_at(built_on_registry).manifest_data
    assert online.code == 1
    assert "--offline forbids asking its registry" in online.err


def test_inspect_says_the_same_of_a_registrys_image_and_of_its_copy(
    cli, registry: RealRegistry, built_on_registry: str
) -> None:
    remote = f"docker://{registry.host}/team/inspected:1"
    skopeo("copy", "--dest-tls-verify=false", built_on_registry, remote)
    reports = [cli("inspect", name, "--json").json for name in (remote, built_on_registry)]
    assert [report.pop("reference") for report in reports] == [remote, built_on_registry]
    assert reports[0] == reports[1]


def test_the_tools_that_this_needs_are_there() -> None:
    assert [tool for tool in ("skopeo", "docker-registry") if shutil.which(tool) is None] == []
