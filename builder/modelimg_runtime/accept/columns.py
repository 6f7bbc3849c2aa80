"""Whole columns at a time: builtins that run over a list in C, and one matrix for all columns of floats."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import numpy as np

from modelimg_runtime.accept.fold import EXACT, ColumnRule, encodable
from modelimg_runtime.accept.rows import MISSING_TEXT, compile_rows

Column = Sequence[Any]
Matrix = np.ndarray[Any, np.dtype[np.float64]]
Doubles = dict[tuple[int, ...], Matrix]
"""Positions of columns → these as 64-bit floats, one *column* a line; see ``columns.Batch``."""


@dataclass(frozen=True)
class Cells:
    """What was accepted.

    Attributes:
        columns: cells of each column.
        doubles: what was made of them on the way.
    """

    columns: Sequence[Column]
    doubles: Doubles


class ColumnsTest:
    """The test of many rows. What it accepts and hands on is what the test of single rows does.

    Args:
        rules: one for each column.
    """

    def __init__(self, rules: Sequence[ColumnRule]) -> None:
        self._rules = tuple(rules)
        self._doubles = tuple(position for position, rule in enumerate(rules) if rule.dtype == "float64")
        self._floating = [rules[position] for position in self._doubles]
        self._lowest = np.array([[rule.lowest] for rule in self._floating])
        self._highest = np.array([[rule.highest] for rule in self._floating])
        self._others = [
            (position, _column_test(rule)) for position, rule in enumerate(rules) if rule.dtype != "float64"
        ]
        self._distinct = [position for position, rule in enumerate(rules) if rule.unique]

    def __call__(self, columns: Sequence[Column]) -> Cells | None:
        """Columns of values in the order of the rules → their cells; None where any is not accepted."""
        made: Doubles = {}
        if self._doubles:
            matrix = self._floats([columns[position] for position in self._doubles])
            if matrix is None:
                return None
            if not any(rule.nullable for rule in self._floating):  # what stands for null is a number here
                made[self._doubles] = matrix
        cells = list(columns)
        for position, test in self._others:
            read = test(columns[position])
            if read is None:
                return None
            cells[position] = read
        return Cells(cells, made)

    def distinct(self, cells: Sequence[Column]) -> bool:
        """Whether no value comes twice in any column that must be unique; two missing ones are twice the same."""
        return all(_distinct(self._rules[position], cells[position]) for position in self._distinct)

    def _floats(self, columns: Sequence[Column]) -> Matrix | None:
        """One *column* a line; None where any is not accepted."""
        flat, rules = list(chain.from_iterable(columns)), self._floating
        if [*map(type, flat)].count(float) != len(flat):
            filled = [_filled(rule, values) for rule, values in zip(rules, columns, strict=True)]
            if any(values is None for values in filled):
                return None
            flat = list(chain.from_iterable(values for values in filled if values is not None))
        # Half the time of np.array, which looks at every value to find a type.
        matrix = np.frombuffer(struct.pack(f"{len(flat)}d", *flat)).reshape(len(columns), -1)
        if not ((self._lowest <= matrix) & (matrix <= self._highest)).all():
            return None
        passed = all(_members_pass(rule, values) for rule, values in zip(rules, columns, strict=True))
        return matrix if passed else None


def _filled(rule: ColumnRule, values: Column) -> Column | None:
    """The values with the least number for null, which passes; None where one is no number of a float64's range."""
    types = {*map(type, values)} - {float}
    if not types <= ({int, type(None)} if rule.nullable else {int}):
        return None
    whole = [value for value in values if type(value) is int]
    # As exact numbers: as a float, one a little too large would be rounded to the greatest float.
    if whole and not -_HIGHEST <= min(whole) <= max(whole) <= _HIGHEST:
        return None
    return [rule.lowest if value is None else value for value in values] if type(None) in types else values


_HIGHEST: Final = float(np.finfo(np.float64).max)


def _members_pass(rule: ColumnRule, values: Column) -> bool:
    """Membership tests of what is known to be numbers, or null where that may be."""
    if rule.allowed is not None:
        return (rule.allowed | {None} if rule.nullable else rule.allowed).issuperset(values)
    return not rule.forbidden or rule.forbidden.isdisjoint(values)


def _column_test(rule: ColumnRule) -> Callable[[Column], Column | None]:
    if rule.kind == "float":
        return _single_test(rule)
    return {"int": _int_test, "bool": _bool_test, "str": _text_test}[rule.kind](rule)


def _single_test(rule: ColumnRule) -> Callable[[Column], Column | None]:
    """Float32 value by value: rare, and rounding comes between its two tests."""
    test = compile_rows([rule])

    def cells(values: Column) -> Column | None:
        read = [test((value,)) for value in values]
        return None if None in read else [cell for row in read if row is not None for cell in row]

    return cells


def _int_test(rule: ColumnRule) -> Callable[[Column], Column | None]:
    def cells(values: Column) -> Column | None:
        if {*map(type, values)} != {int}:
            values = [_whole(value) for value in values]
            if {*map(type, values)} != {int}:
                return None
        passes = rule.lowest <= min(values) and max(values) <= rule.highest
        return values if passes and _members_pass(rule, values) else None

    return cells


def _whole(value: Any) -> Any:
    return int(value) if type(value) is float and value.is_integer() and -EXACT <= value <= EXACT else value


def _bool_test(rule: ColumnRule) -> Callable[[Column], Column | None]:
    def cells(values: Column) -> Column | None:
        return values if {*map(type, values)} == {bool} and _members_pass(rule, values) else None

    return cells


def _text_test(rule: ColumnRule) -> Callable[[Column], Column | None]:
    tests = [text.function() for text in rule.texts]

    def cells(values: Column) -> Column | None:
        types = {*map(type, values)}
        if not types <= ({str, type(None)} if rule.nullable else {str}):
            return None
        texts = [value for value in values if value is not None]
        if not _members_pass(rule, texts):
            return None
        if rule.allowed is None and not (_sizes_pass(rule, texts) and encodable("".join(texts))):
            return None
        if not all(test(text) for test in tests for text in texts):
            return None
        return [MISSING_TEXT if value is None else value for value in values] if type(None) in types else values

    return cells


def _sizes_pass(rule: ColumnRule, texts: Sequence[str]) -> bool:
    sizes = {*map(len, texts)}
    return not sizes or (rule.lowest <= min(sizes) and max(sizes) <= rule.highest)


def _distinct(rule: ColumnRule, cells: Column) -> bool:
    if rule.kind == "float":  # whole numbers that differ may be one float
        cells = [cell if cell is None else float(cell) for cell in cells]
    return len({*cells}) == len(cells)
