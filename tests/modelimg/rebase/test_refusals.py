"""What cannot be rebased, and bases that an image cannot be put on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from modelimg.errors import BaseError, DigestMismatch, ImageError, ModelimgError, RequirementsError
from modelimg.fetch import Fetcher
from modelimg.layerstore import LayerStore
from modelimg.oci.blob import LAYER, Blob, BytesBlob, Descriptor, read_blob
from modelimg.oci.files import ImageFiles
from modelimg.oci.image import RunConfig
from modelimg.oci.manifest import Image, ImageIndex
from modelimg.oci.values import Platform
from modelimg.rebase import rebase
from modelimg_runtime import contract
from small_images import ARM64, NEW_BASE, OLD_BASE, Content, image_of, python_base, with_layer

BAD_BASES: dict[str, tuple[Image, str]] = {
    "another Python": (
        python_base("3.12"),
        "the base new has Python 3.12, but the image was built for Python 3.11",
    ),
    "Python elsewhere": (
        python_base(folder="usr/local/bin"),
        "the base new has its Python at /usr/local/bin/python3.11, but the image looks for /usr/bin/python3.11",
    ),
    "musl": (
        image_of({"usr/bin/python3.11": b"", "usr/bin/python3": "python3.11", "lib/ld-musl-x86_64.so.1": b""}),
        "the base new has the C library musl, but the image holds wheels for glibc",
    ),
    "another platform": (
        python_base(platform=ARM64),
        "the base new is for linux/arm64, not for linux/amd64",
    ),
}


@pytest.mark.parametrize("case", BAD_BASES)
def test_a_base_that_does_not_fit_is_refused_by_name(model_image: Image, put, case: str) -> None:
    base, said = BAD_BASES[case]
    with pytest.raises(BaseError) as refused:
        put(model_image, base)
    assert refused.value.message == said
    assert refused.value.hint


def test_a_base_whose_layers_are_not_at_hand_is_refused_by_name(model_image: Image, put, resolve) -> None:
    with pytest.raises(BaseError, match="the layers of the base new are not at hand"):
        put(model_image, replace(resolve(NEW_BASE, "new"), image=None))


@pytest.mark.parametrize(("glibc", "fits"), [("2.17", True), ("2.16", False), ("2.5", False)])
def test_a_c_library_that_is_older_than_a_wheel_wants_is_refused_by_the_wheels_name(
    model_image: Image, put, resolve, glibc: str, fits: bool
) -> None:
    wheel = "fast-1.0-cp311-cp311-manylinux_2_17_x86_64.whl"
    lock = f"""lock-version = "1.0"
created-by = "test"
[[packages]]
name = "fast"
version = "1.0"
wheels = [{{url = "https://example.com/{wheel}", hashes = {{sha256 = "{"0" * 64}"}}}}]
"""
    image = with_layer(model_image, {"modelimg/model/pylock.linux-amd64.toml": lock.encode()})
    base = resolve(python_base(glibc=glibc), "new")
    if fits:
        assert put(image, base).config.diff_ids[-1] == image.config.diff_ids[-1]
        return
    with pytest.raises(RequirementsError, match=f"no wheel of fast 1.0 fits .* glibc {glibc}; the lock has {wheel}"):
        put(image, base)


def test_platforms_are_compared_whole(model_image: Image, put, resolve) -> None:
    other = replace(resolve(NEW_BASE, "new"), platform=Platform("linux", "riscv64"))
    with pytest.raises(BaseError, match="is for linux/riscv64, not for linux/amd64"):
        put(model_image, other)


def squashed(image: Image) -> Image:
    tree: dict[str, Content] = {"usr/bin/python3.11": b"", "modelimg/model/modelimg.json": b"{}"}
    return image_of(tree, run=image.config.run)


def unlinked(image: Image) -> Image:
    """Without the layer that links to the interpreter."""
    kept = [n for n, layer in enumerate(image.layers) if not has_link(layer)]
    config = replace(
        image.config,
        diff_ids=tuple(image.config.diff_ids[n] for n in kept),
        history=tuple(image.config.history[n] for n in kept),
    )
    return Image.assemble(config, [image.layers[n] for n in kept])


def has_link(layer: Blob) -> bool:
    return f"{contract.VENV_PATH}/pyvenv.cfg" in ImageFiles([layer]).names("/modelimg")


def without_lock(image: Image) -> Image:
    config = replace(image.config, diff_ids=image.config.diff_ids[:-1], history=image.config.history[:-1])
    return Image.assemble(config, image.layers[:-1])


def upwards(image: Image) -> Image:
    return with_layer(image, {"modelimg/../etc/passwd": b""})


def no_tar(image: Image) -> Image:
    junk = BytesBlob(Descriptor.of(LAYER, b"junk" * 512), b"junk" * 512)
    return Image.assemble(image.config, [*image.layers[:-1], junk])


def fewer_diff_ids(image: Image) -> Image:
    return Image.assemble(replace(image.config, diff_ids=image.config.diff_ids[1:]), image.layers)


def other_bytes(image: Image) -> Image:
    top = image.layers[-1]
    damaged = BytesBlob(top.descriptor, read_blob(top)[:-1] + b"\xff")
    return Image.assemble(image.config, [*image.layers[:-1], damaged])


@pytest.mark.parametrize(
    ("spoil", "error", "said"),
    [
        (lambda image: OLD_BASE, ImageError, "no layer on top of the image holds only /modelimg"),
        (squashed, ImageError, "no layer on top of the image holds only /modelimg"),
        (lambda image: with_layer(image, {"etc/motd": b""}), ImageError, "no layer on top of the image holds only"),
        (lambda image: with_layer(image, {"modelimgs/x": b""}), ImageError, "no layer on top of the image holds only"),
        (unlinked, ImageError, "the image's layers hold no /modelimg/venv/bin/python"),
        (without_lock, ImageError, "the image's layers hold no pylock.linux-amd64.toml"),
        (upwards, ImageError, "leads upwards"),
        (no_tar, ImageError, "is no tar that can be read"),
        (fewer_diff_ids, ImageError, "layers, and diff_ids of"),
        (other_bytes, DigestMismatch, "has bytes of"),
        (lambda image: image_of(run=RunConfig()), ImageError, "no layer on top of the image holds only /modelimg"),
    ],
)
def test_an_image_that_cannot_be_rebased_is_refused_by_its_fault(
    model_image: Image, put, spoil: Callable[[Image], Image], error: type[ModelimgError], said: str
) -> None:
    with pytest.raises(error, match=said):
        put(spoil(model_image), NEW_BASE)


def test_an_index_of_nothing_is_refused(own: Fetcher, resolve) -> None:
    with pytest.raises(ImageError, match="the index has no image"):
        rebase(ImageIndex.assemble([]), lambda platform: resolve(NEW_BASE), LayerStore(own).compressed)
