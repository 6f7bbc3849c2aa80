"""Quantiles of numbers that come in parts: exact while the values are few, and always the same whatever the order.

The finite doubles, in order, are a lattice of 2⁶⁴ points. A summary counts the points that occur; when there are more
than ``LIMIT``, it halves its resolution until there are not: two neighbouring cells become one. The resolution that it
ends with is a function of all values together (fewer values never need a coarser one), so that neither the order of the
values nor how they were parted matters, and two summaries that were made of the same data are equal to the last bit.

That is why no KLL sketch or t-digest is used here, whose random choices or order of merging show in the result: a
profile has to be the same when it is made again. What is given up is a guarantee in ranks. The error is one of values:
an edge lies on the border of a cell, of which there are some ten thousand between the least and the largest value; how
many values are at or below that border is known exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from modelimg_runtime.profile.distinct import Distinct

LIMIT: Final = 65_536
"""Different values up to which a summary is exact, and cells that it never has more of; each takes 16 bytes."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_MAGNITUDE: Final = np.int64(2**63 - 1)
_GREATEST: Final = int(np.array(np.finfo(np.float64).max).view(np.int64))


@dataclass(frozen=True, eq=False)
class Lattice:
    """Counts of values by cell.

    Attributes:
        cells: numbers of the cells that are not empty, ascending. Shape (m,), m ≤ ``LIMIT``.
        counts: values in each. Shape (m,).
        shift: a cell holds 2^shift points; 0 where every value has its own.
        seen: the different values, once the cells no longer tell.
    """

    cells: Ints
    counts: Ints
    shift: int = 0
    seen: Distinct | None = None

    @classmethod
    def of(cls, values: Floats) -> Lattice:
        """Of finite values; infinities and NaN are left out."""
        finite = values[np.isfinite(values)]
        cells, counts = np.unique(_points(finite), return_counts=True)
        return _bounded(cells, counts.astype(np.int64), 0, None)

    def merge(self, other: Lattice) -> Lattice:
        """Of the values of both."""
        shift = max(self.shift, other.shift)
        cells = np.concatenate([self.cells >> (shift - self.shift), other.cells >> (shift - other.shift)])
        cells, positions = np.unique(cells, return_inverse=True)
        counts = np.zeros(len(cells), dtype=np.int64)
        np.add.at(counts, positions.reshape(-1), np.concatenate([self.counts, other.counts]))
        seen = None if shift == 0 else self._distinct().merge(other._distinct())
        return _bounded(cells, counts, shift, seen)

    @property
    def n(self) -> int:
        """How many values."""
        return int(self.counts.sum())

    @property
    def distinct(self) -> int:
        """How many different values; estimated where they are more than ``LIMIT``."""
        return len(self.cells) if self.shift == 0 else self._distinct().estimate

    @property
    def uppers(self) -> Floats:
        """The largest double of each cell: the value itself where the summary is exact."""
        return _doubles(np.minimum(((self.cells + 1) << self.shift) - 1, _GREATEST))

    @property
    def lowers(self) -> Floats:
        """The least double of each cell."""
        return _doubles(np.maximum(self.cells << self.shift, ~np.int64(_GREATEST)))

    def _distinct(self) -> Distinct:
        return self.seen or Distinct.of_ints(self.cells)


def _bounded(cells: Ints, counts: Ints, shift: int, seen: Distinct | None) -> Lattice:
    if len(cells) > LIMIT and seen is None:
        seen = Distinct.of_ints(cells)
    more = _coarser(cells)
    if more:
        cells = cells >> more
        starts = np.flatnonzero(np.concatenate([[True], cells[1:] != cells[:-1]]))
        cells, counts = cells[starts], np.add.reduceat(counts, starts)
    return Lattice(cells, counts, shift + more, seen)


def _coarser(cells: Ints) -> int:
    """The least number of halvings after which the sorted cells are not too many."""
    if len(cells) <= LIMIT:
        return 0
    low, high = 0, 63  # too many at the one, two cells at most at the other
    while high - low > 1:
        middle = (low + high) // 2
        halved = cells >> middle
        many = 1 + int(np.count_nonzero(halved[1:] != halved[:-1])) > LIMIT
        low, high = (middle, high) if many else (low, middle)
    return high


def _points(values: Floats) -> Ints:
    """Doubles as integers of the same order, −0 and 0 as one: the bits, but turned over in negative magnitudes."""
    bits = (values + 0.0).view(np.int64)
    return bits ^ ((bits >> 63) & _MAGNITUDE)


def _doubles(points: Ints) -> Floats:
    return (points ^ ((points >> 63) & _MAGNITUDE)).view(np.float64)
