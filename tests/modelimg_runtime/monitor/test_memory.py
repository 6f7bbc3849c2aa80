"""Windows in shared memory: what was counted is counted once, whatever was killed in between."""

from __future__ import annotations

import os
import random
import signal
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelimg_runtime.monitor.memory import Memory, Reading, Shape, Vector, combined
from modelimg_runtime.monitor.ring import Ring

SHAPE = Shape(windows=4, wholes=3, floats=2)
MOMENTS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 2)), max_size=40)


def vector(wholes, floats=(0.0, 0.0), first=0, last=0):
    return Vector(np.array(wholes, dtype=np.int64), np.array(floats), first, last)


@settings(max_examples=300, deadline=None)
@given(MOMENTS)
def test_every_count_is_in_its_window_or_in_the_past(moments):
    memory = Memory(1, SHAPE)
    ring, newest, expected = Ring(memory.slot(0), 10), 0, {}
    for now, place in moments:
        newest = max(newest, now // 10)  # a clock that goes back does not take the windows with it
        ring.count([place], now)
        expected.setdefault(newest, [0, 0, 0])[place] += 1
    reading = memory.read()
    assert reading.total.wholes.tolist() == np.sum([*expected.values(), [0, 0, 0]], axis=0).tolist()
    kept = {number: counts for number, counts in expected.items() if not _reused(number, expected)}
    assert {number: found.wholes.tolist() for number, found in reading.windows.items()} == kept


def _reused(number, numbers):
    return any(other > number and other % 4 == number % 4 for other in numbers)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 12)), max_size=30))
def test_labels_of_the_past_go_to_their_window_while_it_is_there(steps):
    memory = Memory(1, SHAPE)
    ring, newest, expected = Ring(memory.slot(0), 10), 0, {}
    for advance, back in steps:
        newest += advance
        then = max(0, newest - back)
        ring.add_at([1], np.array([0.5, -2.0]), then * 10.0, newest * 10.0)
        expected[then] = expected.get(then, 0) + 1
    reading = memory.read()
    assert reading.total.wholes[1] == len(steps)
    assert reading.total.floats.tolist() == [0.5 * len(steps), -2.0 * len(steps)]
    for number, found in reading.windows.items():
        assert found.wholes[1] == expected.get(number, 0)


def test_a_window_that_is_used_again_is_empty_first():
    memory = Memory(1, SHAPE)
    ring = Ring(memory.slot(0), 10)
    ring.count([0, 0], 5)
    ring.count([1], 45)
    reading = memory.read()
    assert reading.past.wholes.tolist() == [2, 0, 0]
    assert [(number, found.wholes.tolist()) for number, found in reading.windows.items()] == [(4, [0, 1, 0])]
    assert (reading.past.first, reading.past.last) == (5000, 5000)
    assert (reading.windows[4].first, reading.windows[4].last) == (45_000, 45_000)


def test_slots_add_up_by_window():
    memory = Memory(2, SHAPE)
    Ring(memory.slot(0), 10).count([0], 5)
    other = Ring(memory.slot(1), 10)
    other.add(np.array([3, 4, 5]), 7)
    other.count([2], 15)
    reading = memory.read()
    assert {number: found.wholes.tolist() for number, found in reading.windows.items()} == {
        0: [4, 4, 5],
        1: [0, 0, 1],
    }
    assert (reading.windows[0].first, reading.windows[0].last) == (5000, 7000)


def test_a_successor_counts_on():
    memory = Memory(1, SHAPE)
    Ring(memory.slot(0), 10).count([0], 25)
    Ring(memory.slot(0), 10).count([0], 26)
    assert memory.read().windows[2].wholes[0] == 2


class Killed(Exception):  # noqa: N818 - it says what is the case
    pass


class Deadly(np.ndarray):
    """An array that ends its process, as it were, at the n-th write to it."""

    left = 10**9

    def __setitem__(self, key, value):
        Deadly.left -= 1
        if Deadly.left < 0:
            raise Killed
        super().__setitem__(key, value)


@pytest.mark.parametrize("writes", range(12))
def test_a_fold_that_is_killed_at_any_write_is_finished_by_the_successor_and_adds_up_before(writes):
    memory = Memory(1, SHAPE)
    slot = memory.slot(0)
    ring = Ring(slot, 10)
    for window in range(4):
        ring.count([0], window * 10)
    for name in ("header", "stamps", "folded", "past", "windows"):
        setattr(slot, name, getattr(slot, name).view(Deadly))
    Deadly.left = writes
    try:
        slot.fold(0)
        slot.stamps[0] = 5
        assert writes > 5
    except Killed:
        assert memory.read().total.wholes[0] == 4
    Deadly.left = 10**9
    successor = Ring(slot, 10)
    successor.add_at([1], None, 5.0, 35.0)  # a label for the window that was being folded
    successor.count([0], 45)
    total = memory.read().total.wholes.tolist()
    assert total == [5, 1, 0]
    assert memory.read().windows[4].wholes[0] == 1


def test_counters_of_a_process_that_is_killed_again_and_again_stay_whole(show):
    """Each row counts in two cells; a kill may leave one row half counted, and nothing else."""
    memory, random_ = Memory(1, Shape(3, 2, 0)), random.Random(5)
    kills, told = 12, 0
    for _ in range(kills):
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            ring, done = Ring(memory.slot(0), 1), 0
            while True:
                done += 1
                ring.count([0, 1], done / 50)  # a fold every 50 rows
                if done % 64 == 0:
                    os.write(write, b"x")
        time.sleep(0.01 + random_.random() / 50)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(write)
        told += 64 * len(os.read(read, 1 << 20))
        os.close(read)
    wholes = memory.read().total.wholes
    show(f"{wholes[0]} rows counted through {kills} kills, {told} of them told of")
    assert 0 <= wholes[0] - wholes[1] <= kills
    assert told - kills <= wholes[1] < told + 64 * kills + kills


def test_what_was_restored_is_read_and_windows_without_a_place_are_past():
    earlier = Reading(vector([10, 0, 0], first=1), {n: vector([n, 0, 1], first=n, last=n) for n in (1, 2, 5, 6, 20)})
    memory = Memory(2, SHAPE, earlier)
    reading = memory.read()
    assert sorted(reading.windows) == [5, 6, 20]  # 5 has the place of 1, and 6 that of 2
    assert reading.total.wholes.tolist() == [44, 0, 5]
    Ring(memory.slot(0), 10).count([0], 205)
    assert memory.read().windows[20].wholes[0] == 21


def test_a_part_that_is_larger_than_the_whole_is_refused():
    with pytest.raises(ValueError, match="larger than those of the whole"):
        vector([1, 0, 0]) - vector([0, 1, 0])


def test_the_sum_of_no_slot_is_nothing():
    assert combined(SHAPE, []).total.wholes.tolist() == [0, 0, 0]
