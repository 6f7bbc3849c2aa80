"""Byte code made in a container: for hosts without namespaces, and bases that only a daemon has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import docker
import docker.errors
import pytest

import modelimg_runtime
from modelimg import container
from modelimg.base.deb import resolve_debian_base
from modelimg.base.resolve import ResolvedBase
from modelimg.bytecode import bytecode_obstacle, make_bytecode
from modelimg.daemon import load_image
from modelimg.errors import EngineError
from modelimg.fetch import Fetcher
from modelimg.oci.values import Platform, Reference
from modelimg.tar import Entry, FileContent, Spool, make_file

pytestmark = pytest.mark.engine

STANDARD = ["json.decoder", "email.mime.text", "no_such"]


@pytest.fixture
def base(fetcher: Fetcher) -> ResolvedBase:
    return resolve_debian_base("deb:bookworm", Platform("linux", "amd64"), fetcher)


@pytest.fixture
def sources() -> list[Entry]:
    root = Path(modelimg_runtime.__file__).parent
    return [
        make_file(f"modelimg/runtime/{p.name}", FileContent(p), p.stat().st_size) for p in sorted(root.glob("*.py"))
    ]


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with (tmp_path / "spool").open("wb") as stream:
        yield Spool(stream, tmp_path / "spool")


@pytest.fixture
def forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelimg.bytecode.sandbox_obstacle", lambda _platform: "namespaces are forbidden")


def contents(entries: Iterator[Entry]) -> dict[str, bytes]:
    found = {}
    for entry in entries:
        assert entry.content is not None
        with entry.content.open() as stream:
            found[entry.path] = stream.read(entry.size)
    return found


@pytest.fixture
def expected(base: ResolvedBase, sources: list[Entry], spool: Spool) -> dict[str, bytes]:
    """From the sandbox."""
    assert bytecode_obstacle(base) is None
    return contents(make_bytecode(base, sources, STANDARD, spool))


def left_over(client: docker.DockerClient) -> list[str]:
    containers = [one.name for one in client.containers.list(all=True) if "modelimg/base" in one.attrs["Image"]]
    return containers + [tag for image in client.images.list("modelimg/base") for tag in image.tags]


def test_a_container_gives_the_same_bytes_and_leaves_nothing(
    base: ResolvedBase, sources: list[Entry], spool: Spool, expected, request, client: docker.DockerClient
) -> None:
    request.getfixturevalue("forbidden")
    assert bytecode_obstacle(base) is None
    assert contents(make_bytecode(base, sources, STANDARD, spool)) == expected
    assert left_over(client) == []


def test_so_does_a_base_that_only_the_daemon_has(
    base: ResolvedBase, sources: list[Entry], spool: Spool, expected, client: docker.DockerClient
) -> None:
    assert base.image is not None
    image_id = load_image(client, base.image, [Reference.parse("modelimg-test/bytecode-base:1")])
    try:
        there = replace(base, image=None, reference=image_id)
        assert bytecode_obstacle(there) is None
        assert contents(make_bytecode(there, sources, STANDARD, spool)) == expected
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
    change: dict[str, str], message: str, base: ResolvedBase, spool: Spool, client: docker.DockerClient
) -> None:
    with pytest.raises(EngineError, match=message):
        list(make_bytecode(replace(base, **change), [], STANDARD, spool))  # type: ignore[arg-type]
    assert left_over(client) == []


def test_a_daemon_of_another_platform_is_an_obstacle() -> None:
    assert container.obstacle(Platform("linux", "amd64")) is None
    assert container.obstacle(Platform("linux", "arm64")) == "the Docker daemon runs linux/amd64, not linux/arm64"
