"""Packages and where they are fetched from."""

from __future__ import annotations

import pytest

from modelimg.base.debian import DebianPackage, DebianPackages, Mirrors
from modelimg.errors import BaseError
from modelimg.oci.values import Digest, Platform

DATES = {"debian": "20261231T200000Z", "debian-security": "20261121T005302Z"}


def package(name: str = "libstdc++6", version: str = "1:12.2-1", archive: str = "debian") -> DebianPackage:
    return DebianPackage(name, version, "amd64", f"pool/main/g/{name}_12~rc1_amd64.deb", 7, Digest.of(b""), archive)


def test_the_upstream_version_has_neither_epoch_nor_revision() -> None:
    assert package(version="1:1.2.13.dfsg-1+deb12u1").upstream_version == "1.2.13.dfsg"


def test_a_mirror_has_what_is_current() -> None:
    mirrors = Mirrors(debian="http://m.example/debian/", security="https://s.example")
    assert mirrors.pool_url(package()) == "http://m.example/debian/pool/main/g/libstdc++6_12~rc1_amd64.deb"
    assert (
        mirrors.pool_url(package(archive="debian-security"))
        == "https://s.example/pool/main/g/libstdc++6_12~rc1_amd64.deb"
    )


def test_the_snapshot_archive_is_asked_a_day_later_and_at_the_date() -> None:
    mirrors = Mirrors(snapshot="https://snap.example/")
    assert mirrors.snapshot_urls(package(archive="debian-security"), "20261231T200000Z") == (
        "https://snap.example/archive/debian-security/20270101T200000Z/pool/main/g/libstdc++6_12~rc1_amd64.deb",
        "https://snap.example/archive/debian-security/20261231T200000Z/pool/main/g/libstdc++6_12~rc1_amd64.deb",
    )


def test_mirrors_come_from_the_environment_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELIMG_DEBIAN_MIRROR", "https://m.example/debian")
    monkeypatch.setenv("MODELIMG_DEBIAN_SECURITY_MIRROR", "")
    monkeypatch.setenv("MODELIMG_DEBIAN_SNAPSHOT", "https://snap.example")
    assert Mirrors.from_environment() == Mirrors(debian="https://m.example/debian", snapshot="https://snap.example")


@pytest.mark.parametrize("name", ["", "x", "Libc6", "lib c6", "../libc6", "-libc"])
def test_a_name_that_no_package_has_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not a package name"):
        DebianPackage(name, "1", "amd64", "pool/x.deb", 1, Digest.of(b""), "debian")


def test_packages_without_a_python_are_refused_when_it_is_asked_for() -> None:
    packages = DebianPackages("bookworm", Platform("linux", "amd64"), (package("libc6"),), DATES)
    with pytest.raises(BaseError, match="the packages of bookworm for linux/amd64 lack a Python interpreter"):
        _ = packages.python
    with pytest.raises(BaseError, match="lack zlib1g"):
        packages.package("zlib1g")
