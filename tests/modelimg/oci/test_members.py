"""Reading tars member by member, as `tarfile` does but from a pipe."""

from __future__ import annotations

import io
import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelimg.errors import ImageError
from modelimg.oci.members import Member, TarReader

NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=300)
TYPES = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.CONTTYPE: "file",
    tarfile.DIRTYPE: "directory",
    tarfile.SYMTYPE: "symlink",
    tarfile.LNKTYPE: "hardlink",
    tarfile.CHRTYPE: "device",
    tarfile.BLKTYPE: "device",
    tarfile.FIFOTYPE: "device",
}


class Pipe(io.RawIOBase):
    """Bytes that cannot be sought in, and that come a few at a time."""

    def __init__(self, data: bytes, most: int = 700) -> None:
        self._stream, self._most = io.BytesIO(data), most

    def read(self, size: int = -1) -> bytes:
        return self._stream.read(min(size, self._most))


def members(data: bytes) -> list[tuple[Member, bytes]]:
    reader = TarReader(Pipe(data), what="the layer")
    return [(member, b"".join(reader.chunks())) for member in reader]


def names(data: bytes) -> list[str]:
    return [member.name for member in TarReader(io.BytesIO(data), what="the layer")]


@st.composite
def infos(draw: st.DrawFn) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(draw(NAMES))
    info.type = draw(st.sampled_from(sorted(TYPES)))
    info.mode = draw(st.integers(0, 0o7777))
    info.mtime = draw(st.integers(0, 2**33 - 1))
    info.linkname = draw(NAMES) if info.issym() or info.islnk() else ""
    data = draw(st.binary(max_size=1100)) if info.isreg() else b""
    info.size = len(data)
    return info, data


@given(st.lists(infos(), max_size=5), st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]))
@settings(deadline=None)
def test_it_reads_what_the_standard_library_wrote(written: list[tuple[tarfile.TarInfo, bytes]], format: int) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as tar:
        for info, data in written:
            tar.addfile(info, io.BytesIO(data))
    found = members(out.getvalue())
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as tar:
        expected = tar.getmembers()
    assert [member.kind for member, _ in found] == [TYPES[info.type] for info in expected]
    assert [(m.name.rstrip("/"), m.mode, m.size, m.mtime, m.offset if m.size else 0) for m, _ in found] == [
        (i.name.rstrip("/"), i.mode, i.size, i.mtime, i.offset_data if i.size else 0) for i in expected
    ]
    assert [member.target for member, _ in found if member.kind in ("symlink", "hardlink")] == [
        info.linkname for info in expected if info.issym() or info.islnk()
    ]
    assert [data for _, data in found] == [data for _, data in written]
    assert names(out.getvalue()) == [member.name for member, _ in found]


def test_contents_may_be_read_in_part_or_not_at_all(make_tar: Callable[..., bytes]) -> None:
    data = make_tar(("a", b"x" * 3_000_000), ("b", b"y" * 2000), ("c", b"z"))
    reader = TarReader(Pipe(data, 1 << 22), what="the layer")
    read = {member.name: next(reader.chunks()) if member.name == "a" else b"" for member in reader}
    assert [*read] == ["a", "b", "c"]
    assert 0 < len(read["a"]) < 3_000_000


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_a_file_over_8_gib_is_read(tmp_path: Path, format: int) -> None:
    info = tarfile.TarInfo("large")
    info.size = 9 << 30
    after = tarfile.TarInfo("after").tobuf(format)
    path = tmp_path / "sparse.tar"
    with path.open("wb") as stream:
        stream.write(info.tobuf(format))
        stream.seek(info.size, 1)
        stream.write(after + bytes(1024))
    with path.open("rb") as stream:
        assert [(m.name, m.size) for m in TarReader(stream, what="it")] == [("large", 9 << 30), ("after", 0)]


def test_a_tar_may_be_empty_and_need_not_be_ended(make_tar: Callable[..., bytes]) -> None:
    whole = make_tar(("a", b"x"))
    assert names(b"") == names(bytes(512)) == names(bytes(10240)) == []
    assert names(whole[:1024]) == names(whole[: 1024 + 512]) == ["a"]
    for end in (513, 800, 1023):  # so `umoci insert` leaves it
        assert members(whole[:end]) == members(whole)


def test_global_headers_do_not_count() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "x", "path": "y"}) as t:
        t.addfile(tarfile.TarInfo("a"))
    assert names(out.getvalue()) == ["a"]


