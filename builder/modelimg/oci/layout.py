"""OCI image layouts: a folder, or a tar of one that Docker can load too.

Sources: https://github.com/opencontainers/image-spec/blob/main/image-layout.md and, for ``manifest.json``,
https://github.com/moby/docker-image-spec/blob/main/spec.md#combined-image-json--filesystem-changeset-format.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from modelimg.errors import ImageError, UsageError
from modelimg.oci.blob import INDEX, Blob, BytesBlob, Descriptor, FileBlob, canonical_json, copy_blob
from modelimg.oci.manifest import Artifact, Image, ImageIndex, parse_index
from modelimg.oci.reading import MAX_DOCUMENT, REF_NAME, Layout, check_size, check_version, read_directory
from modelimg.oci.values import DEFAULT_PLATFORM, Digest, Reference
from modelimg.oci.writing import TarWriter, docker_manifest, replacing

CONTAINERD_NAME = "io.containerd.image.name"
"""The full name; Docker's containerd store and podman take it from here."""

_LAYOUT_FILE, _INDEX_FILE, _MANIFEST_FILE = "oci-layout", "index.json", "manifest.json"
_BLOBS = "blobs/sha256"
_INDEX = {"schemaVersion": 2, "mediaType": INDEX}
_LAYOUT = canonical_json({"imageLayoutVersion": "1.0.0"})


def open_layout(path: Path) -> Layout:
    """Read a layout folder, whoever wrote it.

    Raises:
        ImageError: it is none.
    """
    name = f"oci:{path}"
    try:
        check_version((path / _LAYOUT_FILE).read_bytes(), name)
        index = (path / _INDEX_FILE).read_bytes()
    except OSError as error:
        raise ImageError(f"{name} is no OCI layout: {error.strerror}: {error.filename}") from error

    def locate(descriptor: Descriptor) -> Blob:
        blob = _blob_path(path, descriptor.digest)
        check_size(name, descriptor, blob.stat().st_size if blob.is_file() else None)
        return FileBlob(descriptor, blob)

    return Layout(name, parse_index(index, what=f"{name}/{_INDEX_FILE}"), locate)


def open_archive(path: Path) -> Layout:
    """Read a tar of a layout, whoever wrote it. Blobs are read where they lie in the tar.

    Raises:
        ImageError: it is none.
    """
    name = f"oci-archive:{path}"
    members = read_directory(path, what=name)
    missing = [wanted for wanted in (_LAYOUT_FILE, _INDEX_FILE) if wanted not in members]
    if missing:
        hint = f"try docker-archive:{path}" if _MANIFEST_FILE in members else None
        raise ImageError(f"{name} is no OCI layout: it has no {missing[0]}", hint=hint)

    def read(wanted: str) -> bytes:
        with path.open("rb") as stream:
            stream.seek(members[wanted].offset)
            return stream.read(min(members[wanted].size, MAX_DOCUMENT))

    def locate(descriptor: Descriptor) -> Blob:
        member = members.get(f"{_BLOBS}/{descriptor.digest.hex}")
        check_size(name, descriptor, member.size if member else None)
        return FileBlob(descriptor, path, member.offset if member else 0)

    check_version(read(_LAYOUT_FILE), name)
    return Layout(name, parse_index(read(_INDEX_FILE), what=f"the {_INDEX_FILE} of {name}"), locate)


