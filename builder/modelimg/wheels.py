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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Self

from installer.exceptions import InstallerError
from installer.records import InvalidRecordEntry, parse_record_file
from installer.sources import WheelFile

from modelimg.elf import without_debug
from modelimg.errors import LayerError
from modelimg.tar import BytesContent, Content, Entry, Spool, ZipContent, make_file


@dataclass(frozen=True)
class Pruning:
    """What wheels lose on their way into an image, because nothing that serves a model reads it.

    Attributes:
        folders: names of folders: a sixth of a scikit-learn environment's bytes are tests.
        suffixes: of sources that only a compiler reads; there is none.
        debug_sections: take debug information out of shared objects: 12 of the 14 MB of uvloop are that.
    """

    folders: tuple[str, ...] = ("tests",)
    suffixes: tuple[str, ...] = (
        ".a",
        ".c",
        ".cc",
        ".cpp",
        ".f",
        ".f90",
        ".h",
        ".hpp",
        ".pxd",
        ".pxd.tp",
        ".pxi",
        ".pxi.tp",
        ".pyx",
        ".pyx.tp",
    )
    debug_sections: bool = True

    def drops(self, path: str) -> bool:
        """Whether a file of a wheel is left out; ``path`` as in ``RECORD``."""
        return path.endswith(self.suffixes) or not set(self.folders).isdisjoint(path.split("/")[:-1])


_MAX_STRIPPED = 256 << 20
"""Bytes of a shared object that is looked into; a larger one is copied as it is, so that memory stays bounded."""
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
        for info in self._zip.infolist():
            target = self._target(info.filename, site_packages, prefix)
            if target is None or (pruning and pruning.drops(_relative(target, site_packages))):
                continue
            executable = bool(info.external_attr >> 16 & 0o111)
            content: Content = ZipContent(self._zip, info.filename)
            size, hashed = info.file_size, self._hashes.get(info.filename, ("", ""))
            if pruning and pruning.debug_sections and _is_shared_object(info):
                data = self._zip.read(info)
                stripped = without_debug(data)
                if len(stripped) < len(data):
                    content, size, hashed = spool.add(io.BytesIO(stripped)), len(stripped), _record_of(stripped)
            yield make_file(target, content, size, executable=executable)
            kept.append((_relative(target, site_packages), *hashed))
        installer = f"{self._dist_info}/INSTALLER"
        yield make_file(f"{site_packages}/{installer}", BytesContent(_INSTALLER), len(_INSTALLER))
        lines = _record_lines([*kept, (installer, *_record_of(_INSTALLER)), (record, "", "")])
        yield make_file(f"{site_packages}/{record}", BytesContent(lines), len(lines))

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


def _is_shared_object(info: zipfile.ZipInfo) -> bool:
    return info.file_size <= _MAX_STRIPPED and ".so" in PurePosixPath(info.filename).suffixes


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
