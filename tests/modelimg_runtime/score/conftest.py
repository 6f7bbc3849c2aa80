"""Scoring a file in this process, and reading what came of it."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modelimg_runtime.score.files import STANDARD, format_of
from modelimg_runtime.score.run import Job, Summary, run
from modelimg_runtime.served import ServedModel, open_served


@dataclass(frozen=True)
class Outcome:
    """What a run left behind."""

    summary: Summary
    target: Path
    rejects_file: Path

    @property
    def rows(self) -> list[dict[str, Any]]:
        return read_rows(self.target)

    @property
    def rejects(self) -> list[dict[str, Any]]:
        return read_rows(self.rejects_file) if self.rejects_file.exists() else []


def read_rows(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    if path.suffix == ".arrow":
        return pa.ipc.open_file(path).read_all().to_pylist()
    if path.suffix == ".csv":
        return list(csv.DictReader(path.read_text().splitlines()))
    return [json.loads(line) for line in path.read_text().splitlines()]


def score_file(model: ServedModel, source: Path, target: Path, **options: Any) -> Outcome:
    rejects = target.with_name("rejects.jsonl")
    job = Job(source, format_of(source, None), target, format_of(target, None), rejects, progress="off", **options)
    job.check()
    return Outcome(run(job, model, io.BytesIO(), io.BytesIO()), target, rejects)


def write_rows(path: Path, rows: Sequence[dict[str, Any]], schema: pa.Schema | None = None) -> Path:
    """Rows as a file of the format that the ending names."""
    names = list(rows[0])
    if path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(names)
            writer.writerows([_field(row[name]) for name in names] for row in rows)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        table = pa.Table.from_pylist(list(rows), schema=schema)
        if path.suffix == ".parquet":
            pq.write_table(table, path)
        else:
            with pa.ipc.new_file(path, table.schema) as writer:
                writer.write_table(table, max_chunksize=2)
    return path


def _field(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def run_score(folder: Path, *arguments: object, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """``python -m modelimg_runtime score …`` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "modelimg_runtime", "score", *map(str, arguments)],
        env={"PATH": "/usr/bin:/bin", "MODELIMG_MODEL_DIR": str(folder), **options.pop("env", {})},
        capture_output=True,
        timeout=120,
        check=False,
        **options,
    )


@pytest.fixture(scope="session")
def scoring() -> SimpleNamespace:
    """The functions above."""
    return SimpleNamespace(score=score_file, write=write_rows, read=read_rows, run=run_score, standard=STANDARD)


@pytest.fixture(scope="session")
def served(request: pytest.FixtureRequest) -> Callable[..., ServedModel]:
    """A package of the fixtures, open."""
    opened: dict[tuple[str, bool], ServedModel] = {}

    def get(name: str, *, fast_path: bool = True) -> ServedModel:
        if (name, fast_path) not in opened:
            opened[name, fast_path] = open_served(request.getfixturevalue(name).folder, fast_path=fast_path)
        return opened[name, fast_path]

    return get
