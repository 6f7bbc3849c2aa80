"""Kinds of dtypes by their names, so that a serialised contract can be described without pandas."""

from __future__ import annotations

import re
from typing import Final

_FLOATS: Final = re.compile(r"(float|Float)(16|32|64)")
_INTS: Final = re.compile(r"[uU]?[iI]nt(8|16|32|64)")
_TIMES: Final = re.compile(r"(datetime64|timedelta64)\[(s|ms|us|ns)(?:, .+)?\]")
_NAMES: Final = {
    "bool": "bool",
    "boolean": "bool",
    "str": "str",
    "string": "str",
    "category": "category",
    "object": "any",
}


def kind_of(dtype: str | None) -> str | None:
    """The kind of a dtype; None of one that no JSON value can fill."""
    if not dtype:
        return "any"
    if _FLOATS.fullmatch(dtype):
        return "float"
    if _INTS.fullmatch(dtype):
        return "int"
    times = _TIMES.fullmatch(dtype)
    if times:
        return times[1].removesuffix("64")
    return _NAMES.get(dtype)


def has_missing(dtype: str) -> bool:
    """Whether a column of the dtype can hold a missing value: all but numpy's own ints and bools."""
    return not (dtype == "bool" or re.fullmatch(r"u?int\d+", dtype))


def int_limits(dtype: str) -> tuple[int, int]:
    """Least and greatest value of a dtype of whole numbers."""
    bits = int(re.sub(r"\D", "", dtype))
    return (0, 2**bits - 1) if dtype.lower().startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def float_limit(dtype: str) -> float | None:
    """Greatest value of a dtype of floats; None where it is that of JSON's own numbers."""
    return {"16": 65504.0, "32": 3.4028234663852886e38}.get(dtype[-2:])


def unit_of(dtype: str) -> str:
    """The unit of a dtype of times: ``s``, ``ms``, ``us`` or ``ns``."""
    times = _TIMES.fullmatch(dtype)
    return times[2] if times else "ns"


def has_zone(dtype: str) -> bool:
    """Whether a dtype of times has a time zone."""
    return "," in dtype
