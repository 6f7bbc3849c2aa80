"""What goes from protocol to model and back without a frame: columns of plain Python values, arrays, JSON values."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

import numpy as np


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"


_UNFIT: Final = (struct.error, OverflowError, TypeError, ValueError)
"""What ``struct.pack`` and the values' own ``__float__`` raise."""

ABSENT: Final = _Absent()
"""Stands in a column where a row of the request has no such key at all, which is not the same as null."""


@dataclass(frozen=True)
class Prediction:
    """One batch's answer, as JSON values.

    Attributes:
        predictions: one value per row; a list per row where the model has many outputs.
        probabilities: one list per row in the order of the classes; None where the model gives none.
        scores: of ``decision_function``: one number per row, or a list per row; None where nobody asked for them.
        accepted: the rows that were predicted, as the contract accepted them; no part of the answer.
        answer: the same as arrays, where it came as such; no part of it either.
    """

    predictions: list[Any]
    probabilities: list[list[float]] | None
    scores: list[Any] | None = None
    accepted: Batch | None = field(default=None, repr=False, compare=False)
    answer: Answer | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that a contract accepted.

    Attributes:
        names: columns in the schema's order.
        columns: values of each column, all of length ``rows``: ``float`` or ``int`` for floats (``None`` or NaN where
            one is missing), ``int``, ``bool``, ``str`` (NaN where one is missing); or, where pandera decided, pandas
            Series of the schema's dtypes.
        rows: how many.
        doubles: positions of columns → these as `floats` gives them, where they were made before.
    """

    names: tuple[str, ...]
    columns: tuple[Sequence[Any], ...]
    rows: int
    doubles: dict[tuple[int, ...], np.ndarray[Any, np.dtype[np.float64]]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def floats(self, positions: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Some columns of numbers as 64-bit floats, one *column* a line, in C order; missing ones are NaN.

        The contract, the model and the monitor ask for the same ones, so they are made once, and cannot be written to.

        Returns:
            Shape (len(positions), rows).

        Raises:
            TypeError: a value is no number, or none that a float can hold.
        """
        made = self.doubles.get(positions)
        if made is None:
            flat = list(chain.from_iterable([self.columns[position] for position in positions]))
            made = self.doubles[positions] = np.frombuffer(doubles(flat)).reshape(len(positions), self.rows)
        return made


def doubles(values: Sequence[Any]) -> bytes:
    """Numbers as 64-bit floats in the machine's order, None as NaN.

    Raises:
        TypeError: a value is no number, or none that a float can hold.
    """
    layout = f"{len(values)}d"
    try:
        # Half the time of np.array, which looks at every value to find a type.
        return struct.pack(layout, *values)
    except _UNFIT:
        pass
    try:
        return struct.pack(layout, *[math.nan if value is None else value for value in values])
    except _UNFIT as error:
        raise TypeError("a value is no number, or none that a float can hold") from error


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
