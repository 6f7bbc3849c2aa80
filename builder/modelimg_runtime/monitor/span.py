"""The span of time that a reader asks for: ``total``, ``24h``, or from one moment to another."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from modelimg_runtime.monitor.counts import iso, seconds

TOTAL: Final = "total"
_LAST = re.compile(r"([1-9][0-9]{0,5})([mhd])", re.ASCII)
_UNITS: Final = {"m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class Span:
    """The last so many seconds, or from one moment to another. Windows that reach into it belong to it.

    Attributes:
        text: as it was asked for.
        last: seconds; None where there are bounds.
        start: seconds since 1970.
        end: seconds since 1970.
    """

    text: str
    last: int | None = None
    start: float = 0.0
    end: float = 0.0

    def bounds(self, now: float) -> tuple[float, float]:
        """Its beginning and its end in seconds since 1970."""
        return (self.start, self.end) if self.last is None else (now - self.last, now + 1)


def span_of(text: str) -> Span | None:
    """Read ``total``, which is None, ``90m``, ``24h``, ``7d``, or two ISO 8601 times with zones and a slash between.

    Raises:
        ValueError: it is none of these.
    """
    if text == TOTAL:
        return None
    if match := _LAST.fullmatch(text):
        return Span(text, last=int(match[1]) * _UNITS[match[2]])
    first, slash, second = text.partition("/")
    try:
        start, end = seconds(first), seconds(second)
    except (ValueError, OverflowError):
        start = end = None
    if not slash or start is None or end is None or start >= end:
        raise ValueError(f"a window is {TOTAL}, as long as 90m, 24h or 7d, or like {iso(0)}/{iso(3600)}")
    return Span(text, start=start, end=end)
