"""Every row that was served is counted once, whoever served it."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelimg_runtime.columns import Batch, Prediction
from modelimg_runtime.monitor import Limits, Monitor, span_of


def expected_of(columns, frames):
    """What the columns' binners count of frames."""
    return {
        column.name: tuple(
            np.sum([column.binner().counts(frame[column.name].tolist()) for frame in frames], axis=0).tolist()
        )
        for column in columns
    }


def parts_of(frame, sizes):
    starts = np.cumsum([0, *sizes])
    return [frame.iloc[start : start + size].reset_index(drop=True) for start, size in zip(starts, sizes, strict=False)]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 30), max_size=12), st.integers(1, 3))
def test_live_counts_are_those_of_the_profile_code_on_the_same_rows(mixed, answered, sizes, processes):
    baseline, frame = mixed
    monitor = Monitor(baseline, processes=processes)
    lives, parts = [monitor.live(number) for number in range(processes)], parts_of(frame, sizes)
    for number, part in enumerate(parts):
        lives[number % processes].observe(*answered(part), f"r{number}")
    counts = monitor.document().counts()
    assert counts.rows == sum(sizes)
    if parts:
        assert counts.inputs == expected_of(baseline.input.columns, parts)
        for column in baseline.output.columns:
            assert sum(counts.outputs[column.name]) == sum(sizes)
        predictions = [answer for part in parts for answer in answered(part)[1].predictions]
        assert counts.outputs["prediction"][:2] == (predictions.count("bad"), predictions.count("good"))


def test_probabilities_and_confidence_are_counted_in_their_bins(mixed, answered):
    baseline, frame = mixed
    for rows in (1, 5, 50):
        monitor = Monitor(baseline)
        batch, prediction = answered(frame.iloc[:rows])
        monitor.live().observe(batch, prediction, "r")
        found, probabilities = monitor.document().counts().outputs, np.array(prediction.probabilities)
        for column, values in zip(
            baseline.output.columns[1:], [*probabilities.T, probabilities.max(axis=1)], strict=True
        ):
            assert found[column.name] == tuple(column.binner().counts(values).tolist())


def test_four_threads_at_once_count_every_row(mixed, answered):
    baseline, frame = mixed
    monitor = Monitor(baseline)
    live, sizes = monitor.live(), [1, 3, 40]
    parts = [answered(part) for part in parts_of(frame, sizes)]

    def client():
        for repeat in range(150):
            live.observe(*parts[repeat % 3], f"r{repeat}")

    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = monitor.document().counts()
    assert counts.rows == 4 * 50 * sum(sizes)
    one = expected_of(baseline.input.columns, parts_of(frame, sizes))
    assert counts.inputs == {name: tuple(200 * each for each in found) for name, found in one.items()}


def test_four_forked_processes_at_once_count_every_row(mixed, answered, forked):
    baseline, frame = mixed
    monitor = Monitor(baseline, processes=4)
    parts = [answered(part) for part in parts_of(frame, [1, 2, 30, 300])]

    def client(number):
        live = monitor.live(number)
        for repeat in range(200):
            live.observe(*parts[(repeat + number) % 4], f"{number}-{repeat}")

    forked(client, 4)
    counts = monitor.document().counts()
    assert counts.rows == 4 * 50 * 333
    one = expected_of(baseline.input.columns, parts_of(frame, [1, 2, 30, 300]))
    assert counts.inputs == {name: tuple(200 * each for each in found) for name, found in one.items()}


def test_what_is_read_while_others_count_holds_whole_rows(mixed, answered, forked):
    baseline, frame = mixed
    monitor, part = Monitor(baseline, processes=3), answered(frame.iloc[:3])

    def work(number):
        if number < 2:
            live, until = monitor.live(number), time.monotonic() + 0.7
            while time.monotonic() < until:
                live.observe(*part, "r")
            return
        until, last = time.monotonic() + 0.5, 0
        while time.monotonic() < until:
            counts = monitor.document().counts()
            assert counts.rows >= last
            assert {sum(found) for found in [*counts.inputs.values(), *counts.outputs.values()]} == {counts.rows}
            last = counts.rows

    forked(work, 3)
    assert monitor.document().counts().rows > 0


def test_the_successor_of_a_killed_process_counts_on(mixed, answered):
    baseline, frame = mixed
    monitor = Monitor(baseline, processes=2)
    ready, told = os.pipe()
    for _ in range(2):
        pid = os.fork()
        if pid == 0:
            live = monitor.live(1)
            for repeat in range(10):
                live.observe(*answered(frame.iloc[: 1 + repeat]), f"r{repeat}")
            os.write(told, b"x")
            time.sleep(60)
        os.read(ready, 1)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    monitor.live(0).observe(*answered(frame.iloc[:7]), "r")
    assert monitor.document().counts().rows == 2 * 55 + 7


def test_windows_follow_the_hours(mixed, answered, clock, make):
    baseline, frame = mixed
    monitor = Monitor(baseline, Limits(windows=3), clock=clock)
    live, hour = monitor.live(), make.HOUR
    for hours, rows in enumerate([1, 2, 3, 0, 5]):
        clock.now = make.START + hours * hour
        if rows:
            live.observe(*answered(frame.iloc[:rows]), "r")
    document, first = monitor.document(), 490_000 * hour
    assert {start: counts.rows for start, counts in document.windows.items()} == {
        first + 2 * hour: 3,
        first + 4 * hour: 5,
    }
    assert document.counts().rows == 11
    assert document.counts(span_of("60m")).rows == 5
    assert document.counts(span_of("2h")).rows == 5 + 3  # it reaches into the hour before the empty one
    assert document.counts().first == make.START
    assert document.counts().last == make.START + 4 * hour


