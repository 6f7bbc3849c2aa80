"""What a cell counts as: a number, or the name of a category.

A profile knows five kinds of values, by what they are and not by how wide a dtype stores them:

=============  ===================================================================================================
kind           values
=============  ===================================================================================================
``number``     integers, floats, decimals, as 64-bit floats; a whole number that no float holds is an infinity
``datetime``   dates and times, as seconds since 1970 (UTC; without a zone they count as UTC), to the microsecond
``duration``   lengths of time, as seconds
``boolean``    true and false
``category``   everything else, by name: text as it is, ``1`` and ``1.0`` as ``1``, booleans as ``true`` and ``false``
=============  ===================================================================================================

and ``empty``, where no value is there. None, NaN, NaT and NA are missing. pandas is never imported here: what has
pandas' methods is asked by them.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

NUMBER, DATETIME, DURATION, BOOLEAN, CATEGORY, EMPTY = "number", "datetime", "duration", "boolean", "category", "empty"
TEXT: Final = "text"
"""Strings that are too many to be categories; they are profiled by their length."""
NUMERIC: Final = frozenset({NUMBER, DATETIME, DURATION})

LONGEST_NAME: Final = 100
"""Characters of a category's name; a longer one is cut, and told apart by a digest."""

Floats = NDArray[np.float64]

_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - naive means UTC here
_DAY = dt.timedelta(days=1)
_EXACT: Final = 2.0**63


def kind_of(values: Any) -> str:
    """The kind of a column's values; ``empty`` where all are missing.

    Args:
        values: an array, a list, or a pandas Series.
    """
    if is_declared(values):
        return CATEGORY
    array = plain(values)
    by_dtype = {"b": BOOLEAN, "i": NUMBER, "u": NUMBER, "f": NUMBER, "M": DATETIME, "m": DURATION}.get(array.dtype.kind)
    if by_dtype is None:
        return _kind_of_objects(array.tolist())
    # A float column in which nothing is there says nothing of the kind: pandas reads an empty column so.
    there = array.size > 0 if array.dtype.kind in "biu" else bool((array == array).any())
    return by_dtype if there else EMPTY


def is_declared(values: Any) -> bool:
    """Whether a column was declared to be categorical (pandas' ``category`` dtype)."""
    return hasattr(getattr(values, "dtype", None), "ordered")


def numbers_of(values: Any) -> Floats:
    """A column as numbers, NaN where a value is missing or is none.

    Args:
        values: an array, a list, or a pandas Series of numbers, times or lengths of time.
    """
    array = plain(values)
    if array.dtype.kind in "biuf":
        return array.astype(np.float64, copy=False)
    if array.dtype.kind in "Mm":
        micro = array.astype(f"{array.dtype.kind}8[us]")
        return np.where(np.isnat(micro), np.nan, micro.astype(np.int64) / 1e6)
    return np.fromiter(map(number_of, array.tolist()), dtype=np.float64, count=len(array))


def names_of(values: Any) -> list[str | None]:
    """A column as names of categories, None where a value is missing."""
    return [value if type(value) is str and _is_plain(value) else name_of(value) for value in plain(values).tolist()]


def lengths_of(values: Any) -> Floats:
    """A column of text as numbers of characters, NaN where a value is missing."""
    array = plain(values)
    return np.fromiter(map(length_of, array.tolist()), dtype=np.float64, count=len(array))


def number_of(value: Any) -> float:
    """One value as a number, NaN where it is missing or none."""
    if isinstance(value, (float, int, np.number, Decimal)):
        try:
            return float(value)
        except OverflowError:
            return float("inf") if value > 0 else float("-inf")
        except (ValueError, TypeError):  # a signalling NaN, a complex number
            return float("nan")
    is_time = isinstance(value, (dt.date, dt.timedelta, str)) and not is_missing(value)
    return _seconds(value) if is_time else float("nan")