def test_an_old_folder_is_known_by_its_slash() -> None:
    assert [member.kind for member, _ in members(block("a/", type=b"\0"))] == ["directory"]


FIELDS = {"name": slice(0, 100), "mode": slice(100, 108), "size": slice(124, 136), "mtime": slice(136, 148)}


def block(text: str = "a", /, *, type: bytes = b"0", **fields: bytes) -> bytes:
    """A header block with fields written over, and its checksum right."""
    data = bytearray(tarfile.TarInfo(text).tobuf(tarfile.USTAR_FORMAT))
    data[156:157] = type
    for key, value in fields.items():
        place = FIELDS[key]
        data[place] = value.ljust(place.stop - place.start, b"\0")
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data)
    return bytes(data)


def extended(body: bytes, *, type: bytes = b"x") -> bytes:
    """A pax or GNU extension with a plain file behind it."""
    return block(type=type, size=b"%011o" % len(body)) + body + bytes(-len(body) % 512) + block()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (block()[:300], "ends in the middle, at byte 300"),
        (block(size=b"%011o" % 600) + bytes(512), "ends 88 bytes before the end of a file"),
        (block(size=b"%011o" % 600) + bytes(1024) + block()[:511], "ends in the middle, at byte 2047"),
        (block()[:20] + b"X" + block()[21:], "header at byte 0 is damaged"),
        (block() + b"garbage" * 100, "header at byte 512|checksum"),
        (bytes(512) + block(), "something behind its end at byte 512"),
        (block(name=b""), "is empty"),
        (block(size=b"12x"), "size '12x.*' is no octal number"),
        (block(size=b"-1"), "size is negative"),
        (block(size=b"\xff" * 12), "size is negative"),
        (block(type=b"S"), "'a' is of the type 'S'"),
        (block(type=b"D"), "'a' is of the type 'D'"),
        (block(type=b"\xff"), "'a' is of the type"),
        (extended(b"20 GNU.sparse.major=1\n".replace(b"20", b"22")), "sparse"),
        (extended(b"8 size=\n"), "invalid literal"),
        (extended(b"10 size=-1\n".replace(b"10", b"11")), "size of -1"),
        (extended(b"13 mtime=nan\n"), "time of nan"),
        (extended(b"99 path=x\n"), "pax record is damaged"),
        (extended(b"0 path=x\n"), "pax record is damaged"),
        (extended(b"x path=x\n"), "pax record is damaged"),
        (extended(b"9 path_x\n"), "pax record is damaged"),
        (extended(b"12 path=x\0y\n"), "holds a NUL"),
        (extended(b"x" * 100, type=b"L")[:600], "ends in the middle"),
        (block(type=b"x", size=b"%011o" % (2 << 20)) + bytes(2 << 20), "2097152 bytes is over the limit"),
    ],
)
def test_a_damaged_tar_is_refused_and_says_why(data: bytes, why: str) -> None:
    with pytest.raises(ImageError, match=f"the layer is no tar that can be read: .*({why})"):
        members(data)


def test_a_header_that_is_damaged_in_mid_stream_does_not_pass_for_the_end(make_tar: Callable[..., bytes]) -> None:
    data = bytearray(make_tar(("a", b"x"), ("b", b"y"), ("c", b"z")))
    data[1024 + 5] ^= 1
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert tar.getnames() == ["a"]  # what the standard library makes of it
    with pytest.raises(ImageError, match="header at byte 1024 is damaged"):
        members(bytes(data))


def test_any_flipped_byte_of_a_header_is_noticed(make_tar: Callable[..., bytes], show: Callable[[str], None]) -> None:
    data = make_tar(("folder", None), ("é" * 80, b"content"), ("link", "folder"))
    headers = [start for start in range(0, 10240, 512) if data[start + 257 : start + 262] == b"ustar"]
    dice = random.Random(3)
    for start in headers:
        for offset in range(512):
            mutant = bytearray(data)
            mutant[start + offset] ^= dice.randrange(1, 256)
            try:
                found = names(bytes(mutant))
            except ImageError:
                continue
            # Only inside the checksum field is there any room: the blank behind it says nothing.
            assert 154 <= offset < 156, (start, offset)
            assert found == ["folder/", "é" * 80, "link"]
    show(f"{len(headers) * 512} flipped bytes of {len(headers)} headers")


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_refused_and_nothing_else_happens(seed: int) -> None:
    with pytest.raises(ImageError, match="no tar that can be read"):
        members(random.Random(seed).randbytes(5000))
