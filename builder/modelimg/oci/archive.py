"""``docker save`` archives, by whoever wrote them: Docker old and new, podman, buildah, skopeo.

Source: https://github.com/moby/docker-image-spec/blob/main/spec.md#combined-image-json--filesystem-changeset-format
"""

from __future__ import annotations

import gzip
import hashlib
import json
import posixpath
import re
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from modelimg.errors import DigestMismatch, ImageError, UsageError
from modelimg.oci.blob import CONFIG, Blob, Descriptor, FileBlob
from modelimg.oci.compression import Codec, media_type
from modelimg.oci.image import ImageConfig
from modelimg.oci.manifest import Image, Manifest
from modelimg.oci.members import Member, TarReader
from modelimg.oci.reading import MAX_DOCUMENT
from modelimg.oci.values import Digest, Reference
from modelimg.oci.writing import TarWriter, docker_manifest

_MAGIC: dict[bytes, Codec] = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_HEAD = max(map(len, _MAGIC))
_CHUNK = 1 << 20
_MAX_LINKS = 8
_BLOBS = "blobs/sha256/"
_NAMED_BY_DIGEST = re.compile(r"(?:.*/)?([0-9a-f]{64})(?:\.json)?")


@dataclass(frozen=True)
class _GzippedPart:
    """A run of bytes in what a gzipped file holds: opening it reads over all that is before it."""

    descriptor: Descriptor
    path: Path
    offset: int

    def open(self) -> BinaryIO:
        """See `Blob`."""
        return _open(self.path, self.offset, gzipped=True)


@dataclass(frozen=True)
class _Archive:
    """A tar and where its members are.

    Attributes:
        name: how messages name it.
        path: of the file.
        gzipped: the whole of it.
        members: by name.
    """

    name: str
    path: Path
    gzipped: bool
    members: Mapping[str, Member]

    @classmethod
    def open(cls, path: Path) -> _Archive:
        name = f"docker-archive:{path}"
        try:
            with path.open("rb") as plain:
                gzipped = _codec(plain.read(_HEAD)) == "gzip"
            with _open(path, 0, gzipped=gzipped) as stream:
                reader = TarReader(stream, what=name)
                return cls(name, path, gzipped, {posixpath.normpath(member.name): member for member in reader})
        except (OSError, EOFError, zlib.error) as error:
            raise ImageError(f"{name} cannot be read: {error}") from error

    def member(self, name: str) -> Member:
        """A file of the archive. Old archives link to a layer that several images share."""
        found = self.members.get(posixpath.normpath(name))
        for _ in range(_MAX_LINKS):
            if found is None or found.kind not in ("symlink", "hardlink"):
                break
            above = posixpath.dirname(found.name) if found.kind == "symlink" else ""
            found = self.members.get(posixpath.normpath(posixpath.join(above, found.target)))
        if found is None or found.kind != "file":
            raise ImageError(f"{self.name} has no file {name!r}", hint="save the image anew")
        return found

    def read(self, name: str) -> bytes:
        """A document; one that is named by its digest is checked."""
        member = self.member(name)
        if member.size > MAX_DOCUMENT:
            raise ImageError(f"{self.name} has {member.size} bytes in {name!r}, over the limit of {MAX_DOCUMENT}")
        with self._open_at(member) as stream:
            data = stream.read(member.size)
        named = _NAMED_BY_DIGEST.fullmatch(name)
        if named and named[1] != Digest.of(data).hex:
            raise DigestMismatch(f"{self.name} has bytes of {Digest.of(data)} in {name!r}")
        return data

    def layer(self, name: str, diff_id: Digest) -> Blob:
        """A layer. Its digest is computed now only where neither the config nor its own name says it."""
        member = self.member(name)
        with self._open_at(member) as stream:
            codec = _codec(stream.read(min(_HEAD, member.size)))
        named = _NAMED_BY_DIGEST.fullmatch(name) if name.startswith(_BLOBS) else None
        digest = diff_id if codec == "none" else Digest(named[1]) if named else self._digest(member)
        descriptor = Descriptor(media_type(codec), digest, member.size)
        return (_GzippedPart if self.gzipped else FileBlob)(descriptor, self.path, member.offset)

    def _digest(self, member: Member) -> Digest:
        hasher, left = hashlib.sha256(), member.size
        with self._open_at(member) as stream:
            while left and (chunk := stream.read(min(left, _CHUNK))):
                hasher.update(chunk)
                left -= len(chunk)
        return Digest(hasher.hexdigest())

    def _open_at(self, member: Member) -> BinaryIO:
        return _open(self.path, member.offset, gzipped=self.gzipped)


