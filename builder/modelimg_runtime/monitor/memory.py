"""A ring of windows in memory that processes share, exact even when one of them is killed in the middle.

One anonymous shared mapping is made before forking, with a slot for each process. Only the slot's own process counts
there; everybody reads all slots and adds up. A slot has a ring of windows, each a vector of cells, and what came before
them is folded into one further vector, so that the sum since the start is never counted twice.

A slot's cells, 8 bytes each::

    header   changes (odd while something is being written), which of the two vectors of folded windows holds
    stamps   of each window its number since 1970, plus 1; 0 where there was none
    folded   twice, of each window the stamp up to which it was folded
    past     twice, the sum of the folded windows
    windows  the ring

A window that is used again is first added to the vector that does not hold, and then one write lets that one hold. So a
process that is killed at any point leaves a state of which its successor, and every reader, knows what was folded.
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_CHANGES, _HOLDS, _HEADER = 0, 1, 2
_TIMES = 2
_WAITS = (*[0.0] * 100, *[0.001] * 100)
"""Seconds between looks at a slot that is being written to: its process may have lost its CPU in the middle."""


@dataclass(frozen=True)
class Shape:
    """How much is counted.

    Attributes:
        windows: in the ring.
        wholes: cells of whole numbers in a window.
        floats: cells of floats in a window.
    """

    windows: int
    wholes: int
    floats: int

    @property
    def cells(self) -> int:
        """Of one window: whole numbers, floats, and the times of the first and the last row in milliseconds."""
        return self.wholes + self.floats + _TIMES

    @property
    def slot_bytes(self) -> int:
        """Of one process."""
        return 8 * (_HEADER + 3 * self.windows + (2 + self.windows) * self.cells)


@dataclass(frozen=True, eq=False)
class Vector:
    """What was counted in one window, or in several.

    Attributes:
        wholes: shape (wholes,).
        floats: shape (floats,).
        first: milliseconds since 1970 of the first row; 0 without rows.
        last: of the last one.
    """

    wholes: Ints
    floats: Floats
    first: int = 0
    last: int = 0

    def __add__(self, other: Vector) -> Vector:
        return Vector(
            self.wholes + other.wholes,
            self.floats + other.floats,
            min(self.first or other.first, other.first or self.first),
            max(self.last, other.last),
        )

    def __sub__(self, part: Vector) -> Vector:
        """What is left without a part of it; the times stay.

        Raises:
            ValueError: it is no part.
        """
        wholes = self.wholes - part.wholes
        if (wholes < 0).any():
            raise ValueError("the counts of a part are larger than those of the whole")
        return Vector(wholes, self.floats - part.floats, self.first, self.last)

    @classmethod
    def zeros(cls, shape: Shape) -> Vector:
        """Nothing."""
        return cls(np.zeros(shape.wholes, np.int64), np.zeros(shape.floats))

    @classmethod
    def of_cells(cls, shape: Shape, cells: Ints) -> Vector:
        """From the cells of a window. Shape (cells,)."""
        floats = cells[shape.wholes : shape.wholes + shape.floats].view(np.float64)
        return cls(cells[: shape.wholes], floats, int(cells[-2]), int(cells[-1]))

    def write(self, shape: Shape, cells: Ints) -> None:
        """Write to the cells of a window."""
        cells[: shape.wholes] = self.wholes
        cells[shape.wholes : shape.wholes + shape.floats].view(np.float64)[:] = self.floats
        cells[-_TIMES:] = self.first, self.last


@dataclass(frozen=True, eq=False)
class Reading:
    """What all slots together held at one moment.

    Attributes:
        past: sum of the windows that are no longer in any ring.
        windows: number since 1970 → what was counted in it.
    """

    past: Vector
    windows: Mapping[int, Vector]

    @property
    def total(self) -> Vector:
        """Since the start."""
        return sum(self.windows.values(), start=self.past)


class Slot:
    """Views of one slot's cells."""

    def __init__(self, shape: Shape, cells: Ints) -> None:
        ring, size = shape.windows, shape.cells
        self.shape, self.cells = shape, cells
        self.header, cells = cells[:_HEADER], cells[_HEADER:]
        self.stamps, cells = cells[:ring], cells[ring:]
        self.folded, cells = cells[: 2 * ring].reshape(2, ring), cells[2 * ring :]
        self.past, cells = cells[: 2 * size].reshape(2, size), cells[2 * size :]
        self.windows = cells.reshape(ring, size)

    def read(self) -> Reading:
        """What is there; whole rows, unless its process was killed in the middle of one."""
        copy = Slot(self.shape, self._copy())
        holds = int(copy.header[_HOLDS])
        live = np.flatnonzero(copy.stamps > copy.folded[holds]).tolist()
        windows = {int(copy.stamps[i]) - 1: Vector.of_cells(self.shape, copy.windows[i]) for i in live}
        return Reading(Vector.of_cells(self.shape, copy.past[holds]), windows)

    def _copy(self) -> Ints:
        """The cells while nothing was being written; or as they are, where whoever wrote was killed meanwhile."""
        for wait in _WAITS:
            before = self.header[_CHANGES]
            copy = self.cells.copy()
            if before % 2 == 0 and before == self.header[_CHANGES]:
                return copy
            time.sleep(wait)
        return self.cells.copy()

    def fold(self, index: int) -> None:
        """Add a window to the past and empty it, unless a predecessor got as far as that."""
        shape, holds = self.shape, int(self.header[_HOLDS])
        if self.stamps[index] > self.folded[holds, index]:
            other = 1 - holds
            past, window = (Vector.of_cells(shape, cells) for cells in (self.past[holds], self.windows[index]))
            (past + window).write(shape, self.past[other])
            self.folded[other] = self.folded[holds]
            self.folded[other, index] = self.stamps[index]
            self.header[_HOLDS] = other
        self.windows[index] = 0

    def is_folded(self, number: int) -> bool:
        """Whether a window, by its number since 1970, is part of the past."""
        index = number % self.shape.windows
        return bool(self.folded[int(self.header[_HOLDS]), index] > number)

    def held_past(self) -> Ints:
        """The cells of the vector of folded windows that holds."""
        cells: Ints = self.past[int(self.header[_HOLDS])]
        return cells


