"""Finding images by name, and what the cache does for those of a registry."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from modelimg.cache import Cache
from modelimg.errors import FetchError, ImageError, ModelimgError, UsageError
from modelimg.fetch import Fetcher
from modelimg.images import base_name, open_artifact, open_image, with_oci_type
from modelimg.oci.archive import write_docker_archive
from modelimg.oci.blob import (
    DOCKER_LAYER,
    DOCKER_LAYER_GZIP,
    LAYER,
    LAYER_GZIP,
    BytesBlob,
    Descriptor,
    read_blob,
)
from modelimg.oci.image import ImageConfig, RunConfig
from modelimg.oci.manifest import Artifact, Image, ImageIndex
from modelimg.oci.names import ImageName
from modelimg.oci.registry import RegistrySettings
from modelimg.oci.values import Digest, Reference
from registry_server import ScriptedRegistry
from small_images import AMD64, ARM64, image_of, in_archive, in_layout, python_base, stored

SETTINGS = RegistrySettings()


@pytest.fixture
def find(registry: ScriptedRegistry, own: Fetcher) -> Callable[..., Image]:
    """Open an image of the registry's by the rest of its name."""

    def find(rest: str, fetcher: Fetcher = own, platform=AMD64) -> Image:
        name = ImageName.parse(f"docker://{registry.host}/{rest}")
        return open_image(name, platform, fetcher, settings=SETTINGS).image

    return find


def contents(image: Image) -> list[bytes]:
    return [read_blob(layer) for layer in image.layers]


def blob_path(cache: Cache, digest: Digest) -> Path:
    path = cache.blob(digest)
    assert path is not None
    return path


def two_platforms() -> ImageIndex:
    return ImageIndex.assemble([python_base(), python_base(platform=ARM64)])


def test_an_image_of_a_registry_is_pinned_and_named_in_full(registry: ScriptedRegistry, own: Fetcher) -> None:
    image = python_base()
    digest = stored(registry, "team/python", image, "3.11")
    found = open_image(ImageName.parse(f"{registry.host}/team/python:3.11"), AMD64, own, settings=SETTINGS)
    assert found.image.manifest_data == image.manifest_data
    assert found.image.config_data == image.config_data
    assert contents(found.image) == contents(image)
    assert found.name == f"{registry.host}/team/python:3.11"
    assert (found.digest, found.manifest_digest) == (digest, digest)
    assert found.reference == Reference.parse(f"{registry.host}/team/python:3.11@{digest}")


def test_a_layer_is_fetched_once_and_only_when_it_is_opened(
    registry: ScriptedRegistry, find: Callable[..., Image]
) -> None:
    image = python_base()
    stored(registry, "python", image, "1")
    layer = image.layers[0].descriptor.digest
    wanted = f"GET /v2/python/blobs/{layer}"
    found = find("python:1")
    assert wanted not in registry.lines()
    for _ in range(2):
        assert contents(found) == contents(image)
    assert contents(find("python:1")) == contents(image)
    assert registry.lines().count(wanted) == 1


def test_a_tag_is_asked_for_each_time_but_not_what_it_leads_to(
    registry: ScriptedRegistry, find: Callable[..., Image]
) -> None:
    stored(registry, "python", two_platforms(), "1")
    find("python:1")
    before = len(registry.requests)
    find("python:1")
    assert registry.lines()[before:] == ["HEAD /v2/python/manifests/1"]


@pytest.mark.parametrize("index", [False, True])
def test_a_name_with_a_digest_asks_nobody_once_its_image_is_here(
    registry: ScriptedRegistry, find: Callable[..., Image], index: bool
) -> None:
    artifact = two_platforms() if index else python_base()
    digest = stored(registry, "python", artifact, "1")
    first = contents(find(f"python@{digest}"))
    assert registry.requests
    registry.requests.clear()
    assert contents(find(f"python@{digest}")) == first
    assert contents(find(f"python:1@{digest}")) == first
    assert registry.requests == []


