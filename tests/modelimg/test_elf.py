"""Taking out of shared objects what no loader reads, without touching what is loaded."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import httptools.parser.parser
import numpy as np
import pandas._libs.hashtable
import pytest
import scipy
import uvloop.loop

from modelimg.elf import needed_parts

SITE_PACKAGES = Path(np.__file__).parents[1]
WITH_DEBUG = [Path(uvloop.loop.__file__), Path(httptools.parser.parser.__file__)]
PATCHED = sorted(SITE_PACKAGES.glob("*.libs/*.so*"))
"""What auditwheel put beside packages, and patchelf went over."""


def without_unneeded(data: bytes) -> bytes:
    return b"".join(needed_parts(data))


STRIPPED = without_unneeded(Path(pandas._libs.hashtable.__file__).read_bytes())


class Elf:
    """A 64-bit little-endian ELF file, read independently of what is tested."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        at, size, count = struct.unpack_from("<Q", data, 32)[0], *struct.unpack_from("<HH", data, 54)
        self.segments = [struct.unpack_from("<IIQQQQQQ", data, at + i * size) for i in range(count)]
        self.headers_end = at + size * count
        at = struct.unpack_from("<Q", data, 40)[0]
        size, count, names_index = struct.unpack_from("<HHH", data, 58)
        self.sections = [struct.unpack_from("<IIQQQQIIQQ", data, at + i * size) for i in range(count)]
        self.table = data[self.sections[names_index][4] :]

    @property
    def names(self) -> list[str]:
        return [self.table[s[0] : self.table.index(b"\0", s[0])].decode() for s in self.sections if s[1] != 0]

    def memory(self) -> bytearray:
        """What is mapped of the file, by address; the headers are blanked, and what is not mapped is filler."""
        loads = [(address, offset, size) for kind, _, offset, address, _, size, _, _ in self.segments if kind == 1]
        memory = bytearray(b"X" * max(address + size for address, _, size in loads))
        for address, offset, size in loads:
            memory[address : address + size] = self.data[offset : offset + size]
        memory[: self.headers_end] = b"X" * self.headers_end
        return memory

    def loaded(self) -> dict[str, tuple[int, bytes]]:
        """Sections that are mapped: name → address and bytes."""
        return {
            name: (s[3], b"" if s[1] == 8 else self.data[s[4] : s[4] + s[5]])
            for name, s in zip(self.names, [s for s in self.sections if s[1] != 0], strict=True)
            if s[2] & 2
        }


def is_unneeded(name: str) -> bool:
    return name in (".symtab", ".strtab") or name.startswith((".debug_", ".gnu.build.attributes", ".gnu_debugdata"))


@pytest.mark.parametrize("path", [*WITH_DEBUG, *PATCHED], ids=lambda path: path.name)
def test_what_is_loaded_stays_at_its_address_and_what_nobody_reads_goes(path: Path) -> None:
    data = path.read_bytes()
    stripped = without_unneeded(data)
    before, after = Elf(data), Elf(stripped)
    assert after.loaded() == before.loaded()
    assert after.names == [name for name in before.names if not is_unneeded(name)]
    was, stays = before.memory(), after.memory()
    stays += b"X" * (len(was) - len(stays))
    was, stays = np.frombuffer(was, np.uint8), np.frombuffer(stays, np.uint8)
    gone = was[was != stays]
    assert set(np.unique(gone)) <= set(b"X\0")  # filler that is no longer mapped
    assert (gone == 0).sum() < 0.01 * len(was)


def test_debug_information_was_most_of_some_files() -> None:
    for path in WITH_DEBUG:
        assert len(without_unneeded(path.read_bytes())) < path.stat().st_size / 2


def test_the_pages_that_patchelf_left_are_gone() -> None:
    (library,) = SITE_PACKAGES.glob("numpy.libs/libscipy_openblas*")
    data = library.read_bytes()
    assert data.count(b"X" * 4096) > 100
    assert without_unneeded(data).count(b"X" * 4096) < 5