class Memory:
    """The shared memory. Make it before forking; what is never written costs nothing.

    Args:
        slots: how many processes may count, one slot each.
        shape: how much they count.
        restored: what was counted in an earlier life; it gets a slot of its own, to which nobody writes.

    Attributes:
        shape: as given.
        bytes: of the mapping.
    """

    def __init__(self, slots: int, shape: Shape, restored: Reading | None = None) -> None:
        count, size = slots + (restored is not None), shape.slot_bytes // 8
        cells = np.frombuffer(mmap.mmap(-1, max(1, count) * shape.slot_bytes), dtype=np.int64)
        self.shape, self.bytes = shape, count * shape.slot_bytes
        self._slots = [Slot(shape, cells[number * size : (number + 1) * size]) for number in range(count)]
        if restored is not None:
            _restore(self._slots[-1], restored)

    def slot(self, number: int) -> Slot:
        """Of one process. No two living ones may count in the same."""
        return self._slots[number]

    def read(self) -> Reading:
        """What all slots hold together."""
        return combined(self.shape, [slot.read() for slot in self._slots])


def combined(shape: Shape, readings: Iterable[Reading]) -> Reading:
    """The sum of several slots, window by window."""
    past, windows = Vector.zeros(shape), dict[int, Vector]()
    for reading in readings:
        past = past + reading.past
        for number, window in reading.windows.items():
            windows[number] = windows[number] + window if number in windows else window
    return Reading(past, dict(sorted(windows.items())))


def _restore(slot: Slot, reading: Reading) -> None:
    """Write to a fresh slot; windows for which the ring has no place are past."""
    shape, past = slot.shape, reading.past
    for number, window in sorted(reading.windows.items(), reverse=True):
        index = number % shape.windows
        if slot.stamps[index]:
            past = past + window
        else:
            window.write(shape, slot.windows[index])
            slot.stamps[index] = number + 1
    past.write(shape, slot.past[0])
