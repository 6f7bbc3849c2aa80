"""Rows that were answered and are not counted yet: a few bytes each, until enough are there to be counted together.

To count one row in Python takes as long as a small model takes to answer it; of a hundred at once, each takes a tenth
of that. Nothing of Python's is kept meanwhile but what was answered: thousands of numbers that live on would keep
others out of the caches of the processor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelimg_runtime.columns import Batch, Prediction, doubles
from modelimg_runtime.monitor.memory import Floats


@dataclass(frozen=True)
class Gathered:
    """Rows of several requests as one table.

    Attributes:
        rows: how many.
        columns: values of the columns of the input profile; of those of numbers, nothing.
        numbers: the columns of numbers, shape (columns of numbers, rows); None where they stand in ``columns``.
        answers: one for each row.
        shares: probabilities, shape (rows, classes); None where there are none.
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
        self._clear()

    def _clear(self) -> None:
        self.rows = 0
        self._singles: list[bytes] = []
        self._matrices: list[Floats] = []
        self._columns: list[list[Any]] = [[] for _ in self._names]
        self._answers: list[Any] = []
        self._share_rows: list[Sequence[float]] = []
        self._share_matrices: list[Floats] = []
        self._identifiers: list[str] = []
        self._counts: list[int] = []

    def add(self, batch: Batch, prediction: Prediction, identifier: str) -> bool:
        """Whether the rows wait now; those of other columns, of other types or without probabilities cannot."""
        if batch.names is not self._names:
            if batch.names != self._names:
                return False
            self._names = batch.names
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
        try:
            packed = doubles([columns[i][0] for i in self._numbers])
        except TypeError:
            return False
        self._singles.append(packed)
        if self._classes and shares is not None:
            self._share_rows += shares
        return True

    def _add_rows(self, batch: Batch, prediction: Prediction) -> bool:
        shares = prediction.answer.probabilities if prediction.answer else None
        if self._classes and (shares is None or shares.shape[1] != self._classes):
            return False
        if not {*map(type, batch.columns)} <= {list, tuple}:
            return False
        try:
            self._matrices.append(batch.floats(self._numbers))
        except TypeError:
            return False
        if self._classes and shares is not None:
            self._share_matrices.append(shares)
        return True

    def take(self) -> Gathered:
        """All that waits; then nothing does."""
        singles = np.frombuffer(b"".join(self._singles)).reshape(len(self._singles), len(self._numbers)).T
        likely = np.array(self._share_rows, dtype=np.float64).reshape(-1, self._classes) if self._classes else None
        gathered = Gathered(
            self.rows,
            self._columns,
            np.concatenate([singles, *self._matrices], axis=1) if self._matrices else singles,
            self._answers,
            likely if likely is None else np.concatenate([likely, *self._share_matrices]),
            self._identifiers,
            self._counts,
        )
        self._clear()
        return gathered
