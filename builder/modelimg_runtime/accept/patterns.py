r"""Regular expressions of which Python's ``re`` and RE2 say the same.

pandas matches strings with ``re``, or with RE2 where pyarrow stores them. The two differ: in ``\s``, in ``$`` before a
final line break, in ``\d`` and ``\w`` outside of ASCII, in what RE2 does not know (look-around, back references,
``\Z``), does not take (``a{2000}``) or reads otherwise (``{,3}``, ``[[:alpha:]]``). So patterns are compiled from the
part of the language that both have, and asked only about printable ASCII; other strings are for pandas to decide.
"""

from __future__ import annotations

import re
from math import prod
from typing import Final

_LITERAL = r"[A-Za-z0-9 _,:;%/#@!=<>'\"&~`.-]"  # with the dot, which is any character
_ESCAPED = r"\\[dDwWsS\]\[.*+?^$|(){}\\/ -]"
_MEMBER = rf"(?:[A-Za-z]-[A-Za-z]|[0-9]-[0-9]|[A-Za-z0-9 _.,:;%+*/#@!?=<>'\"$(){{}}]|{_ESCAPED})"
_SET = rf"\[\^?-?{_MEMBER}+-?\]"
_REPEAT = r"(?:[*+?]|\{\d{1,3}(?:,\d{0,3})?\})\??"
_TOKEN = rf"(?:(?:{_LITERAL}|{_ESCAPED}|{_SET}|\))(?:{_REPEAT})?|\((?:\?:)?|\||\^|\$|\\b)"
_SHARED: Final = re.compile(rf"{_TOKEN}*", re.ASCII)
_COUNT: Final = re.compile(r"\{(\d+)(?:,(\d*))?\}")
_LONGEST: Final = 500
_MOST_REPEATS: Final = 1000
"""RE2's limit for counted repeats, nested ones multiplied."""


def shared_pattern(pattern: str) -> re.Pattern[str] | None:
    """The pattern compiled; None where the two engines may differ, or one refuses it."""
    if len(pattern) > _LONGEST or not _SHARED.fullmatch(pattern):
        return None
    counts = (max(int(low), int(high or 1), 1) for low, high in _COUNT.findall(pattern))
    if prod(counts) > _MOST_REPEATS:
        return None
    try:
        return re.compile(pattern)
    except re.error:
        return None


def plain(text: str) -> bool:
    """Whether both engines see the same in the string: printable ASCII."""
    return text.isascii() and text.isprintable()
