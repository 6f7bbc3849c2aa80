"""Reading an OCI image layout, wherever its blobs lie.

Source: https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from modelimg.errors import ImageError
from modelimg.oci.blob import Blob, Descriptor, read_blob
from modelimg.oci.manifest import INDEX_TYPES, MANIFEST_TYPES, Artifact, Image, ImageIndex, Manifest, parse_index
from modelimg.oci.members import Member, TarReader
from modelimg.oci.values import Platform

REF_NAME = "org.opencontainers.image.ref.name"
"""Annotation of an entry of ``index.json``: the tag."""
MAX_DOCUMENT = 16 << 20
"""Bytes of a manifest, config or index; registries take 4 MiB."""
ATTESTATION = Platform("unknown", "unknown")
"""What BuildKit gives as the platform of entries that are no images but statements about them."""


@dataclass(frozen=True)
class Layout:
    """An image layout that can be read.

    Attributes:
        name: how messages name it.
        entries: of its ``index.json``.
        locate: finds a blob, or raises ImageError where it is missing or has another size.
    """

    name: str
    entries: tuple[Descriptor, ...]
    locate: Callable[[Descriptor], Blob]

    @property
    def tags(self) -> tuple[str, ...]:
        """Sorted."""
        return tuple(sorted({tag for entry in self.entries if (tag := entry.annotations.get(REF_NAME))}))

    def artifact(self, tag: str | None = None) -> Artifact:
        """The image or index of a tag. Its documents are read and checked now; layers when somebody opens them.

        Args:
            tag: not needed where the layout has only one image.

        Raises:
            ImageError: no such tag, none given where there are several, a blob missing or of another size than its
                descriptor says, or a document that is none.
            DigestMismatch: a document has other bytes than its descriptor says.
        """
        entry = self._entry(tag)
        what = f"{self.name}:{tag}" if tag else self.name
        if entry.media_type in MANIFEST_TYPES:
            return self._image(entry, what)
        if entry.media_type not in INDEX_TYPES:
            raise ImageError(f"{what} is no image but {entry.media_type!r}")
        data = self._document(entry, what)
        images = [each for each in parse_index(data, what=what) if each.platform != ATTESTATION]
        if nested := [each.media_type for each in images if each.media_type not in MANIFEST_TYPES]:
            raise ImageError(f"{what} is an index that holds {nested[0]!r}, not only images")
        here = [each for each in images if not isinstance(self._look(each), ImageError)]
        here = here or images  # `docker save` leaves out the platforms that were not pulled, but never all
        return ImageIndex(data, tuple(self._image(each, f"{what} for {each.platform}") for each in here))

    def _entry(self, tag: str | None) -> Descriptor:
        found = [entry for entry in self.entries if entry.platform != ATTESTATION]
        if tag is not None:
            found = [entry for entry in found if entry.annotations.get(REF_NAME) == tag]
        hint = f"its tags are {', '.join(self.tags)}" if self.tags else "none of its images has a tag"
        if not found:
            raise ImageError(f"{self.name} has no image" + (f" with the tag {tag}" if tag else ""), hint=hint)
        if len({entry.digest for entry in found}) > 1:
            raise ImageError(f"{self.name} has several images" + (f" with the tag {tag}" if tag else ""), hint=hint)
        return found[0]

    def _image(self, entry: Descriptor, what: str) -> Image:
        data = self._document(entry, f"the manifest of {what}")
        manifest = Manifest.parse(data, what=what)
        config = self._document(manifest.config, f"the config of {what}")
        found = [self._look(layer) for layer in manifest.layers]
        if problems := [each.message for each in found if isinstance(each, ImageError)]:
            raise ImageError("; ".join(problems), hint="copy the image anew")
        return Image(data, config, tuple(each for each in found if not isinstance(each, ImageError)))

    def _document(self, entry: Descriptor, what: str) -> bytes:
        if entry.size > MAX_DOCUMENT:
            raise ImageError(f"{what} would have {entry.size} bytes, which is over the limit of {MAX_DOCUMENT}")
        return read_blob(self.locate(entry))

    def _look(self, entry: Descriptor) -> Blob | ImageError:
        try:
            return self.locate(entry)
        except ImageError as error:
            return error


def read_directory(path: Path, *, what: str) -> dict[str, Member]:
    """The members of a tar on this host by name, without the ``./`` that some write before it.

    Raises:
        ImageError: it cannot be read, or is no tar.
    """
    try:
        with path.open("rb") as stream:
            return {member.name.removeprefix("./"): member for member in TarReader(stream, what=what)}
    except OSError as error:
        raise ImageError(f"{what} cannot be read: {error.strerror}") from error


def check_version(data: bytes, name: str) -> None:
    """See that an ``oci-layout`` file is one that we can read.

    Raises:
        ImageError: it is damaged, or of a version to come.
    """
    try:
        version = str(json.loads(data)["imageLayoutVersion"])
    except (ValueError, KeyError, TypeError) as error:
        raise ImageError(f"{name} has a damaged oci-layout: {type(error).__name__}: {error}") from error
    if not version.startswith("1."):
        raise ImageError(f"{name} is an OCI layout of version {version}, and modelimg knows version 1")


def check_size(name: str, descriptor: Descriptor, size: int | None) -> None:
    """See that a layout has the whole of a blob.

    Args:
        name: of the layout.
        descriptor: of the blob.
        size: that the layout's copy has; None where it has none.

    Raises:
        ImageError: it has not.
    """
    if size is None:
        raise ImageError(f"{name} has no blob {descriptor.digest}")
    if size != descriptor.size:
        raise ImageError(f"{name} has {size} bytes of the blob {descriptor.digest}, which has {descriptor.size}")
