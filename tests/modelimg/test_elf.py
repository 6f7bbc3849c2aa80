"""Taking debug information out of shared objects, without touching what is loaded."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path

import httptools.parser.parser
import numpy as np
import pandas._libs.hashtable
import pytest
import uvloop.loop

from modelimg.elf import without_debug

WITH_DEBUG = [Path(uvloop.loop.__file__), Path(httptools.parser.parser.__file__)]


def segments(data: bytes) -> list[bytes]:
    """The bytes that a loader maps, the file's own header left out."""
    at, size, count = struct.unpack_from("<Q", data, 32)[0], *struct.unpack_from("<HH", data, 54)
    found = []
    for i in range(count):
        kind, _, offset, _, _, length = struct.unpack_from("<IIQQQQ", data, at + i * size)
        if kind == 1:
            found.append(data[max(offset, 64) : offset + length])
    return found


def section_names(data: bytes) -> list[str]:
    at = struct.unpack_from("<Q", data, 40)[0]
    size, count, names_index = struct.unpack_from("<HHH", data, 58)
    headers = [struct.unpack_from("<IIQQQQIIQQ", data, at + i * size) for i in range(count)]
    table = data[headers[names_index][4] :]
    return [table[h[0] : table.index(b"\0", h[0])].decode() for h in headers if h[1] != 0]


@pytest.mark.parametrize("path", WITH_DEBUG, ids=lambda path: path.name)
def test_what_is_loaded_stays_and_what_is_debug_goes(path: Path) -> None:
    data = path.read_bytes()
    stripped = without_debug(data)
    assert len(stripped) < len(data) / 2
    assert segments(stripped) == segments(data)
    kept = [name for name in section_names(data) if not name.startswith(".debug_")]
    assert section_names(stripped) == kept
    assert ".symtab" in kept


@pytest.mark.parametrize("path", WITH_DEBUG, ids=lambda path: path.name)
def test_a_second_time_changes_nothing(path: Path) -> None:
    stripped = without_debug(path.read_bytes())
    assert without_debug(stripped) == stripped


def test_a_stripped_extension_is_imported_and_works(tmp_path: Path) -> None:
    package = shutil.copytree(Path(uvloop.__file__).parent, tmp_path / "uvloop")
    (library,) = package.glob("loop*.so")
    library.write_bytes(without_debug(library.read_bytes()))
    code = "import asyncio, uvloop; assert uvloop.__file__.startswith('%s'); print(uvloop.run(asyncio.sleep(0, 'ran')))"
    done = subprocess.run([sys.executable, "-c", code % tmp_path], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "ran\n", done.stderr


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x7fELF",
        b"#!/bin/sh\n" * 100,
        b"\x7fELF\x01\x01\x01" + bytes(500),
        b"\x7fELF\x02\x02\x01" + bytes(500),
        b"\x7fELF\x02\x01\x01" + b"\xff" * 500,
        Path(pandas._libs.hashtable.__file__).read_bytes(),
        Path(np._core._multiarray_umath.__file__).read_bytes(),
    ],
    ids=["empty", "magic", "script", "32 bits", "big-endian", "nonsense", "no debug info", "stripped"],
)
def test_any_other_file_is_left_as_it_is(data: bytes) -> None:
    assert without_debug(data) == data


def test_a_damaged_file_never_raises_and_never_grows(show) -> None:
    original = WITH_DEBUG[1].read_bytes()
    chance, counts = random.Random(7), Counter()
    for _ in range(300):
        data = bytearray(original[: chance.randrange(len(original))] if chance.random() < 0.3 else original)
        for _ in range(chance.randrange(1, 8)):
            if data:
                data[
                    chance.randrange(min(len(data), 200)) if chance.random() < 0.5 else chance.randrange(len(data))
                ] ^= 0xFF
        out = without_debug(bytes(data))
        assert len(out) <= len(data) + 4096
        counts["stripped" if len(out) < len(data) else "left"] += 1
    show(f"damaged shared objects: {dict(counts)}")
    assert counts["left"] > 50
