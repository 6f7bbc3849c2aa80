"""The embedded engine with real models: what it builds is what the docker engine builds, and every tool takes it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from modelimg.oci.archive import open_docker_archive
from modelimg.oci.compression import decompressed
from modelimg.oci.image import RunConfig
from modelimg.oci.layout import open_archive
from modelimg.oci.manifest import Image
from modelimg.oci.validate import validate
from modelimg_runtime import contract

pytestmark = pytest.mark.engine


@dataclass
class Archived:
    """An image that the embedded engine wrote to an archive."""

    path: Path
    metadata: dict[str, Any]
    package: Path

    @property
    def image(self) -> Image:
        found = open_archive(self.path).artifact(None)
        assert isinstance(found, Image)
        return found


@pytest.fixture(scope="module")
def archived(cli, breast_cancer: Path, tmp_path_factory: pytest.TempPathFactory) -> Archived:
    folder = tmp_path_factory.mktemp("embedded")
    path = folder / "image.tar"
    done = cli(
        *("build", breast_cancer, "-t", "modelimg-test/embedded:1", "--engine", "embedded"),
        *("--output", f"oci-archive:{path}", "--metadata-file", folder / "metadata.json"),
    )
    assert done.code == 0, done.err
    return Archived(path, json.loads((folder / "metadata.json").read_text()), breast_cancer)


@dataclass(frozen=True)
class Node:
    """One thing in a root filesystem."""

    kind: bytes
    mode: int
    owner: tuple[int, int]
    mtime: int
    target: str
    content: str


def root_filesystem(image: Image) -> dict[str, Node]:
    """The files of an image, layer over layer; images of ours have no whiteouts."""
    found: dict[str, Node] = {}
    for layer in image.layers:
        with decompressed(layer) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                name = member.name.removeprefix("./").rstrip("/")
                assert not name.rpartition("/")[2].startswith(".wh.")
                reader = archive.extractfile(member) if member.isreg() else None
                content = hashlib.sha256(reader.read()).hexdigest() if reader else ""
                found[name] = Node(
                    member.type,
                    member.mode & 0o7777,
                    (member.uid, member.gid),
                    int(member.mtime),
                    member.linkname,
                    content,
                )
    return found


def test_both_engines_make_the_same_root_filesystem_and_run_config(
    archived: Archived, built, client, tmp_path: Path
) -> None:
    saved = tmp_path / "saved.tar"
    subprocess.run(["docker", "save", "--output", str(saved), built.name], check=True)
    docker = open_docker_archive(saved, None)
    ours, theirs = root_filesystem(archived.image), root_filesystem(docker)
    assert len(ours) > 5000
    assert ours.keys() == theirs.keys()
    assert {name: (ours[name], theirs[name]) for name in ours if ours[name] != theirs[name]} == {}
    config = client.api.inspect_image(built.name)["Config"]
    assert archived.image.config.run == RunConfig.from_dict(config)
    assert (
        archived.image.config.created == docker.config.created or docker.config.created
    )  # the daemon stamps its clock


def test_the_archive_is_whole(archived: Archived) -> None:
    assert validate(archived.image) == []
    (entry,) = archived.metadata["images"]
    assert archived.metadata["engine"] == "embedded"
    assert entry["manifest_digest"] == str(archived.image.descriptor.digest)
    assert entry["image_id"] == str(archived.image.manifest.config.digest)
    assert entry["layers"] == [str(diff_id) for diff_id in archived.image.config.diff_ids]


def test_nothing_of_this_host_is_in_a_layer(archived: Archived) -> None:
    """Names of people and folders; a short user name such as ``root`` stands in many a file for good reasons."""
    needles = [str(archived.package).encode(), str(Path(__file__).parents[2]).encode(), os.uname().nodename.encode()]
    for layer in archived.image.layers:
        with decompressed(layer) as stream:
            data = stream.read()
        assert [needle for needle in needles if len(needle) > 6 and needle in data] == []


def examples_of(package: Path) -> tuple[list[dict[str, Any]], list[Any]]:
    examples = json.loads((package / contract.EXAMPLES).read_text())
    return [dict(zip(examples["columns"], row, strict=True)) for row in examples["rows"]], examples["predictions"]


def test_a_loaded_image_predicts_like_the_model_did(archived: Archived, cli, client, serve, tmp_path: Path) -> None:
    name = "modelimg-test/loaded:1"
    done = cli("build", archived.package, "-t", name, "--engine", "embedded", "--load", "--no-gate")
    assert done.code == 0, done.err
    facts = client.api.inspect_image(name)
    assert facts["Id"] == archived.metadata["images"][0]["image_id"]
    assert facts["RootFS"]["Layers"] == archived.metadata["images"][0]["layers"]
    rows, predictions = examples_of(archived.package)
    answer = httpx.post(f"{serve(name).url}/predict", json={"rows": rows}, timeout=30)
    assert answer.json()["predictions"] == predictions


def test_docker_loads_the_archive_itself(archived: Archived, client) -> None:
    client.images.remove("modelimg-test/embedded:1", force=True) if client.images.list(
        "modelimg-test/embedded"
    ) else None
    subprocess.run(["docker", "load", "--input", str(archived.path)], check=True, capture_output=True)
    assert client.api.inspect_image("modelimg-test/embedded:1")["Id"] == archived.metadata["images"][0]["image_id"]


def test_an_empty_daemon_is_sent_every_layer(archived: Archived, cli, start_daemon) -> None:
    daemon = start_daemon()
    options = ("--engine", "embedded", "--load", "--no-gate", "-t", "first:1")
    done = cli("build", archived.package, *options, env={"DOCKER_HOST": daemon.host})
    assert done.code == 0, done.err
    assert daemon.client.images.get("first:1").id == archived.metadata["images"][0]["image_id"]


@pytest.fixture
def podman(tmp_path: Path) -> Iterator[list[str]]:
    """Podman with a store of its own."""
    short = Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip())
    yield [
        *("podman", "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "none"),
        *("--root", str(short / "root"), "--runroot", str(short / "run"), "--tmpdir", str(short / "tmp")),
    ]
    shutil.rmtree(short, ignore_errors=True)


def test_podman_runs_it(archived: Archived, podman: list[str]) -> None:
    loaded = subprocess.run([*podman, "load", "--input", str(archived.path)], capture_output=True, text=True)
    assert loaded.returncode == 0, loaded.stderr
    locked = [
        "--rm",
        "--network",
        "none",
        "--read-only",
        "--cap-drop",
        "all",
        "--cgroups",
        "disabled",
        "--ulimit",
        "host",
    ]
    command = [*podman, "run", *locked, "docker.io/modelimg-test/embedded:1", "selftest"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["passed"] is True


def test_buildah_and_umoci_take_it(archived: Archived, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    subprocess.run(["skopeo", "copy", "--quiet", f"oci-archive:{archived.path}", f"oci:{layout}:1"], check=True)
    unpack = ["umoci", "unpack", "--image", f"{layout}:1", str(tmp_path / "bundle")]
    subprocess.run(unpack, check=True, capture_output=True)
    unpacked = tmp_path / "bundle/rootfs/modelimg"
    assert (unpacked / "model/model.joblib").read_bytes() == (archived.package / "model.joblib").read_bytes()
    store = ["--storage-driver", "vfs", "--root", str(tmp_path / "root"), "--runroot", str(tmp_path / "run")]
    made = subprocess.run(["buildah", *store, "from", f"oci:{layout}:1"], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    shown = subprocess.run(
        ["buildah", *store, "inspect", made.stdout.strip()], capture_output=True, text=True, check=True
    )
    assert json.loads(shown.stdout)["OCIv1"]["config"]["Labels"]["io.modelimg.model.name"] == "breast-cancer"


def test_every_output_is_the_same_image(archived: Archived, cli, tmp_path: Path) -> None:
    outputs = [f"oci:{tmp_path}/layout", f"oci-archive:{tmp_path}/a.tar", f"docker-archive:{tmp_path}/d.tar"]
    options = [part for output in outputs for part in ("--output", output)]
    done = cli("build", archived.package, "-t", "x:1", "--no-gate", *options)
    assert done.code == 0, done.err
    digest = archived.metadata["images"][0]["manifest_digest"]
    for name in (f"oci:{tmp_path}/layout:1", f"oci-archive:{tmp_path}/a.tar"):
        shown = subprocess.run(["skopeo", "inspect", name], capture_output=True, text=True, check=True)
        assert json.loads(shown.stdout)["Digest"] == digest
    with_docker = open_docker_archive(tmp_path / "d.tar", None)
    assert str(with_docker.manifest.config.digest) == archived.metadata["images"][0]["image_id"]


def test_two_platforms_go_behind_one_index(cli, archived: Archived, tmp_path: Path) -> None:
    package = tmp_path / "package"
    shutil.copytree(archived.package, package)
    done = cli(
        "build", package, "--platform", "linux/amd64,linux/arm64", "--output", f"oci:{tmp_path}/layout", "--no-gate"
    )
    assert done.code == 1
    assert "pack again with --platform linux/arm64" in done.err
    assert not (tmp_path / "layout").exists()
