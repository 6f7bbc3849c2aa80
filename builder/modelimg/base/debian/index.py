"""Looking packages up in a ``Packages`` index of sixty thousand stanzas, of which a base needs forty."""

from __future__ import annotations

import gzip
import itertools
import lzma
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from debian import deb822
from debian.debian_support import Version

from modelimg.base.debian.values import ArchiveName, DebianPackage
from modelimg.cache import Cache
from modelimg.errors import BaseError
from modelimg.oci.values import Digest

_PACKAGE = re.compile(rb"^Package: ([^\n]+)$", re.MULTILINE)

Group = list[dict[str, Any]]
"""Alternatives of one dependency, any of which satisfies it, as python-debian reads them."""


@dataclass(frozen=True)
class Candidate:
    """A version of a package that an index offers, and what it depends on."""

    package: DebianPackage
    depends: tuple[Group, ...]

    @property
    def version(self) -> Version:
        """Ordered as dpkg orders versions."""
        return Version(self.package.version)


class PackageIndex:
    """An index on disk: scanned once for where its packages are, parsed only where it is asked.

    Args:
        text: the decompressed index, seekable.
        offsets: name of a package → where its stanzas begin.
        archive: whose packages it lists.
        architecture: ``amd64`` or ``arm64``; packages of ``all`` count as well.
        name: how messages name it.
    """

    def __init__(
        self, text: BinaryIO, offsets: Mapping[bytes, list[int]], archive: ArchiveName, architecture: str, name: str
    ) -> None:
        self._text, self._offsets, self._archive, self._architecture = text, offsets, archive, architecture
        self.name = name

    def candidates(self, name: str) -> list[Candidate]:
        """Every version of a package.

        Raises:
            BaseError: a stanza lacks a field or garbles one.
        """
        found = [self._candidate(self._stanza(start)) for start in self._offsets.get(name.encode(), [])]
        return [candidate for candidate in found if candidate.package.architecture in (self._architecture, "all")]

    def _stanza(self, start: int) -> bytes:
        self._text.seek(start)
        return b"".join(itertools.takewhile(lambda line: line != b"\n", self._text))

    def _candidate(self, stanza: bytes) -> Candidate:
        fields = deb822.Packages(stanza)
        try:
            package = DebianPackage(
                name=fields["Package"],
                version=fields["Version"],
                architecture=fields["Architecture"],
                filename=fields["Filename"],
                size=int(fields["Size"]),
                sha256=Digest(fields["SHA256"]),
                archive=self._archive,
            )
        except (KeyError, ValueError) as error:
            raise BaseError(f"the index of {self.name} garbles the package {fields.get('Package')}: {error}") from error
        groups: dict[str, list[Group]] = fields.relations
        return Candidate(package, (*groups["depends"], *groups["pre-depends"]))


@contextmanager
def open_index(path: Path, cache: Cache, archive: ArchiveName, architecture: str, name: str) -> Iterator[PackageIndex]:
    """Open a compressed index; its text lives on disk for as long as it is open.

    Raises:
        BaseError: it is neither xz nor gzip, or damaged.
    """
    with cache.writing() as (stream, text_path):
        try:
            with path.open("rb") as compressed:
                offsets = _copy_and_scan(_decompressing(compressed, name), stream)
        except (lzma.LZMAError, zlib.error, EOFError, gzip.BadGzipFile) as error:
            raise BaseError(f"the index of {name} cannot be decompressed: {error}") from error
        stream.flush()
        with text_path.open("rb") as text:
            yield PackageIndex(text, offsets, archive, architecture, name)


def _copy_and_scan(source: BinaryIO, out: BinaryIO) -> dict[bytes, list[int]]:
    """Copy an index and note where the stanzas of each package begin, in memory that does not grow with its text."""
    offsets: dict[bytes, list[int]] = {}
    position, rest = 0, b""
    while chunk := source.read(1 << 20):
        out.write(chunk)
        *stanzas, rest = (rest + chunk).split(b"\n\n")
        for stanza in stanzas:
            _note(offsets, stanza, position)
            position += len(stanza) + 2
    _note(offsets, rest, position)
    return offsets


def _note(offsets: dict[bytes, list[int]], stanza: bytes, position: int) -> None:
    if match := _PACKAGE.search(stanza):
        offsets.setdefault(match[1], []).append(position)


def _decompressing(compressed: BinaryIO, name: str) -> BinaryIO:
    head = compressed.read(6)
    compressed.seek(0)
    if head.startswith(b"\xfd7zXZ\x00"):
        return lzma.open(compressed)  # type: ignore[return-value]
    if head.startswith(b"\x1f\x8b"):
        return gzip.open(compressed)  # type: ignore[return-value]
    raise BaseError(f"the index of {name} is neither xz nor gzip")
