"""``deb:`` bases as a build sees them. These tests ask a real mirror of Debian once; the answer is remembered."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from modelimg.base.deb import resolve_debian_base
from modelimg.base.debian import resolve_packages, write_lock
from modelimg.cache import Cache
from modelimg.errors import BaseError, FetchError, UsageError
from modelimg.fetch import Fetcher
from modelimg.oci.blob import read_blob
from modelimg.oci.values import DEFAULT_PLATFORM, Digest, Platform

NAME = "deb:bookworm"


@pytest.fixture
def resolved(fetcher: Fetcher):
    return resolve_debian_base(NAME, DEFAULT_PLATFORM, fetcher)


@pytest.fixture
def silent_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on, whoever asks a mirror gets no answer."""
    for name in ("MODELIMG_DEBIAN_MIRROR", "MODELIMG_DEBIAN_SECURITY_MIRROR"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/debian")
    monkeypatch.setattr("modelimg.fetch.time.sleep", lambda seconds: None)


def test_a_base_is_an_image_of_one_layer(resolved) -> None:
    (layer,) = resolved.image.layers
    assert resolved.tar == layer.descriptor.digest == resolved.image.config.diff_ids[0]
    assert resolved.digest == resolved.image.config.digest == Digest.of(resolved.image.config_data)
    assert (resolved.reference, resolved.python_minor, resolved.interpreter) == (
        "scratch",
        "3.11",
        "/usr/bin/python3.11",
    )
    assert resolved.tar_path.stat().st_size == layer.descriptor.size
    assert "libc6" in {package.name for package in resolved.packages}


def test_an_answer_of_the_last_hour_is_taken_again(resolved, fetcher: Fetcher, monkeypatch) -> None:
    def refuse(*arguments, **keywords):
        raise AssertionError("a mirror was asked")

    monkeypatch.setattr("modelimg.base.deb._ask", refuse)
    assert resolve_debian_base(NAME, DEFAULT_PLATFORM, fetcher) == resolved


@pytest.mark.parametrize("now", [4e9, 0.0], ids=["an old answer", "a clock set back"])
def test_another_answer_is_asked_for_again(resolved, fetcher: Fetcher, monkeypatch, now: float) -> None:
    monkeypatch.setattr("modelimg.base.deb.time.time", lambda: now)
    monkeypatch.setattr("modelimg.base.deb._ask", lambda *arguments: pytest.fail("asked"))
    with pytest.raises(pytest.fail.Exception, match="asked"):
        resolve_debian_base(NAME, DEFAULT_PLATFORM, fetcher)


def test_offline_the_last_answer_holds_whatever_its_age(resolved, fetcher: Fetcher, monkeypatch) -> None:
    monkeypatch.setattr("modelimg.base.deb.time.time", lambda: 4e9)
    with Fetcher(fetcher.cache, offline=True) as offline:
        assert resolve_debian_base(NAME, DEFAULT_PLATFORM, offline) == resolved


def test_offline_without_an_answer_says_what_to_do(tmp_path: Path) -> None:
    with Fetcher(Cache(tmp_path), offline=True) as offline, pytest.raises(BaseError, match="asked offline") as caught:
        resolve_debian_base(NAME, DEFAULT_PLATFORM, offline)
    assert "base lock" in caught.value.hint


def test_other_mirrors_are_asked_for_themselves(resolved, fetcher: Fetcher, silent_mirror) -> None:
    with pytest.raises(FetchError, match=r"127\.0\.0\.1:9"):
        resolve_debian_base(NAME, DEFAULT_PLATFORM, fetcher)


def test_a_lock_answers_for_good_and_without_a_mirror(resolved, fetcher: Fetcher, tmp_path: Path, monkeypatch) -> None:
    lock = tmp_path / "base.lock.toml"
    write_lock(lock, [resolve_packages("bookworm", DEFAULT_PLATFORM, fetcher)])
    locked = resolve_debian_base(NAME, DEFAULT_PLATFORM, fetcher, lock=lock)
    monkeypatch.setattr("modelimg.base.deb._ask", lambda *arguments: pytest.fail("asked"))
    monkeypatch.setattr("modelimg.base.deb.time.time", lambda: 4e9)
    assert resolve_debian_base(NAME, DEFAULT_PLATFORM, fetcher, lock=lock) == locked
    lock.write_text(lock.read_text() + "\n")
    with pytest.raises(pytest.fail.Exception, match="asked"):
        resolve_debian_base(NAME, DEFAULT_PLATFORM, fetcher, lock=lock)


@pytest.mark.parametrize(
    ("name", "platform", "lock", "message"),
    [
        ("deb:sid", "linux/amd64", None, "sid"),
        ("deb:", "linux/amd64", None, "suite"),
        (NAME, "linux/amd64", "absent.toml", "there is no lock file"),
        (NAME, "linux/amd64", ".", "lock file"),
        (NAME, "linux/amd64", "broken.toml", "is not a lock file"),
    ],
)
def test_what_no_base_follows_from_is_refused(
    fetcher: Fetcher, tmp_path: Path, name: str, platform: str, lock: str | None, message: str
) -> None:
    (tmp_path / "broken.toml").write_text("version =")
    with pytest.raises((BaseError, UsageError), match=message):
        resolve_debian_base(name, Platform.parse(platform), fetcher, lock=tmp_path / lock if lock else None)


def test_a_layer_that_the_cache_lost_is_made_again_from_its_packages(resolved, fetcher: Fetcher) -> None:
    fetcher.cache.drop(resolved.tar)
    assert Digest.of(read_blob(resolved.image.layers[0])) == resolved.tar


def test_a_base_of_other_packages_than_remembered_is_refused(resolved, fetcher: Fetcher, monkeypatch) -> None:
    from modelimg.base import debian

    build = debian.build_base
    monkeypatch.setattr(debian, "build_base", lambda *a, **k: replace(build(*a, **k), diff_id=Digest.of(b"other")))
    fetcher.cache.drop(resolved.tar)
    with pytest.raises(BaseError, match="was remembered as"):
        resolved.image.layers[0].open()


def test_a_remembered_base_needs_nothing_heavy(resolved, fetcher: Fetcher) -> None:
    code = (
        "import sys; from pathlib import Path; from modelimg.base.deb import resolve_debian_base\n"
        "from modelimg.cache import Cache; from modelimg.fetch import Fetcher\n"
        "from modelimg.oci.values import DEFAULT_PLATFORM\n"
        f"resolve_debian_base({NAME!r}, DEFAULT_PLATFORM, Fetcher(Cache(Path({str(fetcher.cache.root)!r}))))\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'debian', 'httpx', 'pysequoia', 'docker'}))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
