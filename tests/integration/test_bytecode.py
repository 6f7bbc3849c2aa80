"""Byte code made in a container: for hosts without namespaces, and bases that only a daemon has."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import docker
import docker.errors
import pytest

import modelimg_runtime
from compiling import read_entries
from modelimg import container
from modelimg.base.resolve import ResolvedBase
from modelimg.bytecode import bytecode_obstacle, make_bytecode
from modelimg.daemon import load_image
from modelimg.errors import EngineError
from modelimg.oci.values import Platform, Reference
from modelimg.tar import Entry, FileContent, Spool, make_file

pytestmark = pytest.mark.engine

STANDARD = ["json.decoder", "email.mime.text", "no_such"]


@pytest.fixture
def sources() -> list[Entry]:
    root = Path(modelimg_runtime.__file__).parent
    return [
        make_file(f"modelimg/runtime/{p.name}", FileContent(p), p.stat().st_size) for p in sorted(root.glob("*.py"))
    ]


@pytest.fixture
def forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelimg.bytecode.sandbox_obstacle", lambda _platform: "namespaces are forbidden")


@pytest.fixture
def expected(bookworm: ResolvedBase, sources: list[Entry], spool: Spool) -> dict[str, bytes]:
    """From the sandbox."""
    assert bytecode_obstacle(bookworm) is None
    return read_entries(make_bytecode(bookworm, sources, STANDARD, spool))


def left_over(client: docker.DockerClient) -> list[str]:
    containers = [one.name for one in client.containers.list(all=True) if "modelimg/base" in one.attrs["Image"]]
    return containers + [tag for image in client.images.list("modelimg/base") for tag in image.tags]


def test_a_container_gives_the_same_bytes_and_leaves_nothing(
    bookworm: ResolvedBase, sources: list[Entry], spool: Spool, expected, request, client: docker.DockerClient
) -> None:
    request.getfixturevalue("forbidden")
    assert bytecode_obstacle(bookworm) is None
    assert read_entries(make_bytecode(bookworm, sources, STANDARD, spool)) == expected
    assert left_over(client) == []


def test_builds_side_by_side_do_not_take_the_base_from_each_other(
    bookworm: ResolvedBase, sources: list[Entry], expected, request, client: docker.DockerClient, tmp_path: Path
) -> None:
    request.getfixturevalue("forbidden")

    def make(number: int) -> dict[str, bytes]:
        path = tmp_path / str(number)
        with path.open("wb") as stream:
            return read_entries(make_bytecode(bookworm, sources, STANDARD, Spool(stream, path)))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(make, range(8))) == [expected] * 8
    assert left_over(client) == []


def test_so_does_a_base_that_only_the_daemon_has(
    bookworm: ResolvedBase, sources: list[Entry], spool: Spool, expected, client: docker.DockerClient
) -> None:
    assert bookworm.image is not None
    image_id = load_image(client, bookworm.image, [Reference.parse("modelimg-test/bytecode-base:1")])
    try:
        there = replace(bookworm, image=None, reference=image_id)
        assert bytecode_obstacle(there) is None
        assert read_entries(make_bytecode(there, sources, STANDARD, spool)) == expected
    finally:
        client.images.remove("modelimg-test/bytecode-base:1")


@pytest.mark.usefixtures("forbidden")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"interpreter": "/usr/bin/python2"}, "could not run /usr/bin/python2 of deb:bookworm"),
        ({"image": None, "reference": "modelimg-test/no-such-base:1"}, "could not run /usr/bin/python3.11"),
        ({"image": None, "reference": "sha256:" + "0" * 64}, "could not run /usr/bin/python3.11"),
    ],
)
def test_what_the_daemon_cannot_run_is_told_and_nothing_is_left(
    change: dict[str, str], message: str, bookworm: ResolvedBase, spool: Spool, client: docker.DockerClient
) -> None:
    with pytest.raises(EngineError, match=message):
        list(make_bytecode(replace(bookworm, **change), [], STANDARD, spool))  # type: ignore[arg-type]
    assert left_over(client) == []


def test_a_daemon_of_another_platform_is_an_obstacle() -> None:
    assert container.obstacle(Platform("linux", "amd64")) is None
    assert container.obstacle(Platform("linux", "arm64")) == "the Docker daemon runs linux/amd64, not linux/arm64"
