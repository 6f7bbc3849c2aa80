"""The tests of a table: rows one by one while there are few, whole columns from there on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from modelimg_runtime.accept.columns import Cells, Column, ColumnsTest
from modelimg_runtime.accept.rows import compile_rows
from modelimg_runtime.accept.rules import TableRules

FEW_ROWS: Final = 16
"""Rows up to which one by one is faster, measured for 30 columns of floats."""


class TableTest:
    """Values → cells. Holds no state between calls, so threads may share one.

    Args:
        rules: of the table's columns.
    """

    def __init__(self, rules: TableRules) -> None:
        self.row = compile_rows(rules.columns)
        self._columns = ColumnsTest(rules.columns)

    def columns(self, columns: Sequence[Column]) -> Cells | None:
        """Cells of columns of values, in the order of the rules; None where any is not accepted.

        Args:
            columns: of one length, at least 1.
        """
        cells = self._columns(columns) if len(columns[0]) > FEW_ROWS else self._by_rows(columns)
        return cells if cells is not None and self._columns.distinct(cells.columns) else None

    def _by_rows(self, columns: Sequence[Column]) -> Cells | None:
        rows: list[tuple[Any, ...]] = []
        for values in zip(*columns, strict=True):
            cells = self.row(values)
            if cells is None:
                return None
            rows.append(cells)
        return Cells(tuple(zip(*rows, strict=True)), {})
