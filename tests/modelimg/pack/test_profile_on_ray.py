"""The example of profiling on a cluster, on a real one of two processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from modelimg.pack.profiles import profile_parts
from modelimg_runtime.profile import lattice

ROOT = Path(__file__).parents[3]
ROWS = 90_000


def test_a_cluster_makes_byte_for_byte_the_profile_that_one_process_makes(tmp_path):
    random = np.random.RandomState(0)
    frame = pd.DataFrame(
        {
            "amount": random.lognormal(size=ROWS),
            "items": random.poisson(2, ROWS),
            "country": random.choice(["at", "de", "dk", "ee"], ROWS, p=[0.5, 0.3, 0.1999, 0.0001]),
            "note": [f"order {i}" for i in range(ROWS)],
            "target": 1,
        }
    )
    frame.loc[random.rand(ROWS) < 0.05, ["amount", "country"]] = None
    data = tmp_path / "data"
    data.mkdir()
    for number, part in enumerate(np.array_split(np.arange(ROWS), 5)):
        frame.iloc[part].to_parquet(data / f"part-{number}.parquet", row_group_size=7000, index=False)
    command = [sys.executable, ROOT / "examples/cluster/profile_on_ray.py", data, tmp_path / "out.json"]
    subprocess.run(
        [*command, "--without", "target", "--workers", "2"],
        env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0"},
        check=True,
        capture_output=True,
        timeout=120,
    )
    whole = profile_parts(lambda: [frame.drop(columns="target")])
    assert (tmp_path / "out.json").read_text() == whole.to_json()
    assert whole.rows == ROWS
    assert whole.columns[0].distinct > lattice.LIMIT  # more than is kept exactly
