"""Rebasing: the same upper layers on a new base, as if the image had been built there; and what cannot be rebased."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelimg.base.resolve import ResolvedBase
from modelimg.cache import Cache
from modelimg.engines.embedded import EmbeddedEngine
from modelimg.errors import (
    BaseError,
    DigestMismatch,
    EngineError,
    GateFailed,
    ImageError,
    ModelimgError,
    RequirementsError,
    UsageError,
)
from modelimg.fetch import Fetcher
from modelimg.layerstore import LayerStore
from modelimg.oci.blob import DOCKER_LAYER_GZIP, LAYER, LAYER_GZIP, BytesBlob, Descriptor, read_blob
from modelimg.oci.files import ImageFiles
from modelimg.oci.image import History, RunConfig
from modelimg.oci.layout import open_layout
from modelimg.oci.manifest import Image, ImageIndex
from modelimg.oci.names import ImageName
from modelimg.oci.validate import validate
from modelimg.oci.values import Digest, Platform
from modelimg.pack.package import ModelPackage
from modelimg.plan import ENV_PYCACHE_PREFIX, make_plan
from modelimg.rebase import RebaseSpec, rebase, run_rebase
from modelimg_runtime import contract
from small_images import AMD64, ARM64, Content, image_of, in_archive, in_layout, python_base, tar_of

CREATED = "2026-01-02T03:04:05Z"
OCI = "org.opencontainers.image."
OLD = python_base(env=("PATH=/usr/bin:/bin", "OLD=1"), labels={"maintainer": "old"}, working_dir="/old")
NEW = python_base(
    "3.11",
    {"etc/issue": b"newer"},
    glibc="2.41",
    env=("PATH=/new/bin", "NEW=1"),
    labels={"maintainer": "new", "flavour": "plain"},
    ports=("9000/tcp",),
)


@pytest.fixture
def fetcher(tmp_path: Path) -> Fetcher:
    return Fetcher(Cache(tmp_path / "cache"))


@pytest.fixture
def engine(fetcher: Fetcher) -> EmbeddedEngine:
    return EmbeddedEngine(fetcher, lambda line: None)


@pytest.fixture
def resolve(engine: EmbeddedEngine, tmp_path: Path) -> Callable[..., ResolvedBase]:
    """A base from a layout; one place holds one image."""

    def resolve(image: Image, place: str = "base") -> ResolvedBase:
        return engine.resolve(in_layout(image, tmp_path / place), image.config.platform)

    return resolve


@pytest.fixture
def build(engine: EmbeddedEngine) -> Callable[..., Image]:
    """Build a package on a resolved base with the embedded engine."""

    def build(package: ModelPackage, base: ResolvedBase) -> Image:
        result = engine.build(make_plan(package, base, tags=["tiny:1"], created=CREATED))
        assert result.image is not None
        return result.image

    return build


@pytest.fixture
def put(fetcher: Fetcher, resolve: Callable[..., ResolvedBase]) -> Callable[..., Image]:
    """Put an image on a base."""

    def put(image: Image, base: Image | ResolvedBase, codec: str = "gzip") -> Image:
        new = resolve(base, "new") if isinstance(base, Image) else base
        rebased = rebase(image, lambda platform: new, LayerStore(fetcher, codec).compressed)  # type: ignore[arg-type]
        assert isinstance(rebased, Image)
        return rebased

    return put


@pytest.fixture
def model_image(write_package, build, resolve) -> Image:
    return build(write_package(), resolve(OLD, "old"))


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
    own = len(model_image.layers) - len(OLD.layers)
    rebased = put(model_image, NEW)
    assert rebased.layers[-own:] == model_image.layers[-own:]
    assert [layer.descriptor for layer in rebased.layers[:-own]] == [layer.descriptor for layer in NEW.layers]
    assert rebased.config.diff_ids == (*NEW.config.diff_ids, *model_image.config.diff_ids[-own:])
    assert rebased.config.history == (*NEW.config.history, *model_image.config.history[-own:])
    assert validate(rebased) == []


def test_the_environment_is_the_new_bases_with_the_images_own_over_it(model_image: Image, put) -> None:
    before, after = variables(model_image), variables(put(model_image, NEW))
    assert before["OLD"] == "1"
    assert "OLD" not in after
    assert after["NEW"] == "1"
    assert after["PATH"] == "/modelimg/venv/bin:/new/bin"
    own = {contract.ENV_MODEL_DIR, "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"}
    assert {key: after[key] for key in own} == {key: before[key] for key in own}


def test_byte_code_is_looked_for_after_a_rebase_where_it_was_before(model_image: Image, put) -> None:
    variable = f"{ENV_PYCACHE_PREFIX}={contract.PYCACHE_PATH}"
    assert variable not in put(model_image, NEW).config.run.env
    run = replace(model_image.config.run, env=(*model_image.config.run.env, variable))
    compiled = Image.assemble(replace(model_image.config, run=run), model_image.layers)
    assert variable in put(compiled, NEW).config.run.env


def test_what_is_said_of_the_base_is_new_and_what_is_said_of_the_model_is_not(model_image: Image, put, resolve) -> None:
    rebased = put(model_image, NEW)
    before, after = model_image.config.run.labels, rebased.config.run.labels
    changed = {key for key in {*before, *after} if before.get(key) != after.get(key)}
    assert changed == {OCI + "base.name", OCI + "base.digest", "maintainer", "flavour"}
    assert after[OCI + "base.name"] == "new"
    assert after[OCI + "base.digest"] == str(NEW.descriptor.digest)
    assert (after["maintainer"], after["flavour"]) == ("new", "plain")
    assert rebased.config.created == model_image.config.created == CREATED


def test_settings_follow_the_new_base_where_a_build_takes_them_from_it(model_image: Image, put) -> None:
    before, after = model_image.config.run, put(model_image, NEW).config.run
    assert (before.working_dir, after.working_dir) == ("/old", "")
    assert after.exposed_ports == ("8080/tcp", "9000/tcp")
    same = ("user", "entrypoint", "cmd", "stop_signal", "health")
    assert [getattr(after, name) for name in same] == [getattr(before, name) for name in same]


def test_the_interpreter_of_the_new_base_is_the_one_that_the_image_finds(model_image: Image, put) -> None:
    files = ImageFiles(put(model_image, NEW).layers)
    assert files.resolve(contract.PYTHON_PATH) == "/usr/bin/python3.11"
    assert files.read("/etc/issue") == b"newer"


def test_settings_of_a_template_of_the_users_own_stay(model_image: Image, put) -> None:
    run = replace(model_image.config.run, user="1000", cmd=("score",), stop_signal="SIGINT")
    own = Image.assemble(replace(model_image.config, run=run), model_image.layers)
    after = put(own, NEW).config.run
    assert (after.user, after.cmd, after.stop_signal) == ("1000", ("score",), "SIGINT")


def test_steps_without_a_layer_stay_with_the_image_that_they_are_of(model_image: Image, put) -> None:
    """As a daemon's builder leaves them: the base's after its last layer, ours between and behind our own."""
    empty = [History(f"ENV {n}", empty_layer=True) for n in range(3)]
    first, *own = model_image.config.history
    history = (first, empty[0], own[0], empty[1], *own[1:], empty[2])
    rebased = put(Image.assemble(replace(model_image.config, history=history), model_image.layers), NEW)
    assert rebased.config.history == (*NEW.config.history, own[0], empty[1], *own[1:], empty[2])
    assert validate(rebased) == []


def test_a_layer_that_holds_nothing_on_top_of_the_base_is_the_bases(write_package, build, resolve, put) -> None:
    old = python_base("3.11", {})
    rebased = put(build(write_package(), resolve(old, "old")), NEW)
    assert rebased.config.diff_ids[:2] == NEW.config.diff_ids
    assert Digest.of(tar_of({})) in old.config.diff_ids
    assert Digest.of(tar_of({})) not in rebased.config.diff_ids


def test_a_plain_tar_of_the_new_base_is_compressed_as_a_build_does(model_image: Image, put) -> None:
    plain = image_of({"usr/bin/python3.11": b"", **_python_files()}, codec="none")
    rebased = put(model_image, plain)
    assert {layer.descriptor.media_type for layer in rebased.layers} == {LAYER_GZIP}
    assert rebased.config.diff_ids[0] == plain.config.diff_ids[0]
    assert validate(rebased) == []


def test_a_plain_tar_that_was_changed_in_its_file_is_refused_and_not_remembered(
    model_image: Image, put, resolve, tmp_path: Path
) -> None:
    plain = image_of({"usr/bin/python3.11": b"", **_python_files()}, codec="none")
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
    rebased = put(Image.assemble(model_image.config, layers), NEW)
    assert {layer.media_type for layer in rebased.manifest.layers} == {LAYER_GZIP}
    assert [b.descriptor.digest for b in rebased.layers[-3:]] == [b.descriptor.digest for b in model_image.layers[-3:]]


def test_every_image_of_an_index_gets_the_base_of_its_platform(write_package, build, resolve, fetcher: Fetcher) -> None:
    lock = contract.serving_lock("linux/arm64")
    same = (write_package("plain").path / contract.serving_lock("linux/amd64")).read_bytes()
    package = write_package(files={lock: same}, platforms=("linux/amd64", "linux/arm64"))
    old = {p: resolve(python_base(platform=p), f"old-{p.architecture}") for p in (AMD64, ARM64)}
    new = {p: resolve(python_base(platform=p, glibc="2.41"), f"new-{p.architecture}") for p in (AMD64, ARM64)}
    index = ImageIndex.assemble([build(package, base) for base in old.values()])
    rebased = rebase(index, lambda platform: new[platform], LayerStore(fetcher).compressed)
    assert isinstance(rebased, ImageIndex)
    assert rebased.data == ImageIndex.assemble([build(package, base) for base in new.values()]).data
    assert [image.config.platform for image in rebased.images] == [AMD64, ARM64]


def _python_files() -> dict[str, Content]:
    from small_images import libc_of

    return {"usr/bin/python3": "python3.11", "lib64/libc.so.6": libc_of("2.36")}


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
        put(model_image, replace(resolve(NEW, "new"), image=None))


@pytest.mark.parametrize(("glibc", "fits"), [("2.17", True), ("2.16", False), ("2.5", False)])
def test_a_c_library_that_is_older_than_a_wheel_wants_is_refused_by_the_wheels_name(
    model_image: Image, put, resolve, fetcher: Fetcher, glibc: str, fits: bool
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


def with_layer(image: Image, tree: dict[str, Content]) -> Image:
    """The image with one more layer on top."""
    tar = tar_of(tree)
    config = replace(
        image.config,
        diff_ids=(*image.config.diff_ids, Digest.of(tar)),
        history=(*image.config.history, History("COPY")),
    )
    return Image.assemble(config, [*image.layers, BytesBlob(Descriptor.of(LAYER, tar), tar)])


def squashed(image: Image) -> Image:
    tree: dict[str, Content] = {"usr/bin/python3.11": b"", "modelimg/model/modelimg.json": b"{}"}
    return image_of(tree, run=image.config.run)


def relinked(image: Image) -> Image:
    """A layer over ours puts a file where the link to the interpreter was."""
    kept = [n for n, layer in enumerate(image.layers) if not has_link(layer)]
    config = replace(
        image.config,
        diff_ids=tuple(image.config.diff_ids[n] for n in kept),
        history=tuple(image.config.history[n] for n in kept),
    )
    return Image.assemble(config, [image.layers[n] for n in kept])


def has_link(layer) -> bool:
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
        (lambda image: OLD, ImageError, "no layer on top of the image holds only /modelimg"),
        (squashed, ImageError, "no layer on top of the image holds only /modelimg"),
        (lambda image: with_layer(image, {"etc/motd": b""}), ImageError, "no layer on top of the image holds only"),
        (lambda image: with_layer(image, {"modelimgs/x": b""}), ImageError, "no layer on top of the image holds only"),
        (relinked, ImageError, "the image's layers hold no /modelimg/venv/bin/python"),
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
        put(spoil(model_image), NEW)


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
        "new", NEW.descriptor.digest, "", AMD64, "3.11", "/usr/bin/python3.11", "glibc", "2.36", image=NEW
    )
    if not own:
        with pytest.raises(ImageError, match="no layer on top of the image holds only /modelimg"):
            rebase(image, lambda platform: base, lambda blob: blob)
        return
    rebased = rebase(image, lambda platform: base, lambda blob: blob)
    assert isinstance(rebased, Image)
    assert rebased.config.diff_ids == (*NEW.config.diff_ids, *(image.config.diff_ids[n] for n in own))
    assert rebased.config.history == (*NEW.config.history, *(image.config.history[n] for n in own))
    assert [*rebased.layers] == [*NEW.layers, *(image.layers[n] for n in own)]


def test_an_index_of_nothing_is_refused(fetcher: Fetcher, resolve) -> None:
    with pytest.raises(ImageError, match="the index has no image"):
        rebase(ImageIndex.assemble([]), lambda platform: resolve(NEW), LayerStore(fetcher).compressed)


def spec(image: str, base: str, *outputs: str, tags: tuple[str, ...] = ("tiny:2",), gate: bool = False) -> RebaseSpec:
    from modelimg.deliver import Delivery

    return RebaseSpec(ImageName.parse(image), base, tags, gate, Delivery(tuple(map(ImageName.parse, outputs))))


def test_the_result_goes_where_it_was_asked_for_under_its_name(
    model_image: Image, fetcher: Fetcher, tmp_path: Path, put
) -> None:
    image, base = in_layout(model_image, tmp_path / "model", "1"), in_layout(NEW, tmp_path / "new")
    outcome = run_rebase(spec(image, base, f"oci:{tmp_path}/out", f"oci-archive:{tmp_path}/out.tar"), fetcher, print)
    written = open_layout(tmp_path / "out").artifact("2")
    assert isinstance(written, Image)
    assert written.manifest_data == put(model_image, NEW).manifest_data
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


def test_an_archive_of_docker_save_is_compressed_on_the_way(
    model_image: Image, fetcher: Fetcher, tmp_path: Path
) -> None:
    import io

    from modelimg.oci.archive import write_docker_archive

    plain = Image.assemble(model_image.config, [_decompressed(layer) for layer in model_image.layers])
    out = io.BytesIO()
    write_docker_archive(plain, out, [])
    (tmp_path / "saved.tar").write_bytes(out.getvalue())
    base = in_layout(NEW, tmp_path / "new")
    run_rebase(spec(f"docker-archive:{tmp_path}/saved.tar", base, f"oci:{tmp_path}/out:x"), fetcher, print)
    written = open_layout(tmp_path / "out").artifact("x")
    assert isinstance(written, Image)
    assert {layer.descriptor.media_type for layer in written.layers} == {LAYER_GZIP}
    assert written.config.diff_ids[-3:] == model_image.config.diff_ids[-3:]
    assert validate(written) == []


def _decompressed(layer) -> BytesBlob:
    from modelimg.oci.compression import decompressed

    with decompressed(layer) as stream:
        data = stream.read()
    return BytesBlob(Descriptor.of(LAYER, data), data)


def test_an_image_of_plain_tars_stays_one(write_package, fetcher: Fetcher, resolve, tmp_path: Path) -> None:
    plain = EmbeddedEngine(fetcher, print, "none").build(
        make_plan(write_package(), resolve(OLD, "old"), tags=["tiny:1"], created=CREATED)
    )
    assert plain.image is not None
    image = in_layout(plain.image, tmp_path / "model")
    run_rebase(spec(image, in_layout(NEW, tmp_path / "new"), f"oci:{tmp_path}/out:x"), fetcher, print)
    written = open_layout(tmp_path / "out").artifact("x")
    assert isinstance(written, Image)
    own = len(plain.image.layers) - len(OLD.layers)
    assert [b.descriptor for b in written.layers[-own:]] == [b.descriptor for b in plain.image.layers[-own:]]
    assert {b.descriptor.media_type for b in written.layers[-own:]} == {LAYER}


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
    model_image: Image, fetcher: Fetcher, tmp_path: Path, image: str, base: str, tag: str, error, said: str
) -> None:
    in_layout(model_image, tmp_path / "model")
    in_layout(NEW, tmp_path / "new")
    with pytest.raises(error) as refused:
        asked = spec(image.format(tmp_path), base.format(tmp_path), f"oci:{tmp_path}/out", tags=(tag,))
        run_rebase(asked, fetcher, print)
    assert said.format(tmp_path) in refused.value.message
    assert not (tmp_path / "out").exists()


def test_a_rebased_image_that_fails_its_gate_is_not_delivered(
    model_image: Image, fetcher: Fetcher, tmp_path: Path
) -> None:
    """The fake base's interpreter is no program, so the self-test cannot even start."""
    image, base = in_archive(model_image, tmp_path / "model.tar"), in_layout(NEW, tmp_path / "new")
    with pytest.raises((GateFailed, EngineError)):
        run_rebase(spec(image, base, f"oci:{tmp_path}/out", gate=True), fetcher, print)
    assert not (tmp_path / "out").exists()


def test_platforms_are_compared_whole(model_image: Image, put, resolve) -> None:
    other = replace(resolve(NEW, "new"), platform=Platform("linux", "riscv64"))
    with pytest.raises(BaseError, match="is for linux/riscv64, not for linux/amd64"):
        put(model_image, other)
