"""A rebase from a name to a name: found, checked, and delivered where it was asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelimg.deliver import Delivery
from modelimg.engines.embedded import EmbeddedEngine
from modelimg.errors import BaseError, EngineError, GateFailed, ImageError, UsageError
from modelimg.fetch import Fetcher
from modelimg.oci.archive import write_docker_archive
from modelimg.oci.blob import LAYER, LAYER_GZIP
from modelimg.oci.layout import open_layout
from modelimg.oci.manifest import Image
from modelimg.oci.names import ImageName
from modelimg.oci.validate import validate
from modelimg.plan import make_plan
from modelimg.rebase import RebaseSpec, run_rebase
from small_images import NEW_BASE, OLD_BASE, in_archive, in_layout, tars_of, write_blob


def spec(image: str, base: str, *outputs: str, tags: tuple[str, ...] = ("tiny:2",), gate: bool = False) -> RebaseSpec:
    return RebaseSpec(ImageName.parse(image), base, tags, gate, Delivery(tuple(map(ImageName.parse, outputs))))


def test_the_result_goes_where_it_was_asked_for_under_its_name(
    model_image: Image, own: Fetcher, tmp_path: Path, put
) -> None:
    image, base = in_layout(model_image, tmp_path / "model", "1"), in_layout(NEW_BASE, tmp_path / "new")
    outcome = run_rebase(spec(image, base, f"oci:{tmp_path}/out", f"oci-archive:{tmp_path}/out.tar"), own, print)
    written = open_layout(tmp_path / "out").artifact("2")
    assert isinstance(written, Image)
    assert written.manifest_data == put(model_image, NEW_BASE).manifest_data
    assert validate(written) == []
    assert (tmp_path / "out.tar").is_file()
    metadata = outcome.to_dict()
    assert metadata["images"] == [
        {
            "name": "tiny:2",
            "platform": "linux/amd64",
            "image_id": str(written.manifest.config.digest),
            "manifest_digest": str(written.descriptor.digest),
            "layers": [str(diff_id) for diff_id in written.config.diff_ids],
        }
    ]
    assert metadata["gate"] == {"how": "none", "passed": None}


def test_an_archive_of_docker_save_is_compressed_on_the_way(model_image: Image, own: Fetcher, tmp_path: Path) -> None:
    plain = Image.assemble(model_image.config, [write_blob(tar, "none") for tar in tars_of(model_image)])
    with (tmp_path / "saved.tar").open("wb") as stream:
        write_docker_archive(plain, stream, [])
    base = in_layout(NEW_BASE, tmp_path / "new")
    run_rebase(spec(f"docker-archive:{tmp_path}/saved.tar", base, f"oci:{tmp_path}/out:x"), own, print)
    written = open_layout(tmp_path / "out").artifact("x")
    assert isinstance(written, Image)
    assert {layer.descriptor.media_type for layer in written.layers} == {LAYER_GZIP}
    assert written.config.diff_ids[-3:] == model_image.config.diff_ids[-3:]
    assert validate(written) == []


def test_an_image_of_plain_tars_stays_one(write_package, own: Fetcher, resolve, tmp_path: Path) -> None:
    plan = make_plan(write_package(), resolve(OLD_BASE, "old"), tags=["tiny:1"], created="2026-01-02T03:04:05Z")
    plain = EmbeddedEngine(own, print, "none").build(plan)
    assert plain.image is not None
    image = in_layout(plain.image, tmp_path / "model")
    run_rebase(spec(image, in_layout(NEW_BASE, tmp_path / "new"), f"oci:{tmp_path}/out:x"), own, print)
    written = open_layout(tmp_path / "out").artifact("x")
    assert isinstance(written, Image)
    count = len(plain.image.layers) - len(OLD_BASE.layers)
    assert [b.descriptor for b in written.layers[-count:]] == [b.descriptor for b in plain.image.layers[-count:]]
    assert {b.descriptor.media_type for b in written.layers[-count:]} == {LAYER}


@pytest.mark.parametrize(
    ("image", "base", "tag", "error", "said"),
    [
        ("oci:{0}/absent", "oci:{0}/new", "x:1", ImageError, "oci:{0}/absent is no OCI layout"),
        ("oci:{0}/model", "oci:{0}/absent", "x:1", BaseError, "oci:{0}/absent cannot be a base"),
        ("oci:{0}/model", "oci:{0}/model", "x:1", BaseError, "has /modelimg already"),
        ("oci:{0}/new", "oci:{0}/new", "x:1", ImageError, "no layer on top"),
        ("oci:{0}/model", "oci:{0}/new", "Upper:1", UsageError, "bad repository 'Upper'"),
        ("oci:{0}/model", "deb:sid", "x:1", BaseError, "sid"),
        ("oci:{0}/model", "docker-daemon:x:1", "x:1", UsageError, "docker-daemon:x:1 is in a daemon"),
    ],
)
def test_a_rebase_that_cannot_be_leaves_nothing(
    model_image: Image, own: Fetcher, tmp_path: Path, image: str, base: str, tag: str, error, said: str
) -> None:
    in_layout(model_image, tmp_path / "model")
    in_layout(NEW_BASE, tmp_path / "new")
    with pytest.raises(error) as refused:
        asked = spec(image.format(tmp_path), base.format(tmp_path), f"oci:{tmp_path}/out", tags=(tag,))
        run_rebase(asked, own, print)
    assert said.format(tmp_path) in refused.value.message
    assert not (tmp_path / "out").exists()


def test_a_rebased_image_that_fails_its_gate_is_not_delivered(model_image: Image, own: Fetcher, tmp_path: Path) -> None:
    """The fake base's interpreter is no program, so the self-test cannot even start."""
    image, base = in_archive(model_image, tmp_path / "model.tar"), in_layout(NEW_BASE, tmp_path / "new")
    with pytest.raises((GateFailed, EngineError)):
        run_rebase(spec(image, base, f"oci:{tmp_path}/out", gate=True), own, print)
    assert not (tmp_path / "out").exists()
