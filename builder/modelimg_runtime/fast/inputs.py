"""What passes from step to step of a model: columns of the batch, texts, or a matrix, each as a way to read it.

Steps are put together once; a call then runs the readers. The memory order of every matrix is the one that
scikit-learn's own has, because it decides in which sequence BLAS adds up: a frame's columns come as the transpose of a
C-ordered array, and each step keeps the order that it gets unless scikit-learn's makes a new one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelimg_runtime.columns import Batch
from modelimg_runtime.fast.errors import NotAnswered, NotSpecialised
from modelimg_runtime.fast.parts import Part

Array = np.ndarray[Any, Any]
Read = Callable[[Batch], Array]
ReadColumns = Callable[[Batch], Sequence[Sequence[Any]]]

KINDS = {"float64": "f", "int64": "i", "bool": "b", "str": "s", "category": "s"}
"""Kinds of columns by the dtype's name; categories are strings, and scikit-learn sees both as objects."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the batch.

    Attributes:
        name: in the schema.
        position: in the batch.
        kind: ``f`` float, ``i`` int, ``b`` bool, ``s`` string.
    """

    name: str
    position: int
    kind: str


@dataclass(frozen=True, slots=True)
class Table:
    """Columns of the batch, which scikit-learn sees as a frame."""

    columns: tuple[Column, ...]

    @property
    def kinds(self) -> str:
        """The kinds that occur, sorted."""
        return "".join(sorted({column.kind for column in self.columns}))

    @property
    def positions(self) -> tuple[int, ...]:
        """Where the columns are in the batch."""
        return tuple(column.position for column in self.columns)


@dataclass(frozen=True, slots=True)
class Texts:
    """Columns of strings without missing ones, which scikit-learn sees as an array of objects."""

    width: int
    read: ReadColumns


@dataclass(frozen=True, slots=True)
class Matrix:
    """A matrix of numbers; every call reads a new one, so a step may change it in place.

    Attributes:
        width: its columns.
        kind: ``f`` for 64-bit floats, ``i`` for 64-bit integers, ``b`` for bools.
        sparse: scikit-learn's is a sparse one, and this is the same in full.
        read: gives it, of shape (rows, width).
    """

    width: int
    kind: str
    read: Read
    sparse: bool = False


Value = Table | Texts | Matrix


def numbers(value: Value, reader: Part) -> Matrix:
    """A value as scikit-learn's ``check_array(dtype="numeric")`` makes it.

    Raises:
        NotSpecialised: it holds strings, or nothing but bools.
    """
    if isinstance(value, Matrix) and value.kind != "b":
        return value
    if not isinstance(value, Table) or "s" in value.kinds or value.kinds == "b":
        raise NotSpecialised(f"{reader.name} on strings or on bools")
    if value.kinds == "i":
        return Matrix(len(value.columns), "i", _block(value.positions, np.int64))
    return Matrix(len(value.columns), "f", _block(value.positions, np.float64))


def floats(value: Value, reader: Part) -> Matrix:
    """A dense value as ``check_array(dtype=FLOAT_DTYPES)`` makes it: 64-bit floats.

    Raises:
        NotSpecialised: it holds strings, or is sparse.
    """
    if isinstance(value, Table) and "s" not in value.kinds:
        return Matrix(len(value.columns), "f", _block(value.positions, np.float64))
    if not isinstance(value, Matrix) or value.sparse:
        raise NotSpecialised(f"{reader.name} on strings or on a sparse matrix")
    if value.kind == "f":
        return value
    read = value.read
    return Matrix(value.width, "f", lambda batch: np.asarray(read(batch), dtype=np.float64))


def singles(value: Value, reader: Part) -> Matrix:
    """A value as ``check_array(dtype=np.float32)`` makes it, widened again to 64 bits, which changes no number.

    Raises:
        NotSpecialised: it holds strings.
    """
    if isinstance(value, Texts) or (isinstance(value, Table) and "s" in value.kinds):
        raise NotSpecialised(f"{reader.name} on strings")
    if isinstance(value, Matrix):
        read, width, sparse = value.read, value.width, value.sparse
    else:
        read, width, sparse = _unrounded(value), len(value.columns), False

    def read_singles(batch: Batch) -> Array:
        return np.array(np.asarray(read(batch), dtype=np.float32), dtype=np.float64, order="C")

    return Matrix(width, "f", read_singles, sparse)


def plain_array(table: Table) -> Matrix:
    """What ``np.asarray(frame)`` makes of the columns.

    Raises:
        NotSpecialised: it makes objects.
    """
    kinds = table.kinds
    if kinds not in ("f", "i", "fi", "b"):
        raise NotSpecialised("strings, or bools beside numbers, where no step encodes them")
    kind, dtype = {"i": ("i", np.int64), "b": ("b", np.bool_)}.get(kinds, ("f", np.float64))
    return Matrix(len(table.columns), kind, _block(table.positions, dtype))


def check_input(part: Part, value: Value) -> None:
    """Refuse an input that is not the one that the part was fitted on.

    Raises:
        NotSpecialised: names, their order or their number differ.
    """
    part.check_plain()
    width = len(value.columns) if isinstance(value, Table) else value.width
    if part.get("n_features_in_", width) != width:
        raise NotSpecialised(f"{part.name} was fitted on {part['n_features_in_']} columns, not on {width}")
    if isinstance(value, Table):
        names = part.get("feature_names_in_")
        if names is None or [column.name for column in value.columns] != list(names):
            raise NotSpecialised(f"{part.name} was fitted on columns of other names or in another order")


def refuse_infinite(X: Array) -> None:
    """scikit-learn's check where NaN is allowed.

    Raises:
        NotAnswered: there is an infinity.
    """
    if np.count_nonzero(np.isinf(X)):
        raise NotAnswered("an infinity")


def refuse_not_finite(X: Array) -> None:
    """scikit-learn's check where NaN is not allowed.

    Raises:
        NotAnswered: there is an infinity or a NaN.
    """
    if np.count_nonzero(np.isfinite(X)) != X.size:
        raise NotAnswered("an infinity or a missing value")


def _block(positions: tuple[int, ...], dtype: Any) -> Read:
    """Columns of the batch as a transposed, C-ordered array of one dtype."""

    def read(batch: Batch) -> Array:
        columns = batch.columns
        if batch.rows == 1:  # the order of a single row decides nothing
            return np.array([[columns[position][0] for position in positions]], dtype=dtype)
        if dtype is np.float64:
            return batch.floats(positions).copy().T
        return np.array([columns[position] for position in positions], dtype=dtype).T

    return read


def _unrounded(table: Table) -> Read:
    """Columns as they are before their conversion to 32 bits, which scikit-learn makes in one step or in two.

    pandas brings integers beside floats to 64-bit floats first; but where there are bools, scikit-learn converts column
    by column.
    """
    kinds = table.kinds
    if kinds == "i":
        return _block(table.positions, np.int64)
    if "b" not in kinds or "i" not in kinds:
        return _block(table.positions, np.float64)
    blocks = [_block((column.position,), np.int64 if column.kind == "i" else np.float64) for column in table.columns]
    return lambda batch: np.hstack([block(batch).astype(np.float32) for block in blocks])
