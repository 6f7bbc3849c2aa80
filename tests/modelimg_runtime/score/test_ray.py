"""A real Ray cluster of several worker processes on this machine gives scikit-learn's own answers."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import load_breast_cancer

EXAMPLE = Path(__file__).parents[3] / "examples/cluster/score_on_ray.py"
FLAGS = ("--keep", "id", "--workers", "2", "--batch-rows", "200", "--note-workers")


@pytest.fixture
def short_folder():
    """Ray's sockets lie below it, and their paths may have 107 characters."""
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as folder:
        yield folder


def test_every_worker_answers_as_scikit_learn_does(cancer, tmp_path, short_folder, show):
    X = pd.concat([load_breast_cancer(as_frame=True).data] * 8, ignore_index=True)
    X.insert(0, "id", range(len(X)))
    bad = X.index % 500 == 7
    X.loc[bad, "mean radius"] = -1.0
    (tmp_path / "in").mkdir()
    for number in range(4):
        X.iloc[number::4].to_parquet(tmp_path / "in" / f"{number}.parquet", index=False)
    done = subprocess.run(
        [sys.executable, EXAMPLE, cancer.folder, tmp_path / "in", tmp_path / "out", *FLAGS],
        env={"PATH": os.environ["PATH"], "HOME": short_folder, "RAY_TMPDIR": short_folder},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr

    found = pq.read_table(tmp_path / "out").to_pandas().sort_values("id")
    assert found["id"].tolist() == X["id"].tolist()
    model = joblib.load(cancer.folder / "model.joblib")
    expected = model.predict_proba(X.drop(columns="id"))
    good = ~bad
    assert found["prediction"][good.tolist()].tolist() == model.predict(X.drop(columns="id"))[good].tolist()
    # The last bits depend on how many rows are multiplied at once.
    assert np.allclose(found.loc[good.tolist(), "probability_0"], expected[good, 0], rtol=0, atol=1e-12)
    assert (found["error"] != "").tolist() == bad.tolist()
    assert found["prediction"][bad.tolist()].isna().all()
    shares = found["worker"].value_counts()
    show(f"rows of each Ray worker: {shares.tolist()}")
    assert len(shares) == 2
