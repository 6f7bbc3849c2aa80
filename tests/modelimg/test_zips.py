"""Members of zip archives, inflated by libdeflate."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelimg.errors import LayerError
from modelimg.zips import open_member, read_member

TEXT = b"one two three\n" * 1000


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "some.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("text", TEXT)
        out.writestr("empty", b"")
        out.writestr(zipfile.ZipInfo("stored"), b"as it is")
        out.writestr("squeezed", TEXT, zipfile.ZIP_LZMA)
    return path


@pytest.mark.parametrize(
    ("name", "data"), [("text", TEXT), ("empty", b""), ("stored", b"as it is"), ("squeezed", TEXT)]
)
def test_a_member_reads_as_the_standard_library_reads_it(archive: Path, name: str, data: bytes) -> None:
    with zipfile.ZipFile(archive) as opened:
        assert read_member(opened, name) == opened.read(name) == data
        with open_member(opened, name) as stream:
            assert stream.read() == data


@given(data=st.binary(max_size=5000), level=st.integers(1, 9))
def test_any_bytes_come_back_whatever_the_compression(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, level: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as out:
        out.writestr("member", data)
    with zipfile.ZipFile(path) as opened:
        assert read_member(opened, "member") == data


def test_no_flipped_byte_of_a_member_goes_unnoticed(archive: Path, show) -> None:
    whole = archive.read_bytes()
    with zipfile.ZipFile(archive) as opened:
        info = opened.getinfo("text")
    begin = info.header_offset + 30 + len("text")
    refused = 0
    for position in range(begin, begin + info.compress_size):
        archive.write_bytes(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :])
        with zipfile.ZipFile(archive) as opened, pytest.raises(LayerError, match=r"some.whl: text is damaged"):
            read_member(opened, "text")
        refused += 1
    show(f"flipped bytes of a zip member: {refused}, all refused")
    assert refused == info.compress_size > 10


def test_a_header_that_is_gone_is_refused(archive: Path) -> None:
    whole = archive.read_bytes()
    archive.write_bytes(b"XX" + whole[2:])
    with zipfile.ZipFile(archive) as opened, pytest.raises(LayerError, match="text is damaged"):
        read_member(opened, "text")


def test_a_member_that_lies_of_its_size_is_refused(archive: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        for size in (len(TEXT) - 1, len(TEXT) + 1):
            opened.getinfo("text").file_size = size
            with pytest.raises(LayerError, match="text is damaged"):
                read_member(opened, "text")


def test_an_encrypted_member_is_refused(archive: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        opened.getinfo("text").flag_bits |= 1
        with pytest.raises(LayerError, match="text cannot be read"):
            read_member(opened, "text")
