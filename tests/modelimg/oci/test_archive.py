"""What `docker save` writes, read and written."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelimg.errors import DigestMismatch, ImageError
from modelimg.oci.archive import open_docker_archive, write_docker_archive
from modelimg.oci.blob import BytesBlob, FileBlob, read_blob
from modelimg.oci.layout import write_archive
from modelimg.oci.manifest import Image
from modelimg.oci.validate import validate
from modelimg.oci.values import Digest, Reference
from small_images import files_of_tar, tars_of

NAME = Reference.parse("team/model:1")


@pytest.fixture
def save(make_tar, tmp_path: Path) -> Callable[..., Path]:
    """Write an archive: ``(manifest.json's entries, *members)``."""

    def write(entries: Any, *others: Any) -> Path:
        manifest = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
        path = tmp_path / "saved.tar"
        path.write_bytes(make_tar(("manifest.json", manifest), *others))
        return path

    return write


def entry(config: str, *layers: str, tags: list[str] | None = None) -> dict[str, Any]:
    return {"Config": config, "RepoTags": tags, "Layers": list(layers)}


class TestReading:
    def test_old_docker_saved_uncompressed_layers_by_id(self, image: Image, save) -> None:
        config = f"{image.manifest.config.digest.hex}.json"
        one, two = tars_of(image)
        path = save(
            [entry(config, "aa/layer.tar", "bb/layer.tar", tags=["team/model:1"])],
            ("aa", None),
            ("aa/VERSION", b"1.0"),
            ("aa/json", b"{}"),
            ("aa/layer.tar", one),
            ("bb/layer.tar", two),
            (config, image.config_data),
            ("repositories", b"{}"),
        )
        found = open_docker_archive(path, NAME)
        assert (found.config_data, tars_of(found)) == (image.config_data, [one, two])
        assert found.manifest_data == image.manifest_data  # the layers were not compressed here either
        assert validate(found) == []

    @pytest.mark.parametrize("target", ["../aa/layer.tar", "../cc/layer.tar"])
    def test_a_layer_may_be_a_link_to_one_that_is_there_already(
        self, target: str, make_image, make_tar, hard_link, save
    ) -> None:
        tar = make_tar(("same", b"x"))
        image = make_image(tar, tar, codec="none")
        path = save(
            [entry("c.json", "aa/layer.tar", "bb/layer.tar")],
            ("aa/layer.tar", tar),
            ("bb/layer.tar", target),
            hard_link("cc/layer.tar", "aa/layer.tar"),
            ("c.json", image.config_data),
        )
        assert tars_of(open_docker_archive(path)) == [tar, tar]

    def test_new_docker_saves_blobs_and_whatever_compressed_them(self, make_image, make_tar, save) -> None:
        for codec in ("none", "gzip", "zstd"):
            image = make_image(make_tar(("x", b"1" * 999)), make_tar(("y", b"")), codec=codec)
            names = [f"blobs/sha256/{layer.descriptor.digest.hex}" for layer in image.layers]
            config = f"blobs/sha256/{image.manifest.config.digest.hex}"
            blobs = [(name, read_blob(layer)) for name, layer in zip(names, image.layers, strict=True)]
            found = open_docker_archive(save([entry(config, *names)], *blobs, (config, image.config_data)))
            assert found.manifest_data == image.manifest_data
            assert tars_of(found) == tars_of(image)

    def test_a_compressed_layer_of_any_name_gets_its_digest(self, make_image, make_tar, save) -> None:
        image = make_image(make_tar(("x", b"1" * 999)))
        path = save([entry("c.json", "l.tar")], ("l.tar", read_blob(image.layers[0])), ("c.json", image.config_data))
        assert open_docker_archive(path).manifest_data == image.manifest_data

    def test_the_whole_archive_may_be_gzipped(self, make_image, make_tar, tmp_path: Path) -> None:
        image = make_image(make_tar(("x", b"1" * 99_999)), make_tar(("y", b"")))
        write_archive(image, tmp_path / "archive", [NAME])
        (tmp_path / "archive.gz").write_bytes(gzip.compress((tmp_path / "archive").read_bytes()))
        found = open_docker_archive(tmp_path / "archive.gz", NAME)
        assert found.manifest_data == image.manifest_data
        assert tars_of(found) == tars_of(image)
        assert [read_blob(layer) for layer in found.layers] == [read_blob(layer) for layer in image.layers]
        assert validate(found) == []

    def test_nothing_of_an_uncompressed_layer_is_read_before_it_is_opened(self, image: Image, save) -> None:
        damaged = b"!" + tars_of(image)[0][1:]
        path = save(
            [entry("c.json", "aa.tar", "bb.tar")],
            ("aa.tar", damaged),
            ("bb.tar", tars_of(image)[1]),
            ("c.json", image.config_data),
        )
        found = open_docker_archive(path)
        assert all(isinstance(layer, FileBlob) for layer in found.layers)
        with pytest.raises(DigestMismatch):
            read_blob(found.layers[0])
        assert read_blob(found.layers[1]) == tars_of(image)[1]

    def test_nor_of_a_compressed_one_that_is_named_by_its_digest(self, make_image, make_tar, save) -> None:
        image = make_image(make_tar(("x", b"1" * 999)))
        name = f"blobs/sha256/{image.layers[0].descriptor.digest.hex}"
        damaged = read_blob(image.layers[0])[:-1] + b"!"
        found = open_docker_archive(save([entry("c.json", name)], (name, damaged), ("c.json", image.config_data)))
        assert found.manifest_data == image.manifest_data
        with pytest.raises(DigestMismatch):
            read_blob(found.layers[0])

    @pytest.mark.parametrize(
        ("name", "found"),
        [
            ("one", "1"),
            ("one:latest", "1"),
            ("docker.io/library/one", "1"),
            ("localhost/two:2", "2"),
            ("example.com/two:2", "2"),
            ("two:2", None),
            ("one:2", None),
            (None, None),
        ],
    )
    def test_an_image_is_found_by_any_form_of_its_name(
        self, name: str | None, found: str | None, make_image, make_tar, save
    ) -> None:
        images = {label: make_image(make_tar(("x", b"")), codec="none", labels={"is": label}) for label in "12"}
        path = save(
            [
                entry("1.json", "l.tar", tags=["one:latest", "NOT/A:NAME"]),
                entry("2.json", "l.tar", tags=["localhost/two:2", "example.com/two:2"]),
            ],
            ("1.json", images["1"].config_data),
            ("2.json", images["2"].config_data),
            ("l.tar", tars_of(images["1"])[0]),
        )
        reference = Reference.parse(name) if name else None
        if found:
            assert open_docker_archive(path, reference).config_data == images[found].config_data
            return
        with pytest.raises(
            ImageError, match="has several images" if name is None else f"has no image {name}"
        ) as caught:
            open_docker_archive(path, reference)
        assert caught.value.hint == "it has NOT/A:NAME, example.com/two:2, localhost/two:2, one:latest"

    def test_a_damaged_archive_is_refused_and_says_why(self, image: Image, save) -> None:
        config, layer = ("c.json", image.config_data), ("l", tars_of(image)[0])
        both = entry("c.json", "l", "l")
        wrong = f"{'0' * 64}.json"
        cases: list[tuple[Any, list[Any], str]] = [
            (b"{", [], "damaged manifest.json: JSONDecodeError"),
            ([{}], [], "damaged manifest.json: KeyError: 'Config'"),
            ({"Config": 1}, [], "damaged manifest.json"),
            ([1], [], "damaged manifest.json"),
            ([], [], "has no image"),
            ([both], [], "has no file 'c.json'"),
            ([both], [config], "has no file 'l'"),
            ([both], [config, ("l", None)], "has no file 'l'"),
            ([both], [config, ("l", "l")], "has no file 'l'"),
            ([both], [config, ("l", "/etc/passwd")], "has no file 'l'"),
            ([entry("c.json", "l")], [config, layer], "has 1 layers, and its config names 2"),
            ([both], [("c.json", b"{}"), layer], "no image config"),
            ([entry("../../etc/passwd")], [], "has no file '../../etc/passwd'"),
            ([entry("c.json")], [("c.json", bytes(17 << 20))], "over the limit"),
        ]
        for entries, others, why in cases:
            with pytest.raises(ImageError, match=why):
                open_docker_archive(save(entries, *others))
        with pytest.raises(DigestMismatch, match=wrong):
            open_docker_archive(save([entry(wrong, "l", "l")], (wrong, image.config_data), layer))

    def test_what_is_no_archive_is_refused(self, make_tar, tmp_path: Path) -> None:
        (tmp_path / "layout").write_bytes(make_tar(("index.json", b"{}")))
        (tmp_path / "cut").write_bytes(gzip.compress(make_tar(("manifest.json", b"[]")))[:-20])
        (tmp_path / "bent").write_bytes(b"\x1f\x8b\x08\x00" + b"noise" * 100)
        (tmp_path / "text").write_bytes(b"text" * 1000)
        for name, why in (
            ("layout", "has no manifest.json"),
            ("cut", "cannot be read: Compressed file ended"),
            ("bent", "cannot be read"),
            ("text", "no tar that can be read"),
            ("missing", "cannot be read"),
            (".", "cannot be read"),
        ):
            with pytest.raises(ImageError, match=why) as caught:
                open_docker_archive(tmp_path / name)
            assert name != "layout" or f"oci-archive:{tmp_path / name}" in (caught.value.hint or "")


class TestWriting:
    def test_what_is_written_is_read_back(self, make_image, make_tar, tmp_path: Path) -> None:
        for codec in ("none", "gzip", "zstd"):
            image = make_image(make_tar(("x", b"1" * 999)), make_tar(("y", b"")), codec=codec)
            with (tmp_path / codec).open("wb") as stream:
                write_docker_archive(image, stream, [NAME, Reference.parse("other")])
            assert open_docker_archive(tmp_path / codec, NAME).manifest_data == image.manifest_data
            assert tars_of(open_docker_archive(tmp_path / codec, Reference.parse("other"))) == tars_of(image)

    def test_layers_that_the_reader_has_are_named_and_left_out(self, image: Image) -> None:
        whole, part, none = io.BytesIO(), io.BytesIO(), io.BytesIO()
        first, second = image.config.diff_ids
        write_docker_archive(image, whole, [NAME])
        write_docker_archive(image, part, [NAME], without={first})
        write_docker_archive(image, none, [NAME], without=frozenset({first, second}))
        found = [files_of_tar(out.getvalue()) for out in (whole, part, none)]
        assert found[0]["manifest.json"] == found[1]["manifest.json"] == found[2]["manifest.json"]
        (described,) = json.loads(found[0]["manifest.json"])
        assert described["RepoTags"] == ["team/model:1"]
        assert [Digest.of(found[0][name]) for name in described["Layers"]] == [first, second]
        assert found[0].keys() - found[1].keys() == {described["Layers"][0]}
        assert found[0].keys() - found[2].keys() == set(described["Layers"])

    def test_a_layer_that_is_there_twice_is_written_once(self, make_image, make_tar) -> None:
        tar, out = make_tar(("x", b"")), io.BytesIO()
        write_docker_archive(make_image(tar, tar), out, [])
        out.seek(0)
        with tarfile.open(fileobj=out) as written:
            assert sum(name.endswith("layer.tar") for name in written.getnames()) == 1

    def test_the_bytes_are_the_same_every_time(self, image: Image) -> None:
        outs = [io.BytesIO(), io.BytesIO()]
        for out in outs:
            write_docker_archive(image, out, [NAME])
        assert outs[0].getvalue() == outs[1].getvalue()

    def test_a_damaged_layer_is_noticed(self, image: Image) -> None:
        first = image.layers[0]
        wrong = BytesBlob(first.descriptor, b"!" + read_blob(first)[1:])
        with pytest.raises(DigestMismatch, match=first.descriptor.digest.hex):
            write_docker_archive(replace(image, layers=(wrong, image.layers[1])), io.BytesIO(), [])
