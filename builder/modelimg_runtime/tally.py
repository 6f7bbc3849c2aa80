"""Counting in memory that processes share, exact even when one of them is killed in the middle.

One anonymous shared mapping is made before forking: no file, no ``/dev/shm``, so it works in a read-only container. It
has one slot a process. A slot is a table of keys that only grows and an array of 8-byte cells; only the slot's own
process writes there, and everybody reads all slots and adds up. What was counted lives in the mapping alone, so a
process that takes over the slot of one that was killed goes on counting where that one stopped.

A slot's bytes, all numbers 64-bit in the machine's order::

    header   number of keys, additions that found no room
    table    a line a key: where its text ends, kind (0 whole numbers, 1 floats), its first cell, how many cells
    texts    the keys, as JSON
    cells

A key's line and text are complete before the number of keys is raised, so a reader, or a successor, sees whole keys.
"""

from __future__ import annotations

import json
import mmap
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Key = tuple[str, ...]
Number = int | float

_HEADER, _LINE = 2, 4
_KEYS, _LOST = 0, 1
_TEXT_BYTES = 64
"""Room for texts, a key on average."""
_WHOLE, _FLOAT = 0, 1
NO_ROOM = -1
"""Stands for a cell where the table is full; what is added there is counted as lost."""


@dataclass(frozen=True)
class _Line:
    key: Key
    kind: int
    first: int
    length: int


class _Slot:
    """Views of one slot's bytes; unwritten memory is zero, and costs nothing."""

    def __init__(self, memory: memoryview, keys: int, cells: int) -> None:
        self.keys, self.cells = keys, cells
        at = _HEADER * 8
        self.header = memory[:at].cast("q")
        self.table = memory[at : at + keys * _LINE * 8].cast("q")
        at += keys * _LINE * 8
        self.texts = memory[at : at + keys * _TEXT_BYTES]
        at += keys * _TEXT_BYTES
        self.whole = memory[at : at + cells * 8].cast("q")
        self.floats = memory[at : at + cells * 8].cast("d")

    @staticmethod
    def size(keys: int, cells: int) -> int:
        """Bytes of a slot."""
        return 8 * (_HEADER + keys * _LINE + cells) + keys * _TEXT_BYTES

    def lines(self, start: int = 0) -> Iterator[_Line]:
        """The keys that are there, from a number on."""
        for number in range(start, self.header[_KEYS]):
            end, kind, first, length = self.table[number * _LINE : (number + 1) * _LINE]
            begin = self.table[(number - 1) * _LINE] if number else 0
            yield _Line(tuple(json.loads(bytes(self.texts[begin:end]))), kind, first, length)

    def values(self, line: _Line) -> list[Number]:
        """The cells of a key."""
        part = slice(line.first, line.first + line.length)
        return [*self.floats[part]] if line.kind == _FLOAT else [*self.whole[part]]


class Board:
    """The shared memory. Make it before forking.

    Args:
        slots: how many processes may count, one slot each.
        keys: how many keys a slot has room for.
        cells: how many values all its keys may have together; as many as keys unless there are blocks.
    """

    def __init__(self, slots: int, keys: int, cells: int | None = None) -> None:
        cells = keys if cells is None else cells
        size = _Slot.size(keys, cells)
        memory = memoryview(mmap.mmap(-1, size * slots))
        self._slots = [_Slot(memory[number * size : (number + 1) * size], keys, cells) for number in range(slots)]
        self._lines: list[list[_Line]] = [[] for _ in self._slots]
        self._lock = threading.Lock()

    def slot(self, number: int) -> Tally:
        """The tally of one process. Call it in that process; no two living ones may have the same slot."""
        return Tally(self._slots[number])

    def totals(self) -> dict[Key, Number]:
        """Sums over all slots of the keys with one value."""
        return {key: values[0] for key, values in self._sums().items() if len(values) == 1}

    def blocks(self) -> dict[Key, list[Number]]:
        """Sums over all slots of the keys with a block of values."""
        return {key: values for key, values in self._sums().items() if len(values) > 1}

    def of_slot(self, number: int) -> dict[Key, Number]:
        """The same as `totals`, of one slot."""
        slot = self._slots[number]
        return {line.key: slot.values(line)[0] for line in self._read(number) if line.length == 1}

    @property
    def slots(self) -> int:
        """How many there are."""
        return len(self._slots)

    @property
    def lost(self) -> int:
        """Additions that no slot had room for."""
        return sum(slot.header[_LOST] for slot in self._slots)

    def _sums(self) -> dict[Key, list[Number]]:
        sums: dict[Key, list[Number]] = {}
        for number, slot in enumerate(self._slots):
            for line in self._read(number):
                values, so_far = slot.values(line), sums.get(line.key)
                sums[line.key] = values if so_far is None else [a + b for a, b in zip(so_far, values, strict=True)]
        return sums

    def _read(self, number: int) -> list[_Line]:
        """A slot's keys; each is read once, since it never changes."""
        with self._lock:
            known = self._lines[number]
            known += self._slots[number].lines(len(known))
            return list(known)


