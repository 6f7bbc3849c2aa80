"""Which packages a base is made from."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelimg.base.debian import DebianPackages, resolve_packages, write_lock
from modelimg.errors import BaseError
from modelimg.fetch import Fetcher
from modelimg.oci.values import Platform

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")
LEAST = {"python3.11-minimal", "libpython3.11-stdlib", "libc6", "libstdc++6", "libgomp1", "zlib1g", "libc-bin",
         "ca-certificates", "tzdata", "base-files", "netbase"}  # fmt: skip


def resolved(archive, fetcher: Fetcher, **more) -> DebianPackages:
    return resolve_packages("bookworm", AMD64, fetcher, mirrors=archive.mirrors, keyring=archive.keyring, **more)


def versions(archive, fetcher: Fetcher) -> dict[str, str]:
    archive.publish()
    return {package.name: package.version for package in resolved(archive, fetcher).packages}


def test_the_roots_are_taken_and_what_bases_leave_out_is_not(archive, own: Fetcher) -> None:
    assert versions(archive, own).keys() == LEAST


def test_python_and_libc_are_read_off_the_packages(archive, own: Fetcher) -> None:
    packages = resolved(archive, own)
    assert (packages.python, packages.python_minor, packages.libc) == ("3.11.2", "3.11", ("glibc", "2.36"))
    assert packages.dates.keys() == {"debian", "debian-security"}


@pytest.mark.parametrize("suite", ["bookworm-updates", "bookworm-security"])
def test_a_newer_version_in_updates_or_security_wins(archive, own: Fetcher, suite: str) -> None:
    archive.add("libc6", "2.36-10", suite=suite)
    archive.add("zlib1g", "0.9-1", suite=suite)
    found = versions(archive, own)
    assert (found["libc6"], found["zlib1g"]) == ("2.36-10", "1.0-1")


@pytest.mark.parametrize(
    ("lower", "higher"), [("1.0-1", "1:0.5-1"), ("1.0~rc1-1", "1.0-1"), ("1.9-1", "1.10-1"), ("1.0-1", "1.0-1+deb12u1")]
)
def test_versions_are_ordered_as_dpkg_orders_them(archive, own: Fetcher, lower: str, higher: str) -> None:
    archive.add("libextra", lower, suite="bookworm-security")
    archive.add("libextra", higher, suite="bookworm-updates")
    archive.add("netbase", "2", depends="libextra")
    assert versions(archive, own)["libextra"] == higher


def test_a_package_says_which_archive_has_it(archive, own: Fetcher) -> None:
    archive.add("libc6", "2.36-10", suite="bookworm-security")
    archive.publish()
    assert {p.name: p.archive for p in resolved(archive, own).packages if p.name in ("libc6", "zlib1g")} == {
        "libc6": "debian-security",
        "zlib1g": "debian",
    }


def test_dependencies_are_followed_to_the_end(archive, own: Fetcher) -> None:
    archive.add("netbase", "2", depends="libone (>= 1)")
    archive.add("libone", "1.5", depends="libtwo (= 2), netbase")
    archive.add("libtwo", "2")
    assert versions(archive, own).keys() == LEAST | {"libone", "libtwo"}


@pytest.mark.parametrize(
    ("depends", "taken"),
    [
        ("libone | libtwo", {"libone"}),
        ("libabsent | libtwo", {"libtwo"}),
        ("libone (>= 2) | libtwo", {"libtwo"}),
        ("dpkg | libone", set()),
        ("libabsent | debconf", set()),
    ],
)
def test_of_alternatives_the_first_that_fits_is_taken(archive, own: Fetcher, depends: str, taken: set[str]) -> None:
    archive.add("netbase", "2", depends=depends)
    archive.add("libone", "1")
    archive.add("libtwo", "1")
    assert versions(archive, own).keys() - LEAST == taken


@pytest.mark.parametrize(
    "depends", ["libabsent", "libc6 (>= 3)", "libc6 (= 2.36-8)", "libc6 (<< 2.36-9)", "libc6 (>> 2.36-9)"]
)
def test_a_dependency_that_nothing_satisfies_is_an_error(archive, own: Fetcher, depends: str) -> None:
    archive.add("netbase", "2", depends=depends)
    archive.publish()
    with pytest.raises(
        BaseError, match=r"netbase 2 \(amd64\) depends on lib.*, which the indexes bookworm, "
    ) as caught:
        resolved(archive, own)
    assert depends.split(" ")[0] in caught.value.message


def test_a_missing_root_is_an_error(archive, own: Fetcher) -> None:
    archive.stanzas["bookworm"] = [s for s in archive.stanzas["bookworm"] if "Package: tzdata" not in s]
    archive.publish()
    with pytest.raises(
        BaseError, match="the indexes bookworm, bookworm-updates, bookworm-security have no package tzdata"
    ):
        resolved(archive, own)


@pytest.mark.parametrize(
    ("name", "hint"), [("bokworm", "did you mean 'bookworm'"), ("stable", "known suites: bookworm"), ("", "known")]
)
def test_an_unknown_suite_is_an_error_that_lists_the_known(own: Fetcher, name: str, hint: str) -> None:
    with pytest.raises(BaseError, match=f"'{name}' is not a Debian suite") as caught:
        resolve_packages(name, AMD64, own)
    assert hint in str(caught.value)
    assert "trixie (Python 3.13)" in str(caught.value)


def test_a_second_time_only_the_signed_indexes_are_fetched(archive, own: Fetcher) -> None:
    first = resolved(archive, own)
    archive.server.requests.clear()
    assert resolved(archive, own) == first
    assert [path.rpartition("/")[2] for path in archive.server.requests] == ["InRelease"] * 3


def test_a_lock_gives_the_same_packages_without_a_request(archive, own: Fetcher, make_fetcher, tmp_path: Path) -> None:
    first = resolved(archive, own)
    write_lock(tmp_path / "lock", [first])
    archive.add("libc6", "2.99-1", suite="bookworm-security")
    archive.publish()
    archive.server.requests.clear()
    assert resolved(archive, make_fetcher("other", offline=True), lock=tmp_path / "lock") == first
    assert archive.server.requests == []


@pytest.mark.parametrize(("suite", "platform"), [("trixie", AMD64), ("bookworm", ARM64)])
def test_a_lock_for_something_else_says_what_it_has(
    archive, own: Fetcher, tmp_path: Path, suite: str, platform: Platform
) -> None:
    write_lock(tmp_path / "lock", [resolved(archive, own)])
    with pytest.raises(BaseError, match=f"locks bookworm for linux/amd64, not {suite} for {platform}") as caught:
        resolve_packages(suite, platform, own, lock=tmp_path / "lock")
    assert f"--suite {suite} --platform {platform}" in str(caught.value)


def test_an_archive_without_the_architecture_is_an_error(archive, own: Fetcher) -> None:
    with pytest.raises(BaseError, match="has no index of packages for arm64"):
        resolve_packages("bookworm", ARM64, own, mirrors=archive.mirrors, keyring=archive.keyring)
