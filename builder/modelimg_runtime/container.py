"""What the container may use: CPUs and memory, as the kernel's control groups limit them. Standard library only.

``os.cpu_count`` and ``/proc/meminfo`` tell of the whole machine. A limit may be set on any group on the way up from the
process's own, so the lowest one counts (``Documentation/admin-guide/cgroup-v2.rst``, ``cgroup-v1``).
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_ROOT = Path("/")
_NO_LIMIT = 2**60
"""Version 1 writes "no limit" as the largest multiple of a page that it can count to."""


def cpus(root: Path = _ROOT) -> int:
    """CPUs worth of time that this process may use, at least 1: a quota of 1.5 CPUs keeps two threads busy."""
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [math.ceil(quota / period) for quota, period in _quotas(root) if quota > 0 and period > 0]
    return max(min([own, *quotas]), 1)


def memory(root: Path = _ROOT) -> int:
    """Bytes of memory that this container may use: its limit, or what the machine has."""
    limits = [limit for limit in _memory_limits(root) if 0 < limit < _NO_LIMIT]
    return min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *limits])


def _quotas(root: Path) -> Iterator[tuple[int, int]]:
    """Pairs of microseconds: time allowed in a period."""
    for group in _groups(root, ""):
        quota, _, period = _text(group / "cpu.max").partition(" ")
        yield _number(quota), _number(period)
    for group in _groups(root, "cpu"):
        yield _number(_text(group / "cpu.cfs_quota_us")), _number(_text(group / "cpu.cfs_period_us"))


def _memory_limits(root: Path) -> Iterator[int]:
    for group in _groups(root, ""):
        yield _number(_text(group / "memory.max"))
    for group in _groups(root, "memory"):
        yield _number(_text(group / "memory.limit_in_bytes"))


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Folders of the process's group of a controller and of those above it; of version 2 where it is the empty string.

    Within a container, the path may be the host's while only the container's own part is mounted: what is not there is
    passed over, and the mounted top is looked at always.
    """
    top = root / "sys/fs/cgroup" / controller
    yield top
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controller in controllers.split(","):
            inside = PurePosixPath(path.lstrip("/"))
            yield from (top / part for part in (inside, *inside.parents) if ".." not in part.parts)


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, ValueError):  # not mounted, not ours to read, or not text
        return ""


def _number(text: str) -> int:
    """The number; 0 for ``max``, -1 and what is none, which stand for no limit."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0
