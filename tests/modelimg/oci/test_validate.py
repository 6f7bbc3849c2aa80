"""What is wrong with an image is found, and all of it at once."""

from __future__ import annotations

import io
import json
import re
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelimg.oci.blob import DOCKER_LAYER_GZIP, BytesBlob, FileBlob, canonical_json, read_blob
from modelimg.oci.layout import open_archive, write_archive
from modelimg.oci.manifest import Artifact, Image, ImageIndex
from modelimg.oci.validate import validate
from modelimg.oci.values import Digest, Platform

HEX = "0" * 64
OTHER = f"sha256:{HEX}"
Document = dict[str, Any]


@pytest.fixture(scope="session", params=["none", "gzip", "zstd"])
def sound(request, make_image, make_tar) -> Image:
    """Three layers, of which one is empty."""
    return make_image(
        make_tar(("etc", None), ("etc/one", b"1" * 5000), ("./etc/two", b"2")),
        make_tar(),
        make_tar(("three", b"3"), ("etc/.wh.one", b"")),
        codec=request.param,
    )


@pytest.fixture(scope="session")
def index(sound: Image, make_image, make_tar) -> ImageIndex:
    return ImageIndex.assemble([sound, make_image(make_tar(("arm", b"")), platform="linux/arm64")])


def test_a_sound_image_and_a_sound_index_have_no_problems(sound: Image, index: ImageIndex, tmp_path: Path) -> None:
    write_archive(index, tmp_path / "archive", [])
    for artifact in (sound, index, open_archive(tmp_path / "archive").artifact()):
        assert validate(artifact) == []


def test_attestations_in_an_index_are_none_of_its_images(index: ImageIndex) -> None:
    value = json.loads(index.data)
    value["manifests"].append(
        value["manifests"][0] | {"digest": OTHER, "platform": {"os": "unknown", "architecture": "unknown"}}
    )
    assert validate(ImageIndex(canonical_json(value), index.images)) == []


def manifest(change: Callable[[Document], Any]) -> Callable[[Image], Image]:
    def mutate(image: Image) -> Image:
        value = json.loads(image.manifest_data)
        change(value)
        return replace(image, manifest_data=canonical_json(value))

    return mutate


def config(change: Callable[[Document], Any]) -> Callable[[Image], Image]:
    """The manifest follows, so that only what the config says is wrong."""

    def mutate(image: Image) -> Image:
        value = json.loads(image.config_data)
        change(value)
        data = canonical_json(value)
        said = json.loads(image.manifest_data)
        said["config"] |= {"digest": str(Digest.of(data)), "size": len(data)}
        return Image(canonical_json(said), data, image.layers)

    return mutate


def layer(number: int, change: Callable[[bytearray], Any]) -> Callable[[Image], Image]:
    """Other bytes under the same descriptor."""

    def mutate(image: Image) -> Image:
        layers = list(image.layers)
        data = bytearray(read_blob(layers[number]))
        change(data)
        layers[number] = BytesBlob(layers[number].descriptor, bytes(data))
        return replace(image, layers=tuple(layers))

    return mutate


def flip(place: int) -> Callable[[bytearray], None]:
    def change(data: bytearray) -> None:
        data[place] ^= 1

    return change