def open_docker_archive(path: Path, reference: Reference | None = None) -> Image:
    """Read an image of a ``docker save`` archive.

    It has no manifest in OCI's sense, so one is made: the config's own bytes, and the layers as they are stored.

    Args:
        path: of the archive; the whole of it may be gzipped.
        reference: the image's name, where there are several.

    Raises:
        ImageError: it is no such archive, has no such image, or several and no name was given.
        DigestMismatch: the config has other bytes than its name says.
    """
    archive = _Archive.open(path)
    if "manifest.json" not in archive.members:
        hint = f"try oci-archive:{path}" if "index.json" in archive.members else None
        raise ImageError(f"{archive.name} is no archive of `docker save`: it has no manifest.json", hint=hint)
    config_name, layer_names = _choose(archive, reference)
    config = archive.read(config_name)
    diff_ids = ImageConfig.parse(config).diff_ids
    if len(diff_ids) != len(layer_names):
        raise ImageError(f"{archive.name} has {len(layer_names)} layers, and its config names {len(diff_ids)}")
    layers = tuple(archive.layer(*each) for each in zip(layer_names, diff_ids, strict=True))
    manifest = Manifest(Descriptor.of(CONFIG, config), tuple(layer.descriptor for layer in layers))
    return Image(manifest.to_json(), config, layers)


def write_docker_archive(
    image: Image, out: BinaryIO, names: Sequence[Reference], *, without: Collection[Digest] = frozenset()
) -> None:
    """Write what ``docker load`` reads, of the classic form.

    Layers are written as they are stored; zstd ones are not read by Docker before version 23.

    Args:
        image: one platform's.
        out: takes the tar; need not be seekable.
        names: that the image gets; ``latest`` is the tag of one without.
        without: diff_ids of layers that the reader has, and that are named but left out. Docker skips a layer that it
            has on top of the same lower ones.

    Raises:
        DigestMismatch: a layer has other bytes than its descriptor says; what was written is worthless then.
    """
    diff_ids = image.config.diff_ids
    config_name = f"{image.manifest.config.digest.hex}.json"
    tar = TarWriter(out)
    tar.document("manifest.json", docker_manifest(config_name, [_layer_name(each) for each in diff_ids], names))
    tar.document(config_name, image.config_data)
    written = set(without)
    for diff_id, layer in zip(diff_ids, image.layers, strict=True):
        if diff_id not in written:
            written.add(diff_id)
            tar.directory(diff_id.hex)
            tar.blob(_layer_name(diff_id), layer)
    tar.end()


def _choose(archive: _Archive, reference: Reference | None) -> tuple[str, list[str]]:
    """The config's and the layers' names of an image in ``manifest.json``."""
    try:
        entries = [_parse_entry(entry) for entry in json.loads(archive.read("manifest.json"))]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ImageError(f"{archive.name} has a damaged manifest.json: {type(error).__name__}: {error}") from error
    found = [entry for entry in entries if not reference or reference.full_name in map(_full_name, entry[2])]
    if len(found) == 1:
        return found[0][:2]
    known = ", ".join(sorted(tag for entry in entries for tag in entry[2])) or "none with a name"
    which = f"no image {reference}" if reference else "no image" if not found else "several images"
    raise ImageError(f"{archive.name} has {which}", hint=f"it has {known}")


def _parse_entry(entry: dict[str, Any]) -> tuple[str, list[str], list[str]]:
    return str(entry["Config"]), [str(name) for name in entry["Layers"]], [str(t) for t in entry.get("RepoTags") or ()]


def _full_name(tag: str) -> str:
    try:
        return Reference.parse(tag).full_name
    except UsageError:
        return tag


def _open(path: Path, offset: int, *, gzipped: bool) -> BinaryIO:
    stream = cast("BinaryIO", gzip.GzipFile(path)) if gzipped else path.open("rb")
    stream.seek(offset)
    return stream


def _codec(head: bytes) -> Codec:
    return next((codec for magic, codec in _MAGIC.items() if head.startswith(magic)), "none")


def _layer_name(diff_id: Digest) -> str:
    return f"{diff_id.hex}/layer.tar"
