"""Which cell of a window counts what: the order of the profiles decides, so equal profiles have equal layouts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from modelimg_runtime.monitor.baseline import Baseline
from modelimg_runtime.monitor.counts import OUTCOMES, Counts
from modelimg_runtime.monitor.memory import Shape, Vector
from modelimg_runtime.monitor.performance import scheme_of
from modelimg_runtime.monitor.scheme import Scheme
from modelimg_runtime.profile.column import ColumnProfile

ROWS: Final = 0
"""The cell that counts rows."""
_INPUTS: Final = 1


class Layout:
    """See the module.

    Args:
        baseline: of the model.

    Attributes:
        inputs: where the counts of the input columns begin.
        outputs: where those of the answers begin.
        feedback: where the outcomes of feedback begin, in the order of ``OUTCOMES``.
        performance: where the whole numbers of the performance begin.
        wholes: cells of whole numbers.
        floats: cells of floats.
        scheme: of the performance; None where nothing could be right.
    """

    def __init__(self, baseline: Baseline) -> None:
        self.scheme: Scheme | None = scheme_of(baseline)
        self._input_columns, self._output_columns = baseline.input.columns, baseline.output.columns
        self.inputs = _INPUTS
        self.outputs = self.inputs + _cells(self._input_columns)
        self.feedback = self.outputs + _cells(self._output_columns)
        self.performance = self.feedback + len(OUTCOMES)
        self.wholes = self.performance + (self.scheme.wholes if self.scheme else 0)
        self.floats = self.scheme.floats if self.scheme else 0

    def shape(self, windows: int) -> Shape:
        """Of the memory with so many windows."""
        return Shape(windows, self.wholes, self.floats)

    def nothing(self) -> Counts:
        """No row, by names."""
        return self.counts(Vector.zeros(self.shape(1)))

    def counts(self, vector: Vector) -> Counts:
        """A window by names."""
        cells: list[int] = vector.wholes.tolist()
        outcomes = cells[self.feedback : self.performance]
        return Counts(
            rows=cells[ROWS],
            first=vector.first / 1000 if vector.first else None,
            last=vector.last / 1000 if vector.last else None,
            inputs=dict(_named(self._input_columns, cells, self.inputs)),
            outputs=dict(_named(self._output_columns, cells, self.outputs)),
            feedback=dict(zip(OUTCOMES, outcomes, strict=True)),
            performance=tuple(cells[self.performance :]),
            sums=tuple(vector.floats.tolist()),
        )

    def vector(self, counts: Counts) -> Vector:
        """The other way around.

        Raises:
            ValueError: the counts are of other profiles.
        """
        cells = [counts.rows]
        for columns, found in ((self._input_columns, counts.inputs), (self._output_columns, counts.outputs)):
            for column in columns:
                cells += _checked(column, found.get(column.name, ()))
        cells += [counts.feedback.get(outcome, 0) for outcome in OUTCOMES]
        cells += counts.performance
        if len(cells) != self.wholes or len(counts.sums) != self.floats:
            raise ValueError("the counts are of other profiles")
        return Vector(
            np.array(cells, dtype=np.int64),
            np.array(counts.sums, dtype=np.float64),
            round((counts.first or 0) * 1000),
            round((counts.last or 0) * 1000),
        )


def _cells(columns: Sequence[ColumnProfile]) -> int:
    return sum(column.bins.size for column in columns)


def _named(columns: Sequence[ColumnProfile], cells: list[int], start: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    for column in columns:
        yield column.name, tuple(cells[start : start + column.bins.size])
        start += column.bins.size


def _checked(column: ColumnProfile, counts: Sequence[int]) -> Sequence[int]:
    if len(counts) != column.bins.size:
        raise ValueError(f"the counts of column {column.name!r} are of other profiles")
    return counts
