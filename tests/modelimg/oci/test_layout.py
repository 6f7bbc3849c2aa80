"""OCI layouts and archives of them: what is written is read back, and a write that fails leaves nothing."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import BinaryIO

import pytest

from modelimg.errors import DigestMismatch, ImageError, UsageError
from modelimg.oci.blob import Blob, read_blob
from modelimg.oci.layout import open_archive, open_layout, write_archive, write_layout
from modelimg.oci.manifest import Artifact, Image, ImageIndex
from modelimg.oci.values import Digest, Reference
from small_images import everything_of, files_in, files_of_tar

NAME = Reference.parse("team/model:1")
REF_NAME = "org.opencontainers.image.ref.name"


class TestRoundTrip:
    @pytest.mark.parametrize("kind", ["image", "index"])
    def test_a_layout_gives_back_what_was_written(self, kind: str, request, tmp_path: Path) -> None:
        artifact = request.getfixturevalue(kind)
        write_layout(artifact, tmp_path / "made/here", "1.0")
        layout = open_layout(tmp_path / "made/here")
        assert everything_of(layout.artifact("1.0")) == everything_of(layout.artifact()) == everything_of(artifact)
        assert layout.tags == ("1.0",)
        assert layout.entries[0].digest == artifact.descriptor.digest

    @pytest.mark.parametrize("kind", ["image", "index"])
    @pytest.mark.parametrize("names", [[], ["a:1"], ["a:1", "example.com/b"], ["a:1", "b:1"]])
    def test_an_archive_gives_back_what_was_written(self, kind: str, names: list[str], request, tmp_path: Path) -> None:
        artifact = request.getfixturevalue(kind)
        path = tmp_path / "made/here.tar"
        write_archive(artifact, path, [Reference.parse(name) for name in names])
        layout = open_archive(path)
        tags = tuple(sorted({name.partition(":")[2] or "latest" for name in names}))
        assert layout.tags == tags
        for tag in (None, *tags):
            assert everything_of(layout.artifact(tag)) == everything_of(artifact)

    def test_every_document_is_valid_by_the_published_schemas(
        self, image: Image, index: ImageIndex, check_schema, tmp_path: Path
    ) -> None:
        for number, artifact in enumerate((image, index)):
            write_layout(artifact, tmp_path / f"layout-{number}", "a")
            write_layout(artifact, tmp_path / f"layout-{number}", None)
            write_archive(artifact, tmp_path / f"archive-{number}", [NAME])
            archive = files_of_tar(tmp_path / f"archive-{number}")
            for documents in (files_in(tmp_path / f"layout-{number}"), archive):
                check_schema("image-layout", documents["oci-layout"])
                check_schema("image-index", documents["index.json"])
        check_schema("image-index", index.data)
        for one in index.images:
            check_schema("image-manifest", one.manifest_data)
            check_schema("config", one.config_data)

    def test_a_shared_layer_is_stored_once(self, index: ImageIndex, tmp_path: Path) -> None:
        write_archive(index, tmp_path / "archive", [NAME])
        with tarfile.open(tmp_path / "archive") as tar:
            names = [info.name for info in tar if info.isfile()]
        assert len(names) == len(set(names)) == 3 + 3 + 2 + 2 + 1  # documents, layers, configs, manifests, the index


class TestArchive:
    def test_docker_finds_its_manifest_and_containerd_its_names(self, image: Image, tmp_path: Path) -> None:
        names = [Reference.parse(text) for text in ("model", "team/model:1", "example.com:5000/x:2", "docker.io/y:3")]
        write_archive(image, tmp_path / "archive", names)
        found = files_of_tar(tmp_path / "archive")
        (entry,) = json.loads(found["manifest.json"])
        assert entry["RepoTags"] == ["model:latest", "team/model:1", "example.com:5000/x:2", "docker.io/y:3"]
        assert found[entry["Config"]] == image.config_data
        assert [Digest.of(found[layer]) for layer in entry["Layers"]] == list(image.config.diff_ids)
        assert [each["annotations"] for each in json.loads(found["index.json"])["manifests"]] == [
            {REF_NAME: "latest", "io.containerd.image.name": "docker.io/library/model:latest"},
            {REF_NAME: "1", "io.containerd.image.name": "docker.io/team/model:1"},
            {REF_NAME: "2", "io.containerd.image.name": "example.com:5000/x:2"},
            {REF_NAME: "3", "io.containerd.image.name": "docker.io/library/y:3"},
        ]

    def test_docker_gets_the_amd64_image_of_an_index_or_else_the_first(
        self, image: Image, make_image, make_tar, tmp_path: Path
    ) -> None:
        before = make_image(make_tar(("x", b"")), platform="linux/386")
        both = ImageIndex.assemble([image, before])
        assert both.images[0] is before
        write_archive(both, tmp_path / "archive", [])
        found = files_of_tar(tmp_path / "archive")
        assert found[json.loads(found["manifest.json"])[0]["Config"]] == image.config_data
        others = [make_image(make_tar(("x", b"")), platform=f"linux/{each}") for each in ("riscv64", "arm64")]
        write_archive(ImageIndex.assemble(others), tmp_path / "others", [])
        found = files_of_tar(tmp_path / "others")
        assert found[json.loads(found["manifest.json"])[0]["Config"]] == others[1].config_data

    def test_the_bytes_depend_on_the_image_and_its_names_only(self, image: Image, tmp_path: Path) -> None:
        write_archive(image, tmp_path / "one", [NAME])
        before = os.umask(0o077)
        try:
            write_archive(image, tmp_path / "two", [NAME])
        finally:
            os.umask(before)
        assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
        with tarfile.open(tmp_path / "one") as tar:
            facts = {(i.mtime, i.uid, i.gid, i.uname, i.gname, i.mode, i.isdir()) for i in tar}
        assert facts == {(315532800, 0, 0, "", "", 0o644, False), (315532800, 0, 0, "", "", 0o755, True)}

    def test_an_archive_that_is_there_is_replaced(self, image: Image, index: ImageIndex, tmp_path: Path) -> None:
        write_archive(image, tmp_path / "archive", [])
        write_archive(index, tmp_path / "archive", [])
        assert everything_of(open_archive(tmp_path / "archive").artifact()) == everything_of(index)

    def test_a_folder_in_its_place_is_refused(self, image: Image, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="is a folder, and an archive is a file"):
            write_archive(image, tmp_path, [])


class TestAddingToALayout:
    def test_other_tags_stay_and_the_same_tag_moves(self, image: Image, index: ImageIndex, tmp_path: Path) -> None:
        for artifact, tag in ((image, "1"), (index, "2"), (image, None), (index, "1"), (index, None)):
            write_layout(artifact, tmp_path / "layout", tag)
        layout = open_layout(tmp_path / "layout")
        assert [
            (entry.annotations.get(REF_NAME), entry.digest == index.descriptor.digest) for entry in layout.entries
        ] == [
            ("2", True),
            ("1", True),
            (None, True),
        ]

    def test_what_others_noted_in_the_index_stays(self, image: Image, tmp_path: Path) -> None:
        write_layout(image, tmp_path, "1")
        value = json.loads((tmp_path / "index.json").read_bytes())
        value["annotations"] = {"their": "note"}
        value["manifests"][0]["urls"] = ["https://example.com"]
        (tmp_path / "index.json").write_text(json.dumps(value, indent=4))
        write_layout(image, tmp_path, "2")
        after = json.loads((tmp_path / "index.json").read_bytes())
        assert after["annotations"] == {"their": "note"}
        assert after["manifests"][0] == value["manifests"][0]

    def test_a_damaged_blob_that_is_there_is_mended_and_a_sound_one_is_left(self, image: Image, tmp_path: Path) -> None:
        write_layout(image, tmp_path, "1")
        first, second = (tmp_path / f"blobs/sha256/{layer.descriptor.digest.hex}" for layer in image.layers)
        data = bytearray(first.read_bytes())
        data[7] ^= 1
        first.write_bytes(data)
        inode = second.stat().st_ino
        write_layout(image, tmp_path, "1")
        assert everything_of(open_layout(tmp_path).artifact()) == everything_of(image)
        assert second.stat().st_ino == inode

    def test_an_empty_folder_and_an_unfinished_layout_become_layouts(self, image: Image, tmp_path: Path) -> None:
        write_layout(image, tmp_path, "1")
        (tmp_path / "index.json").unlink()
        write_layout(image, tmp_path, "1")
        assert everything_of(open_layout(tmp_path).artifact("1")) == everything_of(image)

    @pytest.mark.parametrize("name", ["notes.txt", "index.json", "blobs/x"])
    def test_a_folder_of_something_else_is_refused_and_left_alone(
        self, name: str, image: Image, tmp_path: Path
    ) -> None:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
        with pytest.raises(UsageError, match="holds something that is no OCI layout"):
            write_layout(image, tmp_path, "1")
        assert files_in(tmp_path) == {name: b"mine"}

    def test_a_file_or_a_broken_link_in_the_way_is_refused(self, image: Image, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("mine")
        (tmp_path / "link").symlink_to("nowhere")
        for name in ("file", "link"):
            with pytest.raises(UsageError, match="is no folder"):
                write_layout(image, tmp_path / name, "1")

    def test_a_layout_of_a_version_to_come_is_refused(self, image: Image, tmp_path: Path) -> None:
        (tmp_path / "oci-layout").write_text('{"imageLayoutVersion": "2.0.0"}')
        with pytest.raises(ImageError, match=r"version 2\.0\.0"):
            write_layout(image, tmp_path, "1")


def test_all_may_read_what_is_written_whatever_the_umask(image: Image, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write_layout(image, tmp_path / "layout", "1")
        write_archive(image, tmp_path / "archive", [])
    finally:
        os.umask(before)
    modes = {oct(path.stat().st_mode & 0o777) for path in tmp_path.rglob("*") if path.is_file()}
    assert modes == {"0o644"}
    assert {oct(path.stat().st_mode & 0o777) for path in tmp_path.rglob("*") if path.is_dir()} == {"0o755"}


class Faulty:
    """A blob that fails in the middle."""

    def __init__(self, blob: Blob, how: str) -> None:
        self.descriptor, self._data, self._how = blob.descriptor, read_blob(blob), how

    def open(self) -> BinaryIO:
        if self._how == "unopened":
            raise OSError("the disk is gone")
        if self._how == "short":
            return io.BytesIO(self._data[:-1])
        if self._how == "wrong":
            return io.BytesIO(self._data[:-1] + b"!")
        return _Breaking(self._data)  # type: ignore[return-value]


class _Breaking(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        if self.tell():
            raise OSError("the disk is gone")
        return super().read(100)


@pytest.mark.parametrize("how", ["unopened", "breaking", "short", "wrong"])
@pytest.mark.parametrize("number", [0, 1])
class TestInterruptedWrites:
    def test_nothing_appears_and_nothing_is_left(self, how: str, number: int, image: Image, tmp_path: Path) -> None:
        for write in (write_layout_at, write_archive_at):
            with pytest.raises((OSError, DigestMismatch)):
                write(broken(image, number, how), tmp_path / "out")
            assert list(tmp_path.iterdir()) == []
        write_layout_at(image, tmp_path / "out")
        assert everything_of(open_layout(tmp_path / "out").artifact()) == everything_of(image)

    def test_what_was_there_stays(
        self, how: str, number: int, image: Image, make_image, make_tar, tmp_path: Path
    ) -> None:
        write_layout_at(make_image(make_tar(("other", b""))), tmp_path / "layout")
        write_archive_at(make_image(make_tar(("other", b""))), tmp_path / "archive")
        before = files_in(tmp_path)
        for write, name in ((write_layout_at, "layout"), (write_archive_at, "archive")):
            with pytest.raises((OSError, DigestMismatch)):
                write(broken(image, number, how), tmp_path / name)
        after = files_in(tmp_path)
        assert {name: after[name] for name in before} == before
        new = {name.removeprefix("layout/blobs/sha256/") for name in after.keys() - before.keys()}
        assert new <= {layer.descriptor.digest.hex for layer in image.layers[:number]}


def broken(image: Image, number: int, how: str) -> Image:
    layers: list[Blob] = list(image.layers)
    layers[number] = Faulty(layers[number], how)
    return Image(image.manifest_data, image.config_data, tuple(layers))


def write_layout_at(artifact: Artifact, path: Path) -> None:
    write_layout(artifact, path, "1")


def write_archive_at(artifact: Artifact, path: Path) -> None:
    write_archive(artifact, path, [NAME])


DYING = """
import io, os, resource, signal, sys
from pathlib import Path
from modelimg.oci.layout import open_archive, write_archive, write_layout
from modelimg.oci.manifest import Image

