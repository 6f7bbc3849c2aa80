"""Reading images from a registry: manifests and configs at once, layers when they are opened. Everything is checked.

Source: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pull
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from modelimg.errors import DigestMismatch, FetchError, ImageError, RegistryError
from modelimg.oci.blob import Descriptor, read_blob
from modelimg.oci.manifest import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    Artifact,
    Image,
    ImageIndex,
    Manifest,
    choose_platform,
    parse_index,
)
from modelimg.oci.registry.remote import MIRROR_TRIES, RemoteBlob
from modelimg.oci.registry.retry import TRIES
from modelimg.oci.registry.settings import RegistrySettings, Repository
from modelimg.oci.registry.transport import Answer, Call, Transport
from modelimg.oci.values import Digest, Platform, Reference

MANIFEST_LIMIT = 4 << 20
"""Bytes of a manifest or a config; registries refuse larger manifests, too."""
_TYPES = (*MANIFEST_TYPES, *INDEX_TYPES)
_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1"
_HEAD_ANSWERS = frozenset({200, 400, 405, 501})

Report = Callable[[str], None]
T = TypeVar("T")


@dataclass(frozen=True)
class Document:
    """A manifest or an index as the registry has it, checked.

    Attributes:
        descriptor: of the bytes.
        data: the bytes.
    """

    descriptor: Descriptor
    data: bytes


class Puller:
    """Reads what one name leads to.

    Args:
        transport: the requests' way.
        reference: the name.
        settings: its mirrors.
        report: takes a line of progress.
    """

    def __init__(self, transport: Transport, reference: Reference, settings: RegistrySettings, report: Report) -> None:
        self._transport = transport
        self._reference = reference
        self._sources = Repository.sources(reference, settings)
        self._report = report

    def resolve(self) -> Descriptor:
        """See `RegistryClient.resolve`."""
        return self._from_any(self._head) or self._fetch(self._wanted).descriptor

    def pull(self, platform: Platform | None) -> Artifact:
        """See `RegistryClient.pull`."""
        top = self._fetch(self._wanted)
        if top.descriptor.media_type not in INDEX_TYPES:
            image = self._image(top)
            if platform and image.config.platform != platform:
                raise ImageError(f"{self._reference} is for {image.config.platform}, not for {platform}")
            return image
        entries = parse_index(top.data, what=str(self._reference))
        if platform:
            return self._entry(choose_platform(entries, platform, what=str(self._reference)))
        return ImageIndex(top.data, tuple(self._entry(entry) for entry in entries))

    @property
    def _wanted(self) -> str:
        """What stands behind ``manifests/``."""
        return str(self._reference.digest) if self._reference.digest else self._reference.tag or "latest"

    def _entry(self, entry: Descriptor) -> Image:
        if entry.media_type not in MANIFEST_TYPES:
            raise ImageError(f"{self._reference} holds {entry.digest}, which is no image but {entry.media_type}")
        document = self._fetch(str(entry.digest), entry.size)
        if document.descriptor.media_type not in MANIFEST_TYPES:
            raise ImageError(f"{self._reference} holds an index where {entry.digest} should be an image")
        return self._image(document)

    def _image(self, document: Document) -> Image:
        what = f"{self._reference} ({document.descriptor.digest})"
        manifest = Manifest.parse(document.data, what=what)
        if manifest.config.size > MANIFEST_LIMIT:
            raise ImageError(f"the config of {what} has {manifest.config.size} bytes, more than {MANIFEST_LIMIT}")
        layers = tuple(RemoteBlob(layer, self._sources, self._transport) for layer in manifest.layers)
        return Image(document.data, read_blob(RemoteBlob(manifest.config, self._sources, self._transport)), layers)

    def _from_any(self, ask: Callable[[Repository, int], T]) -> T:
        """Ask the mirrors in order, then the registry. Whoever answers is asked first from then on."""
        for number, mirror in enumerate(self._sources[:-1]):
            try:
                answer = ask(mirror, MIRROR_TRIES)
            except FetchError as error:
                self._report(f"the mirror {mirror.host} was passed over: {error.message}")
                continue
            self._sources = self._sources[number:]
            return answer
        self._sources = self._sources[-1:]
        return ask(self._sources[0], TRIES)

    def _head(self, repository: Repository, tries: int) -> Descriptor | None:
        """What the registry says of the manifest without sending it; None where it says too little."""
        answer = self._transport.send(self._call(repository, "HEAD", self._wanted, _HEAD_ANSWERS), tries=tries)
        media_type = answer.headers.get("content-type", "").partition(";")[0].strip()
        size = answer.headers.get("content-length", "")
        digest = _content_digest(answer)
        if answer.status != 200 or digest is None or media_type not in _TYPES or not size.isdigit():
            return None
        if self._reference.digest not in (None, digest):
            raise DigestMismatch(f"{repository.host} has {digest} under the name {self._reference}")
        return Descriptor(media_type, digest, int(size))

    def _fetch(self, wanted: str, size: int | None = None) -> Document:
        return self._from_any(lambda repository, tries: self._get(repository, tries, wanted, size))

    def _get(self, repository: Repository, tries: int, wanted: str, size: int | None) -> Document:
        call = self._call(repository, "GET", wanted)
        answer = self._transport.send(call, tries=tries)
        got = Digest.of(answer.data)
        said = Digest.parse(wanted) if ":" in wanted else _content_digest(answer)
        if said not in (None, got) or size not in (None, len(answer.data)):
            raise DigestMismatch(
                f"{call.what} gave {len(answer.data)} bytes of {got}, expected "
                + (f"{size} of {said}" if size is not None else str(said)),
                hint="the registry, or a proxy before it, changes manifests on the way",
            )
        return Document(Descriptor(_media_type(answer, call.what), got, len(answer.data)), answer.data)

    def _call(
        self, repository: Repository, method: str, wanted: str, expect: frozenset[int] = frozenset({200})
    ) -> Call:
        return Call(
            repository,
            method,
            f"manifests/{wanted}",
            f"reading the manifest {wanted} of {repository.name}",
            (repository.scope("pull"),),
            expect=expect,
            headers={"accept": ", ".join(_TYPES)},
            limit=MANIFEST_LIMIT,
        )


def _content_digest(answer: Answer) -> Digest | None:
    """``Docker-Content-Digest``, where it is a digest that we know."""
    try:
        return Digest.parse(answer.headers.get("docker-content-digest", ""))
    except ValueError:
        return None


def _media_type(answer: Answer, what: str) -> str:
    """What a document is: by its own word, else by the header's.

    A document whose header says otherwise, or that could be read as either, is refused: two programs must not see
    different images behind one digest (CVE-2021-41190).
    """
    header = answer.headers.get("content-type", "").partition(";")[0].strip()
    try:
        value = json.loads(answer.data)
        own, keys = value.get("mediaType"), value.keys()
    except (ValueError, AttributeError, RecursionError) as error:
        raise RegistryError(f"{what} gave no JSON object") from error
    if header.startswith(_SCHEMA_1) or value.get("schemaVersion") == 1:
        raise ImageError(f"{what} gave a schema 1 manifest, which is too old", hint="push it again with a newer tool")
    found = own or (header if header in _TYPES else INDEX_TYPES[0] if "manifests" in keys else MANIFEST_TYPES[0])
    if found not in _TYPES:
        raise ImageError(f"{what} gave {found!r}, which is no image")
    if header in _TYPES and header != found:
        raise RegistryError(f"{what} gave {found} under the header {header}")
    if ("manifests" in keys) != (found in INDEX_TYPES) or ("manifests" in keys and keys & {"layers", "config"}):
        raise RegistryError(f"{what} gave a document that can be read in two ways")
    return str(found)
