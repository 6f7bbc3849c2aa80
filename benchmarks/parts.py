"""The parts of the story: builds, sizes, starts, pushes. Each gives rows that `benchmarks.report` shows.

In every part the contenders take turns, and a figure of one is only ever set against a figure of the same part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import docker

from benchmarks import containers, images, models
from benchmarks.contenders.base import Contender
from benchmarks.contenders.ours import Embedded
from benchmarks.floor import floor
from benchmarks.measure import Row, Samples, Section, in_turns
from benchmarks.registry import Registry
from modelimg.oci.files import unpack
from modelimg.oci.layout import open_archive
from modelimg.oci.manifest import Image
from modelimg_runtime.contract import PYCACHE_PATH

_MB = 1_000_000
_BASES = "the base of a Dockerfile is in the daemon before the clock starts; ours is fetched and made while it runs"
_KEPT = (
    "wheels, bases and apt's packages are kept, layers not; the caches that a Dockerfile's cache mounts would hold are "
    "in the image that its FROM names. The floor reads, hashes, tars and compresses the files of our image once; "
    "compiling, it makes their byte code, too"
)
_SHIPPED = "layers as a registry holds them: compressed by Docker's push, or by us"
_SERVED = "each on its own route; BentoML and MLflow check types, the others validate with pandera, ours its output too"
_PUSHED = "`docker push` of an image that is in the daemon; for ours `modelimg build --push`, with everything it takes"
_SAME = "ours without its gate, to an `oci-archive:`; the whole command, interpreter start included"


def builds(
    everyone: Sequence[Contender],
    extras: Sequence[Contender],
    floors: Mapping[str, Embedded],
    work: Path,
    *,
    rounds: int,
    cold_rounds: int,
) -> Section:
    """Cold builds under two conditions, then rebuilds of what the last cold one left.

    Args:
        everyone: who builds.
        extras: variants of ours that only rebuild.
        floors: name of a floor → whose files it reads.
        work: folder for trees.
        rounds: values for each rebuild.
        cold_rounds: values for each cold build.
    """
    for one in (*extras, *reversed(everyone)):  # ours first: the others take minutes
        one.prepare()
    cached = {one.name: _cold(one, kept=True) for one in everyone} | _floors(floors, work)
    cold = {one.name: _cold(one, kept=False) for one in everyone}
    both = in_turns(cold_rounds, {f"{name}, cached": run for name, run in cached.items()} | cold)
    same = in_turns(rounds, {one.name: _rebuilt(one, changed=False) for one in everyone})
    changed = in_turns(rounds, {one.name: _rebuilt(one, changed=True) for one in (*everyone, *extras)})
    return Section(
        "Builds",
        (
            Row("cold", "cold, nothing cached", "s", {name: both[name] for name in cold}, _BASES),
            Row("cached", "cold, downloads cached", "s", {name: both[f"{name}, cached"] for name in cached}, _KEPT),
            Row("same", "nothing changed", "s", same, _SAME),
            Row("changed", "model changed", "s", changed, _SAME),
        ),
    )


def _cold(one: Contender, *, kept: bool) -> Callable[[int], float]:
    return lambda _: one.cold(kept=kept)


def _rebuilt(one: Contender, *, changed: bool) -> Callable[[int], float]:
    return lambda number: one.build(1 + number if changed else 0)


def _floors(floors: Mapping[str, Embedded], work: Path) -> dict[str, Callable[[int], float]]:
    measures: dict[str, Callable[[int], float]] = {}
    for name, whose in floors.items():
        image = open_archive(whose.archive).artifact(None)
        assert isinstance(image, Image)
        unpack(image.layers, work / name)
        measures[name] = partial(_floor, work / name, work / f"{name}.tar.gz", compiling=False)
        measures[name](0)  # not counted: fills the page cache
        if (work / name / PYCACHE_PATH.lstrip("/")).is_dir():
            measures[f"{name}, compiling"] = partial(_floor, work / name, work / f"{name}.tar.gz", compiling=True)
    return measures


def _floor(tree: Path, out: Path, _: int, *, compiling: bool) -> float:
    return floor(tree, out, compiling=compiling)


def sizes(
    client: docker.DockerClient, everyone: Sequence[Contender], work: Path
) -> tuple[Section, dict[str, list[images.LayerSize]]]:
    """Bytes of the first version's image: as tar, as a registry keeps it, and after one compressor for all."""
    layers: dict[str, list[images.LayerSize]] = {}
    shipped: dict[str, Samples] = {}
    with Registry(work / "registry") as registry:
        for one in everyone:
            layers[one.name] = images.layer_sizes(client, one.load(0))
            one.push(0, f"{registry.host}/bench")
            shipped[one.name] = Samples((registry.shipped("bench", "0") / _MB,))

    def row(key: str, label: str, value: str, *, over_base: bool = False) -> Row:
        below = {one.name: one.base_layers * over_base for one in everyone}
        sums = {name: sum(getattr(layer, value) for layer in found[below[name] :]) for name, found in layers.items()}
        return Row(key, label, "MB", {name: Samples((size / _MB,)) for name, size in sums.items()})

    rows = (
        row("tar", "layers as tar", "tar"),
        row("tar-over-base", "of that over the base", "tar", over_base=True),
        Row("shipped", "compressed, as pushed", "MB", shipped, _SHIPPED),
        row("gzip", "after `gzip -6`", "compressed"),
        row("gzip-over-base", "of that over the base", "compressed", over_base=True),
    )
    return Section("Image", rows), layers