@pytest.mark.parametrize("path", [*WITH_DEBUG, *PATCHED], ids=lambda path: path.name)
def test_segments_keep_their_order_and_alignment(path: Path) -> None:
    elf = Elf(without_unneeded(path.read_bytes()))
    loads = [segment for segment in elf.segments if segment[0] == 1]
    for kind, _, offset, address, _, size, memory, alignment in loads:
        assert (kind, (address - offset) % alignment) == (1, 0)
        assert offset + size <= len(elf.data)
        assert size <= memory
    for one, other in pairwise(loads):
        assert one[3] + one[6] <= other[3]
        assert one[2] + one[5] <= other[2]


@pytest.mark.parametrize("path", [*WITH_DEBUG, *PATCHED], ids=lambda path: path.name)
def test_a_second_time_changes_nothing(path: Path) -> None:
    stripped = without_unneeded(path.read_bytes())
    assert without_unneeded(stripped) == stripped


LOAD = """
import ctypes, os, sys
for library in sys.stdin.read().split("\\n"):
    handle = ctypes.CDLL(library)
maps = open("/proc/self/maps").read()
print(sum(library in maps for library in {line.split()[-1] for line in maps.splitlines() if sys.argv[1] in line}))
"""


ONLY_PRELOADED = {"libjemalloc.so"}
"""An allocator of Ray's, whose thread-local storage no running process has room for; the original loads no better."""


def test_every_shared_object_of_this_environment_still_loads(tmp_path: Path, show) -> None:
    found = sorted(
        path
        for path in SITE_PACKAGES.rglob("*.so*")
        if path.read_bytes()[:4] == b"\x7fELF" and path.name not in ONLY_PRELOADED
    )
    saved, changed, copies = 0, 0, []
    for path in found:
        copy = tmp_path / path.relative_to(SITE_PACKAGES)
        copy.parent.mkdir(parents=True, exist_ok=True)
        data = path.read_bytes()
        copy.write_bytes(without_unneeded(data))
        saved, changed = saved + len(data) - copy.stat().st_size, changed + (copy.stat().st_size < len(data))
        copies.append(str(copy))
    random.Random(3).shuffle(copies)  # so that no library is there before what needs it
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(tmp_path)], input="\n".join(copies), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(copies)
    show(f"{changed} of {len(found)} shared objects lost {saved / 1e6:.1f} MB; all of them load")


