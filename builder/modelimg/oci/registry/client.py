"""The registry client."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from modelimg.oci.blob import Blob, Descriptor
from modelimg.oci.manifest import Artifact
from modelimg.oci.registry.auth import Authenticator
from modelimg.oci.registry.connections import Connections
from modelimg.oci.registry.parallel import run_all
from modelimg.oci.registry.pull import Puller
from modelimg.oci.registry.push import Pusher, PushResult
from modelimg.oci.registry.remote import RemoteBlob
from modelimg.oci.registry.retry import Sleep
from modelimg.oci.registry.settings import RegistrySettings, Repository
from modelimg.oci.registry.transport import Transport
from modelimg.oci.values import Platform, Reference

if TYPE_CHECKING:
    import httpx


class RegistryClient:
    """Resolves, pulls and pushes images; a context manager that closes its connections.

    Credentials are looked up where Docker and Podman keep them, when a registry asks for some. They go to that
    registry and to the token server that it names, over TLS or to loopback, and nowhere else.

    Args:
        settings: mirrors, and hosts that are insecure.
        client: speaks to every host, in the place of clients that honour proxies and authorities; the caller closes it.
        report: takes a line of progress.
        threads: blobs on their way at once.
        sleep: waits between tries, given seconds.
    """

    def __init__(
        self,
        settings: RegistrySettings,
        *,
        client: httpx.Client | None = None,
        report: Callable[[str], None] | None = None,
        threads: int = 4,
        sleep: Sleep | None = None,
    ) -> None:
        self._settings = settings
        self._connections = Connections(settings, client)
        self._transport = Transport(self._connections, Authenticator(self._connections), sleep)
        self._report = report or _silent
        self._threads = threads

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connections.close()

    def resolve(self, reference: Reference) -> Descriptor:
        """What a name leads to, without reading it where the registry says enough in a header.

        Raises:
            NotFound: there is no such name.
            DigestMismatch: the registry has something else under the digest in the name.
            Unauthorized, RegistryError: the registry says no, or does not answer.
            ImageError: it is no image.
        """
        return self._puller(reference).resolve()

    def pull(self, reference: Reference, platform: Platform | None = None) -> Artifact:
        """Read a manifest or an index, and the configs; the layers are read when they are opened.

        Args:
            reference: without tag and digest it means ``latest``. With a digest the tag does not count.
            platform: choose its image; without, all that the name leads to.

        Raises:
            NotFound, DigestMismatch, Unauthorized, RegistryError, ImageError: as `resolve`, and where there is no image
                for the platform.
        """
        return self._puller(reference).pull(platform)

    def blob(self, reference: Reference, descriptor: Descriptor) -> Blob:
        """One blob of a repository, read when it is opened and while this client is."""
        return RemoteBlob(descriptor, Repository.sources(reference, self._settings), self._transport)

    def download(self, blobs: Iterable[Blob], take: Callable[[Blob], None]) -> None:
        """Call ``take`` with each of a pulled image's blobs, a few at once; the first failure stops the others.

        Args:
            blobs: layers, for instance.
            take: opens the blob and keeps what it reads; `copy_blob` checks it.

        Raises:
            Exception: the first that ``take`` raised.
        """
        transport = self._transport.for_operation()
        bound = [replace(blob, transport=transport) if isinstance(blob, RemoteBlob) else blob for blob in blobs]
        for _ in run_all(take, bound, threads=self._threads, stop=transport.stop):
            pass

    def push(
        self,
        artifact: Artifact,
        reference: Reference,
        *,
        tags: Sequence[str] = (),
        mount_from: Sequence[Reference] = (),
    ) -> PushResult:
        """Store an image or an index: blobs, configs, manifests by digest, the index by digest, and tags last.

        A blob that the registry has is not opened. One that another repository of the registry has is mounted.

        Args:
            artifact: what to store.
            reference: where; its tag is set. Without tag, digest and ``tags`` it means ``latest``.
            tags: more tags to set.
            mount_from: names in whose repositories blobs may be, beside those that they were pulled from.

        Raises:
            UsageError: the reference has a digest, which is not the artifact's.
            Unauthorized, NotFound, RegistryError: the registry says no, or does not answer.
            DigestMismatch: a blob, or what the registry stored, has other bytes than it should.
            FetchError: a blob cannot be read.
        """
        transport = self._transport.for_operation()
        return Pusher(transport, reference, tags, mount_from, self._threads, self._report).push(artifact)

    def _puller(self, reference: Reference) -> Puller:
        return Puller(self._transport, reference, self._settings, self._report)


def _silent(_: str) -> None:
    """Progress that nobody wants."""
