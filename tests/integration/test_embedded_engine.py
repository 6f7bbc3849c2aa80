"""The embedded engine with real models: what it builds is what the docker engine builds, and every tool takes it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from modelimg.oci.archive import open_docker_archive
from modelimg.oci.compression import decompressed
from modelimg.oci.files import ImageFiles
from modelimg.oci.image import RunConfig
from modelimg.oci.layout import open_archive, open_layout
from modelimg.oci.manifest import Image, ImageIndex
from modelimg.oci.validate import validate

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
    assert archived.image.config.created == config["Labels"]["org.opencontainers.image.created"]
    assert archived.image.config.created != docker.config.created  # the daemon stamps its clock


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


def test_a_loaded_image_predicts_like_the_model_did(archived: Archived, cli, client, serve, examples_of) -> None:
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
    if client.images.list("modelimg-test/embedded"):
        client.images.remove("modelimg-test/embedded:1", force=True)
    subprocess.run(["docker", "load", "--input", str(archived.path)], check=True, capture_output=True)
    assert client.api.inspect_image("modelimg-test/embedded:1")["Id"] == archived.metadata["images"][0]["image_id"]


def test_an_empty_daemon_is_sent_every_layer(archived: Archived, cli, start_daemon) -> None:
    daemon = start_daemon()
    options = ("--engine", "embedded", "--load", "--no-gate", "-t", "first:1")
    done = cli("build", archived.package, *options, env={"DOCKER_HOST": daemon.host})
    assert done.code == 0, done.err
    assert daemon.client.images.get("first:1").id == archived.metadata["images"][0]["image_id"]


@pytest.fixture
def podman() -> Iterator[list[str]]:
    """Podman with a store of its own."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as short:  # podman takes 50 characters
        yield [
            *("podman", "--runtime", "runc", "--storage-driver", "vfs"),
            *("--cgroup-manager", "cgroupfs", "--events-backend", "none"),
            *("--root", f"{short}/root", "--runroot", f"{short}/run", "--tmpdir", f"{short}/tmp"),
        ]


def test_podman_runs_it(archived: Archived, podman: list[str]) -> None:
    loaded = subprocess.run([*podman, "load", "--input", str(archived.path)], capture_output=True, text=True)
    assert loaded.returncode == 0, loaded.stderr
    limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]  # podman's own are above what CI permits
    locked = ["--rm", "--network", "none", "--read-only", "--cap-drop", "all", *limits]
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


@pytest.fixture(scope="module")
def for_both(cli, penguins: Path) -> Path:
    """A package that is locked for two platforms."""
    package = penguins.parent / "for-both"
    options = ("--platform", "linux/amd64,linux/arm64")
    packed = cli("pack", "-f", "modelimg.toml", "-o", package, *options, cwd=penguins.parent)
    assert packed.code == 0, packed.err
    return package


