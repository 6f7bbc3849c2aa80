"""Numbers, times and names as the page says them. Names come from training data and callers: they may be anything."""

from __future__ import annotations

import datetime as dt
import unicodedata
from typing import Final

from modelimg_runtime.monitor.counts import iso
from modelimg_runtime.pages.html import Html, element

LONGEST: Final = 60
"""Characters of a name in a table or a chart; the whole of it stands at its details."""
LONGEST_WHOLE: Final = 300
_REPLACED: Final = "\ufffd"
_NONE: Final = frozenset("\ufffe\uffff")
"""They are no characters."""
_HIDDEN: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
_TURNS: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""They change the direction of what follows, beyond the name's own end."""
_UNITS: Final = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_EARLIEST: Final = -62_135_596_800.0
_LATEST: Final = 253_402_300_799.0
"""The years 1 and 9999, in seconds since 1970."""


def shown(name: str, longest: int = LONGEST) -> str:
    """A name as plain text: what cannot be seen or would turn the text around is replaced, and its middle left out."""
    clean = "".join(_REPLACED if _is_hidden(char) else char for char in name)
    if len(clean) > longest:
        half = (longest - 1) // 2
        clean = f"{clean[:half]}…{clean[-half:]}"
    return clean if clean.strip() else f"“{clean}”"


def _is_hidden(char: str) -> bool:
    return char in _TURNS or char in _NONE or unicodedata.category(char) in _HIDDEN


def named(name: str, longest: int = LONGEST) -> Html:
    """The same as an element, whose direction is its own."""
    return element("bdi", shown(name, longest))


def number(value: float, digits: int = 3) -> str:
    """So many digits; all of those before the point, up to seven."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.{digits}g}"


def count(value: int) -> str:
    """With thousands apart."""
    return f"{value:,}"


def counted(value: int, noun: str) -> str:
    """``1 row``, ``2 rows``."""
    return f"{value:,} {noun}{'' if value == 1 else 's'}"


def percent(share: float) -> str:
    """A share; what is not quite nothing or not quite all is not said to be."""
    value = 100 * share
    if 0 < value < 0.1:
        return "<0.1\u00a0%"
    if 99.9 < value < 100:
        return ">99.9\u00a0%"
    return f"{value:.0f}\u00a0%" if value == 0 or 9.95 <= value <= 99 or value == 100 else f"{value:.1f}\u00a0%"


def moment(seconds: float) -> Html:
    """A time of the clock, in UTC."""
    stamp = iso(seconds) or ""
    return element("time", f"{stamp[:10]} {stamp[11:16]}\u00a0UTC", datetime=stamp)


def length(seconds: float) -> str:
    """A length of time in its largest whole unit."""
    for size, unit in _UNITS:
        if seconds >= size and seconds % size == 0:
            return f"{number(seconds / size)}\u00a0{unit}"
    return f"{number(seconds)}\u00a0s"


def edge(kind: str, value: float, digits: int = 4) -> str:
    """An edge of a bin, as values of its column's kind are written."""
    if kind == "datetime" and _EARLIEST <= value <= _LATEST:
        written = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc) + dt.timedelta(seconds=value)
        return written.strftime("%Y-%m-%d") if value % 86_400 == 0 else written.strftime("%Y-%m-%d %H:%M")
    return length(value) if kind == "duration" and value > 0 else number(value, digits)
