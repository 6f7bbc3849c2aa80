"""A model image on one base, and the way to another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from modelimg.base.resolve import ResolvedBase
from modelimg.engines.embedded import EmbeddedEngine
from modelimg.fetch import Fetcher
from modelimg.layerstore import LayerStore
from modelimg.oci.manifest import Image
from modelimg.pack.package import ModelPackage
from modelimg.plan import make_plan
from modelimg.rebase import rebase
from small_images import OLD_BASE, in_layout


@pytest.fixture
def engine(own: Fetcher) -> EmbeddedEngine:
    return EmbeddedEngine(own, lambda line: None)


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
        result = engine.build(make_plan(package, base, tags=["tiny:1"], created="2026-01-02T03:04:05Z"))
        assert result.image is not None
        return result.image

    return build


@pytest.fixture
def put(own: Fetcher, resolve: Callable[..., ResolvedBase]) -> Callable[..., Image]:
    """Put an image on a base."""

    def put(image: Image, base: Image | ResolvedBase) -> Image:
        new = resolve(base, "new") if isinstance(base, Image) else base
        rebased = rebase(image, lambda platform: new, LayerStore(own).compressed)
        assert isinstance(rebased, Image)
        return rebased

    return put


@pytest.fixture
def model_image(
    write_package: Callable[..., ModelPackage], build: Callable[..., Image], resolve: Callable[..., ResolvedBase]
) -> Image:
    """The smallest package on the old base."""
    return build(write_package(), resolve(OLD_BASE, "old"))
