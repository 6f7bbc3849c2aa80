"""Rows that were answered and are not counted yet: a few bytes each, until enough are there to be counted together.

To count one row in Python takes as long as a small model takes to answer it; of a hundred at once, each takes a tenth
of that. Nothing of Python's is kept meanwhile but texts and what was answered: thousands of numbers that live on would
keep others out of the caches of the processor. The numbers are copied to a table that is used again and again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from modelimg_runtime.columns import Batch, Prediction, doubles
from modelimg_runtime.monitor.memory import Floats

_ENOUGH_ROWS: Final = 1024
_ENOUGH_NUMBERS: Final = 1 << 15
"""So many numbers, or rows, are counted before their time, since more would not take less time each."""


@dataclass(frozen=True)
class Gathered:
    """Rows of several requests as one table.

    Attributes:
        rows: how many.
        columns: values of the columns of the input profile; of those of numbers, nothing.
        numbers: the columns of numbers, shape (columns of numbers, rows); None where they stand in ``columns``.
        answers: one for each row.
        shares: probabilities, shape (classes, rows); None where there are none.
        identifiers: of the requests.
        counts: rows of each request.
    """

    rows: int
    columns: Sequence[Sequence[Any]]
    numbers: Floats | None
    answers: Sequence[Any]
    shares: Floats | None
    identifiers: Sequence[str]
    counts: Sequence[int]


class Waiting:
    """See the module.

    Args:
        names: of the columns of the input profile.
        numbers: positions of those of numbers.
        classes: how many probabilities the output profile has.

    Attributes:
        rows: that wait.
    """

    def __init__(self, names: tuple[str, ...], numbers: tuple[int, ...], classes: int) -> None:
        self._names, self._numbers, self._classes = names, numbers, classes
        self._others = [i for i in range(len(names)) if i not in {*numbers}]
        self._enough = max(1, min(_ENOUGH_ROWS, _ENOUGH_NUMBERS // max(1, len(numbers))))
        # Rows that come while the event loop is about to have these counted still have room.
        self._capacity = 2 * self._enough
        self._table = np.empty((len(numbers) + classes, self._capacity))
        """Of rows that came with others: those of requests of one row are in ``_singles`` until they are taken."""
        self._inputs, self._shares = self._table[: len(numbers)], self._table[len(numbers) :]
        self._clear()

    def _clear(self) -> None:
        self.rows = self._filled = 0
        self._singles: list[bytes] = []
        self._columns: list[list[Any]] = [[] for _ in self._names]
        self._answers: list[Any] = []
        self._identifiers: list[str] = []
        self._counts: list[int] = []

    @property
    def enough(self) -> bool:
        """Whether so many wait that it is time to count them."""
        return self.rows >= self._enough

    def add(self, batch: Batch, prediction: Prediction, identifier: str) -> bool:
        """Whether the rows wait now; too many, of other columns, of other types or without probabilities cannot."""
        if batch.names is not self._names:
            if batch.names != self._names:
                return False
            self._names = batch.names
        if self.rows + batch.rows > self._capacity:
            return False
        added = self._add_row(batch, prediction) if batch.rows == 1 else self._add_rows(batch, prediction)
        if added:
            self.rows += batch.rows
            for i in self._others:
                self._columns[i] += batch.columns[i]
            self._answers += prediction.predictions
            self._identifiers.append(identifier)
            self._counts.append(batch.rows)
        return added

    def _add_row(self, batch: Batch, prediction: Prediction) -> bool:
        columns, shares = batch.columns, prediction.probabilities
        if self._classes and (shares is None or len(shares[0]) != self._classes):
            return False
        values = [columns[i][0] for i in self._numbers]
        if self._classes and shares is not None:
            values += shares[0]
        try:
            self._singles.append(doubles(values))
        except TypeError:
            return False
        return True

    def _add_rows(self, batch: Batch, prediction: Prediction) -> bool:
        shares = prediction.answer.probabilities if prediction.answer else None
        if self._classes and (shares is None or shares.shape[1] != self._classes):
            return False
        if not {*map(type, batch.columns)} <= {list, tuple}:
            return False
        places = slice(self._filled, self._filled + batch.rows)
        try:
            self._inputs[:, places] = batch.floats(self._numbers)
        except TypeError:
            return False
        if self._classes and shares is not None:
            self._shares[:, places] = shares.T
        self._filled += batch.rows
        return True

    def take(self) -> Gathered:
        """All that waits; then nothing does. Its arrays are good until rows are added again."""
        if self._singles:
            singles = np.frombuffer(b"".join(self._singles)).reshape(len(self._singles), -1)
            self._table[:, self._filled : self.rows] = singles.T
        gathered = Gathered(
            self.rows,
            self._columns,
            self._inputs[:, : self.rows],
            self._answers,
            self._shares[:, : self.rows] if self._classes else None,
            self._identifiers,
            self._counts,
        )
        self._clear()
        return gathered
