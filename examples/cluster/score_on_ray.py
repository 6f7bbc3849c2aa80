"""Score Parquet files on a Ray cluster: every worker process loads the model once and predicts its share of the rows.

Usage: python score_on_ray.py PACKAGE IN OUT [--keep COLUMN]... [--address ADDRESS | --workers N]

IN and OUT are folders of Parquet files, or what else Ray reads and writes (s3://…). Without an address, a cluster of
N worker processes is started on this machine; with one, the package and modelimg have to be on every node. A row that
breaks the contract has no prediction, and its column ``error`` says why.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import pandas as pd

import modelimg_runtime


def score(frame: pd.DataFrame, **options: Any) -> pd.DataFrame:
    """What a worker does with a batch: `modelimg_runtime.batch`, and a note of which process did it."""
    return modelimg_runtime.batch(frame, **options).assign(worker=f"{os.uname().nodename}:{os.getpid()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path)
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--keep", action="append", default=[])
    parser.add_argument("--batch-rows", type=int, default=1000)
    parser.add_argument("--address")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--note-workers", action="store_true")
    options = parser.parse_args()

    # Ray reads these when it is imported: tell nobody, and keep a cluster of one machine on its loopback interface.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if not options.address:
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    import ray
    import ray.data

    if options.address:
        ray.init(options.address)
    else:
        ray.init("local", num_cpus=options.workers, include_dashboard=False)
    (
        ray.data.read_parquet(options.source)
        .repartition(target_num_rows_per_block=options.batch_rows)  # small files would be one task
        .map_batches(
            score if options.note_workers else modelimg_runtime.batch,
            batch_format="pandas",
            batch_size=options.batch_rows,
            fn_kwargs={
                "package": options.package.resolve(),
                "keep": options.keep,
                "probabilities": True,
                "errors": "column",
            },
        )
        .write_parquet(options.target)
    )


if __name__ == "__main__":
    main()
