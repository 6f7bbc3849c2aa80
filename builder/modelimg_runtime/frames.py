"""Columns of JSON values → a frame with the schema's columns, order and dtypes, or every reason why not."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

from modelimg_runtime.cells import CellRefused, CellType, cell_type
from modelimg_runtime.columns import ABSENT as ABSENT
from modelimg_runtime.errors import PayloadError, Violation
from modelimg_runtime.texts import values_of
from modelimg_runtime.validation import validated
from modelimg_runtime.values import json_values as json_values
from modelimg_runtime.values import shortened
from modelimg_runtime.violations import Violations

__all__ = ["ABSENT", "FrameReader", "frame_from_columns", "json_values"]


def frame_from_columns(
    columns: Mapping[str, Sequence[Any]], schema: pa.DataFrameSchema
) -> tuple[pd.DataFrame, list[Violation]]:
    """Read columns of JSON values into a frame of the schema's dtypes; ``FrameReader(schema).read(columns)``."""
    return FrameReader(schema).read(columns)


@dataclass(frozen=True)
class _Column:
    """One column as it was read: the cells that could be, and for each row 1 where its cell could not."""

    name: str
    part: pa.Column
    type: CellType
    cells: list[Any]
    bad: bytes


class FrameReader:
    """Reads requests for one input schema.

    Extra columns are refused, also where the schema is not strict: it says nothing about how they are to be read. With
    ``strict="filter"`` they are left out.

    Args:
        schema: the input schema.
        most: how many violations of a request are named at most; the others are counted.

    Raises:
        ContractUnusable: a column has a dtype that no JSON value can fill.
    """

    def __init__(self, schema: pa.DataFrameSchema, most: int | None = None) -> None:
        self._schema, self._most = schema, most
        self._types = {name: cell_type(column, schema.dtype) for name, column in schema.columns.items()}

    @property
    def kinds(self) -> dict[str, str]:
        """Column of the schema → kind of its values, as ``cells`` has them."""
        return {str(name): kind.kind for name, kind in self._types.items()}

    def read(self, columns: Mapping[str, Sequence[Any]]) -> tuple[pd.DataFrame, Violations]:
        """A frame in the schema's order, and the violations.

        Without violations, the frame has the schema's dtypes and is still to be validated. With some, they are all that
        there are: the cells that could be read have been validated too, and the frame holds the rows that are whole.

        Raises:
            PayloadError: the columns are not sequences of one length.
        """
        rows = _row_count(columns)
        matched = list(self._match(columns))
        found = Violations([name for name, _ in matched], self._most)
        self._note_wrong_columns(columns, {name for name, _ in matched}, found)
        if rows == 0:
            found.note(None, None, "not_empty", None)
        read = [self._read(name, pattern, columns[name], found) for name, pattern in matched]
        if not found:
            return pd.DataFrame({column.name: column.type.build(column.cells) for column in read}), found
        self._validate_parts(read, rows, found, whole=len(read) >= len(self._schema.columns))
        return _excerpt(read, rows)[0], found.settle()

    def frame_of_cells(self, cells: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
        """The same frame of cells that the compiled test of the schema has read, which knows no columns by pattern."""
        return pd.DataFrame({name: kind.build(cells[name]) for name, kind in self._types.items()})

    def from_text(self, columns: Mapping[str, Sequence[str]]) -> dict[str, list[Any]]:
        """Columns of CSV fields as columns of JSON values; fields that are none of their column's stay text."""
        types = {name: self._types[pattern] for name, pattern in self._match(columns)}
        return {
            name: values_of(types[name].kind, texts) if name in types else list(texts)
            for name, texts in columns.items()
        }

    def _match(self, columns: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Pairs of a column's name and its key in the schema, in the schema's order."""
        for key, part in self._schema.columns.items():
            if not part.regex:
                yield from [(key, key)] if key in columns else []
            else:
                yield from ((name, key) for name in _matching(key, columns) if name not in self._schema.columns)

    def _note_wrong_columns(self, columns: Mapping[str, Any], known: set[str], found: Violations) -> None:
        for key, part in self._schema.columns.items():
            lacking = not _matching(key, columns) if part.regex else key not in columns
            if part.required and lacking and not self._schema.add_missing_columns:
                found.note(None, key, "column_in_dataframe", None)
        if self._schema.strict != "filter":
            for name in columns:
                if name not in known:
                    found.note(None, shortened(name), "column_in_schema", None)

    def _read(self, name: str, pattern: str, values: Sequence[Any], found: Violations) -> _Column:
        part, kind = self._schema.columns[pattern], self._types[pattern]
        cells, bad = [], bytearray(len(values))
        for row, value in enumerate(values):
            try:
                if value is ABSENT and part.required:
                    raise CellRefused("column_in_dataframe")  # noqa: TRY301 - one place that records a refusal
                cells.append(kind.cell(None if value is ABSENT else value))
            except CellRefused as refused:  # noqa: PERF203 - every failing cell is named, so each is tried
                bad[row] = 1
                found.note(row, name, refused.check or kind.check, None if value is ABSENT else value)
        return _Column(name, part, kind, cells, bytes(bad))

    def _validate_parts(self, read: Sequence[_Column], rows: int, found: Violations, *, whole: bool) -> None:
        """Validate what could be read: columns without their bad cells, whole rows where no column has one."""
        alike: dict[bytes, list[_Column]] = defaultdict(list)
        for column in read:
            # A check grouped by another column cannot run without that column.
            if not any(check.groupby for check in column.part.checks):
                alike[column.bad].append(column)
        for columns in alike.values():
            schema = pa.DataFrameSchema({column.name: _named(column) for column in columns})
            _note_violations(schema, columns, rows, found)
        if whole and (self._schema.checks or self._schema.unique):
            rules = pa.DataFrameSchema(checks=self._schema.checks, unique=self._schema.unique)
            _note_violations(rules, read, rows, found)


def _matching(pattern: str, names: Iterable[str]) -> list[str]:
    """The names that a pattern is of, as pandera finds them; it raises where there is none."""
    return [name for name in names if re.match(pattern, name)]


def _named(column: _Column) -> pa.Column:
    """The rules of a column under its own name; on a copy, since all requests share the schema."""
    part = copy(column.part)
    part.name, part.regex = column.name, False
    return part


def _note_violations(schema: pa.DataFrameSchema, columns: Sequence[_Column], rows: int, found: Violations) -> None:
    frame, numbers = _excerpt(columns, rows)
    if numbers:
        found.take(validated(schema, frame, numbers, found.most)[1])


def _excerpt(columns: Sequence[_Column], rows: int) -> tuple[pd.DataFrame, list[int]]:
    """The rows in which none of the columns has a bad cell, and their numbers."""
    whole = np.ones(rows, dtype=bool)
    own = {column.name: np.frombuffer(column.bad, dtype=np.uint8) == 0 for column in columns}
    for good in own.values():
        whole &= good
    numbers: list[int] = np.flatnonzero(whole).tolist()
    data = {
        column.name: column.type.build(list(compress(column.cells, whole[own[column.name]].tolist())))
        for column in columns
    }
    return pd.DataFrame(data, index=pd.RangeIndex(len(numbers))), numbers


def _row_count(columns: Mapping[str, Sequence[Any]]) -> int:
    if any(not isinstance(values, (list, tuple)) for values in columns.values()):
        raise PayloadError("every column must be an array of values")
    lengths = {len(values) for values in columns.values()}
    if len(lengths) > 1:
        raise PayloadError(f"columns have different lengths: {min(lengths)} to {max(lengths)}")
    return lengths.pop() if lengths else 0
