"""Bases by reference without a daemon: what is found inside, and what is refused by name."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from modelimg.base.image import resolve_image_base
from modelimg.base.inside import MODEL_PREFIX
from modelimg.base.resolve import ResolvedBase
from modelimg.cache import Cache
from modelimg.errors import BaseError, FetchError, ModelimgError, UsageError
from modelimg.fetch import Fetcher
from modelimg.oci.archive import write_docker_archive
from modelimg.oci.blob import DOCKER_CONFIG, DOCKER_LAYER_GZIP, DOCKER_MANIFEST, LAYER_GZIP, BytesBlob, read_blob
from modelimg.oci.image import ImageConfig, RunConfig
from modelimg.oci.manifest import Image, Manifest
from modelimg.oci.names import ImageName
from modelimg.oci.registry import RegistrySettings
from modelimg.oci.values import Digest, Platform, Reference
from modelimg_runtime import contract
from registry_server import ScriptedRegistry
from small_images import AMD64, ARM64, image_of, in_archive, in_layout, libc_of, python_base, python_tree, stored


@pytest.fixture
def resolve(own: Fetcher) -> Callable[..., ResolvedBase]:
    def resolve(name: str, platform: Platform = AMD64, fetcher: Fetcher = own) -> ResolvedBase:
        return resolve_image_base(
            ImageName.parse(name), platform, fetcher, lambda line: None, settings=RegistrySettings()
        )

    return resolve


@pytest.fixture
def resolve_image(resolve: Callable[..., ResolvedBase], tmp_path: Path) -> Callable[[Image], ResolvedBase]:
    """Resolve an image that is in a layout."""
    return lambda image: resolve(in_layout(image, tmp_path / "base"), image.config.platform)


def found(base: ResolvedBase) -> tuple[str, str, str, str]:
    return base.python, base.interpreter, base.libc, base.libc_version


def docker_typed(image: Image) -> Image:
    """The same image as Docker pushes it."""
    layers = tuple(
        BytesBlob(replace(layer.descriptor, media_type=DOCKER_LAYER_GZIP), read_blob(layer)) for layer in image.layers
    )
    config = replace(image.manifest.config, media_type=DOCKER_CONFIG)
    manifest = Manifest(config, tuple(layer.descriptor for layer in layers), DOCKER_MANIFEST)
    return Image(manifest.to_json(), image.config_data, layers)


MUSL: dict[str, bytes | str | None] = {
    "usr/local/bin/python3.11": b"",
    "usr/local/bin/python3": "python3.11",
    "lib/ld-musl-x86_64.so.1": b"\x7fELF",
}

FINDABLE: dict[str, tuple[Image, tuple[str, str, str, str]]] = {
    "debian": (python_base(), ("3.11", "/usr/bin/python3.11", "glibc", "2.36")),
    "before usrmerge": (python_base(usrmerge=False), ("3.11", "/usr/bin/python3.11", "glibc", "2.36")),
    "official": (
        python_base(folder="usr/local/bin", env=("PATH=/usr/local/bin", "PYTHON_VERSION=3.11.9")),
        ("3.11.9", "/usr/local/bin/python3.11", "glibc", "2.36"),
    ),
    "a declared version of another Python": (
        python_base("3.12", env=("PYTHON_VERSION=3.11.9",)),
        ("3.12", "/usr/bin/python3.12", "glibc", "2.36"),
    ),
    "two layers, the upper newer": (
        python_base("3.11", {"usr/bin/python3.12": b"", "usr/bin/python3": "python3.12"}),
        ("3.12", "/usr/bin/python3.12", "glibc", "2.36"),
    ),
    "a Python above a whiteout": (
        python_base("3.9", {"usr/bin/.wh.python3.9": b"", "usr/bin/python3.11": b"", "usr/bin/python3": "python3.11"}),
        ("3.11", "/usr/bin/python3.11", "glibc", "2.36"),
    ),
    "arm64": (
        python_base(platform=ARM64, glibc="2.41"),
        ("3.11", "/usr/bin/python3.11", "glibc", "2.41"),
    ),
    "fedora": (
        image_of({"usr/bin/python3.13": b"", "usr/bin/python3": "python3.13", "lib64/libc.so.6": libc_of("2.40")}),
        ("3.13", "/usr/bin/python3.13", "glibc", "2.40"),
    ),
    "an absolute link": (
        image_of({**python_tree(), "usr/bin/python3": "/usr/bin/python3.11"}),
        ("3.11", "/usr/bin/python3.11", "glibc", "2.36"),
    ),
    "a venv of its own": (
        image_of({**python_tree(), "usr/bin/python3": "absent", "opt/venv/bin/python3": "../../../usr/bin/python3.11"}),
        ("3.11", "/usr/bin/python3.11", "glibc", "2.36"),
    ),
    "alpine": (image_of(MUSL), ("3.11", "/usr/local/bin/python3.11", "musl", "1.2")),
}


@pytest.mark.parametrize("case", FINDABLE)
def test_python_and_c_library_are_found_by_looking(resolve_image: Callable[[Image], ResolvedBase], case: str) -> None:
    image, expected = FINDABLE[case]
    assert found(resolve_image(image)) == expected


UNUSABLE: dict[str, tuple[Image, str]] = {
    "no Python": (image_of({"lib/x86_64-linux-gnu/libc.so.6": libc_of("2.36")}), "has no Python 3 in /usr/local/bin"),
    "Python 2 only": (
        image_of({"usr/bin/python2.7": b"", "usr/bin/python": "python2.7", "lib64/libc.so.6": libc_of("2.17")}),
        "has no Python 3",
    ),
    "a link to nothing": (image_of({**python_tree(), "usr/bin/python3": "python3.12"}), "has no Python 3"),
    "links in a circle": (
        image_of({**python_tree(), "usr/bin/python3": "python", "usr/bin/python": "python3"}),
        "has no Python 3",
    ),
    "a removed Python": (python_base("3.11", {"usr/bin/.wh.python3.11": b""}), "has no Python 3"),
    "a wrapper of another name": (
        image_of({"usr/bin/python3": b"#!/bin/sh\n", "lib64/libc.so.6": libc_of("2.36")}),
        "has no Python 3",
    ),
    "no C library": (image_of({"usr/bin/python3.11": b"", "usr/bin/python3": "python3.11"}), "no C library that"),
    "a C library that says nothing": (
        image_of({**python_tree(), "usr/lib/x86_64-linux-gnu/libc.so.6": b"\x7fELF"}),
        "no C library that",
    ),
    "another machine's C library": (python_base(machine="aarch64"), "no C library that"),
    "a model image": (python_base("3.11", {"modelimg/model/modelimg.json": b"{}"}), "has /modelimg already"),
    "an empty folder of ours": (python_base("3.11", {"modelimg": None}), "has /modelimg already"),
    "nothing at all": (image_of(), "has no Python 3"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_what_cannot_be_a_base_is_refused_by_name(
    resolve_image: Callable[[Image], ResolvedBase], tmp_path: Path, case: str
) -> None:
    image, said = UNUSABLE[case]
    for _ in range(2):  # what was refused is not remembered as found
        with pytest.raises(BaseError) as refused:
            resolve_image(image)
        assert said in refused.value.message
        assert f"oci:{tmp_path}/base" in refused.value.message
        assert refused.value.hint


def test_a_model_image_is_told_to_be_rebased(resolve_image: Callable[[Image], ResolvedBase]) -> None:
    with pytest.raises(BaseError) as refused:
        resolve_image(python_base("3.11", {"modelimg/venv/x": b""}))
    assert "modelimg rebase" in str(refused.value.hint)
    assert contract.PREFIX == MODEL_PREFIX


def test_an_image_of_a_registry_is_pinned_to_its_own_manifest(
    registry: ScriptedRegistry, resolve: Callable[..., ResolvedBase]
) -> None:
    image = python_base(env=("PATH=/x", "A=b"), labels={"vendor": "them"}, working_dir="/srv", ports=("9000/tcp",))
    digest = stored(registry, "library/python", image, "3.11")
    base = resolve(f"{registry.host}/library/python:3.11")
    assert base.name == f"{registry.host}/library/python:3.11"
    assert base.digest == digest
    assert base.reference == f"{registry.host}/library/python@{digest}"
    assert base.run == image.config.run
    assert base.path == "/x"
    assert base.image is not None
    assert base.image.config == image.config
    assert [read_blob(layer) for layer in base.image.layers] == [read_blob(layer) for layer in image.layers]


def test_wherever_an_image_is_the_same_is_found_in_it(
    registry: ScriptedRegistry, resolve: Callable[..., ResolvedBase], tmp_path: Path
) -> None:
    image = python_base(env=("PYTHON_VERSION=3.11.9", "PATH=/usr/bin"))
    stored(registry, "python", image, "3.11")
    with (tmp_path / "saved.tar").open("wb") as stream:
        write_docker_archive(image, stream, [Reference.parse("python:3.11")])
    names = [
        f"docker://{registry.host}/python:3.11",
        f"{registry.host}/python:3.11",
        in_layout(image, tmp_path / "layout", "3.11"),
        in_archive(image, tmp_path / "archive.tar", "python:3.11"),
        f"docker-archive:{tmp_path}/saved.tar",
    ]
    bases = [resolve(name, fetcher=Fetcher(Cache(tmp_path / str(n)))) for n, name in enumerate(names)]
    assert {found(base) for base in bases} == {("3.11.9", "/usr/bin/python3.11", "glibc", "2.36")}
    assert {base.image.config.digest for base in bases if base.image} == {image.config.digest}
    assert {str(tmp_path) in repr(base.without_image()) for base in bases} == {False}
    pinned, image_id = f"{registry.host}/python@{image.descriptor.digest}", str(image.manifest.config.digest)
    assert [base.reference for base in bases] == [pinned, pinned, image_id, image_id, image_id]


def test_layers_of_dockers_own_types_go_on_as_ocis(
    registry: ScriptedRegistry, resolve: Callable[..., ResolvedBase]
) -> None:
    image = docker_typed(python_base())
    digest = stored(registry, "python", image, "1")
    base = resolve(f"{registry.host}/python:1")
    assert base.digest == digest
    assert base.image is not None
    assert [layer.descriptor.media_type for layer in base.image.layers] == [LAYER_GZIP]
    assert base.image.layers[0].descriptor.digest == image.layers[0].descriptor.digest


def test_what_was_found_is_remembered_by_the_config(
    registry: ScriptedRegistry, resolve: Callable[..., ResolvedBase], cache: Cache
) -> None:
    image = python_base()
    stored(registry, "python", image, "1")
    first = resolve(f"{registry.host}/python:1")
    fetched = [line for line in registry.lines("GET") if str(image.layers[0].descriptor.digest) in line]
    assert len(fetched) == 1
    path = cache.blob(image.layers[0].descriptor.digest)
    assert path is not None
    path.unlink()
    assert resolve(f"{registry.host}/python:1") == first
    assert registry.lines("GET")[-1] == fetched[0]
    assert len([line for line in registry.lines("GET") if line == fetched[0]]) == 1


def test_a_base_that_was_used_once_is_there_offline_with_all_its_layers(
    registry: ScriptedRegistry, resolve: Callable[..., ResolvedBase], offline: Fetcher
) -> None:
    image = python_base("3.11", {"etc/motd": b"hello"}, {"etc/issue": b"there"})
    digest = stored(registry, "python", image, "1")
    first = resolve(f"{registry.host}/python:1")
    registry.requests.clear()
    for name in (f"{registry.host}/python:1", f"{registry.host}/python@{digest}"):
        base = resolve(name, fetcher=offline)
        assert (base.digest, found(base)) == (first.digest, found(first))
        assert base.image is not None
        assert [read_blob(layer) for layer in base.image.layers] == [read_blob(layer) for layer in image.layers]
    assert registry.requests == []


def test_a_tag_that_moved_is_another_base_with_the_network_and_the_old_one_without(
    registry: ScriptedRegistry, resolve: Callable[..., ResolvedBase], offline: Fetcher
) -> None:
    stored(registry, "python", python_base(glibc="2.36"), "1")
    assert resolve(f"{registry.host}/python:1").libc_version == "2.36"
    stored(registry, "python", python_base(glibc="2.41"), "1")
    assert resolve(f"{registry.host}/python:1", fetcher=offline).libc_version == "2.36"
    assert resolve(f"{registry.host}/python:1").libc_version == "2.41"
    assert resolve(f"{registry.host}/python:1", fetcher=offline).libc_version == "2.41"


def cut(image: Image) -> Image:
    """Its layer ends in the middle of the compressed tar, and says so truthfully."""
    data = read_blob(image.layers[0])[:200]
    return _with_layer(image, data)


def not_a_tar(image: Image) -> Image:
    return _with_layer(image, gzip.compress(b"no tar\n" * 1000, mtime=0))


def outside(image: Image) -> Image:
    return image_of({"../etc/passwd": b""}, run=image.config.run)


def windows(image: Image) -> Image:
    config = replace(image.config, platform=Platform("windows", "amd64"))
    return Image.assemble(config, image.layers)


def _with_layer(image: Image, data: bytes) -> Image:
    layer = BytesBlob(replace(image.layers[0].descriptor, digest=Digest.of(data), size=len(data)), data)
    return Image.assemble(image.config, [layer])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (cut, "no intact gzip stream"),
        (not_a_tar, "no tar that can be read"),
        (outside, "leads upwards"),
        (windows, "has no image for linux/amd64; it has windows/amd64"),
    ],
)
def test_an_image_that_cannot_be_read_is_no_base(
    resolve: Callable[..., ResolvedBase], tmp_path: Path, spoil: Callable[[Image], Image], said: str
) -> None:
    name = in_layout(spoil(python_base()), tmp_path / "base")
    with pytest.raises(BaseError) as refused:
        resolve(name)
    assert said in refused.value.message


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("oci:{0}/absent", BaseError, "oci:{0}/absent cannot be a base: oci:{0}/absent is no OCI layout"),
        ("docker-archive:{0}/absent", BaseError, "cannot be read"),
        ("docker-daemon:python:3.11", UsageError, "docker-daemon:python:3.11 is in a daemon"),
        ("{1}/absent:1", FetchError, "absent"),
    ],
)
def test_a_base_that_is_not_there_is_refused_by_name(
    registry: ScriptedRegistry,
    resolve: Callable[..., ResolvedBase],
    tmp_path: Path,
    name: str,
    error: type[ModelimgError],
    said: str,
) -> None:
    with pytest.raises(error) as refused:
        resolve(name.format(tmp_path, registry.host))
    assert said.format(tmp_path) in refused.value.message


def test_a_layer_that_was_changed_in_a_file_is_found_out(
    resolve: Callable[..., ResolvedBase], tmp_path: Path, cache: Cache
) -> None:
    image = python_base()
    name = in_layout(image, tmp_path / "base")
    digest = image.layers[0].descriptor.digest
    path = tmp_path / "base/blobs/sha256" / digest.hex
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelimgError, match=digest.hex):
        resolve(name)
    assert cache.recall("base", str(image.manifest.config.digest)) is None


def test_the_config_says_what_the_base_gives_on(resolve_image: Callable[[Image], ResolvedBase]) -> None:
    run = RunConfig(env=("PATH=/p",), user="1000", volumes=("/data",), labels={"a": "b"}, cmd=("python3",))
    base = resolve_image(image_of(python_tree(), run=run))
    assert base.run == run
    assert isinstance(base.image and base.image.config, ImageConfig)


def test_trees_are_what_they_say() -> None:
    """The fakes of this module: what is no link in the tree is none in the tar."""
    import tarfile

    tree: Mapping[str, bytes | str | None] = python_tree()
    with gzip.open(io.BytesIO(read_blob(python_base().layers[0]))) as stream, tarfile.open(fileobj=stream) as tar:
        assert tar.getnames() == list(tree)
        assert tar.getmember("lib").issym()
