"""Unpacking ``.deb`` files."""

from __future__ import annotations

import posixpath
import random
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelimg.base.debian.extract import Unpacked, _link_target, merged, unpack_deb
from modelimg.errors import BaseError
from modelimg.tar import Entry, Spool


@pytest.fixture
def unpack(tmp_path: Path):
    def unpack_bytes(data: bytes, keep=lambda path: True) -> Unpacked:
        (tmp_path / "x.deb").write_bytes(data)
        with (tmp_path / "spool").open("wb") as stream:
            return unpack_deb(tmp_path / "x.deb", Spool(stream, tmp_path / "spool"), keep, name="x 1 (all)")

    return unpack_bytes


def content(entry: Entry) -> bytes:
    with entry.content.open() as stream:
        return stream.read(entry.size)


@pytest.mark.parametrize("suffix", [".xz", ".gz", ""])
def test_files_come_out_with_their_bytes(unpack, debs, suffix: str) -> None:
    members = [debs.directory("etc"), debs.file("etc/a", b"one"), debs.file("etc/b", b""), debs.file("etc/c", b"three")]
    found = unpack(debs.build(members, "Package: x\nVersion: 1\n", suffix))
    assert found.control == b"Package: x\nVersion: 1\n"
    assert [(e.path, e.kind) for e in found.entries] == [("etc", "directory"), *((f"etc/{n}", "file") for n in "abc")]
    assert [content(e) for e in found.entries[1:]] == [b"one", b"", b"three"]


@pytest.mark.parametrize(
    ("mode", "expected"), [(0o644, 0o644), (0o600, 0o644), (0o755, 0o755), (0o700, 0o755), (0o664, 0o644)]
)
def test_files_have_one_of_two_modes(unpack, debs, mode: int, expected: int) -> None:
    (entry,) = unpack(debs.build([debs.file("etc/a", b"", mode)])).entries
    assert entry.mode == expected


@pytest.mark.parametrize(
    ("mode", "expected"), [(0o755, 0o755), (0o1777, 0o1777), (0o700, 0o700), (0o2775, 0o775), (0o4755, 0o755)]
)
def test_directories_lose_their_set_id_bits_only(unpack, debs, mode: int, expected: int) -> None:
    (entry,) = unpack(debs.build([debs.directory("var/local", mode)])).entries
    assert entry.mode == expected


@pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o6755, 0o4644])
def test_a_set_id_program_is_refused(unpack, debs, mode: int) -> None:
    with pytest.raises(BaseError, match=r"x 1 \(all\) holds a set-user-id or set-group-id program, ./usr/bin/su"):
        unpack(debs.build([debs.file("usr/bin/su", b"", mode)]))


def test_a_set_id_program_that_is_left_out_anyway_does_no_harm(unpack, debs) -> None:
    assert unpack(debs.build([debs.file("usr/bin/su", b"", 0o4755)]), keep=lambda path: False).entries == ()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("lib/x86_64-linux-gnu/libc.so.6", "usr/lib/x86_64-linux-gnu/libc.so.6"),
        ("lib64/ld.so", "usr/lib64/ld.so"),
        ("sbin/ldconfig", "usr/sbin/ldconfig"),
        ("bin", "usr/bin"),
        ("lib", "usr/lib"),
        ("library/x", "library/x"),
        ("usr/lib/x", "usr/lib/x"),
        ("opt/lib/x", "opt/lib/x"),
    ],
)
def test_folders_of_the_usr_merge_lead_below_usr_and_others_stay(path: str, expected: str) -> None:
    assert merged(path) == expected


def test_no_entry_would_replace_a_link_of_the_merge(unpack, debs) -> None:
    """The trap: a directory entry ``lib/`` over the link ``lib`` → ``usr/lib`` takes the C library away."""
    members = [debs.directory("lib"), debs.directory("lib64"), debs.file("lib/a.so"), debs.link("bin", "usr/bin")]
    assert [e.path for e in unpack(debs.build(members)).entries] == ["usr/lib", "usr/lib64", "usr/lib/a.so"]


@pytest.mark.parametrize(
    ("path", "target", "moved", "expected"),
    [
        ("usr/lib/libz.so.1", "libz.so.1.2", "usr/lib/libz.so.1", "libz.so.1.2"),
        ("lib64/ld.so.2", "/lib/x86_64/ld.so.2", "usr/lib64/ld.so.2", "../lib/x86_64/ld.so.2"),
        ("lib/x/liba.so", "../../usr/lib/x/liba.so.1", "usr/lib/x/liba.so", "liba.so.1"),
        ("usr/lib/x/libb.so", "../../../lib/x/libb.so.1", "usr/lib/x/libb.so", "libb.so.1"),
        ("etc/os-release", "../usr/lib/os-release", "etc/os-release", "../usr/lib/os-release"),
        ("usr/share/zoneinfo/localtime", "/etc/localtime", "usr/share/zoneinfo/localtime", "../../../etc/localtime"),
        ("usr/here", "/", "usr/here", ".."),
    ],
)
def test_links_are_relative_and_follow_the_merge(
    unpack, debs, path: str, target: str, moved: str, expected: str
) -> None:
    (entry,) = unpack(debs.build([debs.link(path, target)])).entries
    assert (entry.path, entry.kind, entry.target, entry.mode) == (moved, "symlink", expected, 0o777)


