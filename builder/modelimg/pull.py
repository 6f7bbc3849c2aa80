"""Pulling through the cache: a registry's images, kept so that the next look at them needs no network.

Manifests and configs are kept when they are read, layers when somebody opens them. What a tag led to is noted, so that
``--offline`` finds it again; a name with a digest asks nobody once its image is here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from modelimg.errors import FetchError, ImageError
from modelimg.fetch import Fetcher
from modelimg.oci.blob import Descriptor, LazyBlob, copy_blob
from modelimg.oci.manifest import MANIFEST_TYPES, Artifact, Image, ImageIndex, Manifest, choose_platform, parse_index
from modelimg.oci.values import Digest, Platform, Reference

if TYPE_CHECKING:
    from modelimg.oci.registry import RegistryClient, RegistrySettings  # imported where the network is used

_TAG, _PLATFORM = "registry-tag", "registry-platform"
_MAX_DOCUMENT = 4 << 20
"""Bytes of a manifest, an index or a config; no larger ones come out of a registry."""


def pull(
    reference: Reference, platform: Platform | None, fetcher: Fetcher, *, settings: RegistrySettings | None = None
) -> Artifact:
    """What a name in a registry leads to; its layers are fetched when they are opened.

    Args:
        reference: with or without a registry, a tag and a digest; the digest wins.
        platform: which image of an index to take, and what an image has to be for; None for all of it.
        fetcher: its cache keeps what is pulled; offline, nothing else is asked.
        settings: of the registry client; by default those of the environment.

    Raises:
        FetchError: offline and not in the cache, or the registry has it not or does not answer.
        ImageError: no image, or none for the platform.
    """
    place = _Place(reference, fetcher, settings)
    artifact = place.remembered(platform) or place.pulled(platform)
    if platform and isinstance(artifact, Image) and artifact.config.platform != platform:
        raise ImageError(f"{reference} is for {artifact.config.platform}, not for {platform}")
    return artifact


@dataclass(frozen=True)
class _Place:
    reference: Reference
    fetcher: Fetcher
    settings: RegistrySettings | None

    def remembered(self, platform: Platform | None) -> Artifact | None:
        """What the cache holds, where it may be believed: a digest says one thing forever, a tag what it said last."""
        digest = self.reference.digest
        if digest is None and self.fetcher.offline:
            fact = self.fetcher.cache.recall(_TAG, self.reference.full_name)
            digest = Digest.parse(fact["digest"]) if fact else None
        return self._read(digest, platform) if digest else None

    def pulled(self, platform: Platform | None) -> Artifact:
        """What the registry says now; what is in the cache already is not sent again."""
        if self.fetcher.offline:
            raise self._refusal(f"{self.reference} for {platform}" if platform else str(self.reference))
        with self._client() as client:
            digest = self.reference.digest or client.resolve(self.reference).digest
            known = self._read(digest, platform)
            if known is None:
                self._keep(digest, platform, client.pull(self.reference.with_digest(digest), platform))
        if self.reference.digest is None:
            self.fetcher.cache.note(_TAG, self.reference.full_name, {"digest": str(digest)})
        known = known or self._read(digest, platform)
        assert known is not None  # noqa: S101 - all of it was just put there
        return known

    def _keep(self, digest: Digest, platform: Platform | None, artifact: Artifact) -> None:
        cache = self.fetcher.cache
        for image in artifact.images if isinstance(artifact, ImageIndex) else (artifact,):
            cache.add(image.manifest_data)
            cache.add(image.config_data, image.manifest.config.digest)
        if isinstance(artifact, ImageIndex):
            cache.add(artifact.data, digest)
        elif platform:
            cache.note(_PLATFORM, f"{digest} {platform}", {"digest": str(artifact.descriptor.digest)})

    def _read(self, digest: Digest, platform: Platform | None) -> Artifact | None:
        """An image or an index whose documents the cache has, all of them; None where one is missing."""
        if platform and (fact := self.fetcher.cache.recall(_PLATFORM, f"{digest} {platform}")):
            digest = Digest.parse(fact["digest"])
        data = self._document(digest)
        if data is None:
            return None
        if not _is_index(data):
            return self._image(data)
        entries = parse_index(data, what=str(self.reference))
        if platform:
            return self._read(choose_platform(entries, platform, what=str(self.reference)).digest, None)
        images = [self._read(entry.digest, None) for entry in entries if entry.media_type in MANIFEST_TYPES]
        whole = tuple(image for image in images if isinstance(image, Image))
        return ImageIndex(data, whole) if len(whole) == len(images) else None

    def _image(self, data: bytes) -> Image | None:
        manifest = Manifest.parse(data, what=str(self.reference))
        config = self._document(manifest.config.digest)
        if config is None:
            return None
        return Image(data, config, tuple(self._lazy(layer) for layer in manifest.layers))

    def _document(self, digest: Digest) -> bytes | None:
        path = self.fetcher.cache.blob(digest)
        return path.read_bytes() if path and path.stat().st_size <= _MAX_DOCUMENT else None

    def _lazy(self, descriptor: Descriptor) -> LazyBlob:
        find = partial(self.fetcher.cache.path, descriptor.digest)
        return LazyBlob(descriptor, partial(self._layer, descriptor), peek=find)

    def _layer(self, descriptor: Descriptor) -> Path:
        """A layer's file: in the cache, where a damaged one counts as missing, or else fetched into it."""
        cache = self.fetcher.cache
        if path := cache.blob(descriptor.digest):
            return path
        if self.fetcher.offline:
            raise self._refusal(f"the layer {descriptor.digest} of {self.reference}")
        with self._client() as client, cache.writing() as (stream, aside):
            copy_blob(client.blob(self.reference, descriptor), stream)
            stream.flush()
            return cache.adopt(aside, descriptor.digest)

    def _client(self) -> RegistryClient:
        from modelimg.oci.registry import RegistryClient, RegistrySettings

        return RegistryClient(self.settings or RegistrySettings.from_environment())

    def _refusal(self, what: str) -> FetchError:
        return FetchError(
            f"{what} is not in the cache and --offline forbids asking its registry",
            hint="use it once with the network: what a tag leads to is remembered, for each platform that was used",
        )


def _is_index(data: bytes) -> bool:
    try:
        value = json.loads(data)
    except ValueError:
        return False
    return isinstance(value, dict) and "manifests" in value
