"""Profile Parquet files on a Ray cluster: every task reads one file at a time, and nobody holds all of them.

Usage: python profile_on_ray.py IN OUT [--without COLUMN]... [--address ADDRESS | --workers N]

IN is a folder of Parquet files that all tasks can read, OUT the profile: name it in ``[profile] file`` of modelimg.toml
(or ``modelimg.pack(..., profile=OUT)``) when the data are more than the packing process should read.

Two rounds. Surveys of the files merge into one, which chooses the bins; then the files are counted in these bins, and
the counts merge. Surveys and counts merge in any order to the same, so the profile is, byte for byte, the one that a
single process makes of all the data. Spark and Dask can do the same: `map` and `reduce` are all that it takes.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

from modelimg.pack.profiles import count_frame, read_parts, survey_frame
from modelimg_runtime.profile import InputProfile, Plan, Survey, Tally


def survey_file(path: str, without: list[str]) -> Survey:
    return reduce(Survey.merge, (survey_frame(part.drop(columns=without)) for part in read_parts(path)))


def count_file(path: str, plan: Plan) -> Tally:
    return reduce(Tally.merge, (count_frame(plan, part) for part in read_parts(path)))


def profile_on_ray(paths: list[str], without: list[str]) -> InputProfile:
    import ray

    survey, count = ray.remote(survey_file), ray.remote(count_file)
    plan = Plan.of(merged([survey.remote(path, without) for path in paths], Survey.merge))
    shared = ray.put(plan)
    columns = plan.profiles(merged([count.remote(path, shared) for path in paths], Tally.merge))
    return InputProfile(columns[0].n, columns, plan.settings)


def merged(pending: list[Any], merge: Callable[[Any, Any], Any]) -> Any:
    """The sum of what the tasks give, in the order in which they end."""
    import ray

    total = None
    while pending:
        [done], pending = ray.wait(pending)
        total = ray.get(done) if total is None else merge(total, ray.get(done))
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--without", action="append", default=[])
    parser.add_argument("--address")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    options = parser.parse_args()

    # Ray reads it when it is imported: tell nobody.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    if options.address:
        ray.init(options.address)
    else:
        ray.init("local", num_cpus=options.workers, include_dashboard=False)
    try:
        paths = sorted(str(path.resolve()) for path in options.source.glob("*.parquet"))
        profile = profile_on_ray(paths, options.without)
    finally:
        ray.shutdown()
    options.target.write_text(profile.to_json())


if __name__ == "__main__":
    main()
