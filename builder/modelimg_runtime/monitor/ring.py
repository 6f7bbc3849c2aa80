"""One process's counting in its slot: into the window of the moment, or into one of the past that is still there."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from modelimg_runtime.monitor.memory import Floats, Ints, Slot

_CHANGES = 0


class Ring:
    """See the module. Threads of one process may share it, and hold ``lock`` while they call any of its methods.

    Args:
        slot: its own; what a predecessor counted there is kept and counted on.
        seconds: length of a window. Windows begin at whole multiples since 1970, so that those of replicas add up.
    """

    def __init__(self, slot: Slot, seconds: int) -> None:
        self.lock = threading.Lock()
        self._slot, self._seconds = slot, seconds
        self._views = [memoryview(window) for window in slot.windows]  # type: ignore[arg-type]
        self._changes = memoryview(slot.header)  # type: ignore[arg-type]
        self._newest = int(slot.stamps.max()) - 1
        self._view, self._until = self._views[0], float("-inf")
        self._last = slot.shape.cells - 1
        if self._changes[_CHANGES] % 2:  # a predecessor was killed while it wrote
            self._changes[_CHANGES] += 1

    def count(self, places: Sequence[int], now: float) -> None:
        """Add 1 at each place of the window of the moment.

        Args:
            places: of whole numbers.
            now: seconds since 1970. Where the clock went back, the newest window is still the one.
        """
        changes = self._changes
        changes[_CHANGES] += 1
        view = self._view if now < self._until else self._advance(now)
        for place in places:
            view[place] += 1
        self._note_time(view, int(now * 1000))
        changes[_CHANGES] += 1

    def add(self, counts: Ints, now: float, *, rows: bool = True) -> None:
        """Add a vector to the window of the moment.

        Args:
            counts: for its first whole numbers. Shape (≤ wholes,).
            now: seconds since 1970.
            rows: whether it counts rows, whose times are noted.
        """
        self._changes[_CHANGES] += 1
        view = self._view if now < self._until else self._advance(now)
        self._slot.windows[self._newest % self._slot.shape.windows][: len(counts)] += counts
        if rows:
            self._note_time(view, int(now * 1000))
        self._changes[_CHANGES] += 1

    def add_at(self, wholes: Sequence[int], floats: Floats | None, then: float, now: float) -> None:
        """Add 1 at each place of whole numbers, and a vector of floats, to the window of a moment that may be past.

        Args:
            wholes: places.
            floats: to add; None for none. Shape (floats,).
            then: the moment, in seconds since 1970; where its window is gone, what came before the ring gets it.
            now: the present.
        """
        self._changes[_CHANGES] += 1
        if now >= self._until:
            self._advance(now)
        cells = self._cells_of(min(int(then // self._seconds), self._newest))
        for place in wholes:
            cells[place] += 1
        if floats is not None:
            shape = self._slot.shape
            cells[shape.wholes : shape.wholes + shape.floats].view("float64")[:] += floats
        self._changes[_CHANGES] += 1

    def _note_time(self, view: memoryview, moment: int) -> None:
        last = self._last
        if not view[last - 1]:
            view[last - 1] = moment
        if moment > view[last]:
            view[last] = moment

    def _advance(self, now: float) -> memoryview:
        number = max(int(now // self._seconds), self._newest)
        self._newest = number
        self._enter(number)
        self._view = self._views[number % len(self._views)]
        self._until = (number + 1) * self._seconds
        return self._view

    def _cells_of(self, number: int) -> Ints:
        slot, index = self._slot, number % len(self._views)
        if slot.is_folded(number) or slot.stamps[index] > number + 1:
            return slot.held_past()
        self._enter(number)
        cells: Ints = slot.windows[index]
        return cells

    def _enter(self, number: int) -> None:
        """See to it that a window's place in the ring is its own."""
        index = number % len(self._views)
        if self._slot.stamps[index] != number + 1:
            self._slot.fold(index)
            self._slot.stamps[index] = number + 1
