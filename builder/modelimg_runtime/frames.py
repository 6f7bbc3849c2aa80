"""Columns of JSON values → a frame with the schema's columns, order and dtypes, or every reason why not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pandera.pandas as pa

from modelimg_runtime.cells import CellRefused, CellType, cell_type
from modelimg_runtime.columns import ABSENT as ABSENT
from modelimg_runtime.errors import PayloadError, Violation
from modelimg_runtime.texts import value_of
from modelimg_runtime.validation import in_order, validated
from modelimg_runtime.values import json_values as json_values
from modelimg_runtime.values import shown

__all__ = ["ABSENT", "FrameReader", "frame_from_columns", "json_values"]


def frame_from_columns(
    columns: Mapping[str, Sequence[Any]], schema: pa.DataFrameSchema
) -> tuple[pd.DataFrame, list[Violation]]:
    """Read columns of JSON values into a frame of the schema's dtypes; ``FrameReader(schema).read(columns)``."""
    return FrameReader(schema).read(columns)


@dataclass(frozen=True)
class _Column:
    """One column as it was read: the cells that could be, and the row numbers of all that could not."""

    name: str
    part: pa.Column
    type: CellType
    cells: list[Any]
    bad: frozenset[int]


class FrameReader:
    """Reads requests for one input schema.

    Extra columns are refused, also where the schema is not strict: it says nothing about how they are to be read. With
    ``strict="filter"`` they are left out.

    Args:
        schema: the input schema.

    Raises:
        ContractUnusable: a column has a dtype that no JSON value can fill.
    """

    def __init__(self, schema: pa.DataFrameSchema) -> None:
        self._schema = schema
        self._types = {name: cell_type(column, schema.dtype) for name, column in schema.columns.items()}

    @property
    def kinds(self) -> dict[str, str]:
        """Column of the schema → kind of its values, as ``cells`` has them."""
        return {str(name): kind.kind for name, kind in self._types.items()}

    def read(self, columns: Mapping[str, Sequence[Any]]) -> tuple[pd.DataFrame, list[Violation]]:
        """A frame in the schema's order, and the violations.

        Without violations, the frame has the schema's dtypes and is still to be validated. With some, they are all that
        there are: the cells that could be read have been validated too, and the frame holds the rows that are whole.

        Raises:
            PayloadError: the columns are not sequences of one length.
        """
        rows = _row_count(columns)
        matched = list(self._match(columns))
        violations = list(self._wrong_columns(columns, {name for name, _ in matched}))
        if rows == 0:
            violations.append(Violation(None, None, "not_empty", None))
        read = [self._read(name, pattern, columns[name], violations) for name, pattern in matched]
        if not violations:
            return pd.DataFrame({column.name: column.type.build(column.cells) for column in read}), []
        violations += self._validate_parts(read, rows, whole=len(read) >= len(self._schema.columns))
        return _excerpt(read, rows)[0], in_order(violations, [column.name for column in read])

    def from_text(self, columns: Mapping[str, Sequence[str]]) -> dict[str, list[Any]]:
        """Columns of CSV fields as columns of JSON values; fields that are none of their column's stay text."""
        types = {name: self._types[pattern] for name, pattern in self._match(columns)}
        return {
            name: [value_of(types[name].kind, text) for text in texts] if name in types else list(texts)
            for name, texts in columns.items()
        }

    def _match(self, columns: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Pairs of a column's name and its key in the schema, in the schema's order."""
        for key, part in self._schema.columns.items():
            if not part.regex:
                yield from [(key, key)] if key in columns else []
            else:
                names = part.get_regex_columns(pd.DataFrame(columns=list(columns)))
                yield from ((name, key) for name in names if name not in self._schema.columns)

    def _wrong_columns(self, columns: Mapping[str, Any], known: set[str]) -> Iterator[Violation]:
        for key, part in self._schema.columns.items():
            if part.required and not part.regex and key not in columns and not self._schema.add_missing_columns:
                yield Violation(None, key, "column_in_dataframe", None)
        if self._schema.strict != "filter":
            for name in columns:
                if name not in known:
                    yield Violation(None, shown(name), "column_in_schema", None)

    def _read(self, name: str, pattern: str, values: Sequence[Any], violations: list[Violation]) -> _Column:
        part, kind = self._schema.columns[pattern], self._types[pattern]
        cells, bad = [], []
        for row, value in enumerate(values):
            try:
                if value is ABSENT and part.required:
                    raise CellRefused("column_in_dataframe")  # noqa: TRY301 - one place that records a refusal
                cells.append(kind.cell(None if value is ABSENT else value))
            except CellRefused as refused:  # noqa: PERF203 - every failing cell is named, so each is tried
                bad.append(row)
                value = None if value is ABSENT else shown(value)
                violations.append(Violation(row, name, refused.check or kind.check, value))
        return _Column(name, part, kind, cells, frozenset(bad))

    def _validate_parts(self, read: Sequence[_Column], rows: int, *, whole: bool) -> Iterator[Violation]:
        """Validate what could be read: columns without their bad cells, whole rows where no column has one."""
        alike: dict[frozenset[int], list[_Column]] = defaultdict(list)
        for column in read:
            # A check grouped by another column cannot run without that column.
            if not any(check.groupby for check in column.part.checks):
                alike[column.bad].append(column)
        for columns in alike.values():
            schema = pa.DataFrameSchema({column.name: column.part.set_name(column.name) for column in columns})
            yield from _violations(schema, columns, rows)
        if whole and (self._schema.checks or self._schema.unique):
            yield from _violations(
                pa.DataFrameSchema(checks=self._schema.checks, unique=self._schema.unique), read, rows
            )


def _violations(schema: pa.DataFrameSchema, columns: Sequence[_Column], rows: int) -> list[Violation]:
    frame, numbers = _excerpt(columns, rows)
    return validated(schema, frame, numbers)[1] if numbers else []


def _excerpt(columns: Sequence[_Column], rows: int) -> tuple[pd.DataFrame, list[int]]:
    """The rows in which none of the columns has a bad cell, and their numbers."""
    bad = frozenset().union(*(column.bad for column in columns))
    numbers = [row for row in range(rows) if row not in bad]
    data = {}
    for column in columns:
        own = (row for row in range(rows) if row not in column.bad)
        cells = [cell for row, cell in zip(own, column.cells, strict=True) if row not in bad]
        data[column.name] = column.type.build(cells)
    return pd.DataFrame(data, index=pd.RangeIndex(len(numbers))), numbers


def _row_count(columns: Mapping[str, Sequence[Any]]) -> int:
    if any(not isinstance(values, (list, tuple)) for values in columns.values()):
        raise PayloadError("every column must be an array of values")
    lengths = {len(values) for values in columns.values()}
    if len(lengths) > 1:
        raise PayloadError(f"columns have different lengths: {min(lengths)} to {max(lengths)}")
    return lengths.pop() if lengths else 0
