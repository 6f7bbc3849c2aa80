"""Packages → a base image, from a small archive on loopback."""

from __future__ import annotations

import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from modelimg.base.debian import DebianBase, DebianPackages, build_base, read_lock, resolve_packages, write_lock
from modelimg.errors import BaseError, FetchError
from modelimg.fetch import Fetcher
from modelimg.oci.values import Digest, Platform

AMD64 = Platform("linux", "amd64")


def resolved(archive, fetcher: Fetcher) -> DebianPackages:
    return resolve_packages("bookworm", AMD64, fetcher, mirrors=archive.mirrors, keyring=archive.keyring)


def built(archive, fetcher: Fetcher, packages: DebianPackages | None = None) -> DebianBase:
    return build_base(packages or resolved(archive, fetcher), fetcher, mirrors=archive.mirrors)


def test_a_base_says_what_it_is(archive, own: Fetcher) -> None:
    base = built(archive, own)
    assert (base.suite, base.platform, base.python, base.libc) == ("bookworm", AMD64, "3.11.2", ("glibc", "2.36"))
    assert base.interpreter == "/usr/bin/python3.11"
    assert base.size == base.tar.stat().st_size
    assert base.diff_id == Digest.of(base.tar.read_bytes())
    assert base.config.diff_ids == (base.diff_id,)
    assert "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt" in base.config.run.env
    assert base.config.created == "1980-01-01T00:00:00Z"


def test_two_builds_give_the_same_image(archive, make_fetcher) -> None:
    first, second = built(archive, make_fetcher("one")), built(archive, make_fetcher("two"))
    assert first.tar != second.tar
    assert (first.diff_id, first.config.digest) == (second.diff_id, second.config.digest)


def test_the_tar_is_what_the_design_promises(archive, own: Fetcher) -> None:
    with tarfile.open(built(archive, own).tar) as tar:
        members = tar.getmembers()
    names = [member.name for member in members]
    assert names == sorted(set(names), key=str.encode)
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in members} == {(315532800, 0, 0, "", "")}
    assert all(m.isreg() or m.isdir() or m.issym() for m in members)
    assert {m.name for m in members if m.mode not in (0o755, 0o644, 0o777)} == {"tmp", "var/tmp", "run/lock"}
    assert "usr/lib/x86_64-linux-gnu/libc.so.6" in names
    assert next(m for m in members if m.name == "lib").issym()
    assert (
        next(m for m in members if m.name == "usr/lib64/ld-linux-x86-64.so.2").linkname
        == "../lib/x86_64-linux-gnu/ld.so"
    )


def test_a_second_build_needs_no_package_any_more(archive, own: Fetcher) -> None:
    first = built(archive, own)
    archive.server.requests.clear()
    for package in first.packages:
        (own.cache.root / "blobs" / "sha256" / package.sha256.hex[:2] / package.sha256.hex).unlink()
    assert built(archive, own, resolved(archive, own)) == first
    assert not any(path.endswith(".deb") for path in archive.server.requests)


def test_a_damaged_result_is_made_again(archive, own: Fetcher) -> None:
    first = built(archive, own)
    first.tar.write_bytes(b"damaged")
    assert built(archive, own) == first
    assert Digest.of(first.tar.read_bytes()) == first.diff_id


def test_another_version_of_a_package_gives_another_image(archive, own: Fetcher, debs) -> None:
    first = built(archive, own)
    archive.add("tzdata", "2027a-0", suite="bookworm-security", members=[debs.file("usr/share/zoneinfo/UTC", b"new")])
    archive.publish()
    assert built(archive, own).config.digest != first.config.digest


def test_nothing_of_a_build_is_left_in_the_temporary_folder(archive, own: Fetcher) -> None:
    built(archive, own)
    assert list((own.cache.root / "tmp").iterdir()) == []


def test_a_tampered_package_is_refused(archive, own: Fetcher, debs) -> None:
    packages = resolved(archive, own)
    archive.server.answer(f"/debian/{packages.package('libc6').filename}", debs.build([debs.file("lib/evil.so")]))
    with pytest.raises(BaseError, match=r"libc6 2.36-9 \(amd64\) from http://.*/debian is not the file that is pinned"):
        built(archive, own, packages)


def test_a_locked_package_that_has_gone_is_taken_from_the_cache(archive, own: Fetcher, tmp_path: Path) -> None:
    write_lock(tmp_path / "lock", [resolved(archive, own)])
    first = built(archive, own)
    own.cache.note("debian-base", "none", None)
    (own.cache.root / "facts").rename(tmp_path / "forgotten")
    archive.server.answers.clear()
    (locked,) = read_lock(tmp_path / "lock")
    assert built(archive, own, locked) == first


@pytest.mark.parametrize("when", ["20261122T010000Z", "20261121T010000Z"])
def test_a_locked_package_that_has_gone_is_found_in_the_snapshot_archive(archive, own: Fetcher, when: str) -> None:
    packages = resolved(archive, own)
    packages = replace(packages, dates={**packages.dates, "debian": "20261121T010000Z"})
    path = packages.package("libc6").filename
    deb = archive.server.answers[f"/debian/{path}"][0].body
    archive.remove(f"/debian/{path}")
    archive.server.answer(f"/snapshot/archive/debian/{when}/{path}", deb)
    assert built(archive, own, packages).packages == packages.packages


@pytest.mark.parametrize("status", [404, 403])
def test_a_package_that_is_gone_everywhere_says_how_to_refresh(archive, own: Fetcher, answer, status: int) -> None:
    packages = resolved(archive, own)
    path = packages.package("libc6").filename
    archive.remove(f"/debian/{path}")
    for url in archive.mirrors.snapshot_urls(packages.package("libc6"), packages.dates["debian"]):
        archive.server.answer(url.removeprefix(archive.server.url), answer(status))
    with pytest.raises(
        BaseError, match=r"libc6 2.36-9 \(amd64\) is gone from http://.*snapshot archive did not help"
    ) as caught:
        built(archive, own, packages)
    assert f"HTTP {status}" in caught.value.message
    assert "modelimg base lock -o FILE --suite bookworm --platform linux/amd64" in str(caught.value)


def test_a_snapshot_with_other_bytes_is_refused(archive, own: Fetcher) -> None:
    packages = resolved(archive, own)
    path = packages.package("libc6").filename
    archive.remove(f"/debian/{path}")
    later, _ = archive.mirrors.snapshot_urls(packages.package("libc6"), packages.dates["debian"])
    archive.server.answer(later.removeprefix(archive.server.url), b"other bytes")
    with pytest.raises(BaseError, match=r"the snapshot archive did not help: .* has sha256:"):
        built(archive, own, packages)


def test_offline_without_the_packages_is_an_error_that_names_one(archive, own: Fetcher, make_fetcher) -> None:
    packages = resolved(archive, own)
    with pytest.raises(FetchError, match=r"base-files 1.0-1 \(amd64\) is not in the cache and --offline forbids"):
        built(archive, make_fetcher("empty", offline=True), packages)


def test_a_package_that_cannot_be_unpacked_is_named(archive, own: Fetcher) -> None:
    archive.add("tzdata", "2", data=b"!<arch>\nnonsense")
    archive.publish()
    with pytest.raises(BaseError, match=r"tzdata 2 \(amd64\)"):
        built(archive, own)
