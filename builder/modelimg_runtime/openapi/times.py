r"""Patterns of the dates, times and durations that a column takes, exact to the leap day.

``format: date-time`` would not do: a date alone is taken too, an offset exactly where the dtype has a time zone, and no
more digits of a second than it can hold. Written in what every dialect of regular expressions reads alike.
"""

from __future__ import annotations

from typing import Final

_DIGITS: Final = {"s": 0, "ms": 3, "us": 6, "ns": 9}
_MOST_DIGITS: Final = {"s": 6, "ms": 6, "us": 6, "ns": 9}
"""Digits that may be written: from seven on, pandas counts in nanoseconds, which do not reach every year."""

_LEAP: Final = "(?:0[48]|[2468][048]|[13579][26])"
_COMMON_DAY: Final = "(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
_YEARS: Final = "[1-9][0-9]{3}", f"(?:[1-9][0-9]{_LEAP}|(?:[2468][048]|[13579][26])00)"
_YEARS_IN_NANOSECONDS: Final = (
    "(?:167[89]|16[89][0-9]|1[7-9][0-9]{2}|2[01][0-9]{2}|22[0-5][0-9]|226[01])",
    f"(?:16(?:8[048]|9[26])|(?:1[7-9]|2[01]){_LEAP}|2000|22(?:0[48]|[24][048]|[135][26]|60))",
)
"""Years, and leap years: 64 bits of nanoseconds reach from September 1677 to April 2262."""
_CLOCK: Final = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"


def datetime_pattern(unit: str, *, zone: bool) -> str:
    """Pattern of ISO 8601 dates with an optional time, and with an offset exactly where there is a time zone.

    Args:
        unit: of the dtype: ``s``, ``ms``, ``us`` or ``ns``.
        zone: whether the dtype has a time zone.
    """
    years, leap_years = _YEARS_IN_NANOSECONDS if unit == "ns" else _YEARS
    date = f"(?:{years}-{_COMMON_DAY}|{leap_years}-02-29)"
    clock = f"[T ]{_CLOCK}(?::[0-5][0-9]{_fraction(unit)})?"
    return f"^{date}{clock}(?:Z|[+-]{_CLOCK})$" if zone else f"^{date}(?:{clock})?$"


def duration_pattern(unit: str) -> str:
    """Pattern of ISO 8601 durations of days, hours, minutes and seconds, small enough for 64 bits of nanoseconds.

    pandas takes any number of seconds, and hours and minutes of two digits.

    Args:
        unit: of the dtype: ``s``, ``ms``, ``us`` or ``ns``.
    """
    hours, minutes, seconds = "[0-9]{1,2}H", "[0-9]{1,2}M", f"[0-9]{{1,8}}{_fraction(unit)}S"
    clock = f"T(?:{hours}(?:{minutes})?(?:{seconds})?|{minutes}(?:{seconds})?|{seconds})"
    return f"^-?P(?:[0-9]{{1,5}}D(?:{clock})?|{clock})$"


def _fraction(unit: str) -> str:
    digits, most = _DIGITS[unit], _MOST_DIGITS[unit]
    zeros = f"0{{0,{most - digits}}}" if digits < most else ""
    return rf"(?:\.[0-9]{{1,{digits}}}{zeros})?" if digits else rf"(?:\.0{{1,{most}}})?"
