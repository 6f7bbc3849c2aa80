"""What a wheel becomes in the image."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import zipfile
from pathlib import Path

import pytest
import uvloop.loop

from modelimg.elf import needed_parts
from modelimg.errors import LayerError
from modelimg.pruning import Pruning
from modelimg.tar import Entry, Spool
from modelimg.unpacking import unpack
from modelimg.wheels import Environment, Wheel

SITE, VENV = "modelimg/venv/lib/python3.11/site-packages", "modelimg/venv"
PLACE = Environment(VENV, SITE)


def make_wheel(
    folder: Path, files: dict[str, bytes], *, record: bool = True, name: str = "pkg-1.0-py3-none-any.whl"
) -> Path:
    path = folder / name
    with zipfile.ZipFile(path, "w") as archive:
        rows = []
        for member, data in files.items():
            info = zipfile.ZipInfo(member)
            info.external_attr = (0o755 if member.endswith(".sh") else 0o644) << 16
            archive.writestr(info, data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            rows.append(f"{member},sha256={digest},{len(data)}\n")
        if record:
            archive.writestr("pkg-1.0.dist-info/RECORD", "".join(rows) + "pkg-1.0.dist-info/RECORD,,\n")
    return path


FILES = {
    "pkg/__init__.py": b"x = 1\n",
    "pkg/run.sh": b"#!/bin/sh\n",
    "pkg/tests/test_x.py": b"assert 1\n",
    "pkg/sub/tests/data.csv": b"1\n",
    "pkg-1.0.data/scripts/pkg": b"#!python\n",
    "pkg-1.0.data/headers/pkg.h": b"int x;\n",
    "pkg-1.0.data/data/share/pkg/logo.txt": b"logo\n",
    "pkg-1.0.data/platlib/pkg/fast.so": b"\x7fELF",
    "pkg-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: pkg\nVersion: 1.0\n",
    "pkg-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "pkg-1.0.dist-info/INSTALLER": b"somebody else\n",
}


def unpacked(path: Path, pruning: Pruning | None = Pruning()) -> dict[str, tuple[Entry, bytes]]:  # noqa: B008 - frozen
    with Wheel(path, path.name) as wheel, (path.parent / "spool").open("wb") as stream:
        entries = unpack([wheel], PLACE, pruning, Spool(stream, path.parent / "spool"))
        return {entry.path: (entry, content(entry)) for _, entry in entries}


def content(entry: Entry) -> bytes:
    with entry.content.open() as opened:
        return opened.read(entry.size)


def test_each_scheme_goes_where_python_looks_for_it(tmp_path: Path) -> None:
    entries = unpacked(make_wheel(tmp_path, FILES))
    assert set(entries) == {
        f"{SITE}/pkg/__init__.py",
        f"{SITE}/pkg/run.sh",
        f"{SITE}/pkg/fast.so",
        f"{VENV}/share/pkg/logo.txt",
        f"{SITE}/pkg-1.0.dist-info/METADATA",
        f"{SITE}/pkg-1.0.dist-info/WHEEL",
        f"{SITE}/pkg-1.0.dist-info/INSTALLER",
        f"{SITE}/pkg-1.0.dist-info/RECORD",
    }
    assert entries[f"{SITE}/pkg/run.sh"][0].mode == 0o755
    assert entries[f"{SITE}/pkg/__init__.py"][0].mode == 0o644
    assert entries[f"{SITE}/pkg-1.0.dist-info/INSTALLER"][1] == b"modelimg\n"


def test_the_record_lists_just_what_is_there_with_true_hashes(tmp_path: Path) -> None:
    entries = unpacked(make_wheel(tmp_path, FILES))
    record = entries[f"{SITE}/pkg-1.0.dist-info/RECORD"][1].decode()
    rows = {row[0]: row for row in csv.reader(io.StringIO(record))}
    located = {str(Path(*Path(f"{SITE}/{name}").parts)): name for name in rows}
    resolved = {("/".join(_normal(path))): name for path, name in located.items()}
    assert set(resolved) == set(entries)
    for path, name in resolved.items():
        if name.endswith("RECORD"):
            continue
        data = entries[path][1]
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        assert rows[name][1:] == [f"sha256={digest}", str(len(data))]


def _normal(path: str) -> list[str]:
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return parts


def test_without_pruning_the_tests_stay(tmp_path: Path) -> None:
    assert f"{SITE}/pkg/tests/test_x.py" in unpacked(make_wheel(tmp_path, FILES), None)


def test_without_pruning_every_byte_stays(tmp_path: Path) -> None:
    library = Path(uvloop.loop.__file__).read_bytes()
    wheel = make_wheel(tmp_path, {**FILES, "pkg/loop.so": library})
    assert unpacked(wheel, None)[f"{SITE}/pkg/loop.so"][1] == library
    assert len(unpacked(wheel)[f"{SITE}/pkg/loop.so"][1]) < len(library) / 2


def test_what_is_stripped_is_in_the_record_as_it_is(tmp_path: Path) -> None:
    library = Path(uvloop.loop.__file__).read_bytes()
    many = {f"pkg/loop{i}.so": library for i in range(5)}  # more than is worked on at once
    entries = unpacked(make_wheel(tmp_path, {**FILES, **many}))
    rows = list(csv.reader(io.StringIO(entries[f"{SITE}/pkg-1.0.dist-info/RECORD"][1].decode())))
    listed = {name: (hashed, size) for name, hashed, size in rows}
    stripped = b"".join(needed_parts(library))
    digest = base64.urlsafe_b64encode(hashlib.sha256(stripped).digest()).rstrip(b"=").decode()
    for name in many:
        assert entries[f"{SITE}/{name}"][1] == stripped
        assert listed[name] == (f"sha256={digest}", str(len(stripped)))


def test_a_module_s_source_is_found_without_unpacking_the_rest(tmp_path: Path) -> None:
    path = make_wheel(tmp_path, FILES)
    with Wheel(path, path.name) as wheel:
        assert [entry.path for entry in wheel.modules(PLACE, Pruning())] == [f"{SITE}/pkg/__init__.py"]
        everything = {entry.path for entry in wheel.modules(PLACE, None)}
    assert everything == {f"{SITE}/pkg/__init__.py", f"{SITE}/pkg/tests/test_x.py"}


def test_a_file_that_a_wheel_holds_twice_is_not_lost_silently(tmp_path: Path) -> None:
    twice = make_wheel(tmp_path, {**FILES, "pkg-1.0.data/purelib/pkg/__init__.py": b"x = 2\n"})
    with Wheel(twice, twice.name) as wheel, (tmp_path / "spool").open("wb") as stream:
        paths = [entry.path for _, entry in unpack([wheel], PLACE, Pruning(), Spool(stream, tmp_path / "spool"))]
    assert paths.count(f"{SITE}/pkg/__init__.py") == 2  # which the layer refuses


@pytest.mark.parametrize(
    "break_it",
    [
        lambda folder: make_wheel(folder, FILES, record=False),
        lambda folder: make_wheel(folder, {**FILES, "other-1.0.dist-info/METADATA": b""}),
        lambda folder: make_wheel(folder, {"pkg/__init__.py": b""}, record=False),
        lambda folder: make_wheel(folder, FILES, name="other-1.0-py3-none-any.whl"),
        lambda folder: _text(folder / "pkg-1.0-py3-none-any.whl", "no zip"),
    ],
)
def test_what_is_no_sound_wheel_is_refused_by_name(tmp_path: Path, break_it) -> None:
    path = break_it(tmp_path)
    with pytest.raises(LayerError, match=r"-1\.0-py3-none-any\.whl is no sound wheel"):
        Wheel(path, path.name)


def _text(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
