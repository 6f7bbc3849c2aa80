"""Storing one blob in a repository: found, mounted, or sent in chunks that survive a broken connection.

Source: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-blobs
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import Enum
from urllib.parse import urlencode, urlsplit

from modelimg.errors import DigestMismatch, FetchError, RegistryError
from modelimg.oci.blob import Blob, Descriptor
from modelimg.oci.registry.body import NOTHING, BlobReader, Body
from modelimg.oci.registry.remote import RemoteBlob
from modelimg.oci.registry.retry import Transient
from modelimg.oci.registry.settings import Repository
from modelimg.oci.registry.transport import Answer, Call, Transport, resolve_location

CHUNK = 16 << 20
"""Bytes in one PATCH. A blob that fits into one goes in a single PUT, which every registry takes."""
_OCTETS = "application/octet-stream"
_STORED = frozenset({200, 201, 204})
_TAKEN = frozenset({201, 202, 204})
_NO_CHUNKS = frozenset({400, 404, 405, 411, 413, 416, 501})
"""What registries say that know no chunks, or no chunks of this size: GitHub's says 416 to more than 4 MiB."""


class Outcome(Enum):
    """How a blob came to be in the repository."""

    PRESENT = "present"
    MOUNTED = "mounted"
    UPLOADED = "uploaded"


class Uploader:
    """Stores blobs in one repository; safe to share between threads.

    Args:
        transport: the requests' way.
        repository: to store them in.
        mounts: repositories of the same registry that may have them already.
    """

    def __init__(self, transport: Transport, repository: Repository, mounts: Sequence[Repository] = ()) -> None:
        self.transport = transport
        self.repository = repository
        self.mounts = tuple(mounts)
        self.chunks = True
        """Whether this registry took none of them amiss so far."""

    def store(self, blob: Blob) -> Outcome:
        """See that a blob is there. One that is, or that can be mounted, is not opened.

        Raises:
            Unauthorized, NotFound, RegistryError: the registry says no, or does not answer.
            DigestMismatch: the blob is not what its descriptor says.
            FetchError: the blob cannot be read.
        """
        if self.has(blob.descriptor):
            return Outcome.PRESENT
        location = None
        for source in self._candidates(blob):
            mounted, location = self._mount(blob.descriptor, source)
            if mounted:
                return Outcome.MOUNTED
            if location:
                break
        _Upload(self, blob, location).run()
        return Outcome.UPLOADED

    def call(self, method: str, path: str, what: str, expect: frozenset[int], body: Body | None = None) -> Call:
        """A request of one who may push to the repository."""
        call = Call(self.repository, method, path, what, (self.repository.scope("pull", "push"),), expect)
        if body is None:
            return call
        return replace(call, headers={"content-length": str(body.size), **body.headers}, content=body.make)

    def has(self, descriptor: Descriptor) -> bool:
        """Whether the repository has a blob, of this size where the registry says one."""
        what = f"looking for the blob {descriptor.digest} in {self.repository.name}"
        call = self.call("HEAD", f"blobs/{descriptor.digest}", what, frozenset({200, 404, 405}))
        answer = self.transport.send(call)
        size = answer.headers.get("content-length", "")
        return answer.status == 200 and (not size.isdigit() or int(size) == descriptor.size)

    def begin(self, what: str) -> str:
        """Open an upload session; returns its address."""
        call = self.call("POST", "blobs/uploads/", what, frozenset({202}), NOTHING)
        return self.next_address(self.transport.once(call), what)

    @staticmethod
    def next_address(answer: Answer, what: str) -> str:
        """Where to go on with an upload.

        Raises:
            RegistryError: the registry does not say, or leads to plain HTTP.
        """
        if not (location := answer.headers.get("location")):
            raise RegistryError(f"{what} failed: the registry accepted it without saying where to go on (no Location)")
        return resolve_location(answer.url, location, what)

    def _candidates(self, blob: Blob) -> list[Repository]:
        """Where the blob was pulled from, then where the caller supposes it, in this registry only."""
        origins = blob.sources if isinstance(blob, RemoteBlob) else ()
        fitting = (r for r in (*origins, *self.mounts) if r.registry == self.repository.registry)
        return [r for r in dict.fromkeys(fitting) if r != self.repository]

    def _mount(self, descriptor: Descriptor, source: Repository) -> tuple[bool, str | None]:
        """Try to take a blob over from another repository: whether that worked, else the upload session, if any.

        A refusal, of whatever kind, only means that the blob has to be sent.
        """
        what = f"mounting the blob {descriptor.digest} from {source.name}"
        query = urlencode({"mount": str(descriptor.digest), "from": source.path})
        call = self.call("POST", f"blobs/uploads/?{query}", what, frozenset({201, 202}), NOTHING)
        scopes = (*call.scopes, source.scope("pull"))
        try:
            answer = self.transport.once(replace(call, scopes=scopes))
            return (True, None) if answer.status == 201 else (False, self.next_address(answer, what))
        except (FetchError, Transient):
            return False, None


