"""Values of frames as values of JSON, and the short form in which an error report shows them."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

LONGEST_SHOWN = 200
"""Characters of a failing value that an error report repeats."""
_LARGEST_SHOWN_INT = 2**63


def json_values(values: Iterable[Any]) -> list[Any]:
    """Values of a column, an index or an array as JSON values; every kind of missing value becomes None.

    Timestamps become ISO 8601 strings, and nested lists or array rows become lists.

    Raises:
        ValueError: an infinity, which JSON cannot hold.
        TypeError: a value of a kind that JSON does not know.
    """
    array = values if isinstance(values, np.ndarray) else getattr(values, "array", values)
    if isinstance(array, np.ndarray) and (
        array.dtype.kind in "biu" or (array.dtype.kind == "f" and _all_finite(array))
    ):
        return list(array.tolist())
    return [_json_value(value) for value in values]


def shown(value: Any) -> Any:
    """A failing value as an error report shows it: always JSON, never longer than ``LONGEST_SHOWN`` characters."""
    if isinstance(value, (dict, list, tuple)):
        return "an object" if isinstance(value, dict) else "an array"
    if isinstance(value, (float, np.floating)) and math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    try:
        plain = _json_value(value)
    except (TypeError, ValueError):
        plain = type(value).__name__
    if isinstance(plain, int) and abs(plain) >= _LARGEST_SHOWN_INT:
        plain = str(plain) if plain.bit_length() < 1024 else f"a whole number of {plain.bit_length()} bits"
    return shortened(plain) if isinstance(plain, str) else plain


def shortened(text: str) -> str:
    """The text, cut to ``LONGEST_SHOWN`` characters."""
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 1]}…"


def _all_finite(array: np.ndarray[Any, Any]) -> bool:
    return bool(np.isfinite(array).all())


def _json_value(value: Any) -> Any:
    if value is None or isinstance(value, (bool, str)) or type(value) is int:
        return value
    if isinstance(value, float):
        return _json_float(float(value))
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_json_value(item) for item in value]
    if value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, (pd.Timestamp, pd.Timedelta, dt.date)):
        return value.isoformat()
    if isinstance(value, (np.datetime64, np.timedelta64)):
        return _json_value(pd.Timestamp(value) if isinstance(value, np.datetime64) else pd.Timedelta(value))
    if isinstance(value, np.generic):
        return _json_value(value.item())
    raise TypeError(f"JSON knows no {type(value).__name__}")


def _json_float(value: float) -> float | None:
    if math.isinf(value):
        raise ValueError("JSON knows no infinity")
    return None if math.isnan(value) else value
