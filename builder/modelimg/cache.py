"""The cache: blobs by their sha256, and small facts by the key that they follow from.

Everything appears under its final name by a rename, so that builds may run side by side and an interrupted one
leaves nothing half-written. Blobs and facts are checked when they are read: a flipped byte is a miss, not a wrong
image. Whatever is missing is fetched or made again, so anything may be removed at any time.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

import platformdirs

from modelimg.errors import CacheError, FetchError
from modelimg.oci.values import Digest

ENV_CACHE_DIR = "MODELIMG_CACHE_DIR"

_TOUCHED_EVERY = 3600.0
"""Seconds after which a read renews a file's time of last use; a build reads some files many times."""
_ABANDONED = timedelta(days=1)
"""A temporary file of this age belongs to a build that was killed."""
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True)
class Amount:
    """How many files, and their size in bytes."""

    files: int = 0
    size: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.files + other.files, self.size + other.size)


@dataclass(frozen=True)
class CacheUsage:
    """What a cache holds, or what was removed from it.

    Attributes:
        blobs: wheels, packages, base layers, our own layers.
        facts: what is remembered of them.
        temporary: files that are being written, or that a killed build left.
    """

    blobs: Amount
    facts: Amount
    temporary: Amount

    @property
    def total(self) -> Amount:
        """All kinds together."""
        return self.blobs + self.facts + self.temporary

    def to_dict(self) -> dict[str, dict[str, int]]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Cache:
    """A content-addressed folder.

    Attributes:
        root: the folder; made when something is first written.
    """

    root: Path

    @classmethod
    def default(cls) -> Cache:
        """The user's cache: ``$MODELIMG_CACHE_DIR``, else ``modelimg`` in the platform's cache directory."""
        return cls(Path(os.environ.get(ENV_CACHE_DIR) or platformdirs.user_cache_dir("modelimg")))

    def blob(self, digest: Digest) -> Path | None:
        """The blob's file if it is here, can be read and has the right bytes; a damaged one is dropped."""
        path = self._blob_path(digest)
        try:
            with path.open("rb") as stream:
                intact = Digest.of_stream(stream) == digest
        except OSError:
            return None
        if not intact:
            self.drop(digest)
            return None
        _touch(path)
        return path

    def path(self, digest: Digest) -> Path | None:
        """The blob's file if there is one, unread: the reader checks, as `modelimg.oci.blob.copy_blob` does.

        Who finds it damaged calls `drop` and makes it again.
        """
        path = self._blob_path(digest)
        if not path.exists():
            return None
        _touch(path)
        return path

    def drop(self, digest: Digest) -> None:
        """Forget a blob."""
        self._blob_path(digest).unlink(missing_ok=True)

    @contextmanager
    def writing(self) -> Iterator[tuple[BinaryIO, Path]]:
        """A file to write a blob to, in the cache's own file system; gone afterwards unless `adopt` took it.

        Raises:
            CacheError: the cache's directory cannot be written, or there is no room left in it.
        """
        folder = self.root / "tmp"
        with self._explaining():
            folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=folder)
        path = Path(name)
        try:
            with self._explaining(_FULL), os.fdopen(handle, "wb") as stream:
                yield stream, path
        finally:
            path.unlink(missing_ok=True)

    def adopt(self, path: Path, digest: Digest) -> Path:
        """Take a whole file, whose digest the caller has just computed, as a blob."""
        final = self._blob_path(digest)
        self._rename(path, final)
        return final

    def add(self, data: bytes, expected: Digest | None = None) -> Path:
        """Store some bytes.

        Raises:
            FetchError: their digest is not ``expected``.
        """
        digest = Digest.of(data)
        if expected not in (None, digest):
            raise FetchError(f"got bytes of {digest}, expected {expected}")
        with self.writing() as (stream, path):
            stream.write(data)
            stream.flush()
            return self.adopt(path, digest)

    def recall(self, kind: str, key: str) -> Any | None:
        """The fact noted under a key, or None; a damaged one, or one that belongs elsewhere, counts as absent."""
        path = self._fact_path(kind, key)
        try:
            digest, _, text = path.read_bytes().partition(b"\n")
        except OSError:
            return None
        if digest != _seal(kind, key, text):
            return None
        _touch(path)
        return json.loads(text)

    def note(self, kind: str, key: str, fact: Any) -> None:
        """Note a JSON value under a key: a line with the digest of it all, then the value."""
        text = json.dumps(fact, sort_keys=True).encode()
        with self.writing() as (stream, path):
            stream.write(_seal(kind, key, text) + b"\n" + text)
            stream.flush()
            self._rename(path, self._fact_path(kind, key))

    def usage(self) -> CacheUsage:
        """What is here now."""
        return CacheUsage(
            blobs=_sum(self._files("blobs")), facts=_sum(self._files("facts")), temporary=_sum(self._files("tmp"))
        )

    def prune(self, older_than: timedelta | None) -> CacheUsage:
        """Remove what was not used for a while, and what killed builds left.

        A build that runs meanwhile uses what it has read before, and makes again what it finds missing. Temporary
        files younger than a day are always left, because a build may be writing them.

        Args:
            older_than: time since the last use; None removes everything whatever its age.

        Returns:
            What was removed.
        """
        return CacheUsage(
            blobs=_sum(_remove(self._files("blobs"), older_than)),
            facts=_sum(_remove(self._files("facts"), older_than)),
            temporary=_sum(_remove(self._files("tmp"), _ABANDONED)),
        )

    def _rename(self, path: Path, final: Path) -> None:
        with self._explaining():
            final.parent.mkdir(parents=True, exist_ok=True)
            path.replace(final)

    @contextmanager
    def _explaining(self, only: Collection[int] | None = None) -> Iterator[None]:
        """Say which directory it is that cannot be written, and what to do about it."""
        try:
            yield
        except OSError as error:
            if only is not None and error.errno not in only:
                raise
            elsewhere = f"name another directory in {ENV_CACHE_DIR}"
            raise CacheError(
                f"the cache in {self.root} cannot be written: {error.strerror}",
                hint=f"make room with `modelimg cache prune`, or {elsewhere}" if error.errno in _FULL else elsewhere,
            ) from error

    def _files(self, folder: str) -> Iterator[tuple[Path, os.stat_result]]:
        """Files of one kind; those that another process removes meanwhile are passed over."""
        for parent, _, names in os.walk(self.root / folder):
            for path in (Path(parent, name) for name in names):
                with suppress(FileNotFoundError):
                    status = path.lstat()
                    if stat.S_ISREG(status.st_mode):
                        yield path, status

    def _blob_path(self, digest: Digest) -> Path:
        return self.root / "blobs" / "sha256" / digest.hex[:2] / digest.hex

    def _fact_path(self, kind: str, key: str) -> Path:
        return self.root / "facts" / kind / Digest.of(key.encode()).hex


def _seal(kind: str, key: str, text: bytes) -> bytes:
    """What ties a fact to its kind and key."""
    return Digest.of(b"\0".join((kind.encode(), key.encode(), text))).hex.encode()


def _touch(path: Path) -> None:
    """Note that a file was used. A cache that may only be read still serves; a file that is gone is a later miss."""
    with suppress(OSError):
        if time.time() - path.stat().st_mtime > _TOUCHED_EVERY:
            os.utime(path)


def _sum(files: Iterator[tuple[Path, os.stat_result]]) -> Amount:
    return sum((Amount(1, status.st_size) for _, status in files), Amount())


def _remove(
    files: Iterator[tuple[Path, os.stat_result]], older_than: timedelta | None
) -> Iterator[tuple[Path, os.stat_result]]:
    """Remove files by age, giving those that it did."""
    now = time.time()
    for path, status in files:
        if older_than is None or now - status.st_mtime > older_than.total_seconds():
            with suppress(FileNotFoundError):
                path.unlink()
                yield path, status