def test_a_stripped_extension_is_imported_and_works(tmp_path: Path) -> None:
    package = shutil.copytree(Path(uvloop.__file__).parent, tmp_path / "uvloop")
    (library,) = package.glob("loop*.so")
    library.write_bytes(without_unneeded(library.read_bytes()))
    code = "import asyncio, uvloop; assert uvloop.__file__.startswith('%s'); print(uvloop.run(asyncio.sleep(0, 'ran')))"
    done = subprocess.run([sys.executable, "-c", code % tmp_path], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "ran\n", done.stderr


THROW = """
import numpy as np, scipy, scipy.fft, scipy.io, scipy.linalg, scipy.spatial
assert scipy.__file__.startswith(%r), scipy.__file__
a = np.vander([1.0, 2.0, 3.0])
assert np.allclose(scipy.linalg.solve(a, a @ [1, 2, 3]), [1, 2, 3])
for fail in (
    lambda: scipy.io.mmread("/nonexistent.mtx"),
    lambda: scipy.fft.fft(np.ones(3), norm="other"),
    lambda: scipy.spatial.ConvexHull(np.zeros((3, 2))),
):
    try:
        fail()
    except (OSError, ValueError, scipy.spatial.QhullError) as error:
        print(type(error).__name__)
"""


def test_exceptions_cross_stripped_libraries(tmp_path: Path) -> None:
    for name in ("numpy", "numpy.libs", "scipy", "scipy.libs"):
        shutil.copytree(SITE_PACKAGES / name, tmp_path / name, ignore=shutil.ignore_patterns("tests", "__pycache__"))
    for path in tmp_path.rglob("*.so*"):
        path.write_bytes(without_unneeded(path.read_bytes()))
    done = subprocess.run(
        [sys.executable, "-c", THROW % str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 3
    assert scipy.__file__.startswith(str(SITE_PACKAGES))


def patched(offset: int, form: str, value: int) -> Callable[[bytearray], None]:
    return lambda data: struct.pack_into(form, data, offset, value)


def segment(kind: int, field: int, change: Callable[[int], int]) -> Callable[[bytearray], None]:
    """Change a 64-bit field of the last program header of a kind."""

    def edit(data: bytearray) -> None:
        index = max(i for i, one in enumerate(Elf(bytes(data)).segments) if one[0] == kind)
        at = 64 + 56 * index + (8 + 8 * (field - 2))
        struct.pack_into("<Q", data, at, change(struct.unpack_from("<Q", data, at)[0]))

    return edit


def section(name: str, offset: int, form: str, value: Callable[[Elf], int]) -> Callable[[bytearray], None]:
    """Change a field of a section header."""

    def edit(data: bytearray) -> None:
        elf = Elf(bytes(data))
        index = elf.names.index(name) + 1
        at = struct.unpack_from("<Q", data, 40)[0] + 64 * index + offset
        struct.pack_into(form, data, at, value(elf))

    return edit


def symtab(elf: Elf) -> int:
    return next(i for i, one in enumerate(elf.sections) if one[1] == 2)


ODD = {
    "a program": patched(16, "<H", 2),
    "an object for linking": patched(16, "<H", 1),
    "program headers elsewhere": patched(32, "<Q", 128),
    "program headers of another size": patched(54, "<H", 64),
    "no names of sections": patched(62, "<H", 0xFFFF),
    "something behind its end": lambda data: data.extend(b"an archive"),
    "relocations for another link": section(".comment", 40, "<I", symtab),
    "a section that is half loaded": section(".comment", 24, "<Q", lambda elf: 64),
    "a loaded section that no segment maps": section(".comment", 8, "<Q", lambda elf: 2),
    "a segment at an odd offset": segment(1, 2, lambda offset: offset + 8),
    "an alignment that is no power of two": segment(1, 7, lambda alignment: 3000),
    "overlapping segments": segment(1, 3, lambda address: 0),
    "a segment that is not loaded": segment(2, 2, lambda offset: offset + (1 << 22)),
    "a segment that is longer than the file": segment(1, 5, lambda size: 1 << 40),
}


@pytest.mark.parametrize("edit", ODD.values(), ids=ODD)
def test_a_file_of_another_layout_is_left_as_it_is(edit: Callable[[bytearray], None]) -> None:
    data = bytearray(WITH_DEBUG[1].read_bytes())
    edit(data)
    assert without_unneeded(bytes(data)) == data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x7fELF",
        b"#!/bin/sh\n" * 100,
        b"\x7fELF\x01\x01\x01" + bytes(500),
        b"\x7fELF\x02\x02\x01" + bytes(500),
        b"\x7fELF\x02\x01\x01" + bytes(500),
        b"\x7fELF\x02\x01\x01" + b"\xff" * 500,
        STRIPPED,
    ],
    ids=["empty", "magic", "script", "32 bits", "big-endian", "zeros", "nonsense", "stripped"],
)
def test_any_other_file_is_left_as_it_is(data: bytes) -> None:
    assert without_unneeded(data) == data


def test_a_damaged_file_never_raises_and_never_grows(show) -> None:
    original = WITH_DEBUG[1].read_bytes()
    chance, counts = random.Random(7), Counter()
    headers = struct.unpack_from("<Q", original, 40)[0]
    for _ in range(600):
        data = bytearray(original[: chance.randrange(len(original))] if chance.random() < 0.3 else original)
        for _ in range(chance.randrange(1, 8)):
            where = chance.choice([range(min(len(data), 700)), range(min(headers, len(data)), len(data))])
            if where:
                data[chance.choice(where)] ^= 1 << chance.randrange(8)
        out = without_unneeded(bytes(data))
        assert out == data or len(out) < len(data)
        counts["stripped" if len(out) < len(data) else "left"] += 1
    show(f"damaged shared objects: {dict(counts)}")
    assert counts["left"] > 100
