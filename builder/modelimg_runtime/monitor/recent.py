"""The last predictions, for labels that come later: a ring of records of fixed size in memory that processes share.

Each process writes to its own slot, and any process finds the predictions of all. A record is 16 bytes of a digest of
the request's id plus the row's number, the time, the numbers that stand for the prediction, and a mark once its label
was counted.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from modelimg_runtime.monitor.memory import Floats

Key = tuple[int, int]
Words = NDArray[np.uint64]
_DIGEST: Final = struct.Struct("=QQ")
_WORD: Final = (1 << 64) - 1
_HEADER: Final = 1


@dataclass(frozen=True)
class Found:
    """A prediction that is still known.

    Attributes:
        slot: number of the slot that it is in.
        index: its place there.
        key: of the row.
        time: when it was made, in seconds since 1970.
        numbers: that stand for it.
    """

    slot: int
    index: int
    key: Key
    time: float
    numbers: tuple[float, ...]


def key_of(identifier: str, row: int) -> Key:
    """Where a row is looked up: a digest of the request's id, and the row's number added to its second half."""
    first, second = _DIGEST.unpack(_digest(identifier))
    return first, (second + row) & _WORD


def _keys_of(identifiers: Sequence[str], counts: Sequence[int]) -> tuple[Words, Words]:
    """Both halves of the keys of so many rows of each request."""
    halves = np.frombuffer(b"".join(map(_digest, identifiers)), dtype=np.uint64).reshape(-1, 2)
    if max(counts) == 1:
        return halves[:, 0], halves[:, 1]
    sizes = np.array(counts)
    ends = sizes.cumsum()
    # From the second half of a request's first row on, they count upwards; unsigned, so that what is too large wraps.
    firsts = halves[:, 1] - (ends - sizes).astype(np.uint64)
    return np.repeat(halves[:, 0], sizes), np.repeat(firsts, sizes) + np.arange(ends[-1], dtype=np.uint64)


def _digest(identifier: str) -> bytes:
    return hashlib.blake2b(identifier.encode("utf-8", "replace"), digest_size=16).digest()


class _Slot:
    """Views of one slot."""

    def __init__(self, rows: int, width: int, words: NDArray[np.uint64]) -> None:
        self.header, rest = words[:_HEADER], words[_HEADER:]
        self.first, self.second, self.marks, self.times = rest[: 4 * rows].reshape(4, rows)
        self.numbers = rest[4 * rows :].view(np.float64).reshape(rows, width)
        self.views = tuple(
            memoryview(each)  # type: ignore[arg-type]
            for each in (self.first, self.second, self.times, rest[4 * rows :].view(np.float64), self.header)
        )


class Recent:
    """The shared memory. Make it before forking; what is never written costs nothing.

    Args:
        slots: how many processes may remember.
        rows: how many predictions each remembers.
        width: numbers that stand for one prediction.
        seconds: for which a prediction is remembered.

    Attributes:
        rows: as given.
        bytes: of the mapping.
    """

    def __init__(self, slots: int, rows: int, width: int, seconds: float) -> None:
        self.rows, self._width, self._seconds = rows, width, seconds
        size = _HEADER + rows * (4 + width)
        self.bytes = 8 * size * slots
        words = np.frombuffer(mmap.mmap(-1, self.bytes), dtype=np.uint64)
        self._slots = [_Slot(rows, width, words[number * size : (number + 1) * size]) for number in range(slots)]
        self._exclusive = _Exclusive(shared=slots > 1)

    def remember(self, slot: int, identifier: str, predictions: Sequence[tuple[float, ...]], now: float) -> None:
        """Remember the few predictions of a request. Only a slot's own process may.

        Args:
            slot: of the process.
            identifier: of the request.
            predictions: of each row, the numbers that stand for it.
            now: seconds since 1970.
        """
        firsts, seconds, times, values, header = self._slots[slot].views
        first, second = key_of(identifier, 0)
        start, moment = header[0], int(now * 1000)
        for row, numbers in enumerate(predictions):
            place = (start + row) % self.rows
            # The time comes last: a record without one is none.
            times[place] = 0
            firsts[place], seconds[place] = first, (second + row) & _WORD
            for i, number in enumerate(numbers):
                values[place * self._width + i] = number  # type: ignore[call-overload]  # a view of doubles
            times[place] = moment
        header[0] = start + len(predictions)

    def remember_all(
        self, slot: int, identifiers: Sequence[str], counts: Sequence[int], numbers: Floats, now: float
    ) -> None:
        """The same of many; the oldest predictions are forgotten for them.

        Args:
            slot: of the process.
            identifiers: of the requests.
            counts: rows of each of them.
            numbers: of all their rows. Shape (sum of counts, width).
            now: seconds since 1970.
        """
        mine, rows = self._slots[slot], self.rows
        first, second = _keys_of(identifiers, counts)
        first, second, numbers = first[-rows:], second[-rows:], numbers[-rows:]
        start, count = int(mine.header[0]), len(numbers)
        begin = start % rows
        places = slice(begin, begin + count) if begin + count <= rows else np.arange(start, start + count) % rows
        mine.times[places] = 0
        mine.numbers[places] = numbers
        mine.first[places] = first
        mine.second[places] = second
        mine.times[places] = int(now * 1000)
        mine.header[0] = start + count

    def find(self, keys: Sequence[Key], now: float) -> dict[Key, Found]:
        """The predictions that are known of some rows; of several under one id, the newest."""
        wanted, found = set(keys), dict[Key, Found]()
        firsts = np.array(sorted({first for first, _ in wanted}), dtype=np.uint64)
        oldest = max(0.0, now - self._seconds)
        for number, slot in enumerate(self._slots):
            used = min(int(slot.header[0]), self.rows)
            for index in np.flatnonzero(np.isin(slot.first[:used], firsts)).tolist():
                key = int(slot.first[index]), int(slot.second[index])
                moment = int(slot.times[index]) / 1000
                if key in wanted and moment > oldest and (key not in found or moment >= found[key].time):
                    found[key] = Found(number, index, key, moment, tuple(slot.numbers[index].tolist()))
        return found

    def is_marked(self, found: Found) -> bool:
        """Whether the prediction's label was counted. Hold `exclusive`."""
        return bool(self._slots[found.slot].marks[found.index] == found.key[1])

    def mark(self, found: Found) -> None:
        """Note that it was. The mark is of the key, so that it ends when the record is written over."""
        self._slots[found.slot].marks[found.index] = found.key[1]

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Held by one thread of one process at a time, so that a label that comes twice at once is counted once."""
        with self._exclusive:
            yield


class _Exclusive:
    """A lock among threads and processes that a killed one lets go of."""

    def __init__(self, *, shared: bool) -> None:
        self._lock = threading.Lock()
        self._file = _anonymous_file() if shared else None

    def __enter__(self) -> None:
        self._lock.acquire()
        if self._file is not None:
            import fcntl

            fcntl.lockf(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            import fcntl

            fcntl.lockf(self._file, fcntl.LOCK_UN)
        self._lock.release()


def _anonymous_file() -> int:
    """A file that needs no place in any folder where the system has such."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("modelimg-feedback")
    from tempfile import TemporaryFile

    with TemporaryFile() as file:
        return os.dup(file.fileno())