class Tally:
    """What one process counts, exact among its threads.

    Args:
        slot: its own; what a predecessor counted there is kept and counted on.
    """

    def __init__(self, slot: _Slot) -> None:
        self._slot, self._whole, self._floats = slot, slot.whole, slot.floats
        self.lock = threading.Lock()
        """Held while a block is written to."""
        self._cells: dict[tuple[Key, int, int], int] = {}
        for line in slot.lines():
            self._cells[line.key, line.kind, line.length] = line.first

    def cell(self, key: Key) -> int:
        """Number of a key's cell of whole numbers, for repeated `add_at`; ``NO_ROOM`` where the table is full."""
        return self._place(key, _WHOLE, 1)

    def float_cell(self, key: Key) -> int:
        """The same for a cell of floats, and `add_float_at`."""
        return self._place(key, _FLOAT, 1)

    def add(self, key: Key, amount: int = 1) -> None:
        """Add to a key."""
        self.add_at(self._place(key, _WHOLE, 1), amount)

    def add_float(self, key: Key, amount: float) -> None:
        """Add to a key of floats."""
        self.add_float_at(self._place(key, _FLOAT, 1), amount)

    def add_at(self, cell: int, amount: int = 1) -> None:
        """Add to a cell of whole numbers."""
        with self.lock:
            if cell >= 0:
                self._whole[cell] += amount
            else:
                self._slot.header[_LOST] += 1

    def add_float_at(self, cell: int, amount: float) -> None:
        """Add to a cell of floats."""
        with self.lock:
            if cell >= 0:
                self._floats[cell] += amount
            else:
                self._slot.header[_LOST] += 1

    def set_at(self, cell: int, value: int) -> None:
        """Set a cell of whole numbers: a gauge of this process, which its successor does not go on with."""
        with self.lock:
            if cell >= 0:
                self._whole[cell] = value

    def block(self, key: Key, length: int) -> memoryview:
        """Cells of whole numbers that are counted in together, such as a histogram's.

        Hold ``lock`` while writing: ``with tally.lock: np.asarray(block)[:] += counts``.

        Args:
            key: of the block.
            length: at least 2.

        Returns:
            Shape (length,), int64, writable. Where the table is full, memory that nobody else sees.
        """
        first = self._place(key, _WHOLE, length)
        if first >= 0:
            return self._whole[first : first + length]
        with self.lock:
            self._slot.header[_LOST] += 1
        return memoryview(bytearray(8 * length)).cast("q")

    def _place(self, key: Key, kind: int, length: int) -> int:
        first = self._cells.get((key, kind, length))
        if first is not None:
            return first
        with self.lock:
            if (key, kind, length) not in self._cells:
                first = self._append(_Line(key, kind, self._next_cell(), length))
                if first == NO_ROOM:
                    return first
                self._cells[key, kind, length] = first
            return self._cells[key, kind, length]

    def _next_cell(self) -> int:
        count = self._slot.header[_KEYS]
        last: Sequence[int] = self._slot.table[(count - 1) * _LINE : count * _LINE] if count else (0, 0, 0, 0)
        return last[2] + last[3]

    def _append(self, line: _Line) -> int:
        slot = self._slot
        count = slot.header[_KEYS]
        text = json.dumps(line.key).encode("ascii")
        begin = slot.table[(count - 1) * _LINE] if count else 0
        end = begin + len(text)
        if count >= slot.keys or end > len(slot.texts) or line.first + line.length > slot.cells:
            return NO_ROOM
        slot.texts[begin:end] = text
        for field, value in enumerate((end, line.kind, line.first, line.length)):
            slot.table[count * _LINE + field] = value
        slot.header[_KEYS] = count + 1  # from here on, the key is there
        return line.first
