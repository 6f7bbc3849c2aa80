"""A virtual environment for each set of requirements, kept from run to run: making all of them takes minutes."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import uv

from benchmarks.contenders.base import timed

NUMERIC = frozenset({"scikit-learn", "pandas", "numpy", "scipy", "joblib"})
"""What loading a model and predicting with it depends on: the same version for everyone."""


def make_venv(root: Path, requirements: Sequence[str]) -> Path:
    """The interpreter of a virtual environment with byte code, of the Python that runs this.

    Args:
        root: folder of all of them.
        requirements: what to install, in the newest versions that fit.

    Raises:
        RuntimeError: uv cannot install it; the message holds its output.
    """
    name = hashlib.sha256(json.dumps([sys.version, sorted(requirements)]).encode()).hexdigest()[:16]
    folder, whole = root / name, root / name / "whole"
    python = folder / "bin/python"
    if not whole.exists():
        shutil.rmtree(folder, ignore_errors=True)
        command: list[str | Path] = [uv.find_uv_bin(), "--quiet"]
        timed([*command, "venv", "--python", sys.executable, folder])
        timed([*command, "pip", "install", "--compile-bytecode", "--python", python, *requirements])
        whole.touch()
    return python


def version(python: Path, distribution: str) -> str:
    """Of a distribution in the virtual environment of that interpreter."""
    code = f"import importlib.metadata as m; print(m.version({distribution!r}))"
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def numeric(pins: Sequence[str]) -> list[str]:
    """Those ``name==version`` that are `NUMERIC`."""
    return [pin for pin in pins if pin.partition("==")[0] in NUMERIC]