class Dying(io.BytesIO):
    def read(self, size=-1):
        if self.tell():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(1000)

class DyingBlob:
    def __init__(self, blob):
        self.descriptor, self.blob = blob.descriptor, blob
    def open(self):
        return Dying(self.blob.open().read())

source, how, out = sys.argv[1:]
image = open_archive(Path(source)).artifact()
if how.startswith("killed"):
    image = Image(image.manifest_data, image.config_data, (image.layers[0], DyingBlob(image.layers[1])))
else:
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
try:
    if how.endswith("archive"):
        write_archive(image, Path(out), [])
    else:
        write_layout(image, Path(out), "1")
except OSError as error:
    sys.exit(error.strerror)
"""


@pytest.mark.parametrize("how", ["killed archive", "killed layout", "full archive", "full layout"])
def test_after_a_kill_or_a_full_disk_the_next_write_succeeds(how: str, image: Image, tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "made/out"
    write_archive(image, source, [])
    out.parent.mkdir()
    command = [sys.executable, "-c", DYING, str(source), how, str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    if how.startswith("killed"):
        assert done.returncode == -9, done.stderr
    else:
        assert (done.returncode, done.stderr) == (1, "File too large\n")
        assert list(out.parent.iterdir()) == []
    assert not out.exists()
    write, read = (write_archive_at, open_archive) if how.endswith("archive") else (write_layout_at, open_layout)
    write(image, out)
    assert everything_of(read(out).artifact()) == everything_of(image)


WRITING = """
import sys
from pathlib import Path
from modelimg.oci.layout import open_archive, write_archive, write_layout

