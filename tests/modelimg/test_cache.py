"""The content-addressed cache."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from modelimg.cache import ENV_CACHE_DIR, Cache
from modelimg.errors import FetchError
from modelimg.oci.values import Digest


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def leftovers(cache: Cache) -> list[Path]:
    return list((cache.root / "tmp").iterdir())


def test_a_stored_blob_is_found_by_its_digest(cache: Cache) -> None:
    path = cache.add(b"bytes")
    assert cache.blob(Digest.of(b"bytes")) == path
    assert path.read_bytes() == b"bytes"


def test_a_blob_that_was_never_stored_is_not_found(cache: Cache) -> None:
    assert cache.blob(Digest.of(b"other")) is None


def test_one_flipped_byte_makes_a_blob_a_miss_and_removes_it(cache: Cache) -> None:
    path = cache.add(b"bytes")
    path.write_bytes(b"bytez")
    assert cache.blob(Digest.of(b"bytes")) is None
    assert not path.exists()


def test_bytes_of_another_digest_are_refused_and_leave_nothing(cache: Cache) -> None:
    with pytest.raises(FetchError, match="expected sha256:"):
        cache.add(b"bytes", Digest.of(b"other"))
    assert cache.blob(Digest.of(b"bytes")) is None


def test_an_interrupted_write_leaves_nothing(cache: Cache) -> None:
    with pytest.raises(KeyboardInterrupt), cache.writing() as (stream, _):
        stream.write(b"half")
        raise KeyboardInterrupt
    assert leftovers(cache) == []


def test_a_fact_comes_back_under_its_key_only(cache: Cache) -> None:
    cache.note("layer", "key", {"size": 3})
    assert cache.recall("layer", "key") == {"size": 3}
    assert cache.recall("layer", "other") is None
    assert cache.recall("gate", "key") is None


def test_a_damaged_fact_counts_as_absent(cache: Cache) -> None:
    cache.note("layer", "key", 1)
    (fact,) = cache.root.glob("facts/layer/*")
    fact.write_bytes(b'{"half":')
    assert cache.recall("layer", "key") is None


def test_writers_of_the_same_blob_do_not_disturb_each_other(cache: Cache) -> None:
    data = bytes(100_000)
    with ThreadPoolExecutor(8) as pool:
        paths = set(pool.map(lambda _: cache.add(data), range(32)))
    assert len(paths) == 1
    assert cache.blob(Digest.of(data)) in paths
    assert leftovers(cache) == []


def test_the_environment_names_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(ENV_CACHE_DIR, str(tmp_path))
    assert Cache.default().root == tmp_path