class _ChunksRefused(Exception):  # noqa: N818 - never leaves this module
    """The registry wants the blob in one piece."""


class _Upload:
    """One blob on its way."""

    def __init__(self, uploader: Uploader, blob: Blob, location: str | None) -> None:
        self._uploader = uploader
        self._blob = blob
        self._size = blob.descriptor.size
        self._what = f"pushing the blob {blob.descriptor.digest} to {uploader.repository.name}"
        self._location = location
        self._offset = self._furthest = 0
        self._tried = False
        self._reader = BlobReader(blob, CHUNK)
        self._patience = uploader.transport.patience(self._what)

    def run(self) -> None:
        """Send it, and go on where it broke off."""
        try:
            self._patience.until(self._attempt)
        finally:
            self._reader.close()

    def _attempt(self) -> None:
        if self._tried and self._ended_well():
            return
        self._tried = True
        try:
            self._send()
        except _ChunksRefused:
            self._uploader.chunks, self._location = False, None
            self._send()

    @property
    def _in_chunks(self) -> bool:
        return self._uploader.chunks and self._size > CHUNK

    def _send(self) -> None:
        if self._location is None:
            self._location, self._offset = self._uploader.begin(self._what), 0
        if not self._in_chunks:
            self._finish(self._location, whole=True)
            return
        while self._offset < self._size:
            self._location = self._send_chunk(self._location)
        self._finish(self._location, whole=False)

    def _send_chunk(self, location: str) -> str:
        """Send the next bytes; returns where to go on."""
        data = self._reader.at(self._offset)
        end = self._offset + len(data)
        answer = self._exchange(
            "PATCH",
            location,
            _TAKEN | _NO_CHUNKS,
            Body.of(data, {"content-type": _OCTETS, "content-range": f"{self._offset}-{end - 1}"}),
        )
        if answer.status not in _TAKEN:
            self._give_up_chunk(answer)
        # `Range` is not looked at: Amazon's registry reports an old one (aws/containers-roadmap#2831).
        self._offset = end
        if end > self._furthest:
            self._furthest = end
            self._patience.renew()
        return self._uploader.next_address(answer, self._what)

    def _give_up_chunk(self, answer: Answer) -> None:
        if answer.status == 404 and self._offset:
            self._lose_session()
        raise _ChunksRefused

    def _lose_session(self) -> None:
        self._location = None
        raise Transient("the registry has lost the upload session")

    def _finish(self, location: str, *, whole: bool) -> None:
        """Close the session under the blob's digest, with all its bytes or after them."""
        digest = self._blob.descriptor.digest
        address = f"{location}{'&' if urlsplit(location).query else '?'}{urlencode({'digest': str(digest)})}"
        body = Body(self._size, self._reader.whole, {"content-type": _OCTETS}) if whole else NOTHING
        answer = self._exchange("PUT", address, _STORED | {404} | (frozenset() if whole else _NO_CHUNKS), body)
        if answer.status == 404:
            self._lose_session()
        if answer.status not in _STORED:
            raise _ChunksRefused
        stored = answer.headers.get("docker-content-digest")
        if stored and stored != str(digest):
            raise DigestMismatch(f"{self._what} failed: the registry stored it as {stored[:200]}")

    def _ended_well(self) -> bool:
        """After a failure: whether the registry has it all the same. If not, find out where to go on."""
        if self._uploader.has(self._blob.descriptor):
            return True
        if self._location is None or not self._in_chunks:
            self._location = None
            return False
        answer = self._exchange("GET", self._location, frozenset({200, 202, 204, 400, 404, 405, 416}), None)
        received = _received(answer)
        if received is None or received > self._size:
            self._location = None
        else:
            self._offset = received
            location = answer.headers.get("location")
            self._location = resolve_location(answer.url, location, self._what) if location else self._location
        return False

    def _exchange(self, method: str, url: str, expect: frozenset[int], body: Body | None) -> Answer:
        return self._uploader.transport.once(self._uploader.call(method, url, self._what, expect, body))


def _received(answer: Answer) -> int | None:
    """How many bytes an upload session has; None where the registry does not say, or knows no such session."""
    first, dash, last = answer.headers.get("range", "").removeprefix("bytes=").partition("-")
    if answer.status not in (200, 202, 204) or first != "0" or not (dash and last.isascii() and last.isdigit()):
        return None
    return int(last) + 1 if int(last) else 0  # "0-0" is how registries write nothing at all
