"""JSON values → cells of a dtype, strictly: what was not meant as that dtype is refused, never converted by force.

=============  =========================================================================================
dtype          accepts (anything else is refused with the dtype as the failing check)
=============  =========================================================================================
float          finite numbers in range; whole numbers too
int            whole numbers in range, ``30.0`` too (JSON has one number type), never ``30.5`` or ``true``
bool           ``true`` and ``false``, never 0 or 1
str            strings that Unicode can encode (no lone surrogates)
category       one of the categories
datetime       ISO 8601 dates and times, with an offset exactly where the dtype has a time zone
timedelta      ISO 8601 durations
object, none   any scalar
=============  =========================================================================================

null is a missing value: NaN for floats, objects and strings (pandas' readers put NaN there, and scikit-learn's imputers
look for it; they do not see None), NaT, ``pd.NA`` in nullable dtypes. Plain int and bool columns have none, which is
reported as ``not_nullable``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.engines import numpy_engine

from modelimg_runtime.errors import ContractUnusable
from modelimg_runtime.values import json_values, shortened

_EXACT_IN_FLOAT = 2**53
_DATETIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII)
_DURATION = re.compile(r"-?P(\d{1,9}D)?(T(\d{1,9}H)?(\d{1,9}M)?(\d{1,9}(\.\d{1,9})?S)?)?(?<![PT])", re.ASCII)


class CellRefused(ValueError):  # noqa: N818 - it never leaves this pair of modules
    """The value is none of this column's; ``check`` says why, None where it is the dtype."""

    def __init__(self, check: str | None = None) -> None:
        super().__init__(check)
        self.check = check


@dataclass(frozen=True)
class CellType:
    """How one dtype is read from JSON.

    Attributes:
        kind: ``float``, ``int``, ``bool``, ``str``, ``category``, ``datetime``, ``timedelta`` or ``any``.
        check: the failing check's name, as pandera prints it: ``dtype('int64')``.
        convert: a JSON value that is not null → the cell. Raises ``CellRefused``.
        missing: what null becomes; None where the dtype has no missing value.
        build: cells → array of the dtype.
    """

    kind: str
    check: str
    convert: Callable[[Any], Any]
    missing: Any
    build: Callable[[Sequence[Any]], Any]

    def cell(self, value: Any) -> Any:
        """The cell of a JSON value.

        Raises:
            CellRefused: the value is none of this dtype's.
        """
        if value is not None:
            return self.convert(value)
        if self.missing is None:
            raise CellRefused("not_nullable")
        return self.missing


def cell_type(column: pa.Column, default: Any = None) -> CellType:
    """How a column of an input schema is read.

    Args:
        column: the column of the schema.
        default: the schema's own dtype, for columns without one.

    Raises:
        ContractUnusable: JSON has no values for the column's dtype.
    """
    declared = column.dtype or default
    if declared is None:
        return CellType("any", "dtype(None)", _scalar, np.nan, lambda cells: pd.Series(list(cells)).array)
    dtype = pd.api.types.pandas_dtype(declared.type)
    shown = "str" if isinstance(dtype, pd.StringDtype) or dtype.kind == "U" else str(declared)
    check = f"dtype('{shown}')"
    if isinstance(dtype, pd.CategoricalDtype):
        return _category(dtype, column, check)
    if isinstance(declared, numpy_engine.Object):
        return CellType("any", check, _scalar, np.nan, _objects)
    if shown == "str":
        text_dtype = dtype if isinstance(dtype, pd.StringDtype) else None
        return CellType("str", check, _text, np.nan, lambda cells: _strings(cells, text_dtype))
    return _numeric_or_time(dtype, check) or _refuse(column, declared)


def _refuse(column: pa.Column, declared: Any) -> CellType:
    raise ContractUnusable(f"column {column.name!r} has the dtype {declared}, which no JSON value can fill")


