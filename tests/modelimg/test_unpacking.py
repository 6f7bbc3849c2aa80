"""Shared objects of wheels get smaller side by side, in bounded memory."""

from __future__ import annotations

import threading
import zipfile
from pathlib import Path

import httptools.parser.parser
import pytest
import uvloop.loop

from modelimg import unpacking
from modelimg.elf import needed_parts
from modelimg.errors import LayerError
from modelimg.pruning import Pruning
from modelimg.tar import Spool
from modelimg.unpacking import unpack
from modelimg.wheels import Environment, Wheel

PLACE = Environment("venv", "venv/lib/python3.11/site-packages")
LARGE, SMALL = (Path(module.__file__).read_bytes() for module in (uvloop.loop, httptools.parser.parser))
METADATA = {
    "METADATA": "Metadata-Version: 2.1\nName: {0}\nVersion: 1.0\n",
    "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "RECORD": "",
}


def make_wheel(folder: Path, name: str, objects: dict[str, bytes]) -> Path:
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in objects.items():
            archive.writestr(f"{name}/{member}", data)
        for member, text in METADATA.items():
            archive.writestr(f"{name}-1.0.dist-info/{member}", text.format(name))
    return path


def unpacked(paths: list[Path], folder: Path, pruning: Pruning | None = Pruning()) -> dict[str, bytes]:  # noqa: B008 - frozen
    """Path in site-packages → bytes, of everything that is unpacked."""
    spool = folder / "spool"
    found = {}
    with spool.open("wb") as stream:
        for _, entry in unpack((Wheel(path, path.name) for path in paths), PLACE, pruning, Spool(stream, spool)):
            with entry.content.open() as content:
                found[PLACE.relative(entry.path)] = content.read(entry.size)
    return found


def test_objects_of_all_wheels_come_out_as_each_would_alone(tmp_path: Path) -> None:
    wheels = [make_wheel(tmp_path, name, {"large.so": LARGE, "small.so": SMALL, "text.so": b"x"}) for name in "abc"]
    found = unpacked(wheels, tmp_path)
    for name in "abc":
        assert found[f"{name}/large.so"] == b"".join(needed_parts(LARGE)) != LARGE
        assert found[f"{name}/small.so"] == b"".join(needed_parts(SMALL)) != SMALL
        assert found[f"{name}/text.so"] == b"x"
    assert unpacked(list(reversed(wheels)), tmp_path) == found
    assert unpacked(wheels, tmp_path, None)["a/large.so"] == LARGE


def test_an_object_waits_until_there_is_room_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheels = [make_wheel(tmp_path, name, {f"{i}.so": LARGE for i in range(4)}) for name in "ab"]
    held, most, lock = 0, [], threading.Lock()

    def watched(data: bytes) -> list[bytes]:
        nonlocal held
        with lock:
            held += len(data)
            most.append(held)
        try:
            return needed_parts(data)
        finally:
            with lock:
                held -= len(data)

    monkeypatch.setattr(unpacking, "needed_parts", watched)
    monkeypatch.setattr(unpacking, "_AT_ONCE", len(LARGE) * 3 // 2)
    assert len(unpacked(wheels, tmp_path)) == 8 + 2 * (len(METADATA) + 1)
    assert (len(most), max(most)) == (8, len(LARGE))


def test_an_object_that_is_too_large_to_look_into_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "_MAX_STRIPPED", len(LARGE) - 1)
    found = unpacked([make_wheel(tmp_path, "a", {"large.so": LARGE, "small.so": SMALL})], tmp_path)
    assert found["a/large.so"] == LARGE
    assert len(found["a/small.so"]) < len(SMALL)


@pytest.mark.parametrize("place", [0, 3, 7], ids=["first", "middle", "last"])
def test_a_damaged_object_is_refused_by_name_while_others_wait(tmp_path: Path, place: int) -> None:
    path = make_wheel(tmp_path, "a", {f"{i}.so": LARGE for i in range(8)})
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(f"a/{place}.so")
    data[info.header_offset + info.compress_size // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(LayerError, match=rf"a-1\.0-py3-none-any\.whl: a/{place}\.so is damaged"):
        unpacked([path], tmp_path)


def test_a_wheel_that_is_none_is_refused_while_objects_of_others_are_worked_on(tmp_path: Path) -> None:
    good = make_wheel(tmp_path, "a", {f"{i}.so": LARGE for i in range(8)})
    bad = tmp_path / "b-1.0-py3-none-any.whl"
    bad.write_text("no zip")
    with pytest.raises(LayerError, match=r"b-1\.0-py3-none-any\.whl is no sound wheel"):
        unpacked([good, bad], tmp_path)
