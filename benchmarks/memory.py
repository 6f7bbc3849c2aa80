"""Peak memory of a cold build, for the normal image and for one that a gigabyte of model makes much larger."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import models
from benchmarks.contenders.ours import Embedded
from benchmarks.measure import Row, Samples, Section

_MB = 1_000_000
_LARGE = 1000 * _MB
_TREE = "the largest of the command's process and its children, such as the image's own Python that compiles byte code"


@dataclass(frozen=True)
class Peak:
    """Bytes: of the command's own process, of the largest of it and its children, and of the archive that it wrote."""

    own: int
    largest: int
    archive: int


def memory(ours: Sequence[Embedded], packages: Sequence[Path], work: Path) -> Section:
    """Cold builds with downloads kept, once each: a peak hardly varies.

    Args:
        ours: who builds; each has built before.
        packages: the first is the normal one, and gives its lock to the large one.
        work: folder for the large package.
    """
    large = models.pack_large(work / "large", packages[0] / models.LOCK, _LARGE)
    peaks = {one.name: (_peak(one, packages[0]), _peak(one, large)) for one in ours}

    def row(key: str, label: str, which: int, value: str, note: str = "") -> Row:
        samples = {name: Samples((getattr(found[which], value) / _MB,)) for name, found in peaks.items()}
        return Row(key, label, "MB", samples, note)

    rows = []
    for which, (suffix, label) in enumerate((("", "normal"), ("-large", "with 1 GB of model"))):
        rows.append(row(f"archive{suffix}", f"{label}: archive", which, "archive"))
        rows.append(row(f"peak{suffix}", f"{label}: peak of the build", which, "own"))
        rows.append(row(f"peak-tree{suffix}", f"{label}: peak of its largest process", which, "largest", _TREE))
    return Section("Peak memory of a cold build", tuple(rows))


def _peak(ours: Embedded, package: Path) -> Peak:
    ours.drop(kept=True)
    build = ours.command(package, "--tag", "modelimg-bench/memory:1", "--output", f"oci-archive:{ours.archive}")
    command = [sys.executable, "-S", str(Path(__file__).with_name("peak.py")), *map(str, build)]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", **ours.environment}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    found = json.loads(ended.stdout)
    if found["code"] != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{ended.stderr}")
    return Peak(found["own"], found["largest"], ours.archive.stat().st_size)