def test_an_image_that_came_by_its_tag_is_there_by_its_digests(
    registry: ScriptedRegistry, find: Callable[..., Image], offline: Fetcher
) -> None:
    index = two_platforms()
    digest = stored(registry, "python", index, "1")
    came = find("python:1")
    contents(came)
    for pinned in (digest, came.descriptor.digest):
        assert find(f"python@{pinned}", offline).manifest_data == came.manifest_data


def test_offline_a_tag_leads_where_it_led_last(
    registry: ScriptedRegistry, find: Callable[..., Image], own: Fetcher, offline: Fetcher
) -> None:
    old, new = python_base(glibc="2.36"), python_base(glibc="2.39")
    stored(registry, "python", old, "1")
    contents(find("python:1"))
    stored(registry, "python", new, "1")
    assert contents(find("python:1", offline)) == contents(old)
    assert contents(find("python:1", own)) == contents(new)
    assert contents(find("python:1", offline)) == contents(new)


def test_a_short_name_and_its_long_form_are_one_tag_in_the_cache(own: Fetcher, offline: Fetcher) -> None:
    image = python_base()
    server = ScriptedRegistry()
    stored(server, "library/python", image, "latest")
    settings = RegistrySettings(mirrors={"docker.io": (server.host,)})
    found = open_image(ImageName.parse("python"), AMD64, own, settings=settings)
    server.close()
    assert found.name == "docker.io/library/python:latest"
    again = open_image(ImageName.parse("docker://docker.io/library/python:latest"), AMD64, offline)
    assert again.image.manifest_data == found.image.manifest_data


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("python:2", "python:2 for linux/amd64 is not in the cache and --offline forbids asking its registry"),
        ("other:1", "other:1 for linux/amd64 is not in the cache"),
        (f"python@{Digest.of(b'x')}", f"python@{Digest.of(b'x')} for linux/amd64 is not in the cache"),
    ],
)
def test_offline_what_was_never_here_is_refused_by_name(
    registry: ScriptedRegistry, find: Callable[..., Image], offline: Fetcher, name: str, said: str
) -> None:
    stored(registry, "python", python_base(), "1")
    find("python:1")
    registry.requests.clear()
    with pytest.raises(FetchError) as refused:
        find(name, offline)
    assert said in refused.value.message
    assert refused.value.hint
    assert registry.requests == []


def test_offline_another_platform_of_a_known_index_is_refused_by_name(
    registry: ScriptedRegistry, find: Callable[..., Image], offline: Fetcher
) -> None:
    stored(registry, "python", two_platforms(), "1")
    find("python:1")
    with pytest.raises(FetchError, match=r"python:1 for linux/arm64 is not in the cache"):
        find("python:1", offline, platform=ARM64)


def test_offline_a_layer_that_nobody_opened_is_refused_by_name(
    registry: ScriptedRegistry, find: Callable[..., Image], offline: Fetcher
) -> None:
    image = python_base()
    stored(registry, "python", image, "1")
    find("python:1")
    with pytest.raises(FetchError) as refused:
        find("python:1", offline).layers[0].open()
    assert f"the layer {image.layers[0].descriptor.digest} of {registry.host}/python:1" in refused.value.message


def test_a_damaged_layer_in_the_cache_is_fetched_again(
    registry: ScriptedRegistry, find: Callable[..., Image], cache: Cache
) -> None:
    image = python_base()
    stored(registry, "python", image, "1")
    digest = image.layers[0].descriptor.digest
    found = find("python:1")
    good = contents(found)
    path = blob_path(cache, digest)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert contents(found) == good
    assert registry.lines().count(f"GET /v2/python/blobs/{digest}") == 2


@pytest.mark.parametrize("document", ["manifest", "config"])
def test_a_damaged_document_in_the_cache_is_fetched_again(
    registry: ScriptedRegistry, find: Callable[..., Image], cache: Cache, offline: Fetcher, document: str
) -> None:
    image = python_base()
    digest = stored(registry, "python", image, "1")
    find("python:1")
    path = blob_path(cache, digest if document == "manifest" else image.manifest.config.digest)
    path.write_bytes(b"{}")
    with pytest.raises(FetchError, match="not in the cache"):
        find(f"python@{digest}", offline)
    assert find(f"python@{digest}").config_data == image.config_data


