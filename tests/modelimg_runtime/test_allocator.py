"""What requests free stays with the process, where the C library can be told so and nobody said otherwise."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, mmap, resource, sys
from modelimg_runtime.allocator import keep_freed_memory

asked = sys.argv[1] == "keep" and keep_freed_memory()
blocks = lambda: [bytes([1]) * 30_000 for _ in range(100)]  # 3 MB, as a request's arrays
for _ in range(3):
    blocks()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    blocks()
print(asked, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(what, **variables):
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, what], env=environ | variables, capture_output=True, text=True, check=True
    )
    asked, found = ended.stdout.split()
    return asked == "True", int(found)


def test_freed_memory_is_used_again_without_asking_the_system():
    asked, kept = faults("keep")
    _, given_back = faults("leave")
    assert asked
    assert given_back > 5_000  # 50 times 3 MB in pages of 4 kB are 36,000; some stay
    assert kept < 100


@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"])
def test_who_tunes_the_allocator_is_not_overruled(name):
    value = "glibc.malloc.trim_threshold=131072" if name == "GLIBC_TUNABLES" else "131072"
    asked, given_back = faults("keep", **{name: value})
    assert not asked
    assert given_back > 5_000


def test_an_empty_variable_is_none():
    assert faults("keep", MALLOC_TRIM_THRESHOLD_="")[0]