def test_replicas_cut_their_windows_at_the_same_moments(mixed, answered, make):
    baseline, frame = mixed
    starts = []
    for late in (0, 1799, 3599 - 100):
        monitor = Monitor(baseline, clock=make.Clock(make.START + late))
        monitor.live().observe(*answered(frame.iloc[:1]), "r")
        starts += monitor.document().windows
    assert starts == [490_000 * make.HOUR] * 3


def test_a_clock_that_goes_back_counts_in_the_newest_window(mixed, answered, clock, make):
    baseline, frame = mixed
    monitor = Monitor(baseline, clock=clock)
    live = monitor.live()
    live.observe(*answered(frame.iloc[:1]), "r")
    clock.now -= 5 * make.HOUR
    live.observe(*answered(frame.iloc[:1]), "r")
    assert [counts.rows for counts in monitor.document().windows.values()] == [2]


def test_columns_come_in_any_order_and_those_that_are_not_there_are_missing(mixed, answered):
    baseline, frame = mixed
    monitor = Monitor(baseline)
    live, rows = monitor.live(), [1, 20]
    for count in rows:
        _, prediction = answered(frame.iloc[:count])
        names = ("yes", "new", "x")
        columns = (frame["yes"][:count].tolist(), [1] * count, frame["x"][:count].tolist())
        live.observe(Batch(names, columns, count), prediction, "r")
    counts = monitor.document().counts()
    assert set(counts.inputs) == {"x", "count", "wide", "colour", "yes"}
    assert counts.inputs["count"][-1] == counts.inputs["colour"][-1] == counts.inputs["wide"][-1] == 21
    known = {column.name: column for column in baseline.input.columns}
    for name in ("x", "yes"):
        values = [*frame[name][:1], *frame[name][:20]]
        assert counts.inputs[name] == tuple(known[name].binner().counts(values).tolist())


@pytest.mark.parametrize("rows", [2, 40])
def test_frames_are_counted_as_lists_are(mixed, answered, rows):
    baseline, frame = mixed
    found = []
    for as_frame in (False, True):
        monitor = Monitor(baseline)
        batch, prediction = answered(frame.iloc[:rows])
        part = frame.iloc[:rows]
        columns = tuple(part[name] for name in part) if as_frame else batch.columns
        monitor.live().observe(replace(batch, columns=columns), prediction, "r")
        found.append(monitor.document().counts().inputs)
    assert found[0] == found[1]


def test_whole_numbers_as_classes_are_counted_by_name(make):
    output = make.classifier_output([0, 1, 1, 10])
    baseline = make.baseline(pd.DataFrame({"x": [1.0, 2.0, 3.0, 4.0]}), "classification", output)
    for rows in (3, 30):
        monitor = Monitor(baseline)
        batch = Batch(("x",), ([1.0] * rows,), rows)
        monitor.live().observe(batch, Prediction([0, 10, 10] * (rows // 3), None), "r")
        assert monitor.document().counts().outputs["prediction"][:3] == (rows // 3, 0, 2 * rows // 3)


def test_several_outputs_are_counted_each(make):
    output = make.numbers_output(np.arange(100.0), np.arange(100.0) * 2)
    baseline = make.baseline(pd.DataFrame({"x": np.arange(100.0)}), "regression", output)
    for rows in (2, 20):
        monitor = Monitor(baseline)
        answers = [[float(i), 2.0 * i] for i in range(rows)]
        monitor.live().observe(Batch(("x",), ([1.0] * rows,), rows), Prediction(answers, None), "r")
        for i, column in enumerate(output.predictions):
            expected = column.binner().counts([answer[i] for answer in answers])
            assert monitor.document().counts().outputs[column.name] == tuple(expected.tolist())


def test_a_model_of_no_columns_can_be_counted(make):
    baseline = make.baseline(pd.DataFrame({"x": [1.0] * 5}), "regression", make.numbers_output(np.arange(5.0)))
    empty = replace(baseline, input=replace(baseline.input, columns=()))
    monitor = Monitor(empty)
    for rows in (1, 10):
        monitor.live().observe(Batch((), (), rows), Prediction([1.0] * rows, None), "r")
    assert monitor.document().counts().rows == 11


def test_ten_million_rows_keep_memory_flat(mixed, answered, clock, make, show):
    baseline, frame = mixed
    part = replace(baseline.input, columns=baseline.input.columns[:1])
    output = replace(baseline.output, scores=(), confidence=None, calibration=None)
    monitor = Monitor(replace(baseline, input=part, output=output), clock=clock)
    live, times, repeats = monitor.live(), 10_000 // len(frame), 1000
    rows = times * len(frame)
    batch = Batch(("x",), (frame["x"].tolist() * times,), rows)
    prediction = Prediction(answered(frame)[1].predictions * times, None)
    live.observe(batch, prediction, "warm")
    before = resident()
    for repeat in range(repeats - 1):
        clock.now = make.START + repeat * 600
        live.observe(batch, prediction, f"r{repeat}")
    after = resident()
    show(f"{rows * repeats:,} rows: {before / 1e6:.1f} MB resident before, {after / 1e6:.1f} MB after")
    assert monitor.document().counts().rows == rows * repeats
    assert len(monitor.document().windows) == 24
    assert after - before < 16e6


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
