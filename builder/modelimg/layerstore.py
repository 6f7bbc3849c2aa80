"""Layers, made once and kept in the cache: planned layer → tar → compressed blob.

What a layer's digests are is remembered apart from its bytes. So an image can be put together, and pushed to a registry
that has its layers, without a byte of them at hand: a blob is made when somebody opens it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from modelimg.errors import LayerError
from modelimg.fetch import Fetcher
from modelimg.layers import layer_contents
from modelimg.oci.blob import LAYER, Blob, Descriptor, LazyBlob
from modelimg.oci.compression import Codec, compress, decompressed, fingerprint, media_type
from modelimg.oci.values import Digest
from modelimg.plan import BuildPlan, PlannedLayer
from modelimg.tar import TarStream, TarSummary, write_tar

_CHUNK = 1 << 20
_TAR, _COMPRESSED = "layer", "compressed"


@dataclass(frozen=True)
class Layer:
    """A layer that exists: an uncompressed tar on this host.

    Attributes:
        name: as in the plan.
        path: of the tar.
        diff_id: digest of it.
        size: in bytes.
    """

    name: str
    path: Path
    diff_id: Digest
    size: int

    @property
    def summary(self) -> TarSummary:
        """Of the tar, as whoever wrote it gave it."""
        return TarSummary(self.diff_id, self.size)


@dataclass(frozen=True)
class LayerBlob(LazyBlob):
    """A layer as an image holds it, compressed; made when it is opened, where the cache has it not.

    Attributes:
        diff_id: digest of the tar in it.
    """

    diff_id: Digest


class LayerStore:
    """Makes layers of plans through a cache; safe to share between threads.

    Args:
        fetcher: gets wheels; its cache keeps what is made.
        codec: how blobs are compressed.
    """

    def __init__(self, fetcher: Fetcher, codec: Codec = "gzip") -> None:
        self._fetcher, self._cache, self._codec = fetcher, fetcher.cache, codec
        self._written: dict[Digest, tuple[int, ...]] = {}

    def tar(self, plan: BuildPlan, layer: PlannedLayer) -> Layer:
        """A planned layer's tar.

        Raises:
            FetchError: a wheel cannot be had, or is not the pinned one.
            LayerError: two sources would write different bytes to one path, or a name may not stand in a layer.
        """
        key = plan.layer_key(layer)
        known = self._known(_TAR, key)
        path = self._found(known.digest) if known else None
        if known is None or path is None:
            with ExitStack() as stack, self._cache.writing() as (stream, aside):
                known = write_tar(layer_contents(plan, layer, self._fetcher, stack), stream)
                path = self._adopt(stream, aside, known.digest)
            self._note(_TAR, key, known)
        return Layer(layer.name, path, known.digest, known.size)

    def knows(self, plan: BuildPlan, layer: PlannedLayer) -> bool:
        """Whether a layer was made here before."""
        return self._known(_TAR, plan.layer_key(layer)) is not None

    def blob(self, plan: BuildPlan, layer: PlannedLayer) -> LayerBlob:
        """A planned layer as a blob: nothing is made that was made before.

        Raises:
            As `tar`.
        """
        tar = self._known(_TAR, plan.layer_key(layer))
        if self._codec == "none":
            tar = tar or self.tar(plan, layer).summary
            return self._lazy(tar.digest, tar, lambda: self.tar(plan, layer).summary)
        known = self._known(_COMPRESSED, self._compressed_key(tar.digest)) if tar else None
        if tar is None or known is None:
            tar, known = self._make(plan, layer)
        return self._lazy(tar.digest, known, lambda: self._make(plan, layer)[1])

    def compressed(self, blob: Blob) -> Blob:
        """A base's layer: one that is a plain tar is compressed as our own are, others stay as they are."""
        tar = blob.descriptor
        if tar.media_type != LAYER or self._codec == "none":
            return blob
        known = self._known(_COMPRESSED, self._compressed_key(tar.digest))

        def make() -> TarSummary:
            return self._compress(_checked(blob), lambda: tar.digest)

        return self._lazy(tar.digest, known or make(), make)

    def _lazy(self, diff_id: Digest, known: TarSummary, make: Callable[[], TarSummary]) -> LayerBlob:
        def find() -> Path:
            if path := self._found(known.digest):
                return path
            made = make()
            path = self._found(known.digest)
            if made != known or path is None:
                raise LayerError(
                    f"the layer {diff_id} was remembered as {known.digest}, and came out as {made.digest}",
                    hint="`modelimg cache prune --all` forgets what was remembered",
                )
            return path

        descriptor = Descriptor(media_type(self._codec), known.digest, known.size)
        return LayerBlob(descriptor, find, diff_id, peek=lambda: self._cache.path(known.digest))

    def _make(self, plan: BuildPlan, layer: PlannedLayer) -> tuple[TarSummary, TarSummary]:
        """Tar and compressed layer, in one pass: the tar is not written, unless it was there before."""
        key = plan.layer_key(layer)
        tar = self._known(_TAR, key)
        if tar and (path := self._found(tar.digest)):
            digest = tar.digest
            with path.open("rb") as stream:
                return tar, self._compress(_chunks(stream), lambda: digest)
        with ExitStack() as stack:
            source = TarStream(layer_contents(plan, layer, self._fetcher, stack))
            made = self._compress(source, lambda: source.summary.digest)
        self._note(_TAR, key, source.summary)
        return source.summary, made

    def _compress(self, chunks: Iterable[bytes], diff_id: Callable[[], Digest]) -> TarSummary:
        """Compress a tar into the cache; its digest is known when all of it was read."""
        with self._cache.writing() as (stream, aside):
            done = compress(chunks, stream, self._codec)
            self._adopt(stream, aside, done.digest)
        made = TarSummary(done.digest, done.size)
        self._note(_COMPRESSED, self._compressed_key(diff_id()), made)
        return made

    def _adopt(self, stream: BinaryIO, aside: Path, digest: Digest) -> Path:
        """Take into the cache what was just written, and hashed on the way."""
        stream.flush()
        path = self._cache.adopt(aside, digest)
        self._written[digest] = _identity(os.fstat(stream.fileno()))
        return path

    def _found(self, digest: Digest) -> Path | None:
        """A blob of the cache, read and checked, but for what this store wrote and nobody has touched since."""
        path = self._cache.path(digest) if digest in self._written else None
        with suppress(FileNotFoundError):  # somebody may be clearing the cache
            if path and _identity(path.stat()) == self._written[digest]:
                return path
        return self._cache.blob(digest)

    def _compressed_key(self, diff_id: Digest) -> str:
        return f"{diff_id} {fingerprint(self._codec)}"

    def _known(self, kind: str, key: str) -> TarSummary | None:
        fact = self._cache.recall(kind, key)
        return TarSummary(Digest.parse(fact["digest"]), fact["size"]) if fact else None

    def _note(self, kind: str, key: str, summary: TarSummary) -> None:
        self._cache.note(kind, key, {"digest": str(summary.digest), "size": summary.size})


def _identity(status: os.stat_result) -> tuple[int, ...]:
    """What changes with every write to a file, and when another takes its name."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _checked(blob: Blob) -> Iterator[bytes]:
    """A plain tar's bytes; other ones than its digest says are refused before anything is remembered of them."""
    with decompressed(blob) as stream:
        yield from _chunks(stream)


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: stream.read(_CHUNK), b"")