MUTANTS: dict[str, tuple[Callable[[Image], Image], str]] = {
    "a manifest that is none": (lambda i: replace(i, manifest_data=b"{}"), "the manifest is no image manifest"),
    "a manifest of version 1": (manifest(lambda v: v.update(schemaVersion=1)), "manifest is of the schema version 1"),
    "an unknown manifest": (
        manifest(lambda v: v.update(mediaType="text/plain")),
        "the manifest has the unknown media type 'text/plain'",
    ),
    "an unknown config": (
        manifest(lambda v: v["config"].update(mediaType="text/plain")),
        "the config has the unknown media type 'text/plain'",
    ),
    "another config": (
        lambda i: replace(i, config_data=i.config_data + b" "),
        "the config has bytes of sha256:.* and the manifest says sha256:",
    ),
    "a config's size": (manifest(lambda v: v["config"].update(size=7)), "the config has .* the manifest says 7"),
    "a config's digest": (manifest(lambda v: v["config"].update(digest=OTHER)), f"the manifest says {OTHER}"),
    "a layer too few in the manifest": (
        manifest(lambda v: v["layers"].pop()),
        "the manifest names 2 layers, and there are 3",
    ),
    "a layer too many in the manifest": (
        manifest(lambda v: v["layers"].append(v["layers"][0])),
        "the manifest names 4 layers, and there are 3",
    ),
    "a layer's digest in the manifest": (
        manifest(lambda v: v["layers"][1].update(digest=OTHER)),
        f"layer 2 is sha256:.* the manifest says {OTHER}",
    ),
    "a layer's size in the manifest": (
        manifest(lambda v: v["layers"][2].update(size=1)),
        r"layer 3 is sha256:.* the manifest says .* 1 bytes\)",
    ),
    "a layer's media type in the manifest": (
        manifest(lambda v: v["layers"][0].update(mediaType=DOCKER_LAYER_GZIP)),
        "layer 1 is sha256:.* the manifest says .*vnd.docker",
    ),
    "a flipped byte in a layer": (layer(0, flip(100)), "layer 1 .*has bytes of sha256:"),
    "a flipped last byte in a layer": (layer(2, flip(-1)), "layer 3 .*has bytes of sha256:"),
    "a layer that is cut off": (layer(2, lambda data: data.pop()), "layer 3 .*ended 1 bytes too early"),
    "a diff_id": (config(lambda v: v["rootfs"]["diff_ids"].__setitem__(1, OTHER)), f"layer 2 .*config says {OTHER}"),
    "diff_ids in another order": (
        config(lambda v: v["rootfs"]["diff_ids"].reverse()),
        "layer 1 .*has the diff_id sha256:.* config says sha256:",
    ),
    "a diff_id too few": (
        config(lambda v: v["rootfs"]["diff_ids"].pop()),
        "the config names 2 diff_ids, and there are 3 layers",
    ),
    "a diff_id too many": (
        config(lambda v: v["rootfs"]["diff_ids"].append(OTHER)),
        "the config names 4 diff_ids, and there are 3 layers",
    ),
    "a step too few": (config(lambda v: v["history"].pop()), "history tells of 2 layers, and there are 3"),
    "a step that made nothing": (
        config(lambda v: v["history"][0].update(empty_layer=True)),
        "history tells of 2 layers, and there are 3",
    ),
    "a config that is none": (config(lambda v: v.pop("rootfs")), "the config: this is no image config"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_each_mutant_is_reported_by_name(name: str, sound: Image) -> None:
    mutate, why = MUTANTS[name]
    found = validate(mutate(sound))
    assert any(re.search(why, problem) for problem in found), found
    assert all("\n" not in problem and not problem.endswith(".") for problem in found)


def test_several_at_once_are_all_reported(sound: Image) -> None:
    apart = ["a flipped byte in a layer", "a layer that is cut off", "a step too few", "a manifest of version 1"]
    mutant = sound
    for name in apart:
        mutant = MUTANTS[name][0](mutant)
    found = validate(mutant)
    assert len(found) >= len(apart)
    for name in apart:
        assert any(re.search(MUTANTS[name][1], problem) for problem in found), (name, found)


@pytest.mark.parametrize("codec", ["none", "gzip", "zstd"])
@pytest.mark.parametrize(
    ("members", "why"),
    [
        ([("a", b""), ("a", b"")], "it has the path 'a' twice"),
        ([("a", b""), ("./a", b"")], "it has the path 'a' twice"),
        ([("a", None), ("./a//", None)], "it has the path 'a' twice"),
        ([("a", None), ("a/b", b""), ("a/./b", "x")], "it has the path 'a/b' twice"),
        ([("/a", b"")], "it has the absolute path '/a'"),
        ([("../a", b"")], "it has the path '../a', which leads upwards"),
        ([("a/../b", b"")], "it has the path 'a/../b', which leads upwards"),
    ],
)
def test_bad_paths_in_a_layer_are_reported(members, why: str, codec: str, make_image, make_tar) -> None:
    image = make_image(make_tar(("fine", b"")), make_tar(*members), codec=codec)
    assert validate(image) == [f"layer 2 ({image.layers[1].descriptor.digest}): {why}"]


@pytest.mark.parametrize("target", ["/etc/passwd", "../x", "a/../../x"])
def test_hard_links_that_lead_out_are_reported(target: str, make_image, make_tar, hard_link) -> None:
    (problem,) = validate(make_image(make_tar(hard_link("h", target))))
    assert f"hard link 'h' to '{target}'" in problem


def test_a_tar_of_bad_paths_only_is_reported_in_bounds(make_image, make_tar) -> None:
    found = validate(make_image(make_tar(*((f"/{number}", b"") for number in range(500)))))
    assert len(found) == 21
    assert found[-1].endswith("there is more of this kind")


@pytest.mark.parametrize("codec", ["none", "gzip", "zstd"])
def test_a_tar_that_cannot_be_read_is_reported_although_its_digests_are_right(codec: str, make_image, make_tar) -> None:
    bent = bytearray(make_tar(("/a", b""), ("b", b""), ("c", b"")))
    bent[600] ^= 1
    found = validate(make_image(bytes(bent), b"no tar at all", codec=codec))
    assert [problem.partition("): ")[2] for problem in found] == [
        "it has the absolute path '/a'",
        "it is no tar that can be read: the header at byte 512 is damaged",
        "it is no tar that can be read: it ends in the middle, at byte 13",
    ]


def test_a_stream_that_was_published_damaged_is_reported(make_image, make_tar) -> None:
    image = make_image(make_tar(("a", bytes(range(256)) * 99)))
    data = bytearray(read_blob(image.layers[0]))
    data[len(data) // 2] ^= 0xFF
    blob = BytesBlob(replace(image.layers[0].descriptor, digest=Digest.of(bytes(data))), bytes(data))
    (problem,) = validate(Image.assemble(image.config, [blob]))
    assert "is no intact gzip stream" in problem


def test_an_unknown_layer_is_reported_and_its_bytes_checked_all_the_same(make_image, make_tar) -> None:
    image = make_image(make_tar(("a", b"")))
    good = read_blob(image.layers[0])
    descriptor = replace(image.layers[0].descriptor, media_type="text/plain")
    for data, problems in ((good, 1), (good[:-1] + b"!", 2)):
        found = validate(Image.assemble(image.config, [BytesBlob(descriptor, data)]))
        assert len(found) == problems, found
        assert "unknown media type 'text/plain'" in found[0]
        assert problems == 1 or "has bytes of sha256:" in found[1]


def test_a_layer_that_is_gone_is_reported(make_image, make_tar, tmp_path: Path) -> None:
    image = make_image(make_tar(("a", b"")), make_tar(("b", b"")))
    gone = [FileBlob(layer.descriptor, tmp_path / "gone") for layer in image.layers]
    found = validate(replace(image, layers=tuple(gone)))
    assert len(found) == 2
    assert all("No such file" in problem for problem in found)


def test_a_disk_that_fails_in_the_middle_is_reported(make_image, make_tar) -> None:
    class Failing(io.BytesIO):
        failed = False

        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 1 << 20 and not self.failed:
                self.failed = True
                raise OSError("the disk is gone")
            return b"" if self.failed else super().read(size)

    class FailingBlob(BytesBlob):
        def open(self) -> Any:
            return Failing(self.data)

    image = make_image(make_tar(("/a", bytes(4 << 20))), codec="none")
    failing = FailingBlob(image.layers[0].descriptor, read_blob(image.layers[0]))
    found = validate(replace(image, layers=(failing,)))
    assert [problem.partition("): ")[2] for problem in found] == ["it has the absolute path '/a'", "the disk is gone"]


def entries(change: Callable[[list[Document]], Any]) -> Callable[[ImageIndex], ImageIndex]:
    def mutate(index: ImageIndex) -> ImageIndex:
        value = json.loads(index.data)
        change(value["manifests"])
        return ImageIndex(canonical_json(value), index.images)

    return mutate


@pytest.mark.parametrize(
    ("mutate", "why"),
    [
        (lambda i: ImageIndex(b"[]", i.images), "the index is no image index"),
        (
            lambda i: ImageIndex(i.data.replace(b'"schemaVersion":2', b'"schemaVersion":1'), i.images),
            "the index is of the schema version 1",
        ),
        (
            lambda i: ImageIndex(i.data.replace(b"image.index", b"image.list"), i.images),
            "the index has the unknown media type",
        ),
        (entries(lambda e: e[0].update(size=1)), "the index says 1 bytes of the image for linux/amd64"),
        (entries(lambda e: e[0].update(digest=OTHER)), f"the index names {OTHER} for linux/amd64, which no image"),
        (entries(lambda e: e[1].update(mediaType="text/plain")), "the image for linux/arm64 is 'text/plain'"),
        (
            entries(lambda e: e[1]["platform"].update(architecture="riscv64")),
            "the config of the image for linux/riscv64 is for linux/arm64",
        ),
        (entries(lambda e: e.pop()), "the index does not name the image sha256:.* that is in it"),
        (lambda i: ImageIndex(i.data, i.images[:1]), "the index names sha256:.* for linux/arm64, which no image in it"),
    ],
)
def test_an_index_that_does_not_fit_its_images_is_reported(mutate, why: str, index: ImageIndex) -> None:
    found = validate(mutate(index))
    assert any(re.search(why, problem) for problem in found), found


def test_problems_of_an_index_name_the_platform_and_shared_layers_are_read_once(make_image, make_tar) -> None:
    tar = make_tar(("/a", b""))
    images = [make_image(tar, platform=f"linux/{each}") for each in ("amd64", "arm64")]
    counts = []

    class Counted(BytesBlob):
        def open(self) -> Any:
            counts.append(1)
            return super().open()

    blob = Counted(images[0].layers[0].descriptor, read_blob(images[0].layers[0]))
    found = validate(ImageIndex.assemble([replace(image, layers=(blob,)) for image in images]))
    assert [problem.partition(":")[0] for problem in found] == [
        "the image for linux/amd64",
        "the image for linux/arm64",
    ]
    assert len(counts) == 1


def test_an_index_may_leave_platforms_out(sound: Image) -> None:
    data = canonical_json({"schemaVersion": 2, "manifests": [replace(sound.descriptor, platform=None).to_dict()]})
    assert validate(ImageIndex(data, (sound,))) == []


def test_memory_does_not_grow_with_a_layer(make_tar, make_image, make_blob, tmp_path: Path) -> None:
    tar = make_tar(("zeros", bytes(64 << 20)))
    blob = make_blob(tar)
    path = tmp_path / "blob"
    path.write_bytes(blob.data)
    image = make_image(tar)
    on_disk: Artifact = replace(image, layers=(FileBlob(blob.descriptor, path),))
    del tar, blob, image
    tracemalloc.start()
    try:
        assert validate(on_disk) == []
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_platform_that_the_config_denies_is_told_once(make_image, make_tar) -> None:
    image = make_image(make_tar(("a", b"")))
    entry = replace(image.descriptor, platform=Platform("linux", "arm64")).to_dict()
    found = validate(ImageIndex(canonical_json({"schemaVersion": 2, "manifests": [entry]}), (image,)))
    assert found == ["the config of the image for linux/arm64 is for linux/amd64"]
