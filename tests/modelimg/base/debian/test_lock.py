"""The lock file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import tomli_w
import tomllib

from modelimg.base.debian import DebianPackage, DebianPackages, read_lock, write_lock
from modelimg.errors import BaseError
from modelimg.oci.values import Digest, Platform

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")
DATES = {"debian": "20261121T021046Z", "debian-security": "20261121T005302Z"}


def package(name: str, architecture: str = "amd64") -> DebianPackage:
    path = f"pool/main/{name}_1.0-1_{architecture}.deb"
    return DebianPackage(name, "1.0-1", architecture, path, 7, Digest.of(name.encode()), "debian")


BOOKWORM = DebianPackages("bookworm", AMD64, (package("libc6"), package("tzdata", "all")), DATES)
BOOKWORM_ARM = DebianPackages("bookworm", ARM64, (package("libc6", "arm64"),), DATES)
TRIXIE = DebianPackages("trixie", AMD64, (package("libc6"),), DATES)


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "base.lock.toml"


def test_what_is_written_is_read(lock: Path) -> None:
    write_lock(lock, [BOOKWORM, TRIXIE, BOOKWORM_ARM])
    assert read_lock(lock) == (BOOKWORM, BOOKWORM_ARM, TRIXIE)


def test_the_same_bases_give_the_same_bytes(lock: Path, tmp_path: Path) -> None:
    write_lock(lock, [TRIXIE, BOOKWORM])
    write_lock(tmp_path / "other", [replace(BOOKWORM, dates=dict(reversed(DATES.items()))), TRIXIE])
    assert lock.read_bytes() == (tmp_path / "other").read_bytes()


def test_refreshing_one_base_keeps_the_others(lock: Path) -> None:
    write_lock(lock, [BOOKWORM, TRIXIE])
    newer = replace(BOOKWORM, packages=(package("zlib1g"),))
    write_lock(lock, [newer])
    assert read_lock(lock) == (newer, TRIXIE)


def test_a_file_that_is_no_lock_is_not_overwritten(lock: Path) -> None:
    lock.write_text("dear diary")
    with pytest.raises(BaseError, match="is not a lock file"):
        write_lock(lock, [BOOKWORM])
    assert lock.read_text() == "dear diary"


def test_folders_are_made_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_lock(tmp_path / "a" / "b" / "lock", [BOOKWORM])
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["lock"]
    assert (tmp_path / "a" / "b" / "lock").stat().st_mode & 0o777 == 0o644


def test_a_lock_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BaseError, match=r"lock cannot be written: "):
        write_lock(tmp_path / "file" / "lock", [BOOKWORM])


def test_a_missing_lock_says_how_to_write_one(lock: Path) -> None:
    with pytest.raises(BaseError, match=r"there is no lock file .*base\.lock\.toml") as caught:
        read_lock(lock)
    assert f"modelimg base lock -o {lock}" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "version = 2\nbase = []", "version = 1", "version = 1\nbase = 3", "base = []", "[[", "\0"]
)
def test_what_is_no_lock_is_refused(lock: Path, text: str) -> None:
    lock.write_text(text)
    with pytest.raises(BaseError, match="is not a lock file") as caught:
        read_lock(lock)
    assert "modelimg base lock" in str(caught.value)


def test_bytes_that_are_no_text_are_refused(lock: Path) -> None:
    lock.write_bytes(b"\xff\xfe")
    with pytest.raises(BaseError, match="is not a lock file"):
        read_lock(lock)


@pytest.mark.parametrize(
    ("where", "key", "value", "message"),
    [
        ("base", "suite", 3, "base 1: suite is not of type str"),
        ("base", "suite", None, "base 1 lacks or does not know suite"),
        ("base", "color", "red", "base 1 lacks or does not know color"),
        ("base", "platform", "linux/s390x", "unknown platform 'linux/s390x'"),
        ("base", "platform", "linux/arm64", "libc6 is for amd64, not for linux/arm64"),
        ("base", "dates", {}, "not one date for each of debian, debian-security"),
        ("base", "dates", {**DATES, "debian": "today"}, "'today' does not match"),
        ("base", "packages", ["libc6"], "base 1, package 1 is not a table"),
        ("package", "name", "../etc", "'../etc' is not a package name"),
        ("package", "name", "zlib", "not sorted by name, each once"),
        ("package", "name", "tzdata", "not sorted by name, each once"),
        ("package", "version", "", "base 1, package 1: "),
        ("package", "filename", "pool/../../x.deb", "is not the path of a .deb file"),
        ("package", "filename", "/etc/passwd.deb", "is not the path of a .deb file"),
        ("package", "filename", "https://evil.example/x.deb?", "is not the path of a .deb file"),
        ("package", "sha256", "abc", "not a sha256 digest"),
        ("package", "size", "7", "base 1, package 1: size is not of type int"),
        ("package", "size", True, "base 1, package 1: size is not of type int"),
        ("package", "archive", "ubuntu", "'ubuntu' is not one of debian, debian-security"),
        ("package", "sha256", None, "base 1, package 1 lacks or does not know sha256"),
    ],
)
def test_a_malformed_value_is_refused_by_its_place(lock: Path, where: str, key: str, value, message: str) -> None:
    write_lock(lock, [BOOKWORM])
    data = tomllib.loads(lock.read_text())
    table = data["base"][0] if where == "base" else data["base"][0]["packages"][0]
    table.pop(key, None)
    if value is not None:
        table[key] = value
    lock.write_text(tomli_w.dumps(data))
    with pytest.raises(BaseError, match="is malformed: ") as caught:
        read_lock(lock)
    assert message in caught.value.message


def test_a_base_that_is_locked_twice_is_refused(lock: Path) -> None:
    write_lock(lock, [BOOKWORM])
    data = tomllib.loads(lock.read_text())
    lock.write_text(tomli_w.dumps({**data, "base": data["base"] * 2}))
    with pytest.raises(BaseError, match="locks a suite twice"):
        read_lock(lock)