source, out, number = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
artifact = open_archive(source).artifact()
sys.stdin.read(1)
for repeat in range(5):
    write_layout(artifact, out / "layout", f"{number}-{repeat}")
    write_layout(artifact, out / f"new-{repeat}", number)
    write_archive(artifact, out / "archive", [])
"""


def test_many_processes_may_write_to_one_place_at_once(index: ImageIndex, tmp_path: Path) -> None:
    write_archive(index, tmp_path / "source", [])
    (tmp_path / "out").mkdir()
    command = [sys.executable, "-c", WRITING, str(tmp_path / "source"), str(tmp_path / "out")]
    started = [subprocess.Popen([*command, str(number)], stdin=subprocess.PIPE) for number in range(4)]
    for process in started:
        assert process.stdin
        process.stdin.close()  # off they go
    assert [process.wait(60) for process in started] == [0] * 4
    layout = open_layout(tmp_path / "out/layout")
    assert layout.tags == tuple(f"{number}-{repeat}" for number in range(4) for repeat in range(5))
    assert everything_of(layout.artifact("3-4")) == everything_of(index)
    for repeat in range(5):
        assert open_layout(tmp_path / f"out/new-{repeat}").tags == ("0", "1", "2", "3")
    assert everything_of(open_archive(tmp_path / "out/archive").artifact()) == everything_of(index)
    assert not list((tmp_path / "out").rglob(".*"))
