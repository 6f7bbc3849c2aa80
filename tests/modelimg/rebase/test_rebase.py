"""Rebasing: the same upper layers on a new base, as if the image had been built there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelimg.base.resolve import ResolvedBase
from modelimg.errors import DigestMismatch, ImageError
from modelimg.fetch import Fetcher
from modelimg.labels import OCI
from modelimg.layerstore import LayerStore
from modelimg.oci.blob import DOCKER_LAYER_GZIP, LAYER_GZIP, BytesBlob, read_blob
from modelimg.oci.files import ImageFiles
from modelimg.oci.image import History
from modelimg.oci.manifest import Image, ImageIndex
from modelimg.oci.validate import validate
from modelimg.oci.values import Digest
from modelimg.plan import ENV_PYCACHE_PREFIX
from modelimg.rebase import rebase
from modelimg_runtime import contract
from small_images import AMD64, ARM64, NEW_BASE, OLD_BASE, Content, image_of, libc_of, python_base, tar_of

CREATED = "2026-01-02T03:04:05Z"
PLAIN_TREE: dict[str, Content] = {
    "usr/bin/python3.11": b"",
    "usr/bin/python3": "python3.11",
    "lib64/libc.so.6": libc_of("2.36"),
}


def variables(image: Image) -> dict[str, str]:
    return dict(item.split("=", 1) for item in image.config.run.env)


def test_a_rebased_image_is_the_one_that_a_build_on_the_new_base_gives(write_package, build, resolve, put) -> None:
    package = write_package(files={"code/features.py": b"x = 1\n"}, code_modules=("features",))
    old, new = python_base(env=("PATH=/usr/bin", "OLD=1")), python_base("3.11", {"etc/issue": b"x"}, env=("NEW=1",))
    built = build(package, resolve(new, "new"))
    rebased = put(build(package, resolve(old, "old")), resolve(new, "new"))
    assert rebased.config.to_json() == built.config.to_json()
    assert rebased.manifest_data == built.manifest_data
    assert put(rebased, resolve(new, "new")).manifest_data == built.manifest_data


def test_the_images_own_layers_are_the_same_blobs(model_image: Image, put) -> None:
    own = len(model_image.layers) - len(OLD_BASE.layers)
    rebased = put(model_image, NEW_BASE)
    assert rebased.layers[-own:] == model_image.layers[-own:]
    assert [layer.descriptor for layer in rebased.layers[:-own]] == [layer.descriptor for layer in NEW_BASE.layers]
    assert rebased.config.diff_ids == (*NEW_BASE.config.diff_ids, *model_image.config.diff_ids[-own:])
    assert rebased.config.history == (*NEW_BASE.config.history, *model_image.config.history[-own:])
    assert validate(rebased) == []


def test_the_environment_is_the_new_bases_with_the_images_own_over_it(model_image: Image, put) -> None:
    before, after = variables(model_image), variables(put(model_image, NEW_BASE))
    assert before["OLD"] == "1"
    assert "OLD" not in after
    assert after["NEW"] == "1"
    assert after["PATH"] == "/modelimg/venv/bin:/new/bin"
    own = {contract.ENV_MODEL_DIR, "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"}
    assert {key: after[key] for key in own} == {key: before[key] for key in own}


def test_byte_code_is_looked_for_after_a_rebase_where_it_was_before(model_image: Image, put) -> None:
    variable = f"{ENV_PYCACHE_PREFIX}={contract.PYCACHE_PATH}"
    assert variable not in put(model_image, NEW_BASE).config.run.env
    run = replace(model_image.config.run, env=(*model_image.config.run.env, variable))
    compiled = Image.assemble(replace(model_image.config, run=run), model_image.layers)
    assert variable in put(compiled, NEW_BASE).config.run.env


def test_what_is_said_of_the_base_is_new_and_what_is_said_of_the_model_is_not(model_image: Image, put) -> None:
    rebased = put(model_image, NEW_BASE)
    before, after = model_image.config.run.labels, rebased.config.run.labels
    changed = {key for key in {*before, *after} if before.get(key) != after.get(key)}
    assert changed == {OCI + "base.name", OCI + "base.digest", "maintainer", "flavour"}
    assert after[OCI + "base.name"] == "new"
    assert after[OCI + "base.digest"] == str(NEW_BASE.descriptor.digest)
    assert (after["maintainer"], after["flavour"]) == ("new", "plain")
    assert rebased.config.created == model_image.config.created == CREATED


def test_settings_follow_the_new_base_where_a_build_takes_them_from_it(model_image: Image, put) -> None:
    before, after = model_image.config.run, put(model_image, NEW_BASE).config.run
    assert (before.working_dir, after.working_dir) == ("/old", "")
    assert after.exposed_ports == ("8080/tcp", "9000/tcp")
    same = ("user", "entrypoint", "cmd", "stop_signal", "health")
    assert [getattr(after, name) for name in same] == [getattr(before, name) for name in same]


def test_the_interpreter_of_the_new_base_is_the_one_that_the_image_finds(model_image: Image, put) -> None:
    files = ImageFiles(put(model_image, NEW_BASE).layers)
    assert files.resolve(contract.PYTHON_PATH) == "/usr/bin/python3.11"
    assert files.read("/etc/issue") == b"newer"


def test_settings_of_a_template_of_the_users_own_stay(model_image: Image, put) -> None:
    run = replace(model_image.config.run, user="1000", cmd=("score",), stop_signal="SIGINT")
    own = Image.assemble(replace(model_image.config, run=run), model_image.layers)
    after = put(own, NEW_BASE).config.run
    assert (after.user, after.cmd, after.stop_signal) == ("1000", ("score",), "SIGINT")


def test_steps_without_a_layer_stay_with_the_image_that_they_are_of(model_image: Image, put) -> None:
    """As a daemon's builder leaves them: the base's after its last layer, ours between and behind our own."""
    empty = [History(f"ENV {n}", empty_layer=True) for n in range(3)]
    first, *own = model_image.config.history
    history = (first, empty[0], own[0], empty[1], *own[1:], empty[2])
    rebased = put(Image.assemble(replace(model_image.config, history=history), model_image.layers), NEW_BASE)
    assert rebased.config.history == (*NEW_BASE.config.history, own[0], empty[1], *own[1:], empty[2])
    assert validate(rebased) == []


def test_a_layer_that_holds_nothing_on_top_of_the_base_is_the_bases(write_package, build, resolve, put) -> None:
    old = python_base("3.11", {})
    rebased = put(build(write_package(), resolve(old, "old")), NEW_BASE)
    assert rebased.config.diff_ids[:2] == NEW_BASE.config.diff_ids
    assert Digest.of(tar_of({})) in old.config.diff_ids
    assert Digest.of(tar_of({})) not in rebased.config.diff_ids


def test_a_plain_tar_of_the_new_base_is_compressed_as_a_build_does(model_image: Image, put) -> None:
    plain = image_of(PLAIN_TREE, codec="none")
    rebased = put(model_image, plain)
    assert {layer.descriptor.media_type for layer in rebased.layers} == {LAYER_GZIP}
    assert rebased.config.diff_ids[0] == plain.config.diff_ids[0]
    assert validate(rebased) == []


def test_a_plain_tar_that_was_changed_in_its_file_is_refused_and_not_remembered(
    model_image: Image, put, resolve, tmp_path: Path
) -> None:
    plain = image_of(PLAIN_TREE, codec="none")
    base = resolve(plain, "new")
    path = tmp_path / "new/blobs/sha256" / plain.config.diff_ids[0].hex
    good = path.read_bytes()
    path.write_bytes(good.replace(b"GNU C Library", b"BSD C Library"))
    with pytest.raises(DigestMismatch, match=plain.config.diff_ids[0].hex):
        put(model_image, base)
    path.write_bytes(good)
    assert validate(put(model_image, base)) == []


def test_layers_of_dockers_own_types_become_ocis(model_image: Image, put) -> None:
    layers = [BytesBlob(replace(b.descriptor, media_type=DOCKER_LAYER_GZIP), read_blob(b)) for b in model_image.layers]
    rebased = put(Image.assemble(model_image.config, layers), NEW_BASE)
    assert {layer.media_type for layer in rebased.manifest.layers} == {LAYER_GZIP}
    assert [b.descriptor.digest for b in rebased.layers[-3:]] == [b.descriptor.digest for b in model_image.layers[-3:]]


def test_every_image_of_an_index_gets_the_base_of_its_platform(write_package, build, resolve, own: Fetcher) -> None:
    lock = contract.serving_lock("linux/arm64")
    same = (write_package("plain").path / contract.serving_lock("linux/amd64")).read_bytes()
    package = write_package(files={lock: same}, platforms=("linux/amd64", "linux/arm64"))
    old = {p: resolve(python_base(platform=p), f"old-{p.architecture}") for p in (AMD64, ARM64)}
    new = {p: resolve(python_base(platform=p, glibc="2.41"), f"new-{p.architecture}") for p in (AMD64, ARM64)}
    index = ImageIndex.assemble([build(package, base) for base in old.values()])
    rebased = rebase(index, lambda platform: new[platform], LayerStore(own).compressed)
    assert isinstance(rebased, ImageIndex)
    assert rebased.data == ImageIndex.assemble([build(package, base) for base in new.values()]).data
    assert [image.config.platform for image in rebased.images] == [AMD64, ARM64]


LOCK = b'lock-version = "1.0"\ncreated-by = "test"\npackages = []\n'
OURS: dict[str, Content] = {
    "modelimg": None,
    "modelimg/venv/bin/python": "../../../usr/bin/python3.11",
    "./modelimg/model/pylock.linux-amd64.toml": LOCK,
}
KINDS: dict[str, dict[str, Content]] = {
    "ours": OURS,
    "ours, absolute": {f"/{name.removeprefix('./')}": content for name, content in OURS.items()},
    "nothing": {},
    "other": {"etc/motd": b""},
    "both": {**OURS, "etc/motd": b""},
    "the root itself": {"./": None},
    "a name that only begins like ours": {"modelimg2/x": b""},
}


@given(st.lists(st.sampled_from(sorted(KINDS)), max_size=6))
@settings(deadline=None, max_examples=60)
def test_the_images_own_layers_are_those_above_the_last_that_holds_anything_else(kinds: list[str]) -> None:
    image = image_of(*(KINDS[kind] for kind in kinds))
    own: list[int] = []
    for number in reversed(range(len(kinds))):
        if not kinds[number].startswith(("ours", "nothing")):
            break
        own.insert(0, number)
    while own and kinds[own[0]] == "nothing":
        own.pop(0)
    base = ResolvedBase(
        "new", NEW_BASE.descriptor.digest, "", AMD64, "3.11", "/usr/bin/python3.11", "glibc", "2.36", image=NEW_BASE
    )
    if not own:
        with pytest.raises(ImageError, match="no layer on top of the image holds only /modelimg"):
            rebase(image, lambda platform: base, lambda blob: blob)
        return
    rebased = rebase(image, lambda platform: base, lambda blob: blob)
    assert isinstance(rebased, Image)
    assert rebased.config.diff_ids == (*NEW_BASE.config.diff_ids, *(image.config.diff_ids[n] for n in own))
    assert rebased.config.history == (*NEW_BASE.config.history, *(image.config.history[n] for n in own))
    assert [*rebased.layers] == [*NEW_BASE.layers, *(image.layers[n] for n in own)]