def test_a_registry_that_changes_a_layer_is_found_out_and_the_cache_stays_clean(
    registry: ScriptedRegistry, find: Callable[..., Image], cache: Cache
) -> None:
    image = python_base()
    stored(registry, "python", image, "1")
    digest = image.layers[0].descriptor
    registry.storage.blobs["python"][str(digest.digest)] = bytes(digest.size)
    with pytest.raises(FetchError):
        find("python:1").layers[0].open()
    assert cache.blob(digest.digest) is None
    assert not [path for path in (cache.root / "tmp").iterdir() if path.stat().st_size]


@pytest.mark.parametrize(
    ("stored_as", "asked", "said"),
    [
        ("image", ARM64, "is for linux/amd64, not for linux/arm64"),
        ("index", ARM64, "no image for linux/arm64; it has linux/amd64"),
    ],
)
@pytest.mark.parametrize("cached", [False, True])
def test_an_image_for_other_machines_is_refused_by_name(
    registry: ScriptedRegistry,
    find: Callable[..., Image],
    offline: Fetcher,
    stored_as: str,
    asked,
    said: str,
    cached: bool,
) -> None:
    image = python_base()
    artifact: Artifact = ImageIndex.assemble([image]) if stored_as == "index" else image
    stored(registry, "python", artifact, "1")
    if cached:
        open_artifact(ImageName.parse(f"docker://{registry.host}/python:1"), Fetcher(offline.cache), settings=SETTINGS)
    with pytest.raises(ImageError, match=said):
        find("python:1", offline if cached else Fetcher(offline.cache), platform=asked)


def test_without_a_platform_an_index_gives_this_machines_or_else_its_first(
    registry: ScriptedRegistry, own: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(registry, "both", two_platforms(), "1")
    stored(registry, "arm", ImageIndex.assemble([python_base(platform=ARM64)]), "1")
    stored(registry, "bare", python_base(platform=ARM64), "1")
    monkeypatch.setattr("modelimg.images._host_platform", lambda: AMD64)
    got = {
        name: open_image(
            ImageName.parse(f"{registry.host}/{name}:1"), None, own, settings=SETTINGS
        ).image.config.platform
        for name in ("both", "arm", "bare")
    }
    assert got == {"both": AMD64, "arm": ARM64, "bare": ARM64}


def test_the_whole_of_an_index_comes_with_every_platform_and_is_remembered(
    registry: ScriptedRegistry, own: Fetcher, offline: Fetcher
) -> None:
    index = two_platforms()
    stored(registry, "python", index, "1")
    name = ImageName.parse(f"docker://{registry.host}/python:1")
    for fetcher in (own, offline):
        got = open_artifact(name, fetcher, settings=SETTINGS)
        assert isinstance(got, ImageIndex)
        assert got.data == index.data
        assert [image.config_data for image in got.images] == [image.config_data for image in index.images]


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("python", "docker.io/library/python:latest"),
        ("team/python:3", "docker.io/team/python:3"),
        ("ghcr.io/team/python:3", "ghcr.io/team/python:3"),
        (f"python:3@{Digest.of(b'')}", "docker.io/library/python:3"),
        (f"ghcr.io/python@{Digest.of(b'')}", "ghcr.io/python"),
    ],
)
def test_a_base_is_named_in_full_and_never_said_to_be_the_latest_where_nobody_said_so(
    reference: str, name: str
) -> None:
    assert base_name(Reference.parse(reference)) == name


def test_an_image_in_a_file_is_named_without_its_place_on_this_host(own: Fetcher, tmp_path: Path) -> None:
    image = python_base()
    with (tmp_path / "saved.tar").open("wb") as stream:
        write_docker_archive(image, stream, [Reference.parse("python:3.11")])
    names = {
        in_layout(image, tmp_path / "plain"): "plain",
        in_layout(image, tmp_path / "tagged", "3.11"): "tagged:3.11",
        in_archive(image, tmp_path / "bare.tar"): "bare.tar",
        in_archive(image, tmp_path / "named.tar", "python:3.11"): "docker.io/library/python:3.11",
        f"docker-archive:{tmp_path}/saved.tar": "saved.tar",
    }
    for text, expected in names.items():
        found = open_image(ImageName.parse(text), AMD64, own)
        assert found.name == expected
        assert found.reference is None
        assert found.image.config_data == image.config_data
        assert contents(found.image) == contents(image)


