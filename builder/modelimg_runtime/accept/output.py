"""The accept-test of what a model answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import fsum
from typing import Any, Final

import numpy as np

from modelimg_runtime import contract
from modelimg_runtime.accept.checks import NotCompiled
from modelimg_runtime.accept.rules import CATEGORY, ColumnRule, TableRules
from modelimg_runtime.accept.table import FEW_ROWS, TableTest

Array = np.ndarray[Any, np.dtype[Any]]
RowTest = Callable[[Sequence[Any]], bool]

_EPSILON: Final = float(np.finfo(np.float64).eps)
_LARGEST_PROBABILITY: Final = 2.0**10
"""Bound that the columns under a sum must have, so that rounding stays far below any tolerance."""


class OutputTest:
    """Accepts answers that pandera would accept as a frame, and in which nothing is infinite.

    Args:
        rules: of the output schema.

    Raises:
        NotCompiled: categories, probabilities without bounds, or a tolerance so small that the order of summation
            decides.
    """

    def __init__(self, rules: TableRules) -> None:
        if any(rule.dtype == CATEGORY for rule in rules.columns):
            raise NotCompiled("the output schema has the dtype category, and an answer is an array")
        # A frame's missing strings are objects, and an answer has none.
        columns = tuple(replace(rule, nullable=rule.nullable and rule.kind == "float") for rule in rules.columns)
        self._rules = replace(rules, columns=columns)
        self._dtypes = tuple(np.dtype(rule.dtype) for rule in columns)
        self._table = TableTest(self._rules)
        self._sum = None if rules.sums_to_one is None else _SumTest(rules)

    def accepts(self, columns: Mapping[str, Array]) -> bool:
        """Whether the columns are what the schema says.

        Args:
            columns: arrays of shape (rows,), as the output frame is made of.
        """
        if not self._named(columns) or not _shaped(list(columns.values())):
            return False
        arrays = [columns[rule.name] for rule in self._rules.columns]
        if not all(map(_of_dtype, arrays, self._dtypes)):
            return False
        if self._table.columns([*map(_values, self._rules.columns, arrays)]) is None:
            return False
        return self._sum is None or self._sum.accepts(arrays)

    def single(self, names: Sequence[str], dtypes: Sequence[np.dtype[Any]]) -> RowTest | None:
        """The same test of one row of such columns as JSON values, in which arrays would take longer than the model.

        Args:
            names: of all columns.
            dtypes: of their arrays.

        Returns:
            None where `accepts` has to look at the arrays.
        """
        rules = self._rules.columns
        if {*names} != {*self._rules.names} or len(names) != len(rules) or any(rule.nullable for rule in rules):
            return None
        if self._rules.ordered and tuple(names) != tuple(self._rules.names):
            return None
        places = [names.index(rule.name) for rule in rules]
        empty = [np.empty(0, dtypes[place]) for place in places]
        if not all(map(_of_dtype, empty, self._dtypes)):
            return None
        row, sums = self._table.row, self._sum

        def accepted(values: Sequence[Any]) -> bool:
            cells = tuple([values[place] for place in places])
            # No infinity is within the bounds of a row's numbers.
            return row(cells) is not None and (sums is None or sums.accepts_row(cells))

        return accepted

    def _named(self, columns: Mapping[str, Array]) -> bool:
        """Whether all columns are there, in order where that matters, and the others do no harm."""
        names = self._rules.names
        if len(columns) == len(names):
            return list(columns) == list(names) if self._rules.ordered else all(name in columns for name in names)
        if self._rules.strict or self._rules.ordered or not all(name in columns for name in names):
            return False
        return all(_harmless(name, columns[name]) for name in columns if name not in names)


class _SumTest:
    """Whether each row's probabilities sum to 1.

    pandas may add them up in another order than this does, so the tolerance is less by what that can change.
    """

    def __init__(self, rules: TableRules) -> None:
        self._positions = [
            position for position, rule in enumerate(rules.columns) if rule.name.startswith(contract.PROBABILITY_PREFIX)
        ]
        summed = [rules.columns[position] for position in self._positions]
        largest = max((_largest(rule) for rule in summed), default=_LARGEST_PROBABILITY)
        tolerance = rules.sums_to_one or 0.0
        self._tolerance = tolerance - 4 * len(summed) ** 2 * max(largest, 1.0) * _EPSILON
        if largest >= _LARGEST_PROBABILITY:
            raise NotCompiled("the output schema sums columns that are no float64 with bounds")
        if self._tolerance <= 0:
            raise NotCompiled(f"the output schema sums columns to within {tolerance}, where rounding decides")

    def accepts(self, columns: Sequence[Array]) -> bool:
        arrays = [columns[position] for position in self._positions]
        if len(arrays[0]) > FEW_ROWS:
            return bool((np.abs(np.sum(arrays, axis=0) - 1) <= self._tolerance).all())
        rows = zip(*(array.tolist() for array in arrays), strict=True)
        return all(map(self._is_one, rows))

    def accepts_row(self, cells: Sequence[Any]) -> bool:
        return self._is_one([cells[position] for position in self._positions])

    def _is_one(self, row: Sequence[float]) -> bool:
        return abs(fsum(row) - 1) <= self._tolerance


def _largest(rule: ColumnRule) -> float:
    if rule.dtype != "float64":
        return _LARGEST_PROBABILITY
    return float(max(map(abs, (rule.lowest, rule.highest, *(rule.allowed or ())))))


def _shaped(arrays: Sequence[Any]) -> bool:
    """Whether all are plain arrays of one dimension and one length, not empty."""
    if any(type(array) is not np.ndarray for array in arrays):
        return False
    shape: tuple[int, ...] = arrays[0].shape
    return len(shape) == 1 and shape[0] > 0 and all(array.shape == shape for array in arrays)


def _of_dtype(array: Array, dtype: np.dtype[Any]) -> bool:
    if dtype.kind == "U":  # an object that is no string is refused as a cell
        return array.dtype.kind in "UO"
    return array.dtype == dtype


def _values(rule: ColumnRule, array: Array) -> list[Any]:
    """The array as JSON values: NaN is a missing one."""
    values: list[Any] = array.tolist()
    return [None if value != value else value for value in values] if rule.nullable else values


def _harmless(name: str, array: Array) -> bool:
    """Whether a column that the schema does not name can be served: it has no infinity and is no probability."""
    if name.startswith(contract.PROBABILITY_PREFIX) or array.dtype.kind not in "biufU":
        return False
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())
