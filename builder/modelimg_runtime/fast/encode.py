"""Encoders of categories: one look-up per cell in a table made from what the encoder learned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from modelimg_runtime.columns import Batch
from modelimg_runtime.fast.errors import NotAnswered, NotSpecialised
from modelimg_runtime.fast.inputs import Array, Matrix, ReadColumns, Table, Texts, Value, check_input
from modelimg_runtime.fast.parts import Part

_NOWHERE = -1
"""The place of a category that no column of a one-hot matrix stands for."""


class _Codes(dict[Any, Any]):
    """Codes by category; what is missing and what is unknown have codes of their own, or make the batch unanswered.

    Equality is Python's, which agrees with scikit-learn's for categories of the column's own kind: ``-0.0`` is ``0.0``.
    """

    def __init__(self, codes: dict[Any, Any], missing: Any, unknown: Any) -> None:
        super().__init__(codes)
        self._missing = missing
        self._unknown = unknown

    def __missing__(self, cell: Any) -> Any:
        # NaN is never found by equality.
        code = self._missing if cell is None or cell != cell else self._unknown
        if code is None or (isinstance(cell, float) and math.isinf(cell)):
            raise NotAnswered("a category that the model does not know, or an infinity")
        return code


def one_hot(part: Part, value: Value) -> Matrix:
    """``OneHotEncoder``: dropped and infrequent categories too.

    Raises:
        NotSpecialised: another dtype than 64-bit floats, or categories of another kind than the column's.
    """
    check_input(part, value)
    part.expect("dtype", np.float64)
    part.expect("sparse_output", True, False)
    part.expect("handle_unknown", "error", "ignore", "infrequent_if_exist", "warn")
    read_columns, categories = _columns(part, value)
    places, width = [], 0
    for index, labels in enumerate(categories):
        columns, unknown = _columns_of(part, index, len(labels))
        shifted = [_NOWHERE if column == _NOWHERE else width + column for column in columns]
        places.append(_table(labels, shifted, unknown if unknown in (None, _NOWHERE) else width + unknown))
        width += int(part["_n_features_outs"][index])
    if any(place >= width for table in places for place in table.values()):
        raise NotSpecialised(f"{part.name} with more categories than columns")
    return Matrix(width, "f", _one_hot_reader(read_columns, places, width), sparse=part.get("sparse_output", True))


def ordinal(part: Part, value: Value) -> Matrix:
    """``OrdinalEncoder``: infrequent categories too.

    Raises:
        NotSpecialised: as ``one_hot``, but 64-bit integers are another dtype that there may be.
    """
    check_input(part, value)
    part.expect("dtype", np.float64, np.int64, int)
    part.expect("handle_unknown", "error", "use_encoded_value")
    dtype = np.dtype(part.get("dtype", np.float64))
    read_columns, categories = _columns(part, value)
    unknown = dtype.type(part["unknown_value"]).item() if part["handle_unknown"] == "use_encoded_value" else None
    tables = [_table(labels, _codes_of(part, at, labels, dtype), unknown) for at, labels in enumerate(categories)]

    def read(batch: Batch) -> Array:
        columns = zip(tables, read_columns(batch), strict=True)
        codes = np.array([[table[cell] for cell in column] for table, column in columns], dtype=dtype)
        return np.ascontiguousarray(codes.T)

    return Matrix(len(tables), dtype.kind, read)


def _codes_of(part: Part, index: int, labels: list[Any], dtype: Any) -> list[Any]:
    """The code of each category of a feature. Source: ``OrdinalEncoder.transform``."""
    if part.get("_infrequent_enabled") and str(part.get("_sklearn_version")).startswith("1.3."):
        raise NotSpecialised(f"{part.name} with infrequent categories, of scikit-learn 1.3")
    missing = {place for place, label in enumerate(labels) if _is_nan(label)}
    mapping = part["_default_to_infrequent_mappings"][index] if part.get("_infrequent_enabled") else None
    codes = [place if mapping is None or place in missing else int(mapping[place]) for place in range(len(labels))]
    if not missing:
        return [dtype.type(code).item() for code in codes]
    # scikit-learn looks for the missing ones among the codes, where by then an infrequent one may have their place.
    encoded = dtype.type(part.get("encoded_missing_value", np.nan)).item()
    return [encoded if code in missing else dtype.type(code).item() for code in codes]


def _columns(part: Part, value: Value) -> tuple[ReadColumns, list[list[Any]]]:
    """How to read the columns, and the categories of each.

    Raises:
        NotSpecialised: categories of another kind than the column's.
    """
    categories = part["categories_"]
    if isinstance(value, Table):
        kinds, positions = [column.kind for column in value.columns], value.positions
        read: ReadColumns = lambda batch: [batch.columns[position] for position in positions]  # noqa: E731
    elif isinstance(value, Texts):
        kinds, read = ["s"] * value.width, value.read
    elif value.sparse:
        raise NotSpecialised(f"{part.name} on a sparse matrix")
    else:
        kinds, read = [value.kind] * value.width, _matrix_columns(value)
    if len(categories) != len(kinds) or not all(map(_of_kind, categories, kinds)):
        raise NotSpecialised(f"{part.name} with categories of another kind than its columns")
    return read, [each.tolist() for each in categories]


def _matrix_columns(matrix: Matrix) -> ReadColumns:
    def read(batch: Batch) -> Sequence[Sequence[Any]]:
        return matrix.read(batch).T.tolist()  # type: ignore[no-any-return]

    return read


def _of_kind(categories: Any, kind: str) -> bool:
    if not isinstance(categories, np.ndarray) or categories.ndim != 1 or not len(categories):
        return False
    if kind != "s":
        return bool(categories.dtype == {"f": np.float64, "i": np.int64, "b": np.bool_}[kind])
    # None is a category of its own, which no string column of a frame can hold.
    return bool(categories.dtype == object) and all(isinstance(each, str) or _is_nan(each) for each in categories)


def _table(labels: list[Any], codes: list[Any], unknown: Any) -> _Codes:
    known = {label: code for label, code in zip(labels, codes, strict=True) if not _is_nan(label)}
    missing = [code for label, code in zip(labels, codes, strict=True) if _is_nan(label)]
    return _Codes(known, missing[0] if missing else unknown, unknown)


def _is_nan(label: Any) -> bool:
    return isinstance(label, float) and label != label


def _columns_of(part: Part, index: int, count: int) -> tuple[list[int], int | None]:
    """The output column of each category of a feature, and that of an unknown one; None where it is refused.

    Source: ``_BaseEncoder._map_infrequent_categories`` and ``OneHotEncoder.transform``.
    """
    columns = list(range(count))
    infrequent = None
    if part.get("_infrequent_enabled"):
        mapping, members = part["_default_to_infrequent_mappings"][index], part["_infrequent_indices"][index]
        if mapping is not None:
            columns = [int(column) for column in mapping]
        if members is not None:
            infrequent = columns[int(members[0])]
    drops = part.get("_drop_idx_after_grouping")
    drop = None if drops is None else drops[index]

    def kept(column: int) -> int:
        if drop is None or column < drop:
            return column
        return _NOWHERE if column == drop else column - 1

    if part["handle_unknown"] == "error":
        unknown = None
    elif part["handle_unknown"] == "ignore" or infrequent is None:
        unknown = _NOWHERE
    else:
        unknown = kept(infrequent)
    return [kept(column) for column in columns], unknown


def _one_hot_reader(read_columns: ReadColumns, places: list[_Codes], width: int) -> Any:
    def read(batch: Batch) -> Array:
        columns, rows = zip(places, read_columns(batch), strict=True), batch.rows
        flat = np.zeros(rows * width + 1)  # the last cell takes what stands nowhere
        if rows == 1:
            flat[[place[column[0]] for place, column in columns]] = 1.0
        else:
            found = np.array([[place[cell] for cell in column] for place, column in columns], dtype=np.intp)
            cells = found + np.arange(0, rows * width, width) if width else found
            flat[np.where(found < 0, _NOWHERE, cells)] = 1.0
        return flat[:-1].reshape(rows, width)

    return read