def write_layout(artifact: Artifact, path: Path, tag: str | None) -> None:
    """Write an image or index as a layout folder, or add it to one.

    A new folder appears under its name when it is complete. One that is there gets the blobs that it lacks, and then a
    new ``index.json``: its other tags stay, an entry of the same tag (or of none, where none is given) goes.

    Raises:
        UsageError: the path holds something else.
        DigestMismatch: a blob has other bytes than its descriptor says.
        OSError: the disk is full, or the place cannot be written.
    """
    if path.exists() or path.is_symlink():
        _check_may_add(path)
        _add(artifact, path, tag)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name[:64]}."))
    try:
        _add(artifact, aside, tag)
        aside.chmod(0o755)
        if not _take_name(aside, path):
            write_layout(artifact, path, tag)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def write_archive(artifact: Artifact, path: Path, names: Sequence[Reference]) -> None:
    """Write one tar that is an OCI layout and what ``docker load`` reads, at once.

    Docker's ``manifest.json`` names one image: of an index, the one for linux/amd64, or else the first.

    Args:
        artifact: an image or index.
        path: of the file; it appears when it is complete.
        names: that it gets where it is loaded; ``latest`` is the tag of one without.

    Raises:
        UsageError: the path is a folder.
        DigestMismatch: a blob has other bytes than its descriptor says.
        OSError: the disk is full, or the place cannot be written.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder, and an archive is a file", hint="oci:DIR writes a folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    annotations: list[dict[str, str]] = [
        {REF_NAME: name.tag or "latest", CONTAINERD_NAME: name.full_name} for name in names
    ]
    entries = [_entry(artifact, each) for each in annotations or [{}]]
    image = _loadable(artifact)
    with replacing(path) as stream:
        tar = TarWriter(stream)
        tar.document(_LAYOUT_FILE, _LAYOUT)
        tar.document(_INDEX_FILE, canonical_json(_INDEX | {"manifests": entries}))
        tar.document(
            _MANIFEST_FILE,
            docker_manifest(
                _member_name(image.manifest.config), [_member_name(layer.descriptor) for layer in image.layers], names
            ),
        )
        tar.directory("blobs")
        tar.directory(_BLOBS)
        for blob in _blobs(artifact):
            tar.blob(_member_name(blob.descriptor), blob)
        tar.end()


def _loadable(artifact: Artifact) -> Image:
    if isinstance(artifact, Image):
        return artifact
    fitting = [image for image in artifact.images if image.config.platform == DEFAULT_PLATFORM]
    return (fitting or artifact.images)[0]


def _blobs(artifact: Artifact) -> Iterator[Blob]:
    """Every blob of a layout once: the documents behind what they name."""
    seen: set[Digest] = set()
    for blob in _all_blobs(artifact):
        if blob.descriptor.digest not in seen:
            seen.add(blob.descriptor.digest)
            yield blob


def _all_blobs(artifact: Artifact) -> Iterator[Blob]:
    for image in (artifact,) if isinstance(artifact, Image) else artifact.images:
        yield from image.blobs
        yield BytesBlob(image.descriptor, image.manifest_data)
    if isinstance(artifact, ImageIndex):
        yield BytesBlob(artifact.descriptor, artifact.data)


def _take_name(aside: Path, path: Path) -> bool:
    """Rename a folder; False where another build has just made one of this name."""
    try:
        aside.rename(path)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True


def _add(artifact: Artifact, folder: Path, tag: str | None) -> None:
    """Blobs first and ``index.json`` last, so that whoever reads the folder meanwhile sees only what is whole."""
    if not (folder / _LAYOUT_FILE).exists():
        _write_document(folder, _LAYOUT_FILE, _LAYOUT)
    blobs = folder / _BLOBS
    blobs.mkdir(parents=True, exist_ok=True)
    for each in (blobs.parent, blobs):
        with suppress(PermissionError):  # somebody else's folder stays as it is
            each.chmod(0o755)
    for blob in _blobs(artifact):
        final = _blob_path(folder, blob.descriptor.digest)
        if not _is_intact(final, blob.descriptor):
            with replacing(final, aside=folder) as stream:
                copy_blob(blob, stream)
    with _locked(folder):
        index = _read_index(folder)
        others = [entry for entry in index.get("manifests", []) if _tag_of(entry) != tag]
        entries = [*others, _entry(artifact, {REF_NAME: tag} if tag else {})]
        _write_document(folder, _INDEX_FILE, canonical_json(_INDEX | index | {"manifests": entries}))


def _entry(artifact: Artifact, annotations: dict[str, str]) -> dict[str, Any]:
    return replace(artifact.descriptor, annotations=annotations).to_dict()


def _tag_of(entry: dict[str, Any]) -> str | None:
    return (entry.get("annotations") or {}).get(REF_NAME) or None


def _read_index(folder: Path) -> dict[str, Any]:
    """As it is, with what others have noted there."""
    try:
        data = (folder / _INDEX_FILE).read_bytes()
    except FileNotFoundError:
        return {}
    parse_index(data, what=f"oci:{folder}/{_INDEX_FILE}")
    value: dict[str, Any] = json.loads(data)
    return value


def _write_document(folder: Path, name: str, data: bytes) -> None:
    with replacing(folder / name) as stream:
        stream.write(data)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One at a time changes the index of a layout."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _is_intact(path: Path, descriptor: Descriptor) -> bool:
    try:
        with path.open("rb") as stream:
            return os.fstat(stream.fileno()).st_size == descriptor.size and (
                Digest.of_stream(stream) == descriptor.digest
            )
    except FileNotFoundError:
        return False


def _check_may_add(path: Path) -> None:
    if not path.is_dir():
        raise UsageError(f"{path} is no folder, so no OCI layout can be written there")
    try:
        check_version((path / _LAYOUT_FILE).read_bytes(), f"oci:{path}")
    except FileNotFoundError:
        if any(path.iterdir()):
            raise UsageError(
                f"{path} holds something that is no OCI layout", hint="name a folder that is new or empty"
            ) from None


def _member_name(descriptor: Descriptor) -> str:
    return f"{_BLOBS}/{descriptor.digest.hex}"


def _blob_path(folder: Path, digest: Digest) -> Path:
    return folder / _BLOBS / digest.hex
