"""What goes from protocol to model and back without a frame: columns of plain Python values, arrays, JSON values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()
"""Stands in a column where a row of the request has no such key at all, which is not the same as null."""


@dataclass(frozen=True)
class Prediction:
    """One batch's answer, as JSON values.

    Attributes:
        predictions: one value per row; a list per row where the model has many outputs.
        probabilities: one list per row in the order of the classes; None where the model gives none.
        scores: of ``decision_function``: one number per row, or a list per row; None where nobody asked for them.
    """

    predictions: list[Any]
    probabilities: list[list[float]] | None
    scores: list[Any] | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that a contract accepted.

    Attributes:
        names: columns in the schema's order.
        columns: values of each column, all of length ``rows``: ``float`` or ``int`` for floats (``None`` or NaN where
            one is missing), ``int``, ``bool``, ``str`` (NaN where one is missing).
        rows: how many.
    """

    names: tuple[str, ...]
    columns: tuple[Sequence[Any], ...]
    rows: int

    def floats(self, positions: Sequence[int]) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Some columns as 64-bit floats, one *column* a line, in C order; missing ones are NaN.

        scikit-learn sees a frame's columns as the transpose of this, in Fortran order, and the order decides in which
        sequence BLAS adds up.

        Returns:
            Shape (len(positions), rows).
        """
        columns = self.columns
        return np.array([columns[position] for position in positions], dtype=np.float64).reshape(-1, self.rows)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model says of a batch.

    Attributes:
        predictions: shape (rows,) or (rows, outputs).
        probabilities: shape (rows, classes), in the order of the manifest's classes; None where the model gives none.
        scores: what ``decision_function`` gives, shape (rows,) or (rows, classes); None where they are not at hand,
            which does not say that the model has none.
    """

    predictions: np.ndarray[Any, Any]
    probabilities: np.ndarray[Any, Any] | None
    scores: np.ndarray[Any, Any] | None = None

    def columns(
        self, classes: Sequence[Any], prediction: str, probability_prefix: str
    ) -> Mapping[str, np.ndarray[Any, Any]]:
        """The columns of the output frame."""
        if self.predictions.ndim > 1:
            return {f"{prediction}_{i}": self.predictions[:, i] for i in range(self.predictions.shape[1])}
        columns = {prediction: self.predictions}
        if self.probabilities is not None:
            columns |= {f"{probability_prefix}{label}": self.probabilities[:, i] for i, label in enumerate(classes)}
        return columns
