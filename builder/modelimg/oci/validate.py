"""Recomputing everything that an image says of itself.

Building keeps these invariants; this checks them apart from it, and reports all that do not hold at once. Modelled on
go-containerregistry's ``pkg/v1/validate``.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO, cast

from modelimg.errors import ImageError, ModelimgError
from modelimg.oci.blob import CONFIG, DOCKER_CONFIG, Blob, Descriptor, copy_blob
from modelimg.oci.compression import codec_of, decompressed
from modelimg.oci.image import ImageConfig
from modelimg.oci.manifest import INDEX_TYPES, MANIFEST_TYPES, Artifact, Image, ImageIndex, Manifest, parse_index
from modelimg.oci.members import Member, TarReader
from modelimg.oci.reading import ATTESTATION
from modelimg.oci.tree import split_name
from modelimg.oci.values import Digest

_CHUNK = 1 << 20
_CONFIG_TYPES = (CONFIG, DOCKER_CONFIG)
_MOST_NAMES = 20
"""Names of one layer that are reported; a tar may hold any number of bad ones."""


@dataclass(frozen=True)
class _Contents:
    """What reading a layer showed.

    Attributes:
        problems: of its own, each a sentence about "it".
        diff_id: None where it could not be read to its end.
    """

    problems: tuple[str, ...]
    diff_id: Digest | None


_Known = dict[tuple[Digest, int, str], _Contents]
"""Layers that have been read: the images of an index share them."""


def validate(artifact: Artifact) -> list[str]:
    """Check an image, or an index with its images.

    Everything is streamed; memory grows with the number of names in a layer only.

    Returns:
        A sentence for each thing that is not as it should be, naming the document or layer; empty for a sound image.
    """
    known: _Known = {}
    if isinstance(artifact, Image):
        return list(_image_problems(artifact, known))
    return list(_index_problems(artifact, known))


def _index_problems(index: ImageIndex, known: _Known) -> Iterator[str]:
    yield from _document_problems("the index", index.data, INDEX_TYPES)
    try:
        entries = [each for each in parse_index(index.data, what="the index") if each.platform != ATTESTATION]
    except ImageError as error:
        yield error.message
        return
    images = {Digest.of(image.manifest_data): image for image in index.images}
    for entry in entries:
        image = images.pop(entry.digest, None)
        name = f"the image for {entry.platform}" if entry.platform else f"the image {entry.digest}"
        if image is None:
            yield f"the index names {entry.digest} for {entry.platform}, which no image in it is"
            continue
        if entry.size != len(image.manifest_data):
            yield f"the index says {entry.size} bytes of {name}, whose manifest has {len(image.manifest_data)}"
        if entry.media_type not in MANIFEST_TYPES:
            yield f"the index says that {name} is {entry.media_type!r}, which is no image manifest"
        yield from _platform_problems(entry, image, name)
        yield from (f"{name}: {problem}" for problem in _image_problems(image, known))
    yield from (f"the index does not name the image {digest} that is in it" for digest in images)


def _platform_problems(entry: Descriptor, image: Image, name: str) -> Iterator[str]:
    try:
        platform = image.config.platform
    except ImageError:
        return  # reported with the image
    if entry.platform and entry.platform != platform:
        yield f"the config of {name} is for {platform}"


def _image_problems(image: Image, known: _Known) -> Iterator[str]:
    yield from _document_problems("the manifest", image.manifest_data, MANIFEST_TYPES)
    try:
        manifest = Manifest.parse(image.manifest_data, what="the manifest")
    except ImageError as error:
        yield error.message
        return
    yield from _config_problems(manifest.config, image.config_data)
    yield from _descriptor_problems(manifest, image.layers)
    contents = []
    for number, layer in enumerate(image.layers, 1):
        key = (layer.descriptor.digest, layer.descriptor.size, layer.descriptor.media_type)
        if key not in known:
            known[key] = _read(layer)
        contents.append(known[key])
        name = f"layer {number} ({layer.descriptor.digest})"
        yield from (f"{name}: {problem}" for problem in contents[-1].problems)
    try:
        config = ImageConfig.parse(image.config_data)
    except ImageError as error:
        yield f"the config: {error.message}"
        return
    yield from _diff_id_problems(config, image.layers, contents)


def _document_problems(name: str, data: bytes, media_types: Sequence[str]) -> Iterator[str]:
    """What parsing does not look at."""
    try:
        value = json.loads(data)
        version, media_type = value.get("schemaVersion"), value.get("mediaType", media_types[0])
    except (ValueError, AttributeError):
        return  # parsing says so
    if version != 2:
        yield f"{name} is of the schema version {version!r}, not 2"
    if media_type not in media_types:
        yield f"{name} has the unknown media type {media_type!r}"


def _config_problems(descriptor: Descriptor, data: bytes) -> Iterator[str]:
    if descriptor.media_type not in _CONFIG_TYPES:
        yield f"the config has the unknown media type {descriptor.media_type!r}"
    if descriptor.size != len(data):
        yield f"the config has {len(data)} bytes, and the manifest says {descriptor.size}"
    if descriptor.digest != Digest.of(data):
        yield f"the config has bytes of {Digest.of(data)}, and the manifest says {descriptor.digest}"


def _descriptor_problems(manifest: Manifest, layers: Sequence[Blob]) -> Iterator[str]:
    if len(manifest.layers) != len(layers):
        yield f"the manifest names {len(manifest.layers)} layers, and there are {len(layers)}"
    for number, (said, layer) in enumerate(zip(manifest.layers, layers, strict=False), 1):
        facts = layer.descriptor
        if (said.media_type, said.digest, said.size) != (facts.media_type, facts.digest, facts.size):
            yield (
                f"layer {number} is {facts.digest} ({facts.media_type}, {facts.size} bytes), and the manifest says "
                f"{said.digest} ({said.media_type}, {said.size} bytes)"
            )


def _diff_id_problems(config: ImageConfig, layers: Sequence[Blob], contents: Sequence[_Contents]) -> Iterator[str]:
    if len(config.diff_ids) != len(layers):
        yield f"the config names {len(config.diff_ids)} diff_ids, and there are {len(layers)} layers"
    steps = sum(not step.empty_layer for step in config.history)
    if config.history and steps != len(layers):
        yield f"the config's history tells of {steps} layers, and there are {len(layers)}"
    for number, (said, layer, found) in enumerate(zip(config.diff_ids, layers, contents, strict=False), 1):
        if found.diff_id not in (None, said):
            yield (
                f"layer {number} ({layer.descriptor.digest}) has the diff_id {found.diff_id}, "
                f"and the config says {said}"
            )


def _read(layer: Blob) -> _Contents:
    """Read a layer once: its own bytes are checked where they are decompressed, and the tar while it is hashed."""
    problems: list[str] = []
    try:
        codec_of(layer.descriptor.media_type)
    except ImageError as error:
        return _Contents((error.message, *_raw_problems(layer)), None)
    diff_id = None
    try:
        with decompressed(layer) as stream:
            tar = _Hashing(stream)
            found = _tar_problems(tar)
            problems += islice(found, _MOST_NAMES)
            problems += ["there is more of this kind"] if next(found, None) else []
            diff_id = tar.digest()
    except (ModelimgError, OSError) as error:
        problems.append(str(error).partition("\n")[0])
    return _Contents(tuple(problems), diff_id)


def _raw_problems(layer: Blob) -> Iterator[str]:
    """Those of the stored bytes, of a layer that nobody can decompress."""
    try:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a device, no path of ours
            copy_blob(layer, nowhere)
    except (ModelimgError, OSError) as error:
        yield str(error).partition("\n")[0]


def _tar_problems(tar: _Hashing) -> Iterator[str]:
    try:
        yield from _bad_names(TarReader(cast("BinaryIO", tar), what="it"))
    except (ModelimgError, OSError) as error:
        if tar.failed is None:
            yield str(error)


def _bad_names(members: Iterable[Member]) -> Iterator[str]:
    seen: set[str] = set()
    for member in members:
        if member.name.startswith("/"):
            yield f"it has the absolute path {member.name!r}"
        try:
            path = "/".join(split_name(member.name))
        except ImageError:
            yield f"it has the path {member.name!r}, which leads upwards"
            continue
        if path in seen:
            yield f"it has the path {path!r} twice"
        seen.add(path)
        if member.kind == "hardlink" and (member.target.startswith("/") or ".." in member.target.split("/")):
            yield f"it has the hard link {member.name!r} to {member.target!r}, which is absolute or leads upwards"


class _Hashing(io.RawIOBase):
    """A tar that is hashed while it is read.

    Attributes:
        failed: why it cannot be read on; then it is not the tar that is damaged but what holds it.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._sha256 = stream, hashlib.sha256()
        self.failed: Exception | None = None

    def read(self, size: int = -1) -> bytes:
        """See `io.RawIOBase`."""
        try:
            data = self._stream.read(size)
        except (ModelimgError, OSError) as error:
            self.failed = error
            raise
        self._sha256.update(data)
        return data

    def digest(self) -> Digest:
        """Of all of it; what has not been read is read now."""
        if self.failed:
            raise self.failed
        while self.read(_CHUNK):
            pass
        return Digest(self._sha256.hexdigest())