def name_of(value: Any) -> str | None:
    """One value as the name of a category, None where it is missing."""
    if is_missing(value):
        return None
    text = _text(value)
    if not text.isascii():
        # JSON is UTF-8, which has no lone surrogates.
        text = text.encode("utf-8", "backslashreplace").decode()
    if len(text) <= LONGEST_NAME:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"{text[: LONGEST_NAME - 17]}…{digest}"


def length_of(value: Any) -> float:
    """Characters of one value's text, NaN where it is missing."""
    return float("nan") if is_missing(value) else float(len(_text(value)))


def is_missing(value: Any) -> bool:
    """Whether a value is None, NaN, NaT or NA."""
    if value is None:
        return True
    try:
        return bool(value != value)
    except TypeError:  # pd.NA is neither equal nor unequal to anything
        return type(value).__name__ == "NAType"
    except ArithmeticError:  # a decimal's signalling NaN
        return True
    except ValueError:  # an array, which is a value of its own
        return False


def count_nans(values: Any) -> int:
    """How many values are a float's NaN, and not None or NA."""
    array = plain(values)
    if array.dtype.kind == "f":
        return int(np.isnan(array).sum())
    if array.dtype.kind != "O":
        return 0
    return sum(1 for value in array.tolist() if isinstance(value, float) and value != value)


def plain(values: Any) -> NDArray[Any]:
    """A column as a NumPy array, of objects where NumPy has no dtype for it. Shape (n,)."""
    if isinstance(values, np.ndarray):
        return values
    if not hasattr(values, "to_numpy"):
        return _from_list(values)
    dtype = values.dtype
    if getattr(dtype, "tz", None) is not None:
        values = values.dt.tz_convert("UTC").dt.tz_localize(None)
    elif isinstance(dtype, np.dtype):
        pass
    elif not is_declared(values) and getattr(dtype, "kind", "O") in "iuf":
        return np.asarray(values.to_numpy(dtype=np.float64, na_value=np.nan))
    else:
        return np.asarray(values.to_numpy(dtype=object))
    return np.asarray(values.to_numpy())


def _from_list(values: Iterable[Any]) -> NDArray[Any]:
    """Floats where all are floats, objects otherwise: NumPy would make numbers of booleans, and text of numbers."""
    values = list(values)
    if {*map(type, values)} <= {float}:
        return np.array(values, dtype=np.float64)
    return np.fromiter(values, dtype=object, count=len(values))


def _kind_of_objects(values: Iterable[Any]) -> str:
    types = {type(value) for value in values if not is_missing(value)}
    if not types:
        return EMPTY
    for kind, known in (
        (BOOLEAN, (bool, np.bool_)),
        (DATETIME, (dt.date,)),
        (DURATION, (dt.timedelta,)),
        (NUMBER, (int, float, np.integer, np.floating, Decimal)),
    ):
        if all(issubclass(each, known) and (kind == BOOLEAN or each is not bool) for each in types):
            return kind
    return CATEGORY


def _is_plain(text: str) -> bool:
    return len(text) <= LONGEST_NAME and text.isascii()


def _text(value: Any) -> str:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (float, np.floating)):
        value = float(value)
        return str(int(value)) if value.is_integer() and abs(value) < _EXACT else repr(value)
    if isinstance(value, (int, np.integer)):
        # Python refuses to write very long integers in decimal.
        return str(int(value)) if abs(int(value)) < 10**100 else hex(value)
    return str(value)


def _seconds(value: dt.date | dt.timedelta | str) -> float:
    """Through whole microseconds, so that a value is the same number whatever stores it."""
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            return float("nan")
    if isinstance(value, dt.datetime):
        # Not by astimezone, which fails at the ends of the calendar.
        value = value.replace(tzinfo=None) - _EPOCH - (value.utcoffset() or dt.timedelta())
    elif isinstance(value, dt.date):
        value = (value - _EPOCH.date()).days * _DAY
    return ((value.days * 86_400 + value.seconds) * 10**6 + value.microseconds) / 1e6
