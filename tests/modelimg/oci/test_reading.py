"""Layouts that somebody else wrote, and damaged ones."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelimg.errors import DigestMismatch, ImageError
from modelimg.oci.blob import (
    DOCKER_CONFIG,
    DOCKER_INDEX,
    DOCKER_LAYER_GZIP,
    DOCKER_MANIFEST,
    INDEX,
    MANIFEST,
    BytesBlob,
    Descriptor,
    canonical_json,
    read_blob,
)
from modelimg.oci.layout import open_archive, open_layout, write_archive, write_layout
from modelimg.oci.manifest import Image, ImageIndex, Manifest
from modelimg.oci.reading import Layout
from modelimg.oci.values import Digest
from small_images import everything_of, files_in

REF_NAME = "org.opencontainers.image.ref.name"


class Foreign:
    """A layout that somebody else wrote: any blobs and index entries."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.entries = folder, []
        (folder / "blobs/sha256").mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}\n')

    def add(self, data: bytes, media_type: str = "x/y", **fields: Any) -> dict[str, Any]:
        (self.folder / f"blobs/sha256/{Digest.of(data).hex}").write_bytes(data)
        return {"mediaType": media_type, "digest": str(Digest.of(data)), "size": len(data), **fields}

    def add_image(self, image: Image, **fields: Any) -> dict[str, Any]:
        for layer in image.layers:
            self.add(read_blob(layer))
        self.add(image.config_data)
        return self.add(image.manifest_data, image.manifest.media_type, **fields)

    def add_index(self, *entries: dict[str, Any], media_type: str = INDEX, **fields: Any) -> dict[str, Any]:
        data = json.dumps({"schemaVersion": 2, "mediaType": media_type, "manifests": entries}, indent=3).encode()
        return self.add(data, media_type, **fields)

    def open(self, *entries: dict[str, Any]) -> Layout:
        (self.folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
        return open_layout(self.folder)


@pytest.fixture
def foreign(tmp_path: Path) -> Foreign:
    return Foreign(tmp_path / "foreign")


PLATFORMS = [{"os": "linux", "architecture": arch} for arch in ("amd64", "arm64")]
UNKNOWN = {"os": "unknown", "architecture": "unknown"}


class TestForeignLayouts:
    def test_docker_media_types_are_read_and_bytes_kept(
        self, foreign: Foreign, make_tar, make_blob, image: Image
    ) -> None:
        blob = make_blob(make_tar(("x", b"")))
        layer = BytesBlob(replace(blob.descriptor, media_type=DOCKER_LAYER_GZIP), blob.data)
        manifest = Manifest(
            Descriptor.of(DOCKER_CONFIG, image.config_data), (layer.descriptor,), media_type=DOCKER_MANIFEST
        )
        data = json.dumps(json.loads(manifest.to_json()), indent=2).encode()
        written = Image(data, image.config_data, (layer,))
        layout = foreign.open(
            foreign.add_index(foreign.add_image(written, platform=PLATFORMS[0]), media_type=DOCKER_INDEX)
        )
        artifact = layout.artifact()
        assert isinstance(artifact, ImageIndex)
        assert artifact.images[0].manifest_data == data
        assert artifact.descriptor.digest == layout.entries[0].digest

    def test_attestations_are_passed_over(self, foreign: Foreign, image: Image) -> None:
        statement = foreign.add(b"{}", MANIFEST, platform=UNKNOWN)
        inside = foreign.add_index(foreign.add_image(image, platform=PLATFORMS[0]), statement)
        for entries in ([inside], [inside, statement]):
            artifact = foreign.open(*entries).artifact()
            assert isinstance(artifact, ImageIndex)
            assert [everything_of(each) for each in artifact.images] == [everything_of(image)]

    def test_platforms_that_docker_save_left_out_are_passed_over(self, foreign: Foreign, index: ImageIndex) -> None:
        entries = [foreign.add_image(each, platform=p) for each, p in zip(index.images, PLATFORMS, strict=True)]
        (foreign.folder / "blobs/sha256" / entries[1]["digest"].removeprefix("sha256:")).unlink()
        artifact = foreign.open(foreign.add_index(*entries)).artifact()
        assert isinstance(artifact, ImageIndex)
        assert [everything_of(each) for each in artifact.images] == [everything_of(index.images[0])]

    def test_one_image_under_several_tags_needs_no_tag(self, foreign: Foreign, image: Image) -> None:
        entries = [foreign.add_image(image, annotations={REF_NAME: tag}) for tag in ("b", "a")]
        layout = foreign.open(*entries)
        assert layout.tags == ("a", "b")
        assert everything_of(layout.artifact()) == everything_of(image)

    def test_an_archive_made_with_tar_is_read(self, index: ImageIndex, tmp_path: Path) -> None:
        write_layout(index, tmp_path / "layout", "1")
        with tarfile.open(tmp_path / "archive", "w") as tar:
            tar.add(tmp_path / "layout", ".")
            assert "./index.json" in tar.getnames()
        assert everything_of(open_archive(tmp_path / "archive").artifact("1")) == everything_of(index)

    def test_which_image_is_meant_must_be_clear(self, foreign: Foreign, index: ImageIndex) -> None:
        one, two = (foreign.add_image(each) for each in index.images)
        named = [one | {"annotations": {REF_NAME: "1"}}, two | {"annotations": {REF_NAME: "2"}}]
        cases = [
            (named, None, "has several images", "its tags are 1, 2"),
            (named, "3", "has no image with the tag 3", "its tags are 1, 2"),
            ([one, two], None, "has several images", "none of its images has a tag"),
            ([], None, "has no image", "none of its images"),
            ([one, two | {"platform": UNKNOWN}], "1", "has no image with the tag 1", "none of its images"),
            ([named[0], two | {"annotations": {REF_NAME: "1"}}], "1", "has several images with the tag 1", "1"),
        ]
        for entries, tag, message, hint in cases:
            with pytest.raises(ImageError, match=message) as caught:
                foreign.open(*entries).artifact(tag)
            assert hint in (caught.value.hint or "")

    def test_what_is_no_image_is_refused(self, foreign: Foreign, image: Image) -> None:
        good = foreign.add_image(image, platform=PLATFORMS[0])
        no_layers = canonical_json({"schemaVersion": 2, "config": image.manifest.config.to_dict()})
        config = {"mediaType": "x/y", "digest": str(Digest.of(image.config_data)), "size": 1 << 30}
        cases = [
            (foreign.add(b"text", "text/plain"), "is no image but 'text/plain'"),
            (foreign.add(b"text", MANIFEST), "is no image manifest"),
            (foreign.add(b"[]", INDEX), "is no image index"),
            (foreign.add(no_layers, MANIFEST), "is no image manifest: KeyError: 'layers'"),
            (foreign.add_index(foreign.add_index(good), good), "holds 'application/vnd.oci.image.index"),
            (foreign.add_index(foreign.add(b"{}", "text/plain")), "holds 'text/plain'"),
            (foreign.add(canonical_json({"config": config, "layers": []}), MANIFEST), "over the limit"),
            (good | {"size": 1 << 30}, "over the limit"),
        ]
        for entry, why in cases:
            with pytest.raises(ImageError, match=why):
                foreign.open(entry).artifact()


class TestDamage:
    @pytest.fixture(params=["layout", "archive"])
    def damaged(self, request, image: Image, tmp_path: Path) -> Callable[[Callable[[dict[str, bytes]], None]], Layout]:
        """Write a layout, change its files, and open it."""

        def make(change: Callable[[dict[str, bytes]], None]) -> Layout:
            write_layout(image, tmp_path / "sound", "1")
            found = files_in(tmp_path / "sound")
            change(found)
            if request.param == "archive":
                with tarfile.open(tmp_path / "archive", "w") as tar:
                    for name, data in found.items():
                        info = tarfile.TarInfo(name)
                        info.size = len(data)
                        tar.addfile(info, io.BytesIO(data))
                return open_archive(tmp_path / "archive")
            for name, data in found.items():
                (tmp_path / "damaged" / name).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / "damaged" / name).write_bytes(data)
            return open_layout(tmp_path / "damaged")

        return make

    @pytest.mark.parametrize(
        ("name", "data", "why"),
        [
            ("oci-layout", None, "is no OCI layout"),
            ("index.json", None, "is no OCI layout"),
            ("oci-layout", b"{}", "damaged oci-layout"),
            ("oci-layout", b"[]", "damaged oci-layout"),
            ("oci-layout", b'{"imageLayoutVersion": "2"}', "version 2"),
            ("index.json", b"", "is no image index"),
            ("index.json", b"\xff\xfe", "is no image index"),
            ("index.json", b'{"manifests": [{}]}', "is no image index"),
            ("index.json", b'{"manifests": [{"mediaType": "x", "digest": "sha512:0", "size": 1}]}', "sha512"),
            ("index.json", b'{"manifests": [{"mediaType": "x", "digest": "sha256:../..", "size": 1}]}', "not a sha256"),
        ],
    )
    def test_a_layout_without_sound_documents_is_refused(
        self, damaged, name: str, data: bytes | None, why: str
    ) -> None:
        def change(found: dict[str, bytes]) -> None:
            del found[name]
            if data is not None:
                found[name] = data

        with pytest.raises(ImageError, match=why):
            damaged(change).artifact()

    def test_every_blob_that_is_missing_or_cut_off_is_named(self, damaged, image: Image) -> None:
        first, second = (f"blobs/sha256/{layer.descriptor.digest.hex}" for layer in image.layers)

        def change(found: dict[str, bytes]) -> None:
            del found[first]
            found[second] = found[second][:-1]

        with pytest.raises(ImageError, match="has no blob") as caught:
            damaged(change).artifact()
        assert all(str(layer.descriptor.digest) in caught.value.message for layer in image.layers)

    @pytest.mark.parametrize("which", ["manifest", "config"])
    def test_a_flipped_byte_of_a_document_is_noticed_at_once(self, damaged, which: str, image: Image) -> None:
        digest = image.descriptor.digest if which == "manifest" else image.manifest.config.digest

        def change(found: dict[str, bytes]) -> None:
            data = found[f"blobs/sha256/{digest.hex}"]
            found[f"blobs/sha256/{digest.hex}"] = data[:-1] + b" "

        with pytest.raises(DigestMismatch, match=digest.hex):
            damaged(change).artifact()

    def test_a_flipped_byte_of_a_layer_is_noticed_when_it_is_copied(
        self, damaged, image: Image, tmp_path: Path
    ) -> None:
        name = f"blobs/sha256/{image.layers[1].descriptor.digest.hex}"
        layout = damaged(lambda found: found.update({name: b"!" + found[name][1:]}))
        with pytest.raises(DigestMismatch, match=image.layers[1].descriptor.digest.hex):
            write_archive(layout.artifact(), tmp_path / "copy", [])
        assert not (tmp_path / "copy").exists()

    def test_what_is_no_archive_is_refused(self, image: Image, tmp_path: Path) -> None:
        write_archive(image, tmp_path / "archive", [])
        data = (tmp_path / "archive").read_bytes()
        (tmp_path / "cut").write_bytes(data[: len(data) - 2000])
        (tmp_path / "noise").write_bytes(os.urandom(5000))
        (tmp_path / "empty").write_bytes(b"")
        for name, why in (
            ("cut", "ends"),
            ("noise", "no tar that can be read"),
            ("empty", "it has no oci-layout"),
            ("missing", "cannot be read: No such file"),
            (".", "cannot be read: Is a directory"),
        ):
            with pytest.raises(ImageError, match=why):
                open_archive(tmp_path / name)

    def test_a_docker_archive_is_recognised(self, tmp_path: Path) -> None:
        with tarfile.open(tmp_path / "archive", "w") as tar:
            tar.addfile(tarfile.TarInfo("manifest.json"))
        with pytest.raises(ImageError) as caught:
            open_archive(tmp_path / "archive")
        assert "docker-archive:" in (caught.value.hint or "")
