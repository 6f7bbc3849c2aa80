"""JSON by orjson where its answer is the one that Python's own reader gives, which is slower by four to five times.

orjson takes the last of two equal keys, and makes floats of whole numbers beyond 64 bits. Both are found by counting
bytes; then, and where orjson refuses, the other reader is to decide, so that what is refused, and in which words, does
not depend on which of them reads.
"""

from __future__ import annotations

from typing import Any, Final

import orjson


class _Unsure:
    def __repr__(self) -> str:
        return "UNSURE"


UNSURE: Final = _Unsure()
"""Stands for what the other reader has to decide."""

_BEFORE_COLON = (b" :", b"\t:", b"\n:", b"\r:")
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_BEYOND_64_BITS = b"0" * 19
"""A number of so many digits may be beyond them, and no shorter one is."""


def loads(body: bytes) -> Any:
    """The value of a JSON text, or ``UNSURE``."""
    if _BEYOND_64_BITS in body.translate(_DIGITS):
        return UNSURE
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return UNSURE
    keys = _count_keys(value, body.count(b"{"))
    # A colon follows each key. There are as many, unless a key came twice, or a string holds some too, as a time does;
    # then those count that follow a quotation mark, where none stands apart from it.
    if keys == body.count(b":") or (keys == body.count(b'":') and not any(gap in body for gap in _BEFORE_COLON)):
        return value
    return UNSURE


def _count_keys(value: Any, objects: int) -> int:
    """The keys of all objects in a value; level by level, so that long arrays of numbers are not looked through.

    Args:
        value: of a JSON text.
        objects: how many there are at most.
    """
    count, level = 0, [value]
    while level and objects > 0:
        found = [each for each in level if type(each) is dict]
        count += sum(map(len, found))
        objects -= len(found)
        if objects > 0:
            below: list[Any] = []
            for each in level:
                below += each.values() if type(each) is dict else each
            level = [each for each in below if type(each) is dict or type(each) is list]
    return count
