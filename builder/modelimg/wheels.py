"""Wheels: what one becomes in the image's virtual environment.

A wheel is never installed on the host: its members become tar entries, read from the zip when the layer is written.
Source: the binary distribution format, https://packaging.python.org/specifications/binary-distribution-format/.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

from installer.exceptions import InstallerError
from installer.records import InvalidRecordEntry, parse_record_file
from installer.sources import WheelFile

from modelimg.errors import LayerError
from modelimg.pruning import Pruning
from modelimg.tar import BytesContent, Content, Entry, SliceContent, ZipContent, make_file
from modelimg.zips import read_member

_INSTALLER = b"modelimg\n"
"""Every installer names itself in its ``.dist-info`` (PEP 627); ``pip list`` and scanners read it."""


@dataclass(frozen=True)
class Environment:
    """Where the files of wheels go.

    Attributes:
        prefix: the environment's own folder, relative to the image's root; ``data`` files go there.
        site_packages: the folder in it for pure and platform code, relative to the root too.
    """

    prefix: str
    site_packages: str

    def relative(self, path: str) -> str:
        """A path in the environment as ``RECORD`` has it: data files are seen from ``lib/pythonX.Y/site-packages``."""
        if path.startswith(f"{self.site_packages}/"):
            return path[len(self.site_packages) + 1 :]
        return "../../../" + path.removeprefix(f"{self.prefix}/")


class Member(NamedTuple):
    """A member of a wheel, and its path in the image."""

    target: str
    info: zipfile.ZipInfo


class Changed(NamedTuple):
    """What a member becomes whose bytes change, and their hash and size as ``RECORD`` has them."""

    content: SliceContent
    record: tuple[str, str]


class Wheel:
    """An open wheel whose members can become tar entries. A context manager.

    Args:
        path: the file; its bytes were checked when it was fetched.
        filename: its proper name, since the cache stores it under its digest.
    """

    def __init__(self, path: Path, filename: str) -> None:
        self.filename = filename
        try:
            self._zip = zipfile.ZipFile(path)
            self._zip.filename = filename  # installer reads the name and version from it
            source = WheelFile(self._zip)
            self._dist_info, self._data = source.dist_info_dir, source.data_dir
            self._hashes = {
                row[0]: (row[1], row[2]) for row in parse_record_file(source.read_dist_info("RECORD").splitlines())
            }
        except (zipfile.BadZipFile, InstallerError, InvalidRecordEntry, KeyError, ValueError) as error:
            raise LayerError(f"{filename} is no sound wheel: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def members(self, place: Environment, pruning: Pruning | None) -> list[Member]:
        """Which of the members go into an environment; without ``pruning``, all that an installer would put there."""
        return self._kept(self._zip.infolist(), place, pruning)

    def read(self, member: Member) -> bytes | bytearray:
        """A member's bytes; safe to call from several threads at once."""
        return read_member(self._zip, member.info.filename)

    def entries(
        self, members: Iterable[Member], place: Environment, changed: Mapping[Member, Changed]
    ) -> Iterator[Entry]:
        """The files that members become, with a ``RECORD`` that lists just these.

        Args:
            members: of `members`.
            place: where they go.
            changed: those that have other bytes there than in the wheel.
        """
        record = f"{self._dist_info}/RECORD"
        kept: list[tuple[str, str, str]] = []
        for member in members:
            info = member.info
            executable = bool(info.external_attr >> 16 & 0o111)
            content: Content = ZipContent(self._zip, info.filename)
            size, hashed = info.file_size, self._hashes.get(info.filename, ("", ""))
            if member in changed:
                content, hashed = changed[member]
                size = content.size
            yield make_file(member.target, content, size, executable=executable)
            kept.append((place.relative(member.target), *hashed))
        installer = f"{self._dist_info}/INSTALLER"
        yield make_file(f"{place.site_packages}/{installer}", BytesContent(_INSTALLER), len(_INSTALLER))
        lines = _record_lines([*kept, (installer, *record_of([_INSTALLER])), (record, "", "")])
        yield make_file(f"{place.site_packages}/{record}", BytesContent(lines), len(lines))

    def modules(self, place: Environment, pruning: Pruning | None) -> Iterator[Entry]:
        """The Python source among its files, without looking into anything else."""
        sources = [info for info in self._zip.infolist() if info.filename.endswith(".py")]
        for target, info in self._kept(sources, place, pruning):
            yield make_file(target, ZipContent(self._zip, info.filename), info.file_size)

    def _kept(self, infos: Iterable[zipfile.ZipInfo], place: Environment, pruning: Pruning | None) -> list[Member]:
        members = [Member(target, info) for info in infos if (target := self._target(info.filename, place))]
        by_path = {place.relative(member.target): member for member in members}
        dropped = pruning.dropped(list(by_path), lambda path: self.read(by_path[path])) if pruning else frozenset()
        return [member for member in members if place.relative(member.target) not in dropped]

    def _target(self, name: str, place: Environment) -> str | None:
        """Where a member goes; None for scripts and headers, which nobody runs or compiles in a serving image."""
        if name.endswith("/") or name in (f"{self._dist_info}/RECORD", f"{self._dist_info}/INSTALLER"):
            return None
        if not name.startswith(f"{self._data}/"):
            return f"{place.site_packages}/{name}"
        scheme, _, rest = name.removeprefix(f"{self._data}/").partition("/")
        if scheme in ("purelib", "platlib"):
            return f"{place.site_packages}/{rest}"
        return f"{place.prefix}/{rest}" if scheme == "data" else None


def _record_lines(rows: Sequence[tuple[str, str, str]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(sorted(rows))
    return out.getvalue().encode()


def record_of(parts: Sequence[bytes | bytearray | memoryview]) -> tuple[str, str]:
    """Hash and size of a file as ``RECORD`` writes them; of one after the other, where it is in parts."""
    hasher = hashlib.sha256()
    for part in parts:
        hasher.update(part)
    digest = base64.urlsafe_b64encode(hasher.digest()).rstrip(b"=").decode()
    return f"sha256={digest}", str(sum(map(len, parts)))
