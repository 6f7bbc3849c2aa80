"""Reading images back from wherever they are: the same is said of the same image, and what cannot be read is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from modelimg.cache import ENV_CACHE_DIR, Cache
from modelimg.engines.embedded import EmbeddedEngine
from modelimg.errors import FetchError, ImageError, ModelimgError
from modelimg.fetch import Fetcher
from modelimg.inspect import ImageReport, inspect_image
from modelimg.labels import OWN
from modelimg.oci.archive import write_docker_archive
from modelimg.oci.image import RunConfig
from modelimg.oci.manifest import Image, ImageIndex
from modelimg.oci.names import ImageName
from modelimg.oci.values import Platform, Reference
from modelimg.plan import make_plan
from modelimg.tables import print_report
from modelimg_runtime import contract
from registry_server import ScriptedRegistry
from small_images import AMD64, ARM64, image_of, in_archive, in_layout, python_base, stored, with_layer

CREATED = "2026-01-02T03:04:05Z"
METRICS = {"test": {"accuracy": 0.1 + 0.2}}


@pytest.fixture
def read(own: Fetcher) -> Callable[..., ImageReport]:
    def read(name: str, platform: Platform | None = None, fetcher: Fetcher = own) -> ImageReport:
        return inspect_image(ImageName.parse(name), platform, fetcher)

    return read


@pytest.fixture
def model_image(write_package, base, tmp_path: Path) -> Image:
    plan = make_plan(write_package(), base, tags=["tiny:1"], created=CREATED)
    image = EmbeddedEngine(Fetcher(Cache(tmp_path / "builder")), print).build(plan).image
    assert image is not None
    return image


def for_arm(image: Image) -> Image:
    return Image.assemble(replace(image.config, platform=ARM64), image.layers)


def test_wherever_an_image_is_the_same_is_said_of_it(
    registry: ScriptedRegistry, model_image: Image, read: Callable[..., ImageReport], tmp_path: Path
) -> None:
    digest = str(stored(registry, "team/tiny", model_image, "1"))
    with (tmp_path / "saved.tar").open("wb") as stream:
        write_docker_archive(model_image, stream, [Reference.parse("tiny:1")])
    names = {
        f"docker://{registry.host}/team/tiny:1": digest,
        f"docker://{registry.host}/team/tiny@{digest}": digest,
        in_layout(model_image, tmp_path / "layout", "1"): digest,
        in_archive(model_image, tmp_path / "archive.tar", "tiny:1"): digest,
        f"docker-archive:{tmp_path}/saved.tar": None,
    }
    reports = {name: read(name).to_dict() for name in names}
    for name, manifest_digest in names.items():
        assert reports[name].pop("reference") == name
        assert reports[name].pop("manifest_digest") == manifest_digest
    first, *others = reports.values()
    assert all(report == first for report in others)
    assert first["image_id"] == str(model_image.manifest.config.digest)
    assert first["platform"] == "linux/amd64"
    assert first["layers"] == [str(diff_id) for diff_id in model_image.config.diff_ids]
    assert first["labels"][OWN + "model.name"] == "tiny"
    assert first["metrics"] == METRICS
    assert first["contract"] == {"input": {}, "output": {}}
    assert first["package"]["name"] == "tiny"
    assert first["size"] == sum(layer.descriptor.size for layer in model_image.layers)


def test_only_the_layer_that_holds_the_model_is_fetched(
    registry: ScriptedRegistry, model_image: Image, read: Callable[..., ImageReport]
) -> None:
    stored(registry, "tiny", model_image, "1")
    read(f"docker://{registry.host}/tiny:1")
    blobs = [line for line in registry.lines("GET") if "/blobs/" in line]
    config, model = model_image.manifest.config.digest, model_image.layers[-1].descriptor.digest
    assert blobs == [f"GET /v2/tiny/blobs/{config}", f"GET /v2/tiny/blobs/{model}"]


def test_what_a_layer_above_the_model_changed_is_what_is_read(
    model_image: Image, read: Callable[..., ImageReport], tmp_path: Path
) -> None:
    changed = with_layer(model_image, {f"modelimg/model/{contract.METRICS}": b'{"test": {"accuracy": 1}}'})
    report = read(in_layout(changed, tmp_path / "layout"))
    assert report.metrics == {"test": {"accuracy": 1}}
    hidden = with_layer(model_image, {f"modelimg/model/.wh.{contract.METRICS}": b""})
    assert read(in_layout(hidden, tmp_path / "hidden")).metrics == {}


def test_what_was_read_once_is_read_again_offline(
    registry: ScriptedRegistry, model_image: Image, read: Callable[..., ImageReport], offline: Fetcher
) -> None:
    stored(registry, "tiny", model_image, "1")
    name = f"docker://{registry.host}/tiny:1"
    first = read(name)
    registry.requests.clear()
    assert read(name, fetcher=offline) == first
    assert registry.requests == []


def test_of_an_index_the_platform_that_was_asked_for_is_read(
    model_image: Image, read: Callable[..., ImageReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = in_layout(ImageIndex.assemble([model_image, for_arm(model_image)]), tmp_path / "both")
    assert read(name, ARM64).platform == "linux/arm64"
    assert read(name, AMD64).platform == "linux/amd64"
    for machine in (AMD64, ARM64):
        monkeypatch.setattr("modelimg.images._host_platform", lambda machine=machine: machine)
        assert read(name).platform == str(machine)


def without_label(image: Image) -> Image:
    labels = {key: value for key, value in image.config.run.labels.items() if key != OWN + "version"}
    return Image.assemble(replace(image.config, run=replace(image.config.run, labels=labels)), image.layers)


def labelled_only(image: Image) -> Image:
    return image_of({"etc/motd": b""}, run=image.config.run)


def changed(file: str, data: bytes) -> Callable[[Image], Image]:
    return lambda image: with_layer(image, {f"modelimg/model/{file}": data})


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (without_label, "carries no io.modelimg.version label: modelimg did not build it"),
        (lambda image: python_base(), "modelimg did not build it"),
        (labelled_only, "has the labels of a model image, but no /modelimg/model/modelimg.json"),
        (lambda image: with_layer(image, {"modelimg/model/.wh.modelimg.json": b""}), "but no /modelimg/model"),
        (changed(contract.MANIFEST, b"{}"), "holds a damaged model package"),
        (changed(contract.MANIFEST, b"no json"), "holds a damaged model package"),
        (changed(contract.MANIFEST, b'{"format_version": 99}'), "holds a damaged model package"),
        (changed(contract.METRICS, b"no json"), "holds a damaged model package"),
        (changed(contract.INPUT_SCHEMA, b"\xff"), "holds a damaged model package"),
        (lambda image: image_of(run=RunConfig(labels={OWN + "version": "1"})), "but no /modelimg/model"),
    ],
)
def test_an_image_that_says_nothing_of_a_model_is_refused_by_name(
    model_image: Image, read: Callable[..., ImageReport], tmp_path: Path, spoil: Callable[[Image], Image], said: str
) -> None:
    name = in_layout(spoil(model_image), tmp_path / "image")
    with pytest.raises(ImageError) as refused:
        read(name)
    assert said in refused.value.message
    assert name in refused.value.message


@pytest.mark.parametrize(
    ("name", "platform", "error", "said"),
    [
        ("docker://{1}/absent:1", None, FetchError, "absent"),
        ("oci:{0}/absent", None, ImageError, "is no OCI layout"),
        ("oci:{0}/image", ARM64, ImageError, "no image for linux/arm64; it has linux/amd64"),
        ("docker://{1}/tiny:1", ARM64, ImageError, "is for linux/amd64, not for linux/arm64"),
        ("docker-archive:{0}/image", None, ImageError, "cannot be read"),
    ],
)
def test_a_name_that_leads_nowhere_is_refused_with_what_to_do(
    registry: ScriptedRegistry,
    model_image: Image,
    read: Callable[..., ImageReport],
    tmp_path: Path,
    name: str,
    platform: Platform | None,
    error: type[ModelimgError],
    said: str,
) -> None:
    in_layout(model_image, tmp_path / "image")
    stored(registry, "tiny", model_image, "1")
    with pytest.raises(error) as refused:
        read(name.format(tmp_path, registry.host), platform)
    assert said in refused.value.message


def test_a_report_names_the_manifest_where_there_is_one(
    model_image: Image, read: Callable[..., ImageReport], tmp_path: Path
) -> None:
    report = read(in_layout(model_image, tmp_path / "image"))
    texts = []
    for one in (report, replace(report, manifest_digest=None)):
        console = Console(width=160, record=True, file=(tmp_path / "out").open("w"))
        print_report(one, console)
        console.file.close()
        texts.append(console.export_text())
    assert str(model_image.descriptor.digest) in texts[0]
    assert str(model_image.descriptor.digest) not in texts[1]
    assert "accuracy" in texts[0]


@pytest.fixture
def inspect(cli, tmp_path: Path) -> Callable[..., Any]:
    """The command, in a process of its own: one without a daemon, and where the Docker SDK may leak its sockets."""
    env = {ENV_CACHE_DIR: str(tmp_path / "cache"), "DOCKER_HOST": f"unix://{tmp_path}/absent.sock"}
    return lambda *arguments: cli("inspect", *arguments, cwd=tmp_path, env=env)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["oci:image", "--platform", "linux/s390x"], 2, "unknown platform 'linux/s390x'"),
        (["oci:image", "--platform", "linux/arm64"], 1, "no image for linux/arm64"),
        (["Upper:1"], 2, "is not an image reference"),
        (["oci:"], 2, "names no file or folder"),
        (["docker://{0}/tiny:1", "--offline"], 1, "--offline forbids asking its registry"),
        (["docker-daemon:tiny:1"], 1, "no Docker daemon answers"),
        (["{0}/absent:1"], 1, "no Docker daemon answers"),
        (["{0}/absent:1"], 1, "/absent failed: HTTP 404"),
    ],
)
def test_the_command_refuses_in_one_sentence(
    registry: ScriptedRegistry, inspect, model_image: Image, tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    in_layout(model_image, tmp_path / "image")
    refused = inspect(*(argument.format(registry.host) for argument in arguments))
    assert (refused.code, refused.out) == (code, ""), refused.err
    assert said in refused.err
    assert "Traceback" not in refused.err


def test_a_plain_name_is_asked_of_its_registry_where_no_daemon_answers(
    registry: ScriptedRegistry, inspect, model_image: Image
) -> None:
    stored(registry, "tiny", model_image, "1")
    done = inspect(f"{registry.host}/tiny:1", "--json")
    assert done.code == 0, done.err
    assert done.json["metrics"] == METRICS


def test_the_command_prints_data(inspect, model_image: Image, tmp_path: Path) -> None:
    in_layout(model_image, tmp_path / "image", "1")
    done = inspect("oci:image:1", "--json", "--platform", "linux/amd64")
    assert done.code == 0, done.err
    assert done.json["manifest_digest"] == str(model_image.descriptor.digest)
    assert done.json["reference"] == "oci:image:1"
    assert json.loads(done.out)["metrics"] == METRICS


def test_the_command_prints_tables(inspect, model_image: Image, tmp_path: Path) -> None:
    in_layout(model_image, tmp_path / "image", "1")
    done = inspect("oci:image:1")
    assert done.code == 0, done.err
    assert "accuracy" in done.out
