"""Swapping the base under a model image: the same upper layers on a new base, byte for byte.

What is the image's own is found by looking: the layers on top that hold nothing outside ``/modelimg``. Nothing of them
depends on the base but for the link to its interpreter, its Python's minor version and the C library that wheels ask
for, and these are checked. Byte code of the standard library in them is checked against its source when it is loaded,
so a base with a newer patch release compiles those modules anew and nothing goes stale.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from modelimg.base.deb import PREFIX, resolve_debian_base
from modelimg.base.inside import check_platform
from modelimg.base.resolve import ResolvedBase
from modelimg.build import BuildOutcome
from modelimg.deliver import Delivery
from modelimg.engines.base import BuildResult, GateVerdict, Report
from modelimg.engines.embedded import EmbeddedEngine
from modelimg.errors import BaseError, ImageError, SandboxUnavailable
from modelimg.fetch import Fetcher
from modelimg.gate import check_image
from modelimg.images import look_everywhere, open_artifact, with_oci_type
from modelimg.labels import OCI, OWN
from modelimg.layerstore import LayerStore
from modelimg.locks import parse_lock, select_wheels
from modelimg.oci.blob import Blob
from modelimg.oci.compression import Codec, codec_of, decompressed
from modelimg.oci.image import History
from modelimg.oci.manifest import Artifact, Image, ImageIndex
from modelimg.oci.members import TarReader
from modelimg.oci.names import ImageName
from modelimg.oci.tree import split_name
from modelimg.oci.values import Platform, Reference
from modelimg.plan import ENV_PYCACHE_PREFIX, run_config
from modelimg_runtime import contract

Compress = Callable[[Blob], Blob]
"""A layer as the image is to hold it: a plain tar compressed, others as they are."""


@dataclass
class _Own:
    """What of an image is its own.

    Attributes:
        layers: how many, from the top.
        interpreter: absolute path that the virtual environment links to.
        lock: the serving lock's bytes.
    """

    layers: int = 0
    interpreter: str | None = None
    lock: bytes | None = None


def rebase(artifact: Artifact, resolve: Callable[[Platform], ResolvedBase], compress: Compress) -> Artifact:
    """Put an image, or every image of an index, on another base.

    Args:
        artifact: made by either engine.
        resolve: the new base for a platform, with its layers at hand.
        compress: what becomes of plain tars, the base's or the image's own; blobs that are compressed stay as they are.

    Returns:
        Images whose own layers, creation time and settings are those of before.

    Raises:
        ImageError: modelimg did not make it, or its layers were squashed.
        BaseError: the new base does not fit; the message names both sides.
        RequirementsError: a wheel in the image asks for a newer C library.
    """
    if isinstance(artifact, ImageIndex):
        if not artifact.images:
            raise ImageError("the index has no image")
        return ImageIndex.assemble([_rebased(one, resolve(one.config.platform), compress) for one in artifact.images])
    return _rebased(artifact, resolve(artifact.config.platform), compress)


def _rebased(image: Image, base: ResolvedBase, compress: Compress) -> Image:
    if base.image is None:
        raise BaseError(f"the layers of the base {base.name} are not at hand")
    old = image.config
    own = _find_own(image)
    _check_fits(image, own, base)
    below = len(image.layers) - own.layers
    has_bytecode = any(item.startswith(f"{ENV_PYCACHE_PREFIX}=") for item in old.run.env)
    inherited = run_config(base, _labels(old.run.labels, base), "imported" if has_bytecode else "none")
    config = replace(
        old,
        run=replace(
            old.run,
            env=inherited.env,
            working_dir=inherited.working_dir,
            exposed_ports=inherited.exposed_ports,
            volumes=inherited.volumes,
            labels=inherited.labels,
        ),
        diff_ids=(*base.image.config.diff_ids, *old.diff_ids[below:]),
        history=(*base.image.config.history, *_own_history(old.history, below)),
    )
    layers = [compress(with_oci_type(layer)) for layer in (*base.image.layers, *image.layers[below:])]
    return Image.assemble(config, layers, image.manifest.annotations)


def _find_own(image: Image) -> _Own:
    """Look at the layers from the top down, until one holds anything outside our prefix.

    A layer that holds nothing belongs to what is below it.
    """
    if len(image.layers) != len(image.config.diff_ids):
        raise ImageError(f"the image has {len(image.layers)} layers, and diff_ids of {len(image.config.diff_ids)}")
    own = _Own()
    lock = f"{contract.MODEL_PATH}/{contract.serving_lock(str(image.config.platform))}"
    for count, blob in enumerate(reversed(image.layers), start=1):
        with decompressed(blob) as stream:
            holds = _scan(TarReader(stream, what=f"the layer {blob.descriptor.digest}"), lock, own)
        if holds == "other":
            break
        if holds == "own":
            own.layers = count
    if not own.layers:
        raise ImageError(
            f"no layer on top of the image holds only {contract.PREFIX}: it is no model image, or was squashed",
            hint="build it from its package on the new base",
        )
    return own


def _scan(reader: TarReader, lock: str, own: _Own) -> Literal["own", "other", "nothing"]:
    """What a layer holds; notes what is needed of it, unless a layer above has had that already."""
    holds: Literal["own", "nothing"] = "nothing"
    for member in reader:
        path = "/".join(("", *split_name(member.name)))
        if path != contract.PREFIX and not path.startswith(f"{contract.PREFIX}/"):
            return "other"
        holds = "own"
        if path == contract.PYTHON_PATH and member.kind == "symlink" and own.interpreter is None:
            own.interpreter = posixpath.normpath(posixpath.join(posixpath.dirname(path), member.target))
        if path == lock and own.lock is None:
            own.lock = b"".join(reader.chunks())
    return holds


def _check_fits(image: Image, own: _Own, base: ResolvedBase) -> None:
    """Refuse a base that the image's own layers cannot stand on, for the first of the reasons that there are."""
    platform = image.config.platform
    check_platform(base.name, base.platform, platform)
    if own.interpreter is None or own.lock is None:
        missing = contract.PYTHON_PATH if own.interpreter is None else contract.serving_lock(str(platform))
        raise ImageError(f"the image's layers hold no {missing}", hint="build it from its package on the new base")
    minor = posixpath.basename(own.interpreter).removeprefix("python")
    if base.python_minor != minor:
        raise BaseError(
            f"the base {base.name} has Python {base.python_minor}, but the image was built for Python {minor}",
            hint=f"choose a base with Python {minor}, or train and pack with Python {base.python_minor}",
        )
    if base.interpreter != own.interpreter:
        raise BaseError(
            f"the base {base.name} has its Python at {base.interpreter}, but the image looks for {own.interpreter}",
            hint="build the image from its package on the new base",
        )
    if base.libc != "glibc":
        raise BaseError(
            f"the base {base.name} has the C library {base.libc}, but the image holds wheels for glibc",
            hint="choose a base with glibc, such as deb:bookworm or python:3.11-slim",
        )
    lock = parse_lock(own.lock, what=f"the image's {contract.serving_lock(str(platform))}")
    select_wheels(lock, python=minor, platform=platform, glibc=base.glibc)


