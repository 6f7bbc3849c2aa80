"""Our lock files: one wheel per package, nothing of the host, the same bytes for the same choice."""

from __future__ import annotations

import hashlib

import pytest
import tomllib
from packaging.pylock import Pylock

from modelimg.errors import RequirementsError
from modelimg.oci.values import Platform
from modelimg.pack.lock import parse, serving_lock, training_lock, wheel_entries

AMD64, ARM64 = Platform.parse("linux/amd64"), Platform.parse("linux/arm64")


def wheel(tag, digest="1", **where):
    name = f"demo-1.0-{tag}.whl"
    return {**(where or {"url": f"https://example.org/{name}"}), "name": name, "hashes": {"sha256": digest * 64}}


def raw(*wheels, **more):
    return {
        "lock-version": "1.0",
        "created-by": "uv",
        "packages": [{"name": "demo", "version": "1.0", "wheels": list(wheels), **more}],
    }


TAGS = (
    "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64",
    "cp311-cp311-manylinux_2_28_x86_64",
    "cp311-cp311-manylinux_2_28_aarch64",
    "cp311-cp311-musllinux_1_2_x86_64",
    "cp311-cp311-macosx_11_0_arm64",
    "cp312-cp312-manylinux_2_28_x86_64",
    "py3-none-any",
)


@pytest.mark.parametrize(
    ("python", "platform", "chosen"),
    [
        ("3.11", AMD64, "cp311-cp311-manylinux_2_28_x86_64"),
        ("3.11", ARM64, "cp311-cp311-manylinux_2_28_aarch64"),
        ("3.12", AMD64, "cp312-cp312-manylinux_2_28_x86_64"),
        ("3.12", ARM64, "py3-none-any"),
    ],
)
def test_the_best_wheel_of_each_platform_is_chosen(python, platform, chosen):
    lock = serving_lock(raw(*map(wheel, TAGS)), python=python, platform=platform)
    assert [pin.filename for pin in lock.pins] == [f"demo-1.0-{chosen}.whl"]


@pytest.mark.parametrize(
    "tag", ["cp311-cp311-manylinux_2_29_x86_64", "cp311-cp311-macosx_11_0_arm64", "cp310-cp310-linux_x86_64"]
)
def test_a_package_without_a_wheel_that_fits_is_refused(tag):
    with pytest.raises(RequirementsError, match=r"no wheel of demo 1\.0 fits"):
        serving_lock(raw(wheel(tag)), python="3.11", platform=AMD64)


def test_the_file_is_a_lock_that_says_the_same_and_whose_order_does_not_matter():
    wheels = [wheel(tag) for tag in TAGS]
    lock = serving_lock(raw(*wheels), python="3.11", platform=AMD64)
    assert serving_lock(raw(*wheels[::-1]), python="3.11", platform=AMD64).text == lock.text
    read = Pylock.from_dict(tomllib.loads(lock.text))
    assert read.created_by == "modelimg"
    assert str(read.requires_python) == "==3.11.*"
    assert serving_lock(tomllib.loads(lock.text), python="3.11", platform=AMD64).pins == lock.pins
    assert tomllib.loads(lock.text)["tool"]["modelimg"] == {
        "platform": "linux/amd64",
        "python": "3.11",
        "glibc": "2.28",
    }


def test_credentials_of_a_private_index_do_not_enter_the_lock():
    source = wheel("py3-none-any", url="https://user:token@example.org/demo-1.0-py3-none-any.whl")
    lock = serving_lock(raw(source), python="3.11", platform=AMD64)
    assert "token" not in lock.text
    assert "https://example.org/demo-1.0-py3-none-any.whl" in lock.text


@pytest.mark.parametrize("form", ["path", "file url", "archive"])
def test_a_wheel_of_this_host_is_carried_in_the_package(tiny_wheel, form):
    digest = hashlib.sha256(tiny_wheel.read_bytes()).hexdigest()
    where = {"url": tiny_wheel.as_uri()} if form == "file url" else {"path": str(tiny_wheel)}
    entry = {**where, "hashes": {"sha256": digest}}
    package = {"archive": entry} if form == "archive" else {"version": "1.0", "wheels": [entry]}
    data = {"lock-version": "1.0", "created-by": "uv", "packages": [{"name": "tiny", **package}]}
    lock = serving_lock(data, python="3.11", platform=AMD64)
    assert lock.local == {"wheels/tiny-1.0-py3-none-any.whl": tiny_wheel}
    assert str(tiny_wheel.parent) not in lock.text
    assert lock.pins[0].path == "wheels/tiny-1.0-py3-none-any.whl"
    assert lock.pins[0].size == tiny_wheel.stat().st_size


def test_a_wheel_of_this_host_whose_hash_differs_is_refused(tiny_wheel):
    entry = {"name": "tiny", "version": "1.0", "wheels": [{"path": str(tiny_wheel), "hashes": {"sha256": "0" * 64}}]}
    with pytest.raises(RequirementsError, match=f"but the lock pins sha256:{'0' * 64}"):
        serving_lock({**raw(), "packages": [entry]}, python="3.11", platform=AMD64)


def test_a_wheel_of_this_host_that_has_gone_is_refused(tmp_path):
    entry = wheel("py3-none-any", path=str(tmp_path / "demo-1.0-py3-none-any.whl"))
    with pytest.raises(RequirementsError, match="cannot be read"):
        serving_lock(raw(entry), python="3.11", platform=AMD64)


def test_the_same_file_on_an_index_is_preferred_to_the_one_of_this_host():
    local, remote = wheel("py3-none-any", url="file:///x/demo-1.0-py3-none-any.whl"), wheel("py3-none-any")
    assert [one.get("url") for one in wheel_entries(raw(local, remote))["packages"][0]["wheels"]] == [remote["url"]]


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"lock-version": "9.0", "created-by": "x", "packages": []},
        raw(wheel("py3-none-any"), version="2.0"),
        raw(name="demo"),
    ],
)
def test_what_is_no_lock_is_refused(broken):
    with pytest.raises(RequirementsError, match=r"no pylock\.toml"):
        parse(broken)


def test_a_source_distribution_cannot_be_served_but_recorded():
    sdist = {"name": "demo-1.0.tar.gz", "url": "https://example.org/demo-1.0.tar.gz", "hashes": {"sha256": "2" * 64}}
    source = raw(sdist=sdist)
    with pytest.raises(RequirementsError, match="locked without a wheel"):
        serving_lock(source, python="3.11", platform=AMD64)
    notes = [{"name": "mine", "version": "0.1", "reason": "installed from a folder"}]
    text = training_lock(source, python="3.11.7", elsewhere=notes)
    read = tomllib.loads(text)
    assert read["packages"][0]["sdist"]["url"] == sdist["url"]
    assert read["tool"]["modelimg"] == {"python": "3.11.7", "not-locked": notes}
    Pylock.from_dict(read)
