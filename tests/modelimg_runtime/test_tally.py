from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelimg_runtime.tally import NO_ROOM, Board

KEYS = st.lists(st.text(max_size=6), min_size=1, max_size=3).map(tuple)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), KEYS, st.integers(-(2**40), 2**40)), max_size=60))
def test_totals_are_the_sums_over_all_slots_whatever_the_keys_hold(additions):
    board = Board(3, 100)
    tallies = [board.slot(number) for number in range(3)]
    expected: Counter[tuple[str, ...]] = Counter()
    for slot, key, amount in additions:
        tallies[slot].add(key, amount)
        expected[key] += amount
    assert board.totals() == dict(expected)
    assert board.lost == 0


@settings(max_examples=100, deadline=None)
@given(st.lists(KEYS, max_size=40), st.integers(0, 12), st.integers(0, 30))
def test_what_finds_no_room_is_counted_as_lost_and_nothing_else_changes(keys, room, cells):
    board = Board(1, room, cells)
    tally = board.slot(0)
    for key in keys:
        tally.add(key)
    kept = board.totals()
    assert sum(kept.values()) + board.lost == len(keys)
    assert len(kept) <= min(room, cells)
    assert all(kept[key] == keys.count(key) for key in kept)


@pytest.mark.parametrize("text", ["\0", "a\0b", "\ud800", "", "é" * 10, '"', "\\"])
def test_any_text_is_a_key(text):
    board = Board(1, 10)
    board.slot(0).add((text, "x"))
    assert board.totals() == {(text, "x"): 1}


def test_a_long_key_takes_the_room_of_many_and_then_there_is_none():
    board = Board(1, 4)
    tally = board.slot(0)
    assert tally.cell(("x" * 200,)) >= 0
    assert tally.cell(("y" * 200,)) == NO_ROOM
    tally.add_at(NO_ROOM)
    assert (board.totals(), board.lost) == ({("x" * 200,): 0}, 1)


def test_floats_blocks_and_gauges_are_kept_apart():
    board = Board(2, 10, 40)
    first, second = board.slot(0), board.slot(1)
    first.add_float(("seconds",), 0.25)
    second.add_float(("seconds",), 0.5)
    for tally, amount in ((first, 1), (second, 10)):
        block = tally.block(("bins",), 3)
        with tally.lock:
            for position in range(3):
                block[position] += amount * position
    first.set_at(first.cell(("gauge",)), 5)
    first.set_at(first.cell(("gauge",)), 2)
    assert board.totals() == {("seconds",): 0.75, ("gauge",): 2}
    assert board.blocks() == {("bins",): [0, 11, 22]}
    assert board.of_slot(1) == {("seconds",): 0.5}


def test_a_block_without_room_can_be_written_to_and_is_lost():
    board = Board(1, 10, 2)
    block = board.slot(0).block(("bins",), 3)
    block[2] += 7
    assert (board.blocks(), board.lost) == ({}, 1)


def test_a_successor_goes_on_counting_in_the_slot():
    board = Board(1, 10, 20)
    first = board.slot(0)
    first.add(("a",), 3)
    first.block(("bins",), 4)[1] = 2
    second = board.slot(0)
    second.add(("b",))
    second.add(("a",))
    second.block(("bins",), 4)[1] += 1
    assert board.totals() == {("a",): 4, ("b",): 1}
    assert board.blocks() == {("bins",): [0, 3, 0, 0]}


def test_threads_of_one_process_lose_nothing():
    board = Board(1, 2000)
    tally = board.slot(0)

    def count(number: int) -> None:
        for step in range(3000):
            tally.add(("all",))
            tally.add((str(step % 300),), number)

    threads = [threading.Thread(target=count, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    totals = board.totals()
    assert totals.pop(("all",)) == 12_000
    assert set(totals.values()) == {10 * 10}
    assert len(totals) == 300


def child_of(work) -> int:
    """Run in a forked process that ends when the work does, whatever happens in it."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    return pid


def test_sums_are_exact_though_a_process_is_killed_in_the_middle(show):
    """Each child says in a pipe how often it has counted: what it was doing when it was killed may count, or not."""
    board, rounds, said, on_the_dot = Board(3, 4000), 15, 0, 0
    for number in range(rounds):
        read, write = os.pipe()

        def count(number=number, write=write) -> None:
            tally = board.slot(number % 3)
            for step in range(10**9):
                tally.add((f"{number}", f"{step % 250}"))
                os.write(write, b".")

        pid = child_of(count)
        assert os.read(read, 1) == b"."
        time.sleep(0.002 * number)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(write)
        done = 1
        while chunk := os.read(read, 1 << 16):
            done += len(chunk)
        os.close(read)
        counts = {int(key[1]): value for key, value in board.totals().items() if key[0] == str(number)}
        assert sum(counts.values()) in (done, done + 1)
        assert max(counts.values()) - min(counts.values()) <= 1
        said += done
        on_the_dot += sum(counts.values()) == done
    assert said <= sum(board.totals().values()) <= said + rounds
    show(
        f"{rounds} processes killed while counting to {said}: {on_the_dot} sums as told, {rounds - on_the_dot} one more"
    )


def test_processes_count_at_once_and_their_sum_is_exact():
    board = Board(4, 50)

    def count(slot: int) -> None:
        tally = board.slot(slot)
        for step in range(2000):
            tally.add(("all",))
            tally.add((str(step % 20),), slot)

    for pid in [child_of(lambda slot=slot: count(slot)) for slot in range(4)]:
        os.waitpid(pid, 0)
    totals = board.totals()
    assert totals.pop(("all",)) == 8000
    assert set(totals.values()) == {100 * (0 + 1 + 2 + 3)}
