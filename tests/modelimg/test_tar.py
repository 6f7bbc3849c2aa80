"""The deterministic tar writer."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelimg.errors import LayerError
from modelimg.tar import (
    MTIME,
    BytesContent,
    Entry,
    FileContent,
    SliceContent,
    make_directory,
    make_file,
    make_symlink,
    make_text,
    write_tar,
)

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=130).filter(
    lambda name: name not in (".", "..")
)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)


def tar_bytes(*entries: Entry) -> bytes:
    out = io.BytesIO()
    summary = write_tar(entries, out)
    assert summary.digest.hex == hashlib.sha256(out.getvalue()).hexdigest()
    assert summary.size == len(out.getvalue())
    return out.getvalue()


def read(data: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return archive.getmembers()


@given(st.dictionaries(PATHS, st.binary(max_size=1500), max_size=8))
def test_every_path_and_content_comes_back_from_the_standard_library(files: dict[str, bytes]) -> None:
    data = tar_bytes(*(make_file(path, BytesContent(body), len(body)) for path, body in files.items()))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert {m.name: archive.extractfile(m).read() for m in archive} == files


@given(st.lists(PATHS, unique=True, max_size=8), st.randoms())
def test_the_order_of_the_entries_does_not_matter(paths: list[str], random) -> None:
    entries = [make_text(path, path) for path in paths]
    shuffled = list(entries)
    random.shuffle(shuffled)
    assert tar_bytes(*entries) == tar_bytes(*shuffled)


def test_nothing_of_the_host_enters_a_header(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"x")
    file.chmod(0o600)
    data = tar_bytes(make_directory("d"), make_file("d/f", FileContent(file), 1), make_symlink("d/l", "f"))
    for member in read(data):
        assert (member.uid, member.gid, member.uname, member.gname) == (0, 0, "", "")
        assert member.mtime == MTIME
        assert member.pax_headers == {}
    assert [oct(m.mode) for m in read(data)] == ["0o755", "0o644", "0o777"]


def test_a_parent_comes_before_what_is_in_it() -> None:
    names = [m.name for m in read(tar_bytes(make_text("a/b", ""), make_text("a-b", ""), make_directory("a")))]
    assert names.index("a") < names.index("a/b")


@pytest.mark.parametrize("name", ["n" * 101, "d" * 160 + "/f", "ä" * 40, "x/" * 80 + "y"])
def test_names_that_ustar_cannot_hold_come_back_whole(name: str) -> None:
    assert [m.name for m in read(tar_bytes(make_text(name, "1")))] == [name]


def test_a_long_name_that_ustar_can_split_needs_no_pax_record() -> None:
    data = tar_bytes(make_text("d" * 90 + "/" + "f" * 90, ""))
    assert b"PaxHeader" not in data
    assert b"PaxHeader" in tar_bytes(make_text("f" * 101, ""))


def test_a_long_link_comes_back_whole() -> None:
    assert read(tar_bytes(make_symlink("l", "t/" * 90 + "é")))[0].linkname == "t/" * 90 + "é"


def test_the_header_of_a_file_over_8_gib_states_its_size() -> None:
    from modelimg.tar import _header

    size = 9 * 1024**3
    header = _header(Entry("big", "file", 0o644, size), MTIME)
    assert tarfile.TarInfo.frombuf(header[-512:], "utf-8", "strict").name == "big"
    with tarfile.open(fileobj=io.BytesIO(header + bytes(1024))) as archive:
        assert archive.next().size == size


def test_a_slice_of_a_spool_is_read_in_place(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.write_bytes(b"aaabbbccc")
    data = tar_bytes(make_file("b", SliceContent(spool, 3, 3), 3))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert archive.extractfile("b").read() == b"bbb"


@pytest.mark.parametrize("path", ["", "/etc/passwd", "a//b", "a/../b", "..", "./a", "a/", "a\0b"])
def test_a_path_that_is_empty_absolute_or_escapes_is_refused(path: str) -> None:
    with pytest.raises(LayerError, match="cannot be a path in a layer"):
        tar_bytes(make_text(path, ""))


def test_two_entries_of_one_path_are_refused() -> None:
    with pytest.raises(LayerError, match="two files would be written to 'a'"):
        tar_bytes(make_text("a", "1"), make_directory("a"))


def test_a_content_that_ends_early_is_refused() -> None:
    with pytest.raises(LayerError, match="ended 3 bytes before"):
        tar_bytes(make_file("a", BytesContent(b"xy"), 5))
