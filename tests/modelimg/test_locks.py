"""Choosing wheels for a platform."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.pylock import Pylock

from modelimg.errors import RequirementsError
from modelimg.locks import read_lock, select_wheels
from modelimg.oci.values import Platform

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")


def lock_of(*filenames: str, name: str = "pkg", **package: object) -> Pylock:
    wheels = [{"name": f, "url": f"https://index.invalid/{f}", "hashes": {"sha256": "0" * 64}} for f in filenames]
    body = {"name": name, "version": "1.0", "wheels": wheels, **package}
    return Pylock.from_dict({"lock-version": "1.0", "created-by": "test", "packages": [body]})


def chosen(
    lock: Pylock, python: str = "3.11", platform: Platform = AMD64, glibc: tuple[int, int] = (2, 36)
) -> list[str]:
    return [pin.filename for pin in select_wheels(lock, python=python, platform=platform, glibc=glibc)]


@pytest.mark.parametrize(
    ("offered", "expected"),
    [
        (["pkg-1.0-py3-none-any.whl", "pkg-1.0-cp311-cp311-manylinux_2_28_x86_64.whl"], 1),
        (["pkg-1.0-cp311-cp311-manylinux_2_17_x86_64.whl", "pkg-1.0-cp311-cp311-manylinux_2_28_x86_64.whl"], 1),
        (["pkg-1.0-cp311-cp311-manylinux_2_39_x86_64.whl", "pkg-1.0-cp39-abi3-manylinux2014_x86_64.whl"], 1),
        (["pkg-1.0-cp312-cp312-manylinux_2_17_x86_64.whl", "pkg-1.0-cp311-cp311-manylinux2014_x86_64.whl"], 1),
        (["pkg-1.0-cp311-cp311-musllinux_1_2_x86_64.whl", "pkg-1.0-py2.py3-none-any.whl"], 1),
    ],
)
def test_the_best_wheel_that_fits_is_chosen(offered: list[str], expected: int) -> None:
    assert chosen(lock_of(*offered)) == [offered[expected]]
    assert chosen(lock_of(*reversed(offered))) == [offered[expected]]


def test_each_architecture_gets_its_own_wheel() -> None:
    lock = lock_of("pkg-1.0-cp311-cp311-manylinux_2_17_x86_64.whl", "pkg-1.0-cp311-cp311-manylinux_2_17_aarch64.whl")
    assert chosen(lock, platform=ARM64) == ["pkg-1.0-cp311-cp311-manylinux_2_17_aarch64.whl"]


def test_a_package_whose_marker_does_not_hold_is_left_out() -> None:
    wheel = "pkg-1.0-py3-none-any.whl"
    assert chosen(lock_of(wheel, marker="sys_platform == 'win32'")) == []
    assert chosen(lock_of(wheel, marker="python_version < '3.12'")) == [wheel]


@pytest.mark.parametrize(
    ("offered", "asked"),
    [
        (["pkg-1.0-cp312-cp312-manylinux_2_17_x86_64.whl"], {}),
        (["pkg-1.0-cp311-cp311-manylinux_2_39_x86_64.whl"], {}),
        (["pkg-1.0-cp311-cp311-musllinux_1_2_x86_64.whl"], {}),
        (["pkg-1.0-cp311-cp311-win_amd64.whl"], {}),
        (["pkg-1.0-cp311-cp311-manylinux_2_17_x86_64.whl"], {"platform": ARM64}),
        (["pkg-1.0-cp311-cp311-manylinux_2_28_x86_64.whl"], {"glibc": (2, 17)}),
    ],
)
def test_a_lock_without_a_fitting_wheel_names_the_package_and_what_it_offers(offered: list[str], asked: dict) -> None:
    with pytest.raises(RequirementsError, match=r"no wheel of pkg 1\.0 fits Python 3\.11") as refused:
        chosen(lock_of(*offered), **asked)
    assert offered[0] in str(refused.value)


def test_a_package_that_exists_only_as_source_is_refused() -> None:
    sdist = {"name": "pkg-1.0.tar.gz", "url": "https://index.invalid/pkg-1.0.tar.gz", "hashes": {"sha256": "0" * 64}}
    lock = Pylock.from_dict(
        {"lock-version": "1.0", "created-by": "t", "packages": [{"name": "pkg", "version": "1.0", "sdist": sdist}]}
    )
    with pytest.raises(RequirementsError, match="locked without a wheel"):
        chosen(lock)


@pytest.mark.parametrize("text", ["not toml [", 'lock-version = "9.0"', 'lock-version = "1.0"\ncreated-by = "x"'])
def test_a_file_that_is_no_lock_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "pylock.toml").write_text(text)
    with pytest.raises(RequirementsError, match=r"is no pylock\.toml"):
        read_lock(tmp_path / "pylock.toml")
