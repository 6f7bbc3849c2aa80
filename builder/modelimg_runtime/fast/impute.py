"""``SimpleImputer`` on numbers and on strings, as ``sklearn.impute._base`` fills in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from modelimg_runtime.columns import Batch
from modelimg_runtime.fast.errors import NotSpecialised
from modelimg_runtime.fast.inputs import (
    Array,
    Matrix,
    Read,
    Table,
    Texts,
    Value,
    check_input,
    floats,
    numbers,
    refuse_infinite,
)
from modelimg_runtime.fast.parts import Part


def simple(part: Part, value: Value) -> Matrix | Texts:
    """``SimpleImputer``, with every strategy that has a name and NaN for what is missing.

    Raises:
        NotSpecialised: another marker of missing values, an indicator beside strings or whole numbers, a column
            without any value in training, or another dtype than in training.
    """
    check_input(part, value)
    part.expect("strategy", "mean", "median", "most_frequent", "constant")
    part.expect("add_indicator", False, True)
    part.expect("copy", True)
    missing = part["missing_values"]
    if not isinstance(missing, float) or not math.isnan(missing):
        raise NotSpecialised(f"{part.name} with missing_values={missing}")
    statistics = part["statistics_"]
    if not isinstance(statistics, np.ndarray) or statistics.ndim != 1 or any(_is_missing(each) for each in statistics):
        raise NotSpecialised(f"{part.name} with a column that had no value in training")
    if isinstance(value, Table) and value.kinds == "s":
        return _texts(part, value, statistics)
    return _numbers(part, value, statistics)


def _texts(part: Part, table: Table, statistics: Array) -> Texts:
    fills = statistics.tolist()
    if part.get("add_indicator"):
        raise NotSpecialised(f"{part.name} with add_indicator on strings")
    if _fitted_kind(part) != "O" or not all(isinstance(fill, str) for fill in fills):
        raise NotSpecialised(f"{part.name} fitted on something else than strings")
    fillings = tuple(zip(table.positions, fills, strict=True))

    def read(batch: Batch) -> Sequence[Sequence[Any]]:
        columns = batch.columns
        return [[fill if _is_missing(cell) else cell for cell in columns[at]] for at, fill in fillings]

    return Texts(len(fills), read)


def _numbers(part: Part, value: Value, statistics: Array) -> Matrix:
    keeps_dtype = part["strategy"] in ("most_frequent", "constant")
    if keeps_dtype and isinstance(value, Table) and "b" in value.kinds:
        raise NotSpecialised(f"{part.name} with strategy={part['strategy']} on bools")
    given = numbers(value, part) if keeps_dtype else floats(value, part)
    if given.sparse or _fitted_kind(part) != given.kind or len(statistics) != given.width:
        raise NotSpecialised(f"{part.name} on another dtype or number of columns than it was fitted on")
    indicated = _indicated(part)
    if given.kind == "i":
        if indicated is not None:
            raise NotSpecialised(f"{part.name} with add_indicator on whole numbers")
        return given
    fills, read_given = statistics.astype(np.float64), given.read
    if indicated is not None:
        return Matrix(given.width + len(indicated), "f", _with_indicator(read_given, fills, indicated))

    def read(batch: Batch) -> Array:
        X = read_given(batch)
        refuse_infinite(X)
        np.copyto(X, fills, where=np.isnan(X))
        return X

    return Matrix(given.width, "f", read)


def _indicated(part: Part) -> Array | None:
    """The columns beside which an indicator stands; None without indicators.

    Raises:
        NotSpecialised: another indicator than the imputer makes.
    """
    if not part.get("add_indicator"):
        return None
    indicator = part["indicator_"]
    indicator.expect("features", "missing-only")
    indicator.expect("error_on_new", False)
    columns = indicator["features_"]
    if not isinstance(columns, np.ndarray) or columns.dtype != np.int64 or columns.ndim != 1:
        raise NotSpecialised(f"{part.name} with an indicator of its own")
    return columns


def _with_indicator(read_given: Read, fills: Array, indicated: Array) -> Read:
    everywhere = len(indicated) == len(fills)

    def read(batch: Batch) -> Array:
        X = read_given(batch)
        refuse_infinite(X)
        missing = np.isnan(X)
        np.copyto(X, fills, where=missing)
        return np.hstack((X, missing if everywhere else missing[:, indicated]))

    return read


def _fitted_kind(part: Part) -> str:
    dtype = part["_fit_dtype"]
    return dtype.kind if isinstance(dtype, np.dtype) else "?"


def _is_missing(cell: Any) -> bool:
    return cell is None or cell != cell  # only NaN differs from itself
