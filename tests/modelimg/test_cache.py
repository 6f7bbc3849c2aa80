"""The content-addressed cache."""

from __future__ import annotations

import errno
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelimg.cache import ENV_CACHE_DIR, Amount, Cache, CacheUsage
from modelimg.errors import CacheError, FetchError
from modelimg.oci.values import Digest


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


# --- facts


def fact_file(cache: Cache) -> Path:
    (path,) = (path for path in (cache.root / "facts").rglob("*") if path.is_file())
    return path


FACT = {"diff_id": "sha256:…", "size": 1e16, "names": ["é", None, True]}


def test_every_flipped_byte_of_a_fact_is_a_miss(cache: Cache, show: Callable[[str], None]) -> None:
    cache.note("layer", "key", FACT)
    path = fact_file(cache)
    data = path.read_bytes()
    for position, bit in itertools.product(range(len(data)), range(8)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << bit
        path.write_bytes(damaged)
        assert cache.recall("layer", "key") is None, (position, bit)
    show(f"{len(data) * 8} flipped bits of a fact, all misses")
    path.write_bytes(data)
    assert cache.recall("layer", "key") == FACT


def test_every_truncation_of_a_fact_is_a_miss(cache: Cache) -> None:
    cache.note("layer", "key", FACT)
    path = fact_file(cache)
    data = path.read_bytes()
    for part in (*(data[:length] for length in range(len(data))), data + b" ", data + data):
        path.write_bytes(part)
        assert cache.recall("layer", "key") is None


def test_a_fact_under_the_name_of_another_is_a_miss(cache: Cache) -> None:
    cache.note("layer", "key", 1)
    path = fact_file(cache)
    cache.note("layer", "other", 2)
    cache.note("gate", "key", 3)
    (other,) = (found for found in (cache.root / "facts/layer").iterdir() if found != path)
    (gate,) = (cache.root / "facts/gate").iterdir()
    for foreign in (other, gate):
        path.write_bytes(foreign.read_bytes())
        assert cache.recall("layer", "key") is None


@given(
    fact=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=12,
    ),
    key=st.text(),
)
def test_any_fact_comes_back_under_any_key(fact: object, key: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cache = Cache(Path(folder))
        cache.note("kind", key, fact)
        assert cache.recall("kind", key) == fact


# --- blobs that the reader checks


def test_a_path_is_given_unread_and_forgotten_when_dropped(cache: Cache) -> None:
    digest = Digest.of(b"bytes")
    assert cache.path(digest) is None
    path = cache.add(b"bytes")
    path.write_bytes(b"bytez")
    assert cache.path(digest) == path
    cache.drop(digest)
    cache.drop(digest)
    assert cache.path(digest) is None


def test_what_cannot_be_read_is_a_miss_and_what_cannot_be_written_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    cache = Cache(tmp_path / "file" / "cache")
    assert cache.blob(Digest.of(b"bytes")) is None
    assert cache.path(Digest.of(b"bytes")) is None
    assert cache.recall("layer", "key") is None
    assert cache.usage().total == cache.prune(None).total == Amount()
    with pytest.raises(CacheError, match=f"the cache in {cache.root} cannot be written: Not a directory") as caught:
        cache.add(b"bytes")
    assert caught.value.hint == "name another directory in MODELIMG_CACHE_DIR"


def test_a_folder_in_the_place_of_a_blob_is_a_miss_and_an_error_to_write(cache: Cache) -> None:
    path = cache.add(b"bytes")
    path.unlink()
    (path / "folder").mkdir(parents=True)
    assert cache.blob(Digest.of(b"bytes")) is None
    with pytest.raises(CacheError, match="cannot be written"):
        cache.add(b"bytes")
    assert leftovers(cache) == []


# --- a full disk


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_a_sentence_with_a_hint(cache: Cache, code: int) -> None:
    with pytest.raises(CacheError) as caught, cache.writing() as (stream, _):
        stream.write(b"half")
        raise OSError(code, os.strerror(code))
    assert caught.value.message == f"the cache in {cache.root} cannot be written: {os.strerror(code)}"
    assert "modelimg cache prune" in str(caught.value.hint)
    assert ENV_CACHE_DIR in str(caught.value.hint)
    assert leftovers(cache) == []


@pytest.mark.parametrize("code", [errno.ENOENT, errno.ECONNRESET, errno.EIO])
def test_another_error_while_writing_stays_what_it_is(cache: Cache, code: int) -> None:
    with pytest.raises(OSError, match=os.strerror(code)) as caught, cache.writing():
        raise OSError(code, os.strerror(code))
    assert caught.value.errno == code
    assert leftovers(cache) == []


LIMITED = """
import resource, sys
from pathlib import Path
from modelimg.cache import Cache
from modelimg.errors import CacheError
cache, action = Cache(Path(sys.argv[1])), sys.argv[2]
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
data = bytes(range(256)) * 1000
cache.add(b"fits")
try:
    if action == "add":
        cache.add(data)
    elif action == "note":
        cache.note("kind", "key", data.hex())
    else:
        with cache.writing() as (stream, path):
            for start in range(0, len(data), 100):
                stream.write(data[start:start + 100])
except CacheError as error:
    print(error)
"""


@pytest.mark.parametrize("action", ["add", "note", "stream"])
def test_a_file_that_may_not_grow_leaves_nothing_of_itself(cache: Cache, action: str) -> None:
    done = subprocess.run([sys.executable, "-c", LIMITED, cache.root, action], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"the cache in {cache.root} cannot be written: File too large\nhint: make room" in done.stdout
    assert cache.usage() == CacheUsage(blobs=Amount(1, 4), facts=Amount(), temporary=Amount())


# --- several processes


WRITER = """
import sys
from pathlib import Path
from modelimg.cache import Cache
from modelimg.oci.values import Digest
cache, number = Cache(Path(sys.argv[1])), int(sys.argv[2])
data = [bytes([n]) * 50_000 for n in range(5)]
print("ready", flush=True)
sys.stdin.readline()
for round in range(60):
    for index, item in enumerate(data):
        cache.add(item)
        path = cache.blob(Digest.of(item))
        assert path is not None or number == 2
        cache.note("kind", str(index), {"index": index})
        fact = cache.recall("kind", str(index))
        assert fact == {"index": index} or (fact is None and number == 2), fact
    if number == 3:
        cache.prune(None)
print("done")
"""


def side_by_side(cache: Cache, numbers: list[int]) -> list[tuple[int, str]]:
    """Run writers at once; number 2 puts up with misses, number 3 prunes everything besides."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(cache.root), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in numbers
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    ended = []
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        out, _ = process.communicate(timeout=60)
        ended.append((process.returncode, out))
    return ended


def test_two_processes_may_write_the_same_at_once(cache: Cache) -> None:
    assert side_by_side(cache, [0, 1]) == [(0, "done\n")] * 2
    assert cache.usage().blobs == Amount(5, 250_000)
    assert cache.usage().facts.files == 5
    assert leftovers(cache) == []


def test_whoever_writes_while_all_is_pruned_meets_misses_and_nothing_else(cache: Cache) -> None:
    assert side_by_side(cache, [2, 2, 3]) == [(0, "done\n")] * 3
    assert leftovers(cache) == []


KILLED = """
import sys, time
from pathlib import Path
from modelimg.cache import Cache
with Cache(Path(sys.argv[1])).writing() as (stream, path):
    stream.write(b"half")
    stream.flush()
    print("writing", flush=True)
    time.sleep(60)
"""


def test_what_a_killed_process_left_is_no_blob_and_goes_after_a_day(cache: Cache) -> None:
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(cache.root)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"writing\n"
    process.kill()
    process.communicate()
    assert cache.blob(Digest.of(b"half")) is None
    assert cache.usage() == CacheUsage(blobs=Amount(), facts=Amount(), temporary=Amount(1, 4))
    assert cache.prune(None).total == Amount()
    (left,) = leftovers(cache)
    age(left, timedelta(hours=25))
    assert cache.prune(timedelta(days=30)).temporary == Amount(1, 4)
    assert leftovers(cache) == []


# --- use and pruning


def age(path: Path, by: timedelta) -> None:
    then = time.time() - by.total_seconds()
    os.utime(path, (then, then))


def test_an_empty_cache_holds_nothing_and_is_not_made_by_looking(cache: Cache) -> None:
    assert cache.usage().total == cache.prune(None).total == Amount()
    assert not cache.root.exists()


def test_usage_counts_blobs_facts_and_what_is_being_written(cache: Cache) -> None:
    cache.add(b"123")
    cache.add(b"12345")
    cache.note("layer", "key", 1)
    with cache.writing() as (stream, _):
        stream.write(b"half")
        stream.flush()
        usage = cache.usage()
    assert (usage.blobs, usage.temporary) == (Amount(2, 8), Amount(1, 4))
    assert usage.facts == Amount(1, 66)
    assert usage.total == Amount(4, 78)


@pytest.mark.parametrize("how", ["blob", "path", "recall"])
def test_what_is_read_counts_as_used(cache: Cache, how: str) -> None:
    used = {
        "blob": lambda: cache.blob(Digest.of(b"bytes")),
        "path": lambda: cache.path(Digest.of(b"bytes")),
        "recall": lambda: cache.recall("layer", "key"),
    }[how]
    file = cache.add(b"bytes")
    if how == "recall":
        cache.note("layer", "key", 1)
        file = fact_file(cache)
    age(file, timedelta(days=40))
    assert used() is not None
    cache.prune(timedelta(days=30))
    assert file.exists()
    age(file, timedelta(days=40))
    cache.prune(timedelta(days=30))
    assert not file.exists()


def test_a_second_use_within_the_hour_writes_nothing(cache: Cache) -> None:
    path = cache.add(b"bytes")
    age(path, timedelta(minutes=50))
    before = path.stat().st_mtime_ns
    assert cache.blob(Digest.of(b"bytes")) == cache.path(Digest.of(b"bytes")) == path
    assert path.stat().st_mtime_ns == before


def test_pruning_everything_leaves_what_is_being_written(cache: Cache) -> None:
    cache.add(b"bytes")
    cache.note("layer", "key", 1)
    with cache.writing() as (stream, path):
        stream.write(b"late")
        stream.flush()
        assert cache.prune(None).total.files == 2
        cache.adopt(path, Digest.of(b"late"))
    assert cache.blob(Digest.of(b"late")) is not None
    assert cache.blob(Digest.of(b"bytes")) is None
    assert cache.recall("layer", "key") is None


@settings(deadline=None, max_examples=40)
@given(ages=st.lists(st.integers(0, 60), max_size=12), limit=st.integers(1, 60))
def test_pruning_removes_exactly_what_is_older(ages: list[int], limit: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cache = Cache(Path(folder))
        for number, days in enumerate(ages):
            age(cache.add(b"%d" % number * 10), timedelta(days=days, minutes=-1))
        before = cache.usage()
        removed = cache.prune(timedelta(days=limit))
        after = cache.usage()
        assert removed.total + after.total == before.total
        for number, days in enumerate(ages):
            assert (cache.path(Digest.of(b"%d" % number * 10)) is None) == (days > limit)


# --- the command line


def test_the_command_line_shows_and_prunes_the_cache(cache: Cache, cli) -> None:
    environment = {ENV_CACHE_DIR: str(cache.root)}
    old, new = cache.add(bytes(2_000_000)), cache.add(b"new")
    age(old, timedelta(days=31))
    shown = cli("cache", "info", env=environment)
    assert shown.out.splitlines()[:2] == [str(cache.root), "blobs            2 files       2.0 MB"]
    assert cli("cache", "info", "--json", env=environment).json == {
        "directory": str(cache.root),
        "blobs": {"files": 2, "size": 2_000_003},
        "facts": {"files": 0, "size": 0},
        "temporary": {"files": 0, "size": 0},
    }
    assert cli("cache", "prune", "--older-than", "40", env=environment).out == "removed 0 files, 0.0 MB\n"
    assert cli("cache", "prune", env=environment).out == "removed 1 files, 2.0 MB\n"
    assert (old.exists(), new.exists()) == (False, True)
    assert cli("cache", "prune", "--all", env=environment).out == "removed 1 files, 0.0 MB\n"
    assert cache.usage().total == Amount()


@pytest.mark.parametrize("days", ["0", "-1", "x", "1.5"])
def test_an_age_that_cannot_be_meant_is_a_usage_error(cache: Cache, cli, days: str) -> None:
    cache.add(b"bytes")
    done = cli("cache", "prune", "--older-than", days, env={ENV_CACHE_DIR: str(cache.root)})
    assert (done.code, done.out) == (2, "")
    assert cache.usage().blobs == Amount(1, 5)
