"""CSV fields as JSON values: text has no types, so a column's own kind says what a field may stand for."""

from __future__ import annotations

import re
from typing import Any

_NUMBER = re.compile(r"[+-]?(\d{1,400})(\.\d{1,400})?([eE][+-]?\d{1,4})?", re.ASCII)
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}


def value_of(kind: str, text: str) -> Any:
    """The JSON value that a CSV field stands for; text that is none stays text, and is refused as a cell.

    An empty field is a missing value, in columns of strings too.

    Args:
        kind: of the column: ``float``, ``int``, ``bool``, or any other, which is read as text.
        text: the field.
    """
    if text == "":
        return None
    if kind in ("float", "int") and _NUMBER.fullmatch(text):
        return float(text) if any(mark in text for mark in ".eE") else int(text)
    return _BOOLS.get(text, text) if kind == "bool" else text
