"""Other people's tools read what we write, and we read what they write."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from modelimg.oci.archive import open_docker_archive, write_docker_archive
from modelimg.oci.compression import Codec
from modelimg.oci.files import unpack
from modelimg.oci.layout import open_archive, open_layout, write_archive, write_layout
from modelimg.oci.manifest import Image, ImageIndex
from modelimg.oci.validate import validate
from modelimg.oci.values import Reference
from small_images import Content, tar_of, tars_of, write_image

pytestmark = pytest.mark.engine

NAME = Reference.parse("modelimg-test/tools:1")
OTHER = Reference.parse("example.com/modelimg-test/other:2")


def image_of(codec: Codec = "gzip", architecture: str = "amd64") -> Image:
    """Two layers; the upper one hides a file and a folder of the lower one, and writes through a link of it."""
    lower: dict[str, Content] = {
        "etc": None,
        "etc/one": b"1" * 5000,
        "gone": b"hidden",
        "lib": "usr/lib",
        "old": None,
        "old/file": b"hidden",
        "usr": None,
        "usr/lib": None,
        "usr/lib/a": architecture.encode(),
    }
    upper: dict[str, Content] = {
        ".wh.gone": b"",
        "lib/b": b"through a link",
        "n" * 120: b"a long name",
        "old": None,
        "old/.wh..wh..opq": b"",
        "old/new": "file",
        "é": b"",
    }
    run = {"cmd": ("/none",), "labels": {"label": "ü $x"}, "user": "65532:65532"}
    return write_image(tar_of(lower), tar_of(upper), codec=codec, platform=f"linux/{architecture}", **run)


@pytest.fixture(scope="module")
def image() -> Image:
    return image_of()


@pytest.fixture(scope="module")
def index(image: Image) -> ImageIndex:
    return ImageIndex.assemble([image, image_of(architecture="arm64")])


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., str]:
    """Run a tool in the test's folder; its standard output."""

    def call(*command: object) -> str:
        done = subprocess.run(
            [str(part) for part in command], cwd=tmp_path, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    return call


@pytest.fixture
def stored() -> Iterator[list[str]]:
    """Options that give podman and buildah images of the test's own."""
    with tempfile.TemporaryDirectory() as folder:  # a short path: podman takes 50 characters
        yield ["--root", f"{folder}/root", "--runroot", f"{folder}/run", "--storage-driver", "vfs"]


@pytest.fixture
def podman(run, stored: list[str]) -> Callable[..., str]:
    return lambda *command: run("podman", *stored, *command)


@pytest.fixture
def engine(client: docker.DockerClient) -> Iterator[docker.DockerClient]:
    """The daemon, which forgets the test's images before and after."""

    def forget() -> None:
        for name in (NAME, OTHER):
            if client.images.list(str(name)):
                client.images.remove(str(name), force=True)

    forget()
    yield client
    forget()


class TestSkopeo:
    def test_it_inspects_a_layout_and_agrees_on_the_digest(self, image: Image, run, tmp_path: Path) -> None:
        write_layout(image, tmp_path / "layout", "1.0")
        found = json.loads(run("skopeo", "inspect", "oci:layout:1.0"))
        assert found["Digest"] == str(image.descriptor.digest)
        assert found["Layers"] == [str(layer.descriptor.digest) for layer in image.layers]
        assert found["Labels"] == {"label": "ü $x"}
        assert json.loads(run("skopeo", "inspect", "--config", "oci:layout:1.0")) == json.loads(image.config_data)

    @pytest.mark.parametrize("codec", ["none", "gzip", "zstd"])
    def test_copies_between_layouts_and_archives_keep_the_digest(self, codec: Codec, run, tmp_path: Path) -> None:
        image = image_of(codec)
        copy = ["skopeo", "copy", "--dest-oci-accept-uncompressed-layers"]
        write_layout(image, tmp_path / "a", "1")
        write_archive(image, tmp_path / "b.tar", [NAME])
        for number, source in enumerate(("oci:a:1", "oci-archive:b.tar:1", "oci-archive:b.tar")):
            run(*copy, source, f"oci-archive:c{number}.tar:x")
            run(*copy, f"oci-archive:c{number}.tar:x", f"oci:d{number}:y")
            for layout in (open_archive(tmp_path / f"c{number}.tar"), open_layout(tmp_path / f"d{number}")):
                artifact = layout.artifact()
                assert artifact.descriptor.digest == image.descriptor.digest
                assert validate(artifact) == []

    def test_a_copy_through_a_docker_archive_keeps_what_the_config_says_and_the_tars(
        self, image: Image, run, tmp_path: Path
    ) -> None:
        write_layout(image, tmp_path / "a", "1")
        run("skopeo", "copy", "oci:a:1", f"docker-archive:b.tar:{NAME}")
        read = open_docker_archive(tmp_path / "b.tar", NAME)
        assert (read.config, tars_of(read), validate(read)) == (image.config, tars_of(image), [])
        with (tmp_path / "c.tar").open("wb") as stream:
            write_docker_archive(image, stream, [NAME, OTHER])
        write_archive(image, tmp_path / "d.tar", [NAME, OTHER])
        for number, source in enumerate(("b.tar", f"c.tar:{OTHER}", f"d.tar:{NAME}")):
            run("skopeo", "copy", f"docker-archive:{source}", f"oci:e{number}:1")
            back = open_layout(tmp_path / f"e{number}").artifact()
            assert isinstance(back, Image)
            assert (back.config, tars_of(back)) == (image.config, tars_of(image))

    def test_an_index_is_copied_whole_and_its_platforms_are_chosen(
        self, index: ImageIndex, run, tmp_path: Path
    ) -> None:
        write_layout(index, tmp_path / "a", "1")
        write_archive(index, tmp_path / "b.tar", [NAME])
        for number, source in enumerate(("oci:a:1", "oci-archive:b.tar:1")):
            run("skopeo", "copy", "--all", source, f"oci:c{number}:1")
            back = open_layout(tmp_path / f"c{number}").artifact("1")
            assert isinstance(back, ImageIndex)
            assert (back.descriptor.digest, validate(back)) == (index.descriptor.digest, [])
            run("skopeo", "--override-arch", "arm64", "copy", source, f"oci:d{number}:1")
            assert (
                open_layout(tmp_path / f"d{number}").artifact().descriptor.digest == index.images[1].descriptor.digest
            )

    def test_we_add_to_its_layout_and_it_to_ours(self, image: Image, index: ImageIndex, run, tmp_path: Path) -> None:
        write_layout(image, tmp_path / "ours", "1")
        run("skopeo", "copy", "oci:ours:1", "oci:theirs:2")
        write_layout(index, tmp_path / "theirs", "1")
        run("skopeo", "copy", "oci:ours:1", "oci:ours:2")
        write_layout(index, tmp_path / "ours", "1")
        for name in ("ours", "theirs"):
            digests = {tag: json.loads(run("skopeo", "inspect", "--raw", f"oci:{name}:{tag}")) for tag in ("1", "2")}
            assert digests == {"1": json.loads(index.data), "2": json.loads(image.manifest_data)}
            assert open_layout(tmp_path / name).artifact("2").descriptor.digest == image.descriptor.digest


def entries(root: Path) -> dict[str, Any]:
    """Type, permissions, time and content of everything in a tree."""
    found: dict[str, Any] = {}
    for path in root.rglob("*"):
        facts = path.lstat()
        what = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        # A folder's time is when something was last put in it, but where the tar says otherwise.
        time = None if path.is_dir() and not path.is_symlink() else facts.st_mtime
        found[str(path.relative_to(root))] = (oct(facts.st_mode), time, what)
    return found


class TestOthers:
    @pytest.mark.parametrize("codec", ["none", "gzip"])  # umoci 0.4.7 does not know zstd
    def test_umoci_unpacks_the_same_tree_as_we_do(self, codec: Codec, run, tmp_path: Path) -> None:
        image = image_of(codec)
        write_layout(image, tmp_path / "layout", "1")
        run("umoci", "unpack", "--rootless", "--image", "layout:1", "bundle")
        unpack(image.layers, tmp_path / "root")
        ours = entries(tmp_path / "root")
        assert ours == entries(tmp_path / "bundle/rootfs")
        assert sorted(ours) == sorted(
            ["etc", "etc/one", "lib", "n" * 120, "old", "old/new", "usr", "usr/lib", "usr/lib/a", "usr/lib/b", "é"]
        )

    def test_we_read_what_umoci_writes(self, run, tmp_path: Path) -> None:
        run("umoci", "init", "--layout", "layout")
        run("umoci", "new", "--image", "layout:new")
        (tmp_path / "file").write_text("inserted")
        run("umoci", "insert", "--rootless", "--image", "layout:new", "file", "/where/file")
        image = open_layout(tmp_path / "layout").artifact("new")
        assert isinstance(image, Image)
        assert validate(image) == []
        unpack(image.layers, tmp_path / "root")
        assert (tmp_path / "root/where/file").read_text() == "inserted"

    @pytest.mark.parametrize("codec", ["none", "gzip", "zstd"])
    def test_podman_loads_an_archive_under_its_names(self, codec: Codec, podman, tmp_path: Path) -> None:
        image = image_of(codec)
        write_archive(image, tmp_path / "one.tar", [NAME])
        write_archive(image, tmp_path / "two.tar", [NAME, OTHER])
        podman("load", "--input", "one.tar")
        podman("load", "--input", "two.tar")
        for name in (NAME, OTHER):
            (found,) = json.loads(podman("image", "inspect", str(name)))
            assert found["Id"] == image.manifest.config.digest.hex
            assert found["RootFS"]["Layers"] == [str(diff_id) for diff_id in image.config.diff_ids]

    def test_podman_loads_its_own_platform_of_an_index(self, index: ImageIndex, podman, tmp_path: Path) -> None:
        write_archive(index, tmp_path / "index.tar", [NAME])
        podman("load", "--input", "index.tar")
        machine = {"x86_64": 0, "aarch64": 1}[os.uname().machine]
        (found,) = json.loads(podman("image", "inspect", str(NAME)))
        assert found["Id"] == index.images[machine].manifest.config.digest.hex

    @pytest.mark.parametrize("format", ["oci-archive", "docker-archive", "oci-dir"])
    def test_we_read_what_podman_saves(self, format: str, image: Image, podman, tmp_path: Path) -> None:
        write_archive(image, tmp_path / "one.tar", [NAME])
        podman("load", "--input", "one.tar")
        podman("save", "--format", format, "--output", "saved", str(NAME))
        if format == "docker-archive":
            saved = open_docker_archive(tmp_path / "saved")
        else:
            saved = (open_layout if format == "oci-dir" else open_archive)(tmp_path / "saved").artifact()
        assert isinstance(saved, Image)
        assert (tars_of(saved), validate(saved)) == (tars_of(image), [])
        assert saved.config.run == image.config.run

    def test_buildah_builds_on_a_layout(self, image: Image, run, stored: list[str], tmp_path: Path) -> None:
        write_layout(image, tmp_path / "layout", "1")
        buildah = ["buildah", *stored]
        container = run(*buildah, "from", "--isolation", "chroot", "oci:layout:1").strip()
        found = json.loads(run(*buildah, "inspect", container))
        assert found["FromImageID"] == image.manifest.config.digest.hex
        run(*buildah, "config", "--label", "added=yes", container)
        run(*buildah, "commit", "--quiet", container, "oci:layout:built")
        built = open_layout(tmp_path / "layout").artifact("built")
        assert isinstance(built, Image)
        assert validate(built) == []
        assert built.config.run.labels["added"] == "yes"
        assert built.config.diff_ids[:2] == image.config.diff_ids
        run(*buildah, "rm", container)
        run(*buildah, "rmi", "--all", "--force")


def load(client: docker.DockerClient, data: bytes) -> None:
    for image in client.images.load(data):
        assert image.id


class TestDocker:
    @pytest.mark.parametrize("codec", ["none", "gzip"])  # Docker 20.10 does not know zstd
    def test_it_loads_an_archive_under_its_names(
        self, codec: Codec, engine: docker.DockerClient, tmp_path: Path
    ) -> None:
        image = image_of(codec)
        write_archive(image, tmp_path / "archive", [NAME, OTHER])
        load(engine, (tmp_path / "archive").read_bytes())
        for name in (NAME, OTHER):
            found = engine.api.inspect_image(str(name))
            assert found["Id"] == str(image.manifest.config.digest)
            assert found["RootFS"]["Layers"] == [str(diff_id) for diff_id in image.config.diff_ids]
            assert found["Config"]["Labels"] == {"label": "ü $x"}

    def test_it_loads_the_amd64_image_of_an_index(
        self, index: ImageIndex, engine: docker.DockerClient, tmp_path: Path
    ) -> None:
        write_archive(index, tmp_path / "archive", [NAME])
        load(engine, (tmp_path / "archive").read_bytes())
        assert engine.api.inspect_image(str(NAME))["Id"] == str(index.images[0].manifest.config.digest)

    def test_layers_that_it_has_may_be_left_out(self, image: Image, engine: docker.DockerClient) -> None:
        def archive(name: Reference, without: int) -> bytes:
            out = io.BytesIO()
            write_docker_archive(image, out, [name], without=set(image.config.diff_ids[:without]))
            return out.getvalue()

        with pytest.raises(docker.errors.ImageLoadError, match="no such file"):
            load(engine, archive(NAME, 2))
        assert engine.images.list(str(NAME)) == []
        load(engine, archive(NAME, 0))
        load(engine, archive(OTHER, 2))
        for name in (NAME, OTHER):
            assert engine.api.inspect_image(str(name))["Id"] == str(image.manifest.config.digest)

    def test_we_read_what_it_saves(self, image: Image, engine: docker.DockerClient, tmp_path: Path) -> None:
        write_archive(image, tmp_path / "archive", [NAME, OTHER])
        load(engine, (tmp_path / "archive").read_bytes())
        with (tmp_path / "saved").open("wb") as stream:
            for chunk in engine.api.get_image(str(OTHER)):
                stream.write(chunk)
        saved = open_docker_archive(tmp_path / "saved", OTHER)
        assert validate(saved) == []
        assert saved.config_data == image.config_data
        unpack(saved.layers, tmp_path / "theirs")
        unpack(image.layers, tmp_path / "ours")
        assert entries(tmp_path / "theirs") == entries(tmp_path / "ours")