def starts(client: docker.DockerClient, everyone: Sequence[Contender], package: Path, rounds: int) -> Section:
    """Starts of the images, a request of one row; the first of each fills the page cache and does not count."""
    rows = models.example_rows(package)[:1]
    names = {one.name: one.load(0) for one in everyone}
    seen: dict[str, list[containers.Start]] = {one.name: [] for one in everyone}
    for number in range(rounds + 1):
        for one in everyone:
            found = containers.start(client, names[one.name], one.serving, rows)
            seen[one.name] += [found] * (number > 0)

    def samples(value: str, scale: float) -> dict[str, Samples]:
        return {name: Samples(tuple(getattr(one, value) / scale for one in found)) for name, found in seen.items()}

    return Section(
        "Start",
        (
            Row("start", "`docker run` to the first prediction", "s", samples("seconds", 1), _SERVED),
            Row("memory", "memory while serving, as `docker stats` shows it", "MB", samples("memory", _MB)),
            Row("anonymous", "of that anonymous", "MB", samples("anonymous", _MB)),
        ),
    )


def pushes(everyone: Sequence[Contender], work: Path, rounds: int) -> Section:
    """First push to an empty registry, the same again, and the next version of the model."""
    steps = {"push": ("first", 0), "again": ("the same again", 0), "push-changed": ("model changed", 1)}
    seconds: dict[str, dict[str, list[float]]] = {step: {one.name: [] for one in everyone} for step in steps}
    stored: dict[str, dict[str, list[float]]] = {step: {one.name: [] for one in everyone} for step in steps}
    uploads: dict[str, dict[str, list[float]]] = {step: {one.name: [] for one in everyone} for step in steps}
    for one in everyone:
        one.build(1)
    for _ in range(rounds):
        for one in everyone:
            with Registry(work / "registry") as registry:
                for step, (_, version) in steps.items():
                    had, sent = registry.stored, registry.uploads
                    seconds[step][one.name].append(one.push(version, f"{registry.host}/bench"))
                    stored[step][one.name].append((registry.stored - had) / _MB)
                    uploads[step][one.name].append(registry.uploads - sent)

    def row(key: str, label: str, unit: str, values: Mapping[str, list[float]], note: str = "") -> Row:
        return Row(key, label, unit, {name: Samples(tuple(found)) for name, found in values.items()}, note)

    rows = [row(f"{step}-seconds", label, "s", seconds[step], _PUSHED) for step, (label, _) in steps.items()]
    rows += [
        row(f"{step}-stored", f"{label}: new in the registry", "MB", stored[step]) for step, (label, _) in steps.items()
    ]
    rows += [row("again", "the same again: requests that send blobs", "", uploads["again"])]
    return Section("Push to a registry on loopback", tuple(rows))
