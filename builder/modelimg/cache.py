"""The cache: blobs by their sha256, and small facts by the key that they follow from.

Everything appears under its final name by a rename, so that builds may run side by side and an interrupted one
leaves nothing half-written. Blobs are checked when they are read: a flipped byte is a miss, not a wrong image.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import platformdirs

from modelimg.errors import FetchError
from modelimg.oci.values import Digest

ENV_CACHE_DIR = "MODELIMG_CACHE_DIR"


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
        """The blob's file if it is here and its bytes are right; a damaged one is dropped."""
        path = self._blob_path(digest)
        try:
            with path.open("rb") as stream:
                intact = Digest.of_stream(stream) == digest
        except FileNotFoundError:
            return None
        if not intact:
            path.unlink(missing_ok=True)
            return None
        return path

    @contextmanager
    def writing(self) -> Iterator[tuple[BinaryIO, Path]]:
        """A file to write a blob to, in the cache's own file system; gone afterwards unless `adopt` took it."""
        folder = self.root / "tmp"
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder)
        path = Path(name)
        try:
            with os.fdopen(handle, "wb") as stream:
                yield stream, path
        finally:
            path.unlink(missing_ok=True)

    def adopt(self, path: Path, digest: Digest) -> Path:
        """Take a whole file, whose digest the caller has just computed, as a blob."""
        final = self._blob_path(digest)
        final.parent.mkdir(parents=True, exist_ok=True)
        path.replace(final)
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
        """The fact noted under a key, or None; an unreadable one counts as absent."""
        try:
            return json.loads(self._fact_path(kind, key).read_bytes())
        except (FileNotFoundError, ValueError):
            return None

    def note(self, kind: str, key: str, fact: Any) -> None:
        """Note a JSON value under a key."""
        final = self._fact_path(kind, key)
        final.parent.mkdir(parents=True, exist_ok=True)
        with self.writing() as (stream, path):
            stream.write(json.dumps(fact, sort_keys=True).encode())
            stream.flush()
            path.replace(final)

    def _blob_path(self, digest: Digest) -> Path:
        return self.root / "blobs" / "sha256" / digest.hex[:2] / digest.hex

    def _fact_path(self, kind: str, key: str) -> Path:
        return self.root / "facts" / kind / (Digest.of(key.encode()).hex + ".json")
