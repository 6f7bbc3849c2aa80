"""Bases by reference without a daemon: in a registry, a layout or an archive, pinned and looked into.

Nothing of the image runs. Its layers are fetched when they are looked into for the first time, and kept.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from modelimg.base.inside import Inside, look_inside
from modelimg.base.resolve import ResolvedBase
from modelimg.errors import BaseError, ImageError
from modelimg.fetch import Fetcher
from modelimg.images import Found, open_image, with_oci_type
from modelimg.oci.blob import Blob
from modelimg.oci.files import ImageFiles
from modelimg.oci.names import ImageName
from modelimg.oci.values import Platform

if TYPE_CHECKING:
    from modelimg.oci.registry import RegistrySettings

_CONNECTIONS = 4


def resolve_image_base(
    name: ImageName,
    platform: Platform,
    fetcher: Fetcher,
    report: Callable[[str], None],
    *,
    settings: RegistrySettings | None = None,
) -> ResolvedBase:
    """Pin an image, and find its Python and its C library.

    An image in a file is named after what its layout or archive calls it, and never after its place on this host.

    Args:
        name: of the image; a plain one is a registry's.
        platform: that it must have.
        fetcher: its cache keeps what a registry gives, and what was found inside an image.
        report: takes a line of progress.
        settings: of the registry client; by default those of the environment.

    Raises:
        BaseError: there is none for the platform; it is a model image, or has no Python 3 or C library that we know.
        FetchError: the registry does not give it, or offline and not in the cache.
        UsageError: the name of an image in a daemon.
    """
    try:
        found = open_image(name, platform, fetcher, settings=settings)
        inside = _inside(found, name, platform, fetcher, report)
        layers = tuple(with_oci_type(layer) for layer in found.image.layers)
    except ImageError as error:
        raise BaseError(f"{name} cannot be a base: {error.message}", hint=error.hint) from error
    return ResolvedBase(
        name=found.name,
        digest=found.digest,
        reference=f"{found.reference.name}@{found.digest}" if found.reference else str(found.image_id),
        platform=platform,
        run=found.image.config.run,
        image=replace(found.image, layers=layers),
        **inside,
    )


def _inside(
    found: Found, name: ImageName, platform: Platform, fetcher: Fetcher, report: Callable[[str], None]
) -> Inside:
    key = str(found.image.manifest.config.digest)
    known: Inside | None = fetcher.cache.recall("base", key)
    if known is None:
        report(f"looking into {name}")
        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            list(pool.map(_fetch, found.image.layers))
        reader = ImageFiles(found.image.layers)
        known = look_inside(reader, base=name, platform=platform, env=found.image.config.run.env)
        fetcher.cache.note("base", key, known)
    return known


def _fetch(layer: Blob) -> None:
    """Have a registry's layer in the cache; side by side, for each has to be read anyway."""
    layer.open().close()