def _labels(old: Mapping[str, str], base: ResolvedBase) -> dict[str, str]:
    """The image's own labels with the new base's name.

    Nobody can tell which others the old base left; they stay, unless the new base has them too.
    """
    own = {key: value for key, value in old.items() if key.startswith((OCI, OWN)) or key not in base.run.labels}
    return own | {OCI + "base.name": base.name, OCI + "base.digest": str(base.digest)}


def _own_history(history: Sequence[History], below: int) -> Sequence[History]:
    """The steps from the first one that made a layer of the image's own."""
    made = [number for number, step in enumerate(history) if not step.empty_layer]
    return history[made[below] :] if below < len(made) else ()


@dataclass(frozen=True)
class RebaseSpec:
    """What the user asked to be rebased.

    Attributes:
        image: to read; a plain name is asked of the daemon, then of its registry.
        base: ``deb:SUITE`` or an image, the new one.
        tags: names for the result.
        gate: replay the packed examples before the result gets its names.
        delivery: where it goes.
    """

    image: ImageName
    base: str
    tags: tuple[str, ...]
    gate: bool = True
    delivery: Delivery = field(default_factory=Delivery)


def run_rebase(spec: RebaseSpec, fetcher: Fetcher, report: Report) -> BuildOutcome:
    """Find an image, put it on another base, check it, and only then name and deliver it.

    Raises:
        GateFailed: the self-test said no on the new base; nothing was named.
        As `rebase`, and what finding the image and its new base raises.
    """
    names = tuple(str(Reference.parse(tag)) for tag in spec.tags)
    old, codec = _find(spec.image, fetcher)
    engine = EmbeddedEngine(fetcher, report, codec)
    bases: dict[Platform, ResolvedBase] = {}

    def resolve(platform: Platform) -> ResolvedBase:
        deb = spec.base.startswith(PREFIX)
        bases[platform] = (
            resolve_debian_base(spec.base, platform, fetcher) if deb else engine.resolve(spec.base, platform)
        )
        return bases[platform]

    new = rebase(old, resolve, LayerStore(fetcher, codec).compressed)
    results = [_result(image, bases[image.config.platform]) for image in _images(new)]
    verdicts = [_check(engine, result, fetcher, report) for result in results] if spec.gate else []
    engine.deliver(results, names, spec.delivery)
    passed = next((verdict for verdict in verdicts if verdict), GateVerdict("none", passed=None))
    return BuildOutcome(tuple(results), names, passed)


