"""The embedded engine: the image is put together in this process, with no daemon, no root and no registry.

The same plan gives the same bytes on every host: layers and config follow from the plan alone, and the manifest from
these and from the compressor, whose fingerprint it carries.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from modelimg.base.resolve import ResolvedBase
from modelimg.deliver import Delivery, deliver
from modelimg.engines.base import BuildResult, Report, SelfTest
from modelimg.errors import EngineError, EngineUnavailable
from modelimg.fetch import Fetcher
from modelimg.layerstore import LayerBlob, LayerStore
from modelimg.oci.blob import Blob
from modelimg.oci.compression import Codec, fingerprint
from modelimg.oci.image import History, ImageConfig, RunConfig
from modelimg.oci.manifest import Artifact, Image, ImageIndex
from modelimg.oci.names import ImageName
from modelimg.oci.values import Platform, Reference
from modelimg.plan import BuildPlan

COMPRESSOR = "io.modelimg.compressor"
"""Annotation of the manifest: what compressed the layers. Equal fingerprints give equal manifests."""

_AT_ONCE = 2
"""Layers that are made side by side: while one is compressed, byte code is compiled for another."""


class EmbeddedEngine:
    """See the module.

    Args:
        fetcher: gets wheels and base images; its cache keeps the layers.
        report: takes a line of progress.
        codec: how layers are compressed.
    """

    name = "embedded"

    def __init__(self, fetcher: Fetcher, report: Report, codec: Codec = "gzip") -> None:
        self._fetcher, self._report, self._codec = fetcher, report, codec
        self._store = LayerStore(fetcher, codec)

    def resolve(self, reference: str, platform: Platform) -> ResolvedBase:
        """See `Engine`."""
        from modelimg.base.image import resolve_image_base

        return resolve_image_base(ImageName.parse(reference), platform, self._fetcher, self._report)

    def build(self, plan: BuildPlan) -> BuildResult:
        """See `Engine`; a layer that was made before is not touched."""
        if plan.base.image is None:
            raise EngineError(
                f"the layers of the base {plan.base.name} are not at hand",
                hint="name a deb: base, or an image of a registry, a layout or an archive",
            )
        run = _run_config(plan)
        below, own = self._layers(plan, plan.base.image)
        base = plan.base.image.config
        config = ImageConfig(
            platform=plan.platform,
            run=run,
            diff_ids=(*base.diff_ids, *(layer.diff_id for layer in own)),
            history=(*base.history, *(_step(plan, layer.name) for layer in plan.layers)),
            created=plan.created,
        )
        image = Image.assemble(config, [*below, *own], {COMPRESSOR: fingerprint(self._codec)})
        return BuildResult(
            engine=self.name,
            platform=plan.platform,
            image_id=str(config.digest),
            manifest_digest=str(image.descriptor.digest),
            layers=tuple(str(diff_id) for diff_id in config.diff_ids),
            image=image,
            base=_registry_name(plan.base.reference),
        )

    def _layers(self, plan: BuildPlan, base: Image) -> tuple[list[Blob], list[LayerBlob]]:
        """The base's layers and ours, made side by side."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            own = [pool.submit(self._store.blob, plan, layer) for layer in plan.layers]
            below = [pool.submit(self._store.compressed, blob) for blob in base.layers]
            return [layer.result() for layer in below], [layer.result() for layer in own]

    def selftest(self, result: BuildResult) -> SelfTest:
        """See `Engine`: in namespaces of its own, or else with a Python of this host."""
        from modelimg.engines.selftest import run_selftest

        return run_selftest(_image(result), report=self._report)

    def deliver(self, results: Sequence[BuildResult], names: Sequence[str], delivery: Delivery) -> None:
        """See `Engine`; several platforms' images go behind one index."""
        delivery = delivery or self._wherever_it_runs(names, several=len(results) > 1)
        images = [_image(result) for result in results]
        artifact: Artifact = images[0] if len(images) == 1 else ImageIndex.assemble(images)
        references = [Reference.parse(name) for name in names]
        deliver(artifact, references, delivery, self._report, base=results[0].base)

    def _wherever_it_runs(self, names: Sequence[str], *, several: bool) -> Delivery:
        """Where an image goes when nobody says: to the daemon, or to a file where none answers or holds all of it."""
        from modelimg.daemon import connect

        if not several:
            try:
                connect()
            except EngineUnavailable:
                self._report("no Docker daemon answers: the image goes to a file")
            else:
                return Delivery(load=True)
        name = Reference.parse(names[0])
        path = Path(f"{name.repository.rpartition('/')[2]}-{name.tag or 'latest'}.tar")
        return Delivery(outputs=(ImageName("oci-archive", path=path),))

    def discard(self, result: BuildResult) -> None:
        """See `Engine`; nothing of it is anywhere but in the cache, whose blobs are right whatever the gate says."""


def _run_config(plan: BuildPlan) -> RunConfig:
    """How containers run: as planned, or as a template of the user's own says without running anything."""
    if plan.template_path is None:
        return plan.run
    from modelimg.dockerfile import BASE_LAYER, render_dockerfile, split_labels
    from modelimg.instructions import apply, parse

    layers = [*([BASE_LAYER] if plan.base.tar else []), *(f"{layer.name}.tar" for layer in plan.layers)]
    run = apply(parse(render_dockerfile(plan)), plan.base.reference, layers, plan.base.run)
    labels = {**run.labels, **split_labels(plan)[1]}
    return replace(run, labels=dict(sorted(labels.items())))


def _step(plan: BuildPlan, layer: str) -> History:
    return History(f"modelimg {plan.modelimg_version} {layer}", plan.created)


def _registry_name(reference: str) -> Reference | None:
    """What a Dockerfile's FROM would say, where that is a name in a registry."""
    return Reference.parse(reference) if "@" in reference else None


def _image(result: BuildResult) -> Image:
    assert result.image is not None  # noqa: S101 - `build` gave it
    return result.image