def _numeric_or_time(dtype: Any, check: str) -> CellType | None:
    nullable = pd.NA if isinstance(dtype, pd.api.extensions.ExtensionDtype) else None
    plain = getattr(dtype, "numpy_dtype", dtype)

    def build(cells: Sequence[Any]) -> Any:
        return pd.array(list(cells), dtype=dtype) if nullable is not None else np.array(cells, dtype=dtype)

    if dtype.kind == "f":
        convert = _float(float(np.finfo(plain).max))
        return CellType("float", check, convert, np.nan if nullable is None else nullable, build)
    if dtype.kind in "iu":
        info = np.iinfo(plain)
        return CellType("int", check, _int(int(info.min), int(info.max)), nullable, build)
    if dtype.kind == "b":
        return CellType("bool", check, _bool, nullable, build)
    if dtype.kind == "M":
        unit, zone = np.datetime_data(getattr(dtype, "base", dtype))[0], getattr(dtype, "tz", None)
        return CellType(
            "datetime", check, _datetime(unit, zone), pd.NaT, lambda cells: pd.array(list(cells), dtype=dtype)
        )
    if dtype.kind == "m":
        length = _duration(np.datetime_data(dtype)[0])
        return CellType("timedelta", check, length, pd.NaT, lambda cells: pd.array(list(cells), dtype=dtype))
    return None


def _category(dtype: pd.CategoricalDtype, column: pa.Column, check: str) -> CellType:
    """Categories of the dtype, or of an ``isin`` check: pandera's JSON keeps only the latter."""
    allowed = None if dtype.categories is None else json_values(dtype.categories)
    statistics: list[dict[str, Any]] = [check.statistics or {} for check in column.checks] if allowed is None else []
    for one in statistics:
        if "allowed_values" in one:
            allowed = json_values(one["allowed_values"])
            dtype = pd.CategoricalDtype(allowed, ordered=dtype.ordered)
    known = None if allowed is None else {(type(value), value) for value in allowed}

    def convert(value: Any) -> Any:
        value = _scalar(value)
        if known is None or (type(value), value) in known:
            return value
        if type(value) is int and (float, value) in known:
            return float(value)
        raise CellRefused(shortened(f"isin({allowed})"))

    def build(cells: Sequence[Any]) -> Any:
        return pd.Categorical(list(cells), dtype=dtype)

    return CellType("category", check, convert, np.nan, build)


def _scalar(value: Any) -> Any:
    if type(value) is str:
        return _text(value)
    if type(value) in (bool, int) or (type(value) is float and math.isfinite(value)):
        return value
    raise CellRefused


def _text(value: Any) -> str:
    if type(value) is not str:
        raise CellRefused
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise CellRefused("unicode") from error
    return value


def _bool(value: Any) -> bool:
    if type(value) is not bool:
        raise CellRefused
    return value


def _float(highest: float) -> Callable[[Any], float]:
    def convert(value: Any) -> float:
        # Whole numbers of any length compare with floats exactly, so this also keeps float(value) from overflowing.
        if type(value) not in (float, int) or not -highest <= value <= highest:
            raise CellRefused
        return float(value)

    return convert


def _int(lowest: int, highest: int) -> Callable[[Any], int]:
    def convert(value: Any) -> int:
        if type(value) is float and value.is_integer() and abs(value) <= _EXACT_IN_FLOAT:
            value = int(value)
        if type(value) is not int or not lowest <= value <= highest:
            raise CellRefused
        return value

    return convert


def _datetime(unit: Any, zone: Any) -> Callable[[Any], pd.Timestamp]:
    def convert(value: Any) -> pd.Timestamp:
        if type(value) is not str or not _DATETIME.fullmatch(value):
            raise CellRefused
        try:
            stamp = pd.Timestamp(value)
            if (stamp.tz is None) is not (zone is None):
                raise CellRefused
            stamp = stamp if zone is None else stamp.tz_convert(zone)
            return stamp.as_unit(unit, round_ok=False)
        except (ValueError, OverflowError) as error:  # no such day, or outside of the dtype's range or resolution
            raise CellRefused from error

    return convert


def _duration(unit: Any) -> Callable[[Any], pd.Timedelta]:
    def convert(value: Any) -> pd.Timedelta:
        if type(value) is not str or not _DURATION.fullmatch(value):
            raise CellRefused
        try:
            return pd.Timedelta(value).as_unit(unit, round_ok=False)
        except (ValueError, OverflowError) as error:
            raise CellRefused from error

    return convert


def _objects(cells: Sequence[Any]) -> Any:
    # A bare object array of strings would become a str column in a frame of pandas 3.
    return pd.Series(list(cells), dtype=object)


def _strings(cells: Sequence[Any], dtype: pd.StringDtype | None) -> Any:
    return _objects(cells) if dtype is None else pd.array(list(cells), dtype=dtype)