def test_a_file_without_a_manifest_of_the_images_own_is_pinned_by_the_config(own: Fetcher, tmp_path: Path) -> None:
    image = python_base()
    with (tmp_path / "saved.tar").open("wb") as stream:
        write_docker_archive(image, stream, [])
    saved = open_image(ImageName.parse(f"docker-archive:{tmp_path}/saved.tar"), AMD64, own)
    assert (saved.manifest_digest, saved.digest) == (None, image.manifest.config.digest)
    layout = open_image(ImageName.parse(in_layout(image, tmp_path / "layout")), AMD64, own)
    assert (layout.manifest_digest, layout.digest) == (image.descriptor.digest, image.descriptor.digest)


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("oci:{0}/absent", ImageError, "is no OCI layout"),
        ("oci:{0}/layout:9", ImageError, "has no image with the tag 9"),
        ("oci-archive:{0}/absent.tar", ImageError, "cannot be read"),
        ("oci-archive:{0}/text", ImageError, "no tar that can be read"),
        ("docker-archive:{0}/absent.tar", ImageError, "cannot be read"),
        ("docker-daemon:python:3.11", UsageError, "is in a daemon"),
    ],
)
@pytest.mark.parametrize("whole", [False, True])
def test_a_name_that_leads_nowhere_is_refused_by_name(
    tmp_path: Path, own: Fetcher, text: str, error: type[ModelimgError], said: str, whole: bool
) -> None:
    in_layout(python_base(), tmp_path / "layout", "1")
    (tmp_path / "text").write_text("no tar\n" * 200)
    name = ImageName.parse(text.format(tmp_path))
    with pytest.raises(error, match=said):
        _ = open_artifact(name, own) if whole else open_image(name, AMD64, own)


def test_an_image_in_a_file_for_other_machines_is_refused_by_name(tmp_path: Path, own: Fetcher) -> None:
    name = ImageName.parse(in_layout(two_platforms(), tmp_path / "both"))
    assert open_image(name, ARM64, own).image.config.platform == ARM64
    lone = ImageName.parse(in_layout(python_base(platform=ARM64), tmp_path / "arm"))
    with pytest.raises(ImageError, match="has no image for linux/amd64; it has linux/arm64"):
        open_image(lone, AMD64, own)


@pytest.mark.parametrize(
    ("docker", "oci"), [(DOCKER_LAYER_GZIP, LAYER_GZIP), (DOCKER_LAYER, LAYER), (LAYER_GZIP, LAYER_GZIP)]
)
def test_a_layer_of_dockers_type_gets_ocis_and_keeps_its_bytes(docker: str, oci: str) -> None:
    blob = BytesBlob(Descriptor.of(docker, b"data"), b"data")
    typed = with_oci_type(blob)
    assert typed.descriptor == Descriptor.of(oci, b"data")
    assert read_blob(typed) == b"data"


def test_a_layer_that_is_kept_elsewhere_is_refused_by_its_type() -> None:
    kind = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    with pytest.raises(ImageError, match=kind):
        with_oci_type(BytesBlob(Descriptor.of(kind, b""), b""))


def test_a_config_is_not_mistaken_for_an_image(registry: ScriptedRegistry, find, offline: Fetcher) -> None:
    image = image_of({"a": b""}, run=RunConfig())
    stored(registry, "python", image, "1")
    find("python:1")
    assert ImageConfig.parse(image.config_data)
    with pytest.raises(ImageError, match="no image manifest"):
        find(f"python@{image.manifest.config.digest}", offline)


def test_finding_images_loads_no_network_library() -> None:
    """A rebuild on a base that is in the cache has half a second for everything."""
    code = "import sys, modelimg.base.image; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"httpx", "docker", "requests", "ssl", "pandas", "rich"}.isdisjoint(loaded)
