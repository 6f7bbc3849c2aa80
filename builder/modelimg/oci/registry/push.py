"""Writing images to a registry: blobs, then manifests by their digests, then tags, so that no tag leads to a gap.

Source: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#push
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from modelimg.errors import DigestMismatch, UsageError
from modelimg.oci.blob import Blob, BytesBlob, Descriptor
from modelimg.oci.manifest import Artifact, ImageIndex
from modelimg.oci.registry.body import Body
from modelimg.oci.registry.parallel import run_all
from modelimg.oci.registry.pull import MANIFEST_LIMIT
from modelimg.oci.registry.settings import Repository
from modelimg.oci.registry.transport import Transport
from modelimg.oci.registry.upload import Outcome, Uploader
from modelimg.oci.values import Digest, Reference, check_tag

_STORED = frozenset({200, 201, 202})


@dataclass(frozen=True)
class PushResult:
    """What a push did.

    Attributes:
        digest: of the manifest, or of the index.
        uploaded_bytes: the sizes of the blobs that were sent, summed.
        uploaded: number of blobs that were sent.
        mounted: number of blobs that the registry took over from another repository.
        present: number of blobs that were there already.
    """

    digest: Digest
    uploaded_bytes: int
    uploaded: int
    mounted: int
    present: int


@dataclass(frozen=True)
class _Document:
    """A manifest or an index to be stored."""

    media_type: str
    data: bytes

    @property
    def digest(self) -> Digest:
        return Digest.of(self.data)


class Pusher:
    """Stores one image or index under one name.

    Args:
        transport: the requests' way.
        reference: the name; where there is neither a tag nor a digest it means ``latest``.
        tags: more tags of the same repository.
        mount_from: names whose repositories may have blobs already.
        threads: blobs on their way at once.
        report: takes a line of progress.
    """

    def __init__(
        self,
        transport: Transport,
        reference: Reference,
        tags: Sequence[str],
        mount_from: Sequence[Reference],
        threads: int,
        report: Callable[[str], None],
    ) -> None:
        self._transport = transport
        self._reference = reference
        first = (reference.tag,) if reference.tag else () if reference.digest or tags else ("latest",)
        self._tags = tuple(dict.fromkeys(check_tag(tag) for tag in (*first, *tags)))
        self._repository = Repository.of(reference)
        self._uploader = Uploader(transport, self._repository, [Repository.of(name) for name in mount_from])
        self._threads = threads
        self._report = report

    def push(self, artifact: Artifact) -> PushResult:
        """See `RegistryClient.push`."""
        documents = _documents(artifact)
        digest = documents[-1].digest
        if self._reference.digest not in (None, digest):
            raise UsageError(f"what is to be pushed to {self._reference} has the digest {digest}")
        images = artifact.images if isinstance(artifact, ImageIndex) else (artifact,)
        layers = [layer for image in images for layer in image.layers]
        configs = [BytesBlob(image.manifest.config, image.config_data) for image in images]
        outcomes = [*self._store(layers), *self._store(configs)]
        for document in documents:
            self._put(document, str(document.digest))
        for tag in self._tags:
            self._put(documents[-1], tag)
            self._report(f"pushed {self._repository.name}:{tag} ({digest})")
        counts = Counter(outcome for outcome, _ in outcomes)
        return PushResult(
            digest,
            uploaded_bytes=sum(d.size for outcome, d in outcomes if outcome is Outcome.UPLOADED),
            uploaded=counts[Outcome.UPLOADED],
            mounted=counts[Outcome.MOUNTED],
            present=counts[Outcome.PRESENT],
        )

    def _store(self, blobs: Iterable[Blob]) -> list[tuple[Outcome, Descriptor]]:
        """Each blob once, whatever number of images it is in."""

        def store(blob: Blob) -> tuple[Outcome, Descriptor]:
            return self._uploader.store(blob), blob.descriptor

        distinct = {blob.descriptor.digest: blob for blob in blobs}
        stored = []
        for outcome, descriptor in run_all(store, distinct.values(), threads=self._threads, stop=self._transport.stop):
            self._report(f"{outcome.value}: {descriptor.digest} ({descriptor.size} bytes)")
            stored.append((outcome, descriptor))
        return stored

    def _put(self, document: _Document, name: str) -> None:
        """Store a document under its digest or a tag.

        Raises:
            DigestMismatch: the registry has something else under that name afterwards.
        """
        what = f"pushing the manifest {name} to {self._repository.name}"
        body = Body.of(document.data, {"content-type": document.media_type})
        answer = self._transport.send(self._uploader.call("PUT", f"manifests/{name}", what, _STORED, body))
        if answer.headers.get("docker-content-digest") == str(document.digest):
            return
        stored = self._read_back(document, name)
        if stored != document.digest:
            raise DigestMismatch(f"{what} failed: the registry stored it as {stored}, not as {document.digest}")

    def _read_back(self, document: _Document, name: str) -> Digest:
        """What the registry really has under a name, where it did not confirm what it stored."""
        what = f"reading the manifest {name} of {self._repository.name}"
        call = self._uploader.call("GET", f"manifests/{name}", what, frozenset({200}))
        accepting = replace(call, headers={"accept": document.media_type}, limit=MANIFEST_LIMIT)
        return Digest.of(self._transport.send(accepting).data)


def _documents(artifact: Artifact) -> list[_Document]:
    """In the order in which a registry takes them: what is named before what names it."""
    if not isinstance(artifact, ImageIndex):
        return [_Document(artifact.manifest.media_type, artifact.manifest_data)]
    images = {document.digest: document for image in artifact.images for document in _documents(image)}
    return [*images.values(), _Document(artifact.descriptor.media_type, artifact.data)]
