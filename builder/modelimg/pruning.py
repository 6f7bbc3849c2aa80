"""What wheels lose on their way into an image. Each rule, what it saves and why it is safe: docs/decisions/0008.

Rules go by names, so that they hold for any wheel. What ordinary code imports stays: ``numpy.f2py``, which
``from numpy import *`` imports; ``numpy.distutils``, which ``numpy.ctypeslib`` of before 1.25 needs; ``*.testing``.
"""

from __future__ import annotations

import functools
import hashlib
import posixpath
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import translate

from modelimg.oci.values import Digest
from modelimg.tar import Entry, make_symlink

_CHUNK = 1 << 20
_LIBRARIES = ".libs"
"""Folders of shared libraries that auditwheel puts beside a package, under names that end in a digest."""
_LOADS_STUB = re.compile(rb"""attach_stub|\.pyi["']""")
"""``lazy_loader.attach_stub`` reads the stub of the module that calls it, and copies of it are in many packages."""


@dataclass(frozen=True)
class Pruning:
    """What is left out, because nothing that serves a model reads it.

    Attributes:
        folders: names of folders: a sixth of a scikit-learn environment's bytes are tests.
        test_folders: names of folders that go if a ``test_*.py`` is in them; others may be part of an interface.
        files: patterns of paths, as `fnmatch` has them; ``*`` takes in slashes.
        suffixes: of sources that only a compiler reads; there is none.
        stubs: ``.pyi`` files, which type checkers read, unless the package reads them to import lazily.
        symbols: what no loader reads in shared objects: 12 of the 14 MB of uvloop are debug information.
        shared: libraries that two wheels bring under the same name with the same bytes become links to the first.
        docstrings: packages whose byte code has none: 9 of 42 MB. NumPy is not among them: it asserts what its own say.
        standard_docstrings: nor has that of the standard library, which Python itself can do without (``-OO``).
    """

    folders: tuple[str, ...] = ("tests",)
    test_folders: tuple[str, ...] = ("test",)
    files: tuple[str, ...] = (
        "*/conftest.py",  # of pytest
        "*/meson.build",
        "*/_test_*.so",  # extension modules that only tests import
        "*/_ctest.*.so",
        "*/_cytest.*.so",
        "numpy/*core/_simd.*.so",  # every vector instruction on its own, for NumPy's tests: 1.5 MB
        "numpy/*core/_[!u]*_tests.*.so",  # old recipes take inner1d from _umath_tests
        "*/datasets/images/*.jpg",  # scikit-learn's photographs, to try things out
    )
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
    stubs: bool = True
    symbols: bool = True
    shared: bool = True
    docstrings: tuple[str, ...] = ("modelimg_runtime", "narwhals", "pandas", "pandera", "pydantic", "scipy", "sklearn")
    standard_docstrings: bool = True

    def dropped(self, paths: Sequence[str], read: Callable[[str], bytes | bytearray]) -> frozenset[str]:
        """Which files of one wheel are left out.

        Args:
            paths: all of them, as in ``RECORD``.
            read: gives a file's bytes; few are asked for.
        """
        matches = _matcher(self.files)
        tests = tuple(f"{folder}/" for folder in self._holding_tests(paths))
        dropped = {
            path
            for path in paths
            if path.endswith(self.suffixes)
            or path.startswith(tests)
            or not set(self.folders).isdisjoint(path.split("/")[:-1])
            or matches(path)
        }
        if self.stubs:
            dropped.update(_unread_stubs(set(paths) - dropped, read))
        return frozenset(dropped)

    def _holding_tests(self, paths: Iterable[str]) -> set[str]:
        """Folders of these names with a module that pytest would collect."""
        modules = (path.rpartition("/") for path in paths if "/test_" in path and path.endswith(".py"))
        folders = {folder for folder, _, name in modules if name.startswith("test_")}
        return {folder for folder in folders if posixpath.basename(folder) in self.test_folders}


@functools.cache
def _matcher(patterns: tuple[str, ...]) -> Callable[[str], object]:
    return re.compile("|".join(map(translate, patterns))).match if patterns else lambda _: None


def _unread_stubs(paths: set[str], read: Callable[[str], bytes | bytearray]) -> set[str]:
    """The stubs of a wheel, or none if one of its modules reads the stub that is beside it."""
    stubs = {path for path in paths if path.endswith(".pyi")}
    modules = sorted(path[:-1] for path in stubs if path[:-1] in paths)
    return set() if any(_LOADS_STUB.search(read(module)) for module in modules) else stubs


def share_libraries(entries: Iterable[Entry]) -> Iterator[Entry]:
    """The same entries, but that libraries of one name with the same bytes become links to the first by path.

    NumPy and SciPy both bring libgfortran. The loader goes by the name that is in a library, so it takes the one that
    is loaded already, whichever of the files that was. Extension modules are not shared: two that are one file to the
    loader share their state, which most of them cannot.
    """
    by_name: dict[tuple[str, int], list[Entry]] = defaultdict(list)
    for entry in entries:
        folder, name = posixpath.split(entry.path)
        if folder.endswith(_LIBRARIES) and is_shared_object(name):
            by_name[name, entry.size].append(entry)
        else:
            yield entry
    for same in by_name.values():
        yield from _linked(sorted(same, key=lambda entry: entry.path)) if len(same) > 1 else same


def is_shared_object(path: str) -> bool:
    """Whether a name is a shared object's: ``.so``, or with a version behind it as libraries have one."""
    name = posixpath.basename(path)
    return name.endswith(".so") or ".so." in name


def _linked(entries: Sequence[Entry]) -> Iterator[Entry]:
    first: dict[Digest, str] = {}
    for entry in entries:
        path = first.setdefault(content_digest(entry), entry.path)
        here = posixpath.dirname(entry.path)
        yield entry if path == entry.path else make_symlink(entry.path, posixpath.relpath(path, here))


def content_digest(entry: Entry) -> Digest:
    """The digest of a file's bytes, which may be a part of a larger file's."""
    assert entry.content is not None, entry.path  # noqa: S101 - files have one
    hasher, left = hashlib.sha256(), entry.size
    with entry.content.open() as stream:
        while left and (chunk := stream.read(min(left, _CHUNK))):
            hasher.update(chunk)
            left -= len(chunk)
    return Digest(hasher.hexdigest())
