"""``frame-v1``: one digest for one table of data, whatever it is stored in.

docs/reference/frame-digest.md describes the bytes, so that any language can recompute it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from modelimg.errors import DataError

KIND = "frame-v1"

_UNITS_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def frame_digest(parts: Mapping[str, pd.DataFrame]) -> str:
    """The hex digest of a table.

    It does not depend on the index, the order of the columns, the width of a number's dtype, the storage of strings, or
    on how a missing value is written. It depends on everything else: each cell, each column's name, role and kind, and
    the order of the rows.

    Args:
        parts: role (``feature``, ``target``) → columns, all of the same rows.

    Raises:
        DataError: a column holds objects that have no canonical form.
    """
    rows = {len(frame) for frame in parts.values()}
    if len(rows) != 1:
        raise DataError(f"features and target have different numbers of rows: {sorted(rows)}")
    columns = []
    for role, frame in parts.items():
        for position, name in enumerate(frame.columns):
            kind, content = _column_digest(frame.iloc[:, position], str(name))
            columns.append([role, str(name), kind, content])
    header = {"columns": sorted(columns), "format": KIND, "rows": rows.pop()}
    return hashlib.sha256(_canonical(header)).hexdigest()


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _column_digest(column: pd.Series[Any], name: str) -> tuple[str, str]:
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    missing = column.isna().to_numpy(dtype=bool)
    kind, content = _present(column[~missing], name)
    hasher = hashlib.sha256(np.packbits(missing, bitorder="little").tobytes())
    for block in content:
        hasher.update(block)
    return kind, hasher.hexdigest()


def _present(values: pd.Series[Any], name: str) -> tuple[str, tuple[bytes, ...]]:
    """Kind and content of the values that are there."""
    dtype: Any = values.dtype
    if values.empty:
        return "empty", ()
    if pd.api.types.is_object_dtype(dtype):
        return _objects(values, name)
    if isinstance(dtype, pd.StringDtype):
        return "string", _strings(values)
    if isinstance(dtype, pd.PeriodDtype | pd.IntervalDtype):
        return "text", _strings(values.map(str))
    if dtype.kind in "biufMm":
        return _numbers(values, dtype)
    raise DataError(f"column {name!r} is of {dtype}, which has no canonical form", hint="give the data as a file")


def _numbers(values: pd.Series[Any], dtype: Any) -> tuple[str, tuple[bytes, ...]]:
    if dtype.kind == "b":
        return "bool", (values.to_numpy(dtype="u1").tobytes(),)
    if dtype.kind in "iu":
        return "int", _integers(values)
    if dtype.kind == "f":
        floats = values.to_numpy(dtype="<f8") + 0.0  # no negative zero
        return "float", (floats.tobytes(),)
    kind = "duration" if dtype.kind == "m" else "instant" if getattr(dtype, "tz", None) is not None else "datetime"
    return kind, _times(values, dtype)


def _integers(values: pd.Series[Any]) -> tuple[bytes, ...]:
    if str(values.dtype).lower() == "uint64" and int(values.max()) > np.iinfo("i8").max:
        return _strings(values.map(str))
    return (values.to_numpy(dtype="<i8").tobytes(),)


def _times(values: pd.Series[Any], dtype: Any) -> tuple[bytes, ...]:
    """Whole seconds since 1970 and nanoseconds within the second, so that no unit overflows another."""
    unit = dtype.unit if isinstance(dtype, pd.DatetimeTZDtype) else np.datetime_data(dtype)[0]
    plain = values.dt.tz_convert("UTC").dt.tz_localize(None) if isinstance(dtype, pd.DatetimeTZDtype) else values
    ticks, per_second = plain.to_numpy().astype("i8"), _UNITS_PER_SECOND[unit]
    seconds, rest = np.divmod(ticks, per_second)
    return seconds.astype("<i8").tobytes(), (rest * (10**9 // per_second)).astype("<i8").tobytes()


def _strings(values: pd.Series[Any]) -> tuple[bytes, ...]:
    encoded = [str(value).encode("utf-8", "surrogatepass") for value in values]
    return np.array([len(item) for item in encoded], dtype="<i8").tobytes(), b"".join(encoded)


def _objects(values: pd.Series[Any], name: str) -> tuple[str, tuple[bytes, ...]]:
    """An object column digests as the dtype that its values have in common."""
    types = {type(value) for value in values}
    if types <= {str, np.str_}:
        return "string", _strings(values)
    inferred = pd.Series(values.tolist())
    if getattr(inferred.dtype, "kind", "O") in "biufMm":
        return _numbers(inferred, inferred.dtype)
    if types <= {bool, int, float, str, dt.date, dt.time, np.str_, np.bool_} or types <= {bytes}:
        return "mixed", _strings(values.map(lambda value: f"{type(value).__name__}:{value!r}"))
    strange = ", ".join(sorted(each.__name__ for each in types))
    raise DataError(
        f"column {name!r} holds objects of the types {strange}, which have no canonical form",
        hint="convert the column, or give the data as a file",
    )
