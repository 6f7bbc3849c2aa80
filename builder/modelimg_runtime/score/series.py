"""A column of a pandas frame as JSON values, by what it is: never a date as a text, never a bool as a number."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from modelimg_runtime.score import kinds

_FAMILIES = {"b": kinds.BOOL, "i": kinds.NUMBER, "u": kinds.NUMBER, "f": kinds.NUMBER}
_FAMILIES |= {"M": kinds.DATETIME, "m": kinds.TIMEDELTA}


def values_of_series(series: pd.Series, kind: str) -> Sequence[Any] | None:
    """The values of a column, None for missing ones.

    Args:
        series: the column.
        kind: of the contract's column, as `cells` has them.

    Returns:
        None where the dtype does not fit the kind and there is a value. Values of objects that do not fit are left as
        they are, for the contract to refuse.
    """
    dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _categories(series, kind)
    if isinstance(dtype, pd.ArrowDtype):
        return _arrow(series, kind)
    family = kinds.TEXT if isinstance(dtype, pd.StringDtype) else _FAMILIES.get(dtype.kind)
    if family is not None and not kinds.fits(family, kind):
        return [None] * len(series) if series.isna().all() else None
    if isinstance(dtype, np.dtype) and dtype.kind in "biu":
        return list(series.to_numpy().tolist())
    if isinstance(dtype, np.dtype) and dtype.kind == "f":
        return _without(series.to_numpy().tolist(), series)
    if family == kinds.DATETIME:
        return _moments(series)
    return [_cell(value, kind) for value in series.array]


def _categories(series: pd.Series, kind: str) -> Sequence[Any] | None:
    values = values_of_series(pd.Series(series.cat.categories), kind)
    if values is None:
        return [None] * len(series) if series.isna().all() else None
    known = [*values, None]  # a missing one has the code -1
    return [known[code] for code in series.cat.codes.tolist()]


def _arrow(series: pd.Series, kind: str) -> Sequence[Any] | None:
    import pyarrow as pa

    from modelimg_runtime.score.arrow import values_of_column

    return values_of_column(pa.chunked_array(pa.array(series.array)), kind)


def _moments(series: pd.Series) -> list[Any]:
    zoned = getattr(series.dtype, "tz", None) is not None
    stamps = series.dt.tz_convert("UTC").dt.tz_localize(None) if zoned else series
    texts = np.datetime_as_string(stamps.to_numpy()).tolist()
    return _without([f"{text}Z" for text in texts] if zoned else texts, series)


def _without(values: list[Any], series: pd.Series) -> list[Any]:
    for place in np.flatnonzero(series.isna().to_numpy()).tolist():
        values[place] = None
    return values


def _cell(value: Any, kind: str) -> Any:
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return None if value != value else float(value)
    change = _CHANGES.get(kind)
    return change(value) if change else value


def _number(value: Any) -> Any:
    if not isinstance(value, Decimal) or not value.is_finite():
        return value
    return int(value) if value == value.to_integral_value() else float(value)


def _moment(value: Any) -> Any:
    return value.isoformat() if isinstance(value, dt.date) else value


def _duration(value: Any) -> Any:
    if not isinstance(value, dt.timedelta):
        return value
    length = pd.Timedelta(value)
    return f"{'-' if length < pd.Timedelta(0) else ''}{abs(length).isoformat()}"


_CHANGES: dict[str, Callable[[Any], Any]] = {
    "float": _number,
    "int": _number,
    "datetime": _moment,
    "timedelta": _duration,
}
