"""Profiles of the training data, from frames in memory or from files larger than it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from modelimg.errors import DataError
from modelimg.pack.data import Split
from modelimg_runtime import contract
from modelimg_runtime.profile import InputProfile, Plan, Survey, Tally

Part = TypeVar("Part")

CHUNK = 65_536
"""Rows of a CSV file that are in memory at once."""


def survey_frame(frame: pd.DataFrame) -> Survey:
    """The first pass over one part of the data."""
    return Survey.of(columns_of(frame))


def count_frame(plan: Plan, frame: pd.DataFrame) -> Tally:
    """The second pass over one part of the data.

    Raises:
        ValueError: the part lacks a column.
    """
    return plan.count(columns_of(frame))


def columns_of(frame: pd.DataFrame) -> dict[str, Any]:
    """Columns of a frame by name."""
    return {str(name): frame.iloc[:, position] for position, name in enumerate(frame.columns)}


def profile_parts(
    parts: Callable[[], Iterable[pd.DataFrame]], settings: contract.ProfileSettings | None = None
) -> InputProfile:
    """The profile of data that come in parts, of which one at a time is in memory.

    Args:
        parts: gives the parts; called twice, once for each pass.
        settings: of the profile.

    Raises:
        DataError: there are no rows, or the parts are not of one table.
    """
    try:
        plan = Plan.of(_sum(map(survey_frame, parts()), Survey.merge), settings)
        tally = _sum((count_frame(plan, part) for part in parts()), Tally.merge)
        columns = plan.profiles(tally)
    except ValueError as error:
        raise DataError(f"the data cannot be profiled: {error}") from error
    rows = columns[0].n if columns else 0
    if not rows:
        raise DataError("the data cannot be profiled: there are no rows")
    return InputProfile(rows, columns, plan.settings)


def profile_file(
    path: str | Path, settings: contract.ProfileSettings | None = None, *, without: Iterable[str] = ()
) -> InputProfile:
    """The profile of a CSV or Parquet file of any length.

    Args:
        path: ``.csv``, ``.csv.gz``, ``.tsv`` or ``.parquet``.
        settings: of the profile.
        without: columns that are no inputs, such as the target.

    Raises:
        DataError: unreadable, without rows, or with a column that changes its kind.
    """
    dropped = list(without)
    return profile_parts(lambda: (part.drop(columns=dropped) for part in read_parts(path)), settings)


def read_parts(path: str | Path) -> Iterator[pd.DataFrame]:
    """A data file part by part: Parquet by row group, CSV by ``CHUNK`` rows.

    Raises:
        DataError: unreadable, or of no known kind.
    """
    file = Path(path)
    name = file.name.lower()
    try:
        if name.endswith((".parquet", ".pq")):
            yield from _row_groups(file)
        elif name.endswith((".csv", ".csv.gz", ".tsv")):
            yield from pd.read_csv(file, sep="\t" if name.endswith(".tsv") else ",", chunksize=CHUNK)
        else:
            raise DataError(f"{file} is of no known kind", hint="known are .csv, .csv.gz, .tsv and .parquet")
    except ImportError as error:
        raise DataError(f"reading {file} needs pyarrow", hint="pip install modelimg[parquet]") from error
    except (ValueError, OSError, EOFError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise DataError(f"{file} cannot be read: {reason}") from error


def _row_groups(file: Path) -> Iterator[pd.DataFrame]:
    from pyarrow import parquet

    with parquet.ParquetFile(file) as data:
        for group in range(data.num_row_groups):
            yield data.read_row_group(group).to_pandas()


def _sum(parts: Iterable[Part], merge: Callable[[Part, Part], Part]) -> Part:
    found = iter(parts)
    first = next(found, None)
    if first is None:
        raise ValueError("there are no rows")
    return reduce(merge, found, first)


# ---- what is packed ----------------------------------------------------------------------------------------


def input_profile(
    split: Split, schema_sha256: str, settings: contract.ProfileSettings, given: str | Path | None = None
) -> InputProfile:
    """The profile of a split's features.

    Args:
        split: the training data.
        schema_sha256: digest of the input schema.
        settings: of the profile.
        given: a profile that was made elsewhere, of all the data of which the split may be a sample.

    Raises:
        DataError: the data cannot be profiled, or the given profile is not of these columns.
    """
    if given is None:
        made = profile_parts(lambda: [split.X], settings)
        return replace(
            made, dataset_sha256=split.facts.sha256, dataset_kind=split.facts.kind, schema_sha256=schema_sha256
        )
    return replace(_read_profile(Path(given), split), schema_sha256=schema_sha256)


def _read_profile(path: Path, split: Split) -> InputProfile:
    try:
        found = InputProfile.from_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"the profile {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path} is no input profile: {error}") from error
    features, by_name = list(columns_of(split.X)), {column.name: column for column in found.columns}
    if set(features) != set(by_name):
        odd = sorted(set(features) ^ set(by_name))[0]
        where = "it lacks" if odd in features else "the model does not know"
        raise DataError(f"the profile {path} is not of the model's features: {where} {odd!r}")
    return replace(found, columns=tuple(by_name[name] for name in features))