_PARTS = ["lib", "lib64", "bin", "usr", "etc", "x"]


@given(
    path=st.lists(st.sampled_from(_PARTS), min_size=1, max_size=4).map("/".join),
    target=st.lists(st.sampled_from([*_PARTS, ".."]), min_size=1, max_size=5).map("/".join),
    absolute=st.booleans(),
)
def test_a_link_means_the_same_after_the_merge(path: str, target: str, absolute: bool) -> None:
    target = f"/{target}" if absolute else target
    before = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    if before.startswith(".."):
        with pytest.raises(BaseError, match="leaves the root"):
            _link_target(path, target, "x")
        return
    after = _link_target(path, target, "x")
    assert not after.startswith("/")
    resolved = posixpath.normpath(posixpath.join("/", posixpath.dirname(merged(path)), after))
    assert resolved.lstrip("/") == merged(before.lstrip("/").removeprefix("."))


def test_a_hard_link_becomes_a_file_of_its_own(unpack, debs) -> None:
    members = [debs.file("lib/a", b"same", 0o755), debs.special("usr/b", tarfile.LNKTYPE, "./lib/a")]
    first, second = unpack(debs.build(members)).entries
    assert (second.path, second.kind, second.mode, content(second)) == ("usr/b", "file", 0o755, content(first))


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (("dev/null", tarfile.CHRTYPE, ""), "holds a device or a pipe, ./dev/null"),
        (("dev/sda", tarfile.BLKTYPE, ""), "holds a device or a pipe"),
        (("run/pipe", tarfile.FIFOTYPE, ""), "holds a device or a pipe"),
        (("a/../../etc/passwd", tarfile.DIRTYPE, ""), "holds a path that leaves the root"),
        (("usr/b", tarfile.LNKTYPE, "./absent"), "holds a hard link usr/b to a file that it does not hold"),
        (("usr/b", tarfile.LNKTYPE, "../../etc/passwd"), "holds a path that leaves the root"),
        (("usr/b", tarfile.SYMTYPE, "../../etc/passwd"), "holds a link that leaves the root"),
        (("b", tarfile.SYMTYPE, ".."), "holds a link that leaves the root"),
    ],
)
def test_what_a_base_must_not_have_is_refused(unpack, debs, member: tuple[str, bytes, str], message: str) -> None:
    with pytest.raises(BaseError, match=message) as caught:
        unpack(debs.build([debs.special(*member)]))
    assert caught.value.message.startswith("x 1 (all) holds")


def test_an_absolute_path_is_refused(unpack, debs) -> None:
    info, data = debs.file("x")
    info.name = "/etc/passwd"
    with pytest.raises(BaseError, match="holds a path that leaves the root: /etc/passwd"):
        unpack(debs.build([(info, data)]))


def test_what_is_not_wanted_is_skipped(unpack, debs) -> None:
    members = [debs.file("usr/share/man/a", b"long"), debs.file("usr/lib/a", b"short")]
    (entry,) = unpack(debs.build(members), keep=lambda path: "/man/" not in path).entries
    assert (entry.path, content(entry), entry.content.offset) == ("usr/lib/a", b"short", 0)


def test_a_package_that_ends_early_is_an_error(unpack, debs) -> None:
    whole = debs.build([debs.file("usr/lib/a", random.Random(0).randbytes(10_000))])
    for length in range(0, len(whole) - 500, 173):
        with pytest.raises(
            BaseError, match=r"^x 1 \(all\) (cannot be unpacked|is not a Debian package|has no control)"
        ):
            unpack(whole[:length])


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"debian-binary": b"2.0\n"}, "is not a Debian package: it has 0 members named control.tar"),
        ({"control.tar": b"", "control.tar.xz": b""}, "it has 2 members named control.tar"),
        ({"control.tar": b"nonsense"}, "cannot be unpacked"),
        ({"control.tar.zst": b"(\xb5/\xfd"}, "is compressed with Zstandard"),
    ],
)
def test_an_archive_of_something_else_is_refused(unpack, debs, parts: dict[str, bytes], message: str) -> None:
    with pytest.raises(BaseError, match=message):
        unpack(debs.archive(parts))


def test_zstandard_points_to_debian_s_own_mirrors(unpack, debs) -> None:
    with pytest.raises(BaseError, match="is compressed with Zstandard") as caught:
        unpack(debs.build([debs.file("a")], suffix=".zst"))
    assert "Ubuntu" in str(caught.value)