def _find(name: ImageName, fetcher: Fetcher) -> tuple[Artifact, Codec]:
    """An image wherever it is, and how its layers are compressed; a daemon's are not, so they get our default."""

    def in_daemon() -> tuple[Artifact, Codec] | None:
        from modelimg.daemon import connect
        from modelimg.saved import save_image

        saved = save_image(connect(), str(name.reference), fetcher.cache)
        return (saved, "gzip") if saved else None

    def elsewhere() -> tuple[Artifact, Codec]:
        artifact = open_artifact(name, fetcher)
        layers = next((image.layers for image in _images(artifact)), ())
        if name.transport == "docker-archive" or not layers:
            return artifact, "gzip"
        return artifact, codec_of(layers[-1].descriptor.media_type)

    return look_everywhere(name, in_daemon, elsewhere)


def _images(artifact: Artifact) -> tuple[Image, ...]:
    return artifact.images if isinstance(artifact, ImageIndex) else (artifact,)


def _result(image: Image, base: ResolvedBase) -> BuildResult:
    return BuildResult(
        engine=EmbeddedEngine.name,
        platform=image.config.platform,
        image_id=str(image.config.digest),
        manifest_digest=str(image.descriptor.digest),
        layers=tuple(map(str, image.config.diff_ids)),
        image=image,
        base=Reference.parse(base.reference) if "@" in base.reference else None,
    )


def _check(engine: EmbeddedEngine, result: BuildResult, fetcher: Fetcher, report: Report) -> GateVerdict | None:
    """The gate's verdict; None where it cannot be run on this host."""
    labels = result.image.config.run.labels if result.image else {}
    title = f"{labels.get(OCI + 'title')} {labels.get(OCI + 'version')}"
    try:
        verdict = check_image(engine, result, title, result.image_id, fetcher.cache)
    except SandboxUnavailable as error:
        report(f"the gate was not run for {result.platform}: {error.message}")
        return None
    report(f"the packed examples came out the same ({verdict.how})")
    return verdict
