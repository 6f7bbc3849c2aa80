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
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Self, TypeVar

from installer.exceptions import InstallerError
from installer.records import InvalidRecordEntry, parse_record_file
from installer.sources import WheelFile

from modelimg.elf import without_unneeded
from modelimg.errors import LayerError
from modelimg.pruning import Pruning, is_shared_object
from modelimg.tar import BytesContent, Content, Entry, SliceContent, Spool, ZipContent, make_file
from modelimg.zips import read_member

_T = TypeVar("_T")

_MAX_STRIPPED = 64 << 20
"""Bytes of a shared object that is looked into; a larger one is copied as it is, so that memory stays bounded."""
_AT_ONCE, _THREADS = 32 << 20, 2
_INSTALLER = b"modelimg\n"
"""Every installer names itself in its ``.dist-info`` (PEP 627); ``pip list`` and scanners read it."""


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

    def entries(self, site_packages: str, prefix: str, pruning: Pruning | None, spool: Spool) -> Iterator[Entry]:
        """The files that the wheel puts into the environment, with a ``RECORD`` that lists just these.

        Args:
            site_packages: folder for pure and platform code, relative to the image's root.
            prefix: the environment's own folder, for ``data`` files.
            pruning: what to leave out; None keeps everything.
            spool: keeps the bytes of files that change until the entries are written.
        """
        record = f"{self._dist_info}/RECORD"
        kept: list[tuple[str, str, str]] = []
        members = list(self._kept(self._zip.infolist(), site_packages, prefix, pruning))
        objects = [info for _, info in members if pruning and pruning.symbols and _is_shared_object(info)]
        changed = self._stripped(objects, spool)
        for target, info in members:
            executable = bool(info.external_attr >> 16 & 0o111)
            content: Content = ZipContent(self._zip, info.filename)
            size, hashed = info.file_size, self._hashes.get(info.filename, ("", ""))
            if info.filename in changed:
                content, hashed = changed[info.filename]
                size = content.size
            yield make_file(target, content, size, executable=executable)
            kept.append((_relative(target, site_packages), *hashed))
        installer = f"{self._dist_info}/INSTALLER"
        yield make_file(f"{site_packages}/{installer}", BytesContent(_INSTALLER), len(_INSTALLER))
        lines = _record_lines([*kept, (installer, *_record_of(_INSTALLER)), (record, "", "")])
        yield make_file(f"{site_packages}/{record}", BytesContent(lines), len(lines))

    def _stripped(
        self, objects: Sequence[zipfile.ZipInfo], spool: Spool
    ) -> dict[str, tuple[SliceContent, tuple[str, str]]]:
        """Shared objects that get smaller: member → what becomes of it, and its hash and size for ``RECORD``."""

        def strip(info: zipfile.ZipInfo) -> tuple[bytes, tuple[str, str]] | None:
            data = read_member(self._zip, info.filename)
            stripped = without_unneeded(data)
            return (stripped, _record_of(stripped)) if len(stripped) < len(data) else None

        changed = {}
        for info, done in zip(objects, _ahead(strip, objects), strict=True):
            if done:
                changed[info.filename] = spool.add(io.BytesIO(done[0])), done[1]
        return changed

    def modules(self, site_packages: str, prefix: str, pruning: Pruning | None) -> Iterator[Entry]:
        """Of `entries`, the Python source alone, without looking into anything else."""
        sources = [info for info in self._zip.infolist() if info.filename.endswith(".py")]
        for target, info in self._kept(sources, site_packages, prefix, pruning):
            yield make_file(target, ZipContent(self._zip, info.filename), info.file_size)

    def _kept(
        self, members: Iterable[zipfile.ZipInfo], site_packages: str, prefix: str, pruning: Pruning | None
    ) -> Iterator[tuple[str, zipfile.ZipInfo]]:
        """Which of the members go into the environment, and where to."""
        placed = [(target, info) for info in members if (target := self._target(info.filename, site_packages, prefix))]
        names = {_relative(target, site_packages): info.filename for target, info in placed}

        def read(path: str) -> bytes:
            return read_member(self._zip, names[path])

        dropped = pruning.dropped(list(names), read) if pruning else frozenset()
        return (one for one in placed if _relative(one[0], site_packages) not in dropped)

    def _target(self, name: str, site_packages: str, prefix: str) -> str | None:
        """Where a member goes; None for scripts and headers, which nobody runs or compiles in a serving image."""
        if name.endswith("/") or name in (f"{self._dist_info}/RECORD", f"{self._dist_info}/INSTALLER"):
            return None
        if not name.startswith(f"{self._data}/"):
            return f"{site_packages}/{name}"
        scheme, _, rest = name.removeprefix(f"{self._data}/").partition("/")
        if scheme in ("purelib", "platlib"):
            return f"{site_packages}/{rest}"
        return f"{prefix}/{rest}" if scheme == "data" else None


def _ahead(work: Callable[[zipfile.ZipInfo], _T], members: Iterable[zipfile.ZipInfo]) -> Iterator[_T]:
    """Results in order, on two threads; as many members are worked on at once as memory may be taken up."""
    waiting: deque[tuple[int, Future[_T]]] = deque()
    with ThreadPoolExecutor(_THREADS) as pool:
        for info in members:
            while waiting and sum(size for size, _ in waiting) + info.file_size > _AT_ONCE:
                yield waiting.popleft()[1].result()
            waiting.append((info.file_size, pool.submit(work, info)))
        while waiting:
            yield waiting.popleft()[1].result()


def _is_shared_object(info: zipfile.ZipInfo) -> bool:
    return info.file_size <= _MAX_STRIPPED and is_shared_object(info.filename)


def _relative(target: str, site_packages: str) -> str:
    if target.startswith(f"{site_packages}/"):
        return target[len(site_packages) + 1 :]
    return "../../../" + target.split("/", 2)[2]  # data files: <prefix>/share/… seen from lib/pythonX.Y/site-packages


def _record_lines(rows: Sequence[tuple[str, str, str]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(sorted(rows))
    return out.getvalue().encode()


def _record_of(data: bytes) -> tuple[str, str]:
    """Hash and size as ``RECORD`` writes them."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"sha256={digest}", str(len(data))
