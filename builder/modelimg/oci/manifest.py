"""Images and indexes: manifests with the blobs that they name.

Source: https://github.com/opencontainers/image-spec/blob/main/manifest.md and image-index.md
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from modelimg.errors import ImageError
from modelimg.oci.blob import (
    CONFIG,
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    INDEX,
    MANIFEST,
    Blob,
    BytesBlob,
    Descriptor,
    canonical_json,
)
from modelimg.oci.image import ImageConfig
from modelimg.oci.values import Platform

MANIFEST_TYPES = (MANIFEST, DOCKER_MANIFEST)
INDEX_TYPES = (INDEX, DOCKER_INDEX)


@dataclass(frozen=True)
class Manifest:
    """An image manifest, parsed.

    Attributes:
        config: of the image.
        layers: lowest first.
        media_type: OCI's or Docker's.
        annotations: of the manifest.
    """

    config: Descriptor
    layers: tuple[Descriptor, ...]
    media_type: str = MANIFEST
    annotations: Mapping[str, str] | None = None

    def to_json(self) -> bytes:
        """Canonical bytes."""
        value: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": self.media_type,
            "config": self.config.to_dict(),
            "layers": [layer.to_dict() for layer in self.layers],
        }
        return canonical_json(value | ({"annotations": dict(self.annotations)} if self.annotations else {}))

    @classmethod
    def parse(cls, data: bytes, *, what: str) -> Manifest:
        """Read a manifest that anyone wrote.

        Args:
            data: its bytes.
            what: how messages name it.

        Raises:
            ImageError: it is no manifest.
        """
        try:
            value = json.loads(data)
            return cls(
                config=Descriptor.from_dict(value["config"]),
                layers=tuple(Descriptor.from_dict(layer) for layer in value["layers"]),
                media_type=value.get("mediaType") or MANIFEST,
                annotations=value.get("annotations") or None,
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ImageError(f"{what} is no image manifest: {type(error).__name__}: {error}") from error


@dataclass(frozen=True)
class Image:
    """An image for one platform: the exact bytes of its manifest and config, and its layers.

    Attributes:
        manifest_data: as it was written; its digest is the image's.
        config_data: as it was written; its digest is the image id.
        layers: lowest first.
    """

    manifest_data: bytes
    config_data: bytes
    layers: tuple[Blob, ...]

    @classmethod
    def assemble(
        cls, config: ImageConfig, layers: Sequence[Blob], annotations: Mapping[str, str] | None = None
    ) -> Image:
        """An image of our own making; ``annotations`` go to its manifest."""
        data = config.to_json()
        descriptors = tuple(layer.descriptor for layer in layers)
        manifest = Manifest(Descriptor.of(CONFIG, data), descriptors, annotations=annotations)
        return cls(manifest.to_json(), data, tuple(layers))

    @cached_property
    def manifest(self) -> Manifest:
        """Parsed."""
        return Manifest.parse(self.manifest_data, what="the image's manifest")

    @cached_property
    def config(self) -> ImageConfig:
        """Parsed."""
        return ImageConfig.parse(self.config_data)

    @cached_property
    def descriptor(self) -> Descriptor:
        """Of the manifest, with the platform."""
        plain = Descriptor.of(self.manifest.media_type, self.manifest_data)
        return replace(plain, platform=self.config.platform)

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """What has to be stored before the manifest: layers, then the config."""
        return (*self.layers, BytesBlob(self.manifest.config, self.config_data))


@dataclass(frozen=True)
class ImageIndex:
    """One image for each of several platforms, behind one digest.

    Attributes:
        data: the index, as it was written.
        images: in its order.
    """

    data: bytes
    images: tuple[Image, ...]

    @classmethod
    def assemble(cls, images: Sequence[Image]) -> ImageIndex:
        """An index of our own making, sorted by platform."""
        ordered = tuple(sorted(images, key=lambda image: str(image.config.platform)))
        value = {
            "schemaVersion": 2,
            "mediaType": INDEX,
            "manifests": [image.descriptor.to_dict() for image in ordered],
        }
        return cls(canonical_json(value), ordered)

    @property
    def descriptor(self) -> Descriptor:
        """Of the index."""
        return Descriptor.of(json.loads(self.data).get("mediaType") or INDEX, self.data)


Artifact = Image | ImageIndex
"""What a name leads to."""


def parse_index(data: bytes, *, what: str) -> tuple[Descriptor, ...]:
    """The descriptors of an index that anyone wrote.

    Raises:
        ImageError: it is no index.
    """
    try:
        return tuple(Descriptor.from_dict(entry) for entry in json.loads(data)["manifests"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ImageError(f"{what} is no image index: {type(error).__name__}: {error}") from error


def choose_platform(descriptors: Sequence[Descriptor], platform: Platform, *, what: str) -> Descriptor:
    """The one entry of an index that is for a platform; the only entry where it does not say.

    Raises:
        ImageError: there is none; the message names those that there are.
    """
    images = [entry for entry in descriptors if entry.media_type in MANIFEST_TYPES]
    fitting = [entry for entry in images if entry.platform == platform]
    if fitting:
        return fitting[0]
    if len(images) == 1 and images[0].platform is None:
        return images[0]
    offered = ", ".join(str(entry.platform) for entry in images if entry.platform) or "nothing that says its platform"
    raise ImageError(f"{what} has no image for {platform}; it has {offered}")
