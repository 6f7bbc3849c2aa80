"""Finding packages in an index."""

from __future__ import annotations

import gzip
import io
import lzma
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelimg.base.debian.index import PackageIndex, _copy_and_scan, open_index
from modelimg.cache import Cache
from modelimg.errors import BaseError

SHA = "a" * 64


def stanza(name: str, version: str = "1-1", architecture: str = "amd64", more: str = "") -> str:
    return (
        f"Package: {name}\nVersion: {version}\nArchitecture: {architecture}\n{more}"
        f"Filename: pool/{name}.deb\nSize: 5\nSHA256: {SHA}\n"
    )


@pytest.fixture
def opened(tmp_path: Path):
    def open_text(text: str | bytes, pack=lzma.compress):
        data = text.encode() if isinstance(text, str) else text
        (tmp_path / "Packages").write_bytes(pack(data))
        return open_index(tmp_path / "Packages", Cache(tmp_path / "cache"), "debian", "amd64", "bookworm")

    return open_text


@pytest.mark.parametrize("pack", [lzma.compress, gzip.compress])
def test_a_package_is_found_with_what_it_depends_on(opened, pack) -> None:
    more = "Pre-Depends: libc6 (>= 2.35)\nDepends: a | b, c:any (<< 2)\nDescription: long\n text\n"
    with opened("\n".join([stanza("z"), stanza("python3", "3.11.2-1", more=more), stanza("y")]), pack) as index:
        (found,) = index.candidates("python3")
    assert (found.package.version, found.package.filename, found.package.size) == ("3.11.2-1", "pool/python3.deb", 5)
    names = [[(r["name"], r["version"]) for r in group] for group in found.depends]
    assert names == [[("a", None), ("b", None)], [("c", ("<<", "2"))], [("libc6", (">=", "2.35"))]]


def test_every_version_is_found_and_no_other_architecture(opened) -> None:
    with opened(
        "\n".join([stanza("aa", "1"), stanza("aa", "2", "all"), stanza("aa", "3", "arm64"), stanza("aab")])
    ) as index:
        assert [c.package.version for c in index.candidates("aa")] == ["1", "2"]
        assert index.candidates("a") == []


def test_an_empty_index_has_nothing(opened) -> None:
    with opened("") as index:
        assert index.candidates("x") == []


def test_nothing_is_left_in_the_cache(opened, tmp_path: Path) -> None:
    with opened(stanza("aa")):
        pass
    assert list((tmp_path / "cache").rglob("*.*")) == []
    assert list((tmp_path / "cache" / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("data", "pack", "message"),
    [
        (stanza("aa").encode(), bytes, "is neither xz nor gzip"),
        (b"", bytes, "is neither xz nor gzip"),
        (stanza("aa").encode() * 500, lambda d: lzma.compress(d)[:-20], "cannot be decompressed"),
        (stanza("aa").encode() * 500, lambda d: gzip.compress(d)[:-9], "cannot be decompressed"),
        (stanza("aa").encode(), lambda d: lzma.compress(d)[:8] + b"\0" * 50, "cannot be decompressed"),
    ],
)
def test_a_damaged_index_is_refused(opened, data: bytes, pack, message: str) -> None:
    with pytest.raises(BaseError, match=f"the index of bookworm {message}"), opened(data, pack):
        pass


@pytest.mark.parametrize(
    "text",
    [
        stanza("aa").replace("SHA256: aaa", "SHA256: zzz"),
        stanza("aa").replace("Size: 5", "Size: five"),
        stanza("aa").replace("Filename: pool/", "Filename: ../../"),
        stanza("aa").replace("Filename: pool/", "Filename: http://evil.example/"),
        stanza("aa").replace("Version: 1-1\n", ""),
        stanza("aa", "1_0"),
    ],
)
def test_a_garbled_stanza_is_refused_by_name(opened, text: str) -> None:
    with opened(text) as index, pytest.raises(BaseError, match="the index of bookworm garbles the package aa: "):
        index.candidates("aa")


class Dribble(io.BytesIO):
    """Gives a few bytes at a time, so that stanzas fall across reads."""

    def __init__(self, data: bytes, step: int) -> None:
        super().__init__(data)
        self.step = step

    def read(self, size: int | None = -1) -> bytes:
        return super().read(self.step)


@settings(max_examples=60, deadline=None)
@given(
    names=st.lists(st.sampled_from(["aa", "bb", "cc", "dd"])), step=st.integers(1, 300), end=st.sampled_from(["", "\n"])
)
def test_where_the_reads_fall_makes_no_difference(names: list[str], step: int, end: str) -> None:
    text = "\n".join(stanza(name, f"{number}") for number, name in enumerate(names)) + end
    copy = io.BytesIO()
    offsets = _copy_and_scan(Dribble(text.encode(), step), copy)
    index = PackageIndex(copy, offsets, "debian", "amd64", "bookworm")
    assert copy.getvalue().decode() == text
    for name in ("aa", "bb", "cc", "dd"):
        assert [c.package.version for c in index.candidates(name)] == [str(n) for n, x in enumerate(names) if x == name]
