"""Which typed values may stand in which columns: a date is never taken for a text, nor a bool for a number."""

from __future__ import annotations

from typing import Final

NUMBER, BOOL, TEXT, DATETIME, TIMEDELTA = "number", "bool", "text", "datetime", "timedelta"

_SCALARS: Final = frozenset({NUMBER, BOOL, TEXT})
_FITTING: Final = {
    "float": frozenset({NUMBER}),
    "int": frozenset({NUMBER}),
    "bool": frozenset({BOOL}),
    "str": frozenset({TEXT}),
    "category": _SCALARS,
    "datetime": frozenset({DATETIME, TEXT}),
    "timedelta": frozenset({TIMEDELTA, TEXT}),
    "any": _SCALARS,
}


def fits(family: str, kind: str) -> bool:
    """Whether values of a family may stand in a column of a kind, as `cells` has them."""
    return family in _FITTING[kind]
