"""Signed indexes, from a small archive on loopback."""

from __future__ import annotations

from datetime import UTC, datetime

import pysequoia
import pytest

from modelimg.base.debian.archive import Release, fetch_index, fetch_release
from modelimg.errors import BaseError, FetchError
from modelimg.fetch import Fetcher
from modelimg.oci.values import Digest


def release_of(archive, fetcher: Fetcher, suite: str = "bookworm") -> Release:
    name = "debian-security" if suite.endswith("-security") else "debian"
    return fetch_release(archive.mirrors.root(name), name, suite, fetcher, archive.keyring)


@pytest.mark.parametrize("suite", ["bookworm", "bookworm-updates", "bookworm-security"])
def test_a_signed_index_of_each_suite_is_read(archive, own: Fetcher, suite: str) -> None:
    release = release_of(archive, own, suite)
    assert release.codename == suite
    assert release.by_hash
    assert list(release.digests) == ["main/binary-amd64/Packages.xz"]
    assert abs((datetime.now(UTC) - release.date).total_seconds() - 3600) < 60


def test_the_date_is_given_as_the_snapshot_archive_writes_it(archive, own: Fetcher) -> None:
    archive.overrides["bookworm"] = {"Date": "Sat, 11 Jul 2026 10:16:37 UTC"}
    archive.publish()
    assert release_of(archive, own).timestamp == "20260711T101637Z"


def test_what_stands_around_the_signed_part_is_never_parsed(archive, own: Fetcher) -> None:
    honest = release_of(archive, own)
    evil = b"Codename: bookworm\nSHA256:\n " + b"0" * 64 + b" 1 main/binary-amd64/Packages.xz\n"
    archive.serve("bookworm", "InRelease", evil + b"\n" + archive.served("bookworm", "InRelease") + evil)
    assert release_of(archive, own) == honest


def test_one_altered_byte_is_refused(archive, own: Fetcher) -> None:
    archive.serve("bookworm", "InRelease", archive.served("bookworm", "InRelease").replace(b"Origin: D", b"Origin: E"))
    with pytest.raises(BaseError, match=r"the signature of http://.*/debian/dists/bookworm/InRelease does not verify"):
        release_of(archive, own)


def test_a_stranger_s_signature_is_refused(archive, own: Fetcher) -> None:
    text = archive.release("bookworm", {"SHA256": ""})
    archive.serve("bookworm", "InRelease", archive.signed("bookworm", text, pysequoia.Tsk.generate("x")))
    with pytest.raises(BaseError, match="does not verify"):
        release_of(archive, own)


def test_an_index_past_its_validity_is_refused(archive, own: Fetcher) -> None:
    archive.overrides["bookworm"] = {"Valid-Until": "Sat, 28 Nov 2020 00:53:02 UTC"}
    archive.publish()
    with pytest.raises(BaseError, match=r"expired at 2020-11-28 00:53 UTC; it is 20\d\d-") as caught:
        release_of(archive, own)
    assert "clock" in str(caught.value)


def test_an_index_without_a_validity_is_accepted(archive, own: Fetcher) -> None:
    archive.overrides["bookworm"] = {"Valid-Until": None}
    archive.publish()
    assert release_of(archive, own).codename == "bookworm"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"Codename": "trixie"}, "is the index of trixie, not of bookworm"),
        ({"Codename": "bookworm-updates"}, "is the index of bookworm-updates, not of bookworm"),
        ({"Codename": None}, "is the index of an unnamed suite"),
        ({"Valid-Until": "soon"}, "garbles its Valid-Until"),
        ({"Date": "today"}, "lacks or garbles a field"),
        ({"Date": None}, "lacks or garbles a field: 'Date'"),
        ({"SHA256": None}, "lacks or garbles a field: 'SHA256'"),
        ({"SHA256": "\n abc 1 main/binary-amd64/Packages.xz"}, "not a sha256 digest: 'abc'"),
    ],
)
def test_a_signed_index_that_says_something_else_is_refused(archive, own: Fetcher, overrides, message: str) -> None:
    archive.overrides["bookworm"] = overrides
    archive.publish()
    with pytest.raises(BaseError, match=message):
        release_of(archive, own)


def test_a_suite_that_the_mirror_has_not_is_an_error(archive, own: Fetcher) -> None:
    archive.remove("/debian/dists/bookworm/InRelease")
    with pytest.raises(FetchError, match=r"the signed index of bookworm could not be fetched from .*: HTTP 404"):
        release_of(archive, own)


def test_offline_the_way_out_is_a_lock_file(archive, make_fetcher) -> None:
    with pytest.raises(BaseError, match="cannot be asked offline") as caught:
        release_of(archive, make_fetcher(offline=True))
    assert "modelimg base lock" in str(caught.value)


def test_the_list_of_packages_is_fetched_by_its_hash(archive, own: Fetcher) -> None:
    release = release_of(archive, own)
    path = fetch_index(release, "amd64", own)
    digest = release.digests["main/binary-amd64/Packages.xz"]
    assert Digest.of(path.read_bytes()) == digest
    assert archive.server.requests[-1].endswith(f"main/binary-amd64/by-hash/SHA256/{digest.hex}")


def test_without_by_hash_it_is_fetched_by_name(archive, own: Fetcher) -> None:
    archive.overrides["bookworm"] = {"Acquire-By-Hash": None}
    archive.publish()
    fetch_index(release_of(archive, own), "amd64", own)
    assert archive.server.requests[-1].endswith("main/binary-amd64/Packages.xz")


def test_a_mirror_that_lacks_the_hash_it_announces_is_asked_by_name(archive, own: Fetcher) -> None:
    release = release_of(archive, own)
    archive.remove(
        f"/debian/dists/bookworm/main/binary-amd64/by-hash/SHA256/{release.digests['main/binary-amd64/Packages.xz'].hex}"
    )
    fetch_index(release, "amd64", own)
    assert archive.server.requests[-1].endswith("main/binary-amd64/Packages.xz")


def test_gzip_is_taken_where_xz_is_not_offered(archive, own: Fetcher) -> None:
    archive.serve("bookworm", "main/binary-amd64/Packages.gz", b"gzip")
    archive.overrides["bookworm"] = {"SHA256": f"\n {Digest.of(b'gzip').hex} 4 main/binary-amd64/Packages.gz"}
    archive.publish()
    assert fetch_index(release_of(archive, own), "amd64", own).read_bytes() == b"gzip"


@pytest.mark.parametrize("by_hash", ["yes", "no"])
def test_a_list_with_other_bytes_than_the_signed_ones_is_refused(archive, own: Fetcher, by_hash: str) -> None:
    archive.overrides["bookworm"] = {"Acquire-By-Hash": by_hash}
    archive.publish_suite("bookworm", index=b"Package: evil\n")
    with pytest.raises(BaseError, match=r"Packages\.xz is not the index that the signed InRelease names"):
        fetch_index(release_of(archive, own), "amd64", own)


def test_an_architecture_without_a_list_is_an_error(archive, own: Fetcher) -> None:
    with pytest.raises(BaseError, match="has no index of packages for riscv64"):
        fetch_index(release_of(archive, own), "riscv64", own)
