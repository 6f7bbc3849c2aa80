"""Profiles of small tables, packages of them, documents of what was served, and promtool."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from modelimg_runtime import contract
from modelimg_runtime.contract import ProfileSettings
from modelimg_runtime.monitor import Baseline, Document
from modelimg_runtime.monitor.counts import OUTCOMES, Counts
from modelimg_runtime.monitor.document import Identity, Replica
from modelimg_runtime.monitor.layout import Layout
from modelimg_runtime.package import open_package
from modelimg_runtime.profile.bins import CategoryBins, NumberBins
from modelimg_runtime.profile.column import ColumnProfile
from modelimg_runtime.profile.input import InputProfile
from modelimg_runtime.profile.output import Estimate, OutputProfile

HOUR = 3600
START = 490_000 * HOUR


def numbers(name: str) -> ColumnProfile:
    """Below, three bins, above, missing."""
    return ColumnProfile(name, "number", NumberBins((-10.5, -0.5, 2.0, 300000.0)), (50, 300, 300, 200, 50, 100))


def categories(name: str, names: Sequence[str] = ("red", "green")) -> ColumnProfile:
    """The named ones, other, unseen, missing."""
    first, *rest = names
    return ColumnProfile(
        name, "category", CategoryBins((first, *rest)), (1000 - 300 * len(rest), *[300] * len(rest), 0, 0, 0)
    )


def make_baseline(*columns: ColumnProfile, outputs: int = 1, task: str = "classification", **more) -> Baseline:
    names = ["prediction"] if outputs == 1 else [f"prediction_{number}" for number in range(outputs)]
    predictions = [categories(name, ("no", "yes")) if task == "classification" else numbers(name) for name in names]
    metric = "accuracy" if task == "classification" else "rmse"
    output = OutputProfile("test", 1000, tuple(predictions), metrics={metric: Estimate(0.9, 0.85, 0.95)})
    inputs = InputProfile(1000, columns or (numbers("x"), categories("colour")), ProfileSettings())
    identity = Identity("tiny", "1.0", "0" * 64, "b" * 64, "c" * 64)
    return Baseline(replace(identity, **more), task, inputs, output)


def make_document(baseline: Baseline, id: str = "one", rows: int = 1, start: int = START, shift: str = "") -> Document:
    """So many times the packed counts of one window; of a column that shifts, all is in its first place."""
    nothing = Layout(baseline).nothing()
    inputs = {column.name: tuple(rows * count for count in column.counts) for column in baseline.input.columns}
    outputs = {column.name: tuple(rows * count for count in column.counts) for column in baseline.output.columns}
    for group in (inputs, outputs):
        if shift in group:
            group[shift] = (sum(group[shift]), *[0] * (len(group[shift]) - 1))
    counts = Counts(
        1000 * rows,
        start + 1.0,
        start + 2.0,
        inputs,
        outputs,
        dict.fromkeys(OUTCOMES, 0),
        nothing.performance,
        nothing.sums,
    )
    return Document(baseline.identity, HOUR, start + 10.0, (Replica(id, counts, {start: counts}),))


@pytest.fixture
def packed(write_package) -> Callable[..., tuple[Path, Baseline]]:
    """A package with the profiles of a baseline, and the baseline as it is read again."""

    def write(baseline: Baseline, folder: str = "package") -> tuple[Path, Baseline]:
        files = {
            contract.INPUT_PROFILE: baseline.input.to_json().encode(),
            contract.OUTPUT_PROFILE: baseline.output.to_json().encode(),
        }
        path = write_package(folder, files=files, task=baseline.task).path
        return path, Baseline.of(open_package(path))

    return write


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    return SimpleNamespace(baseline=make_baseline, document=make_document, numbers=numbers, categories=categories)


@pytest.fixture(scope="session")
def promtool() -> Callable[..., str]:
    """Runs ``promtool``, which must be content, in the file's folder; what it says."""

    def run(*arguments: object, cwd: Path) -> str:
        done = subprocess.run(["promtool", *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run
