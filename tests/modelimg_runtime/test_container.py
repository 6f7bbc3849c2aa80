from __future__ import annotations

import os

import pytest

from modelimg_runtime import container

OWN = len(os.sched_getaffinity(0))
HOST = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
UNLIMITED = "9223372036854771712"


def tree(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


V2 = "sys/fs/cgroup"
V1_CPU, V1_MEMORY = "sys/fs/cgroup/cpu", "sys/fs/cgroup/memory"


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({f"{V2}/cpu.max": "100000 100000\n"}, 1),
        ({f"{V2}/cpu.max": "50000 100000\n"}, 1),
        ({f"{V2}/cpu.max": "150000 100000\n"}, min(2, OWN)),
        ({f"{V1_CPU}/cpu.cfs_quota_us": "100000", f"{V1_CPU}/cpu.cfs_period_us": "100000"}, 1),
        ({"proc/self/cgroup": "0::/a/b\n", f"{V2}/a/cpu.max": "1000 100000"}, 1),
        ({"proc/self/cgroup": "4:cpu,cpuacct:/docker/x\n", f"{V1_CPU}/docker/x/cpu.cfs_quota_us": "9000",
          f"{V1_CPU}/docker/x/cpu.cfs_period_us": "10000"}, 1),
    ],
)  # fmt: skip
def test_the_quota_limits_cpus_and_is_rounded_up(tmp_path, files, cpus):
    assert container.cpus(tree(tmp_path, files)) == cpus


@pytest.mark.parametrize(
    "files",
    [
        {},
        {f"{V2}/cpu.max": "max 100000\n"},
        {f"{V2}/cpu.max": ""},
        {f"{V2}/cpu.max": "nonsense"},
        {f"{V2}/cpu.max": "100000 0"},
        {f"{V2}/cpu.max": "99999999999999999999999 1"},
        {f"{V2}/cpu.max": "12800000 100000"},
        {f"{V1_CPU}/cpu.cfs_quota_us": "-1", f"{V1_CPU}/cpu.cfs_period_us": "100000"},
        {f"{V1_CPU}/cpu.cfs_quota_us": "1000"},
        {"proc/self/cgroup": "0::/../../elsewhere\n", "elsewhere/cpu.max": "1 100000"},
        {"proc/self/cgroup": "no colons\n::\n"},
    ],
)
def test_without_a_limit_that_can_be_read_the_affinity_counts(tmp_path, files):
    assert container.cpus(tree(tmp_path, files)) == OWN


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({f"{V2}/memory.max": "268435456\n"}, 268435456),
        ({f"{V1_MEMORY}/memory.limit_in_bytes": "104857600"}, 104857600),
        ({"proc/self/cgroup": "0::/pod/c\n", f"{V2}/pod/memory.max": "5000000", f"{V2}/pod/c/memory.max": "max"}, 5000000),
        ({"proc/self/cgroup": "0::/pod/c\n", f"{V2}/pod/memory.max": "7000", f"{V2}/pod/c/memory.max": "6000"}, 6000),
        ({"proc/self/cgroup": "0::/gone\n", f"{V2}/memory.max": "4096"}, 4096),
        ({f"{V2}/memory.max": "max"}, HOST),
        ({f"{V1_MEMORY}/memory.limit_in_bytes": UNLIMITED}, HOST),
        ({f"{V2}/memory.max": "-5"}, HOST),
        ({f"{V2}/memory.max": "0"}, HOST),
        ({}, HOST),
    ],
)  # fmt: skip
def test_the_lowest_limit_on_the_way_up_is_the_memory(tmp_path, files, limit):
    assert container.memory(tree(tmp_path, files)) == limit


def test_files_that_are_not_text_are_no_limit(tmp_path):
    tree(tmp_path, {f"{V2}/x": ""})
    (tmp_path / V2 / "cpu.max").write_bytes(b"\xff\xfe")
    (tmp_path / V2 / "memory.max").mkdir()
    assert (container.cpus(tmp_path), container.memory(tmp_path)) == (OWN, HOST)


def test_this_machine_has_some_of_both():
    assert 1 <= container.cpus() <= OWN
    assert 0 < container.memory() <= HOST