def test_two_platforms_go_behind_one_index_and_share_what_is_the_same(cli, for_both: Path, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    options = ("--platform", "linux/amd64,linux/arm64", "--output", f"oci:{layout}", "--no-gate", "-t", "both:1")
    done = cli("build", for_both, *options, "--bytecode", "none", "--json")
    assert done.code == 0, done.err
    index = open_layout(layout).artifact("1")
    assert isinstance(index, ImageIndex)
    assert validate(index) == []
    amd64, arm64 = index.images
    assert [str(image.config.platform) for image in index.images] == ["linux/amd64", "linux/arm64"]
    assert [entry["platform"] for entry in done.json["images"]] == ["linux/amd64", "linux/arm64"]
    shared = {layer.digest for layer in amd64.manifest.layers} & {layer.digest for layer in arm64.manifest.layers}
    steps = [step.created_by.split()[-1] for step in amd64.config.history]
    digests = dict(zip(steps, (layer.digest for layer in amd64.manifest.layers), strict=True))
    assert shared == {digests["runtime"], digests["code"], digests["model"]}
    assert len(shared) == 3
    for architecture in ("amd64", "arm64"):
        command = ["skopeo", "--override-arch", architecture, "inspect", "--config", f"oci:{layout}:1"]
        shown = subprocess.run(command, capture_output=True, text=True, check=True)
        assert json.loads(shown.stdout)["architecture"] == architecture
    machines = {path.name.split("-linux-gnu")[0].rpartition("-")[2] for path in libraries(arm64)}
    assert machines == {"aarch64"}


def libraries(image: Image) -> list[Path]:
    """Extension modules of NumPy in an image."""
    names = ImageFiles(image.layers).names("/modelimg/venv/lib/python3.11/site-packages/numpy")
    return [Path(name) for name in names if name.endswith(".so")]


def test_byte_code_is_for_the_platforms_that_run_here(cli, for_both: Path, tmp_path: Path) -> None:
    options = ("--platform", "linux/amd64,linux/arm64", "--output", f"oci:{tmp_path}/layout", "-t", "both:1")
    done = cli("build", for_both, *options, "--json")
    assert done.code == 0, done.err
    assert "gets no byte code" in done.err
    assert "the gate was not run for linux/arm64" in done.err
    assert done.json["gate"] == {"how": "namespace", "passed": True}
    with_it = {entry["platform"]: len(entry["layers"]) for entry in done.json["images"]}
    assert with_it == {"linux/amd64": 6, "linux/arm64": 5}
    refused = cli("build", for_both, *options, "--bytecode", "imported")
    assert refused.code == 1
    assert "--bytecode none" in refused.err


def test_a_platform_without_a_lock_is_refused_and_nothing_is_written(cli, archived: Archived, tmp_path: Path) -> None:
    options = ("--platform", "linux/amd64,linux/arm64", "--output", f"oci:{tmp_path}/layout", "--no-gate")
    done = cli("build", archived.package, *options)
    assert done.code == 1
    assert "pack again with --platform linux/arm64" in done.err
    assert not (tmp_path / "layout").exists()


def test_without_a_daemon_auto_is_embedded_and_the_image_goes_to_a_file(
    archived: Archived, cli, tmp_path: Path
) -> None:
    nowhere = {"DOCKER_HOST": f"unix://{tmp_path}/absent.sock"}
    done = cli("build", archived.package, "--json", "-t", "modelimg-test/embedded:1", cwd=tmp_path, env=nowhere)
    assert done.code == 0, done.err
    assert "no Docker daemon answers" in done.err
    assert done.json["engine"] == "embedded"
    written = open_archive(tmp_path / "embedded-1.tar").artifact(None)
    assert str(written.descriptor.digest) == archived.metadata["images"][0]["manifest_digest"]


FORBID = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'


def test_where_namespaces_are_forbidden_the_gate_runs_on_a_python_of_the_host(
    archived: Archived, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "modelimg", "build", str(archived.package), "--engine", "embedded", "--json"]
    options = ["--bytecode", "none", "--output", f"oci-archive:{tmp_path}/image.tar", "-t", "other:1"]
    forbidding = ["unshare", "--user", "--map-root-user", "sh", "-c", FORBID, "-"]
    done = subprocess.run([*forbidding, *command, *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["gate"] == {"how": "host", "passed": True}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--engine", "docker", "--output", "oci:x"], 2, "the docker engine writes no --output"),
        (["--engine", "docker", "--compression", "zstd"], 2, "leaves compression to the daemon"),
        (["--engine", "docker", "--base", "oci:base"], 2, "takes bases from its daemon"),
        (["--output", "docker://x:1"], 2, "is no file or folder"),
        (["--output", "x:1"], 2, "is no file or folder"),
        (["--output", "oci:"], 2, "names no file or folder"),
        (["--output", "oci:."], 2, "holds something that is no OCI layout"),
        (["--engine", "embedded", "--base", "oci:absent"], 1, "absent"),
        (["--engine", "embedded", "--base", "oci-archive:absent.tar"], 1, "absent.tar"),
        (["--engine", "embedded", "--template", "Own.j2"], 1, "RUN"),
        (["--engine", "embedded", "--bytecode", "all"], 2, "all"),
        (["--engine", "embedded", "--push", "-t", "127.0.0.1:9/x:1"], 1, "127.0.0.1:9"),
    ],
)
def test_what_cannot_be_is_refused_by_name_and_nothing_is_written(
    archived: Archived, cli, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    (tmp_path / "Own.j2").write_text('{% extends "Dockerfile.j2" %}{% block after_layers %}RUN true\n{% endblock %}')
    (tmp_path / "mine").write_text("not an image")
    refused = cli("build", archived.package, "--no-gate", *arguments, cwd=tmp_path)
    assert refused.code == code, refused.err
    assert message in refused.err
    assert "Traceback" not in refused.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Own.j2", "mine"]


def test_the_demo_needs_no_daemon_and_no_podman(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("bash", "cat", "dirname", "env", "kill", "ls", "mktemp", "rm", "seq", "sleep"):
        (programs / name).symlink_to(shutil.which(name))
    demo = Path(__file__).parents[2] / "examples/demo"
    environment = {**os.environ, "PATH": str(programs), "TMPDIR": str(tmp_path)}
    command = [str(programs / "bash"), str(demo), str(Path(sys.executable).parent)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "there is neither Docker nor podman here" in done.stdout
    assert '"engine": "embedded"' in done.stdout
    assert "HTTP 200" in done.stdout
    assert "HTTP 422" in done.stdout
    assert "model.name" in done.stdout
