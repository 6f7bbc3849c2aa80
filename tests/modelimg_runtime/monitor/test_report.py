"""Real data: the held-back half is no drift, changed copies are, by the names of the columns that were changed."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from modelimg_runtime.drift import drift_report
from modelimg_runtime.monitor import Monitor, add, report, span_of
from modelimg_runtime.monitor.report import BLIND

REPEATS = 100


def served(cancer, frame, sizes=(1, 3, 50, 400), monitor=None):
    """A monitor that has counted a frame in requests of several sizes."""
    baseline, _, answer, _ = cancer
    monitor = monitor or Monitor(baseline)
    live, start, number = monitor.live(), 0, 0
    while start < len(frame):
        part = frame.iloc[start : start + sizes[number % len(sizes)]]
        live.observe(*answer(part), f"r{number}")
        start, number = start + len(part), number + 1
    return monitor


def changed(frame, change):
    frame = frame.copy()
    change(frame)
    return frame


def moved(frame):
    frame["mean radius"] += frame["mean radius"].std()


def scaled(frame):
    frame["worst area"] *= 2


def swapped(frame):
    frame[["mean texture", "mean smoothness"]] = frame[["mean smoothness", "mean texture"]].to_numpy()


def test_the_held_back_half_is_calm(cancer, show):
    _, held, _, _ = cancer
    found = served(cancer, held).report()
    assert (found.counts.rows, found.inputs.status, found.inputs.drifted) == (len(held), "calm", ())
    random, calm, reference = np.random.RandomState(0), 0, cancer[0].input.columns
    for _ in range(REPEATS):
        rows = held.iloc[random.choice(len(held), 210, replace=False)]
        counts = served(cancer, rows, (210,)).document().counts().inputs
        calm += drift_report(reference, counts).status == "calm"
    show(f"{calm} of {REPEATS} samples of 210 held-back rows are calm")
    assert calm >= 0.99 * REPEATS


@pytest.mark.parametrize(
    ("change", "columns"),
    [
        (moved, {"mean radius"}),
        (scaled, {"worst area"}),
        (swapped, {"mean texture", "mean smoothness"}),
    ],
)
def test_changes_are_reported_by_their_columns(cancer, change, columns):
    _, held, _, _ = cancer
    found = served(cancer, changed(held, change)).report()
    assert set(found.inputs.drifted) == columns
    assert found.inputs.share == len(columns) / 30


def test_a_new_category_and_more_missing_values_are_reported(mixed, answered):
    baseline, frame = mixed
    live = frame.sample(900, random_state=1)
    monitor = Monitor(baseline)
    monitor.live().observe(*answered(live), "r")
    assert monitor.report().inputs.status == "calm"
    live = live.copy()
    live.loc[live.index[:90], "colour"] = "mauve"
    live.loc[live.index[100:200], "wide"] = None
    monitor = Monitor(baseline)
    monitor.live().observe(*answered(live), "r")
    found = {column.name: column.reasons for column in monitor.report().inputs.columns if column.reasons}
    assert set(found) == {"colour", "wide"}
    assert "unseen" in found["colour"]
    assert "missing" in found["wide"]


def test_what_the_model_says_drifts_with_what_it_is_asked(cancer):
    _, held, answer, _ = cancer
    benign = held[np.array(answer(held)[1].predictions) == 1]
    found = served(cancer, pd.concat([benign, benign])).report()
    assert "prediction" in found.outputs.drifted


def test_few_rows_are_insufficient_data_and_say_nothing(cancer):
    _, held, _, _ = cancer
    found = served(cancer, changed(held.iloc[:199], moved)).report()
    assert (found.inputs.status, found.inputs.share, found.estimated_accuracy) == ("insufficient data", None, None)


def test_no_rows_have_a_report(cancer):
    found = Monitor(cancer[0]).report()
    assert (found.counts.rows, found.counts.first, found.inputs.status) == (0, None, "insufficient data")
    assert len(found.inputs.columns) == 30
    assert Monitor(cancer[0]).report(span_of("24h")).counts.inputs["mean radius"]
    json.dumps(found.to_dict(), allow_nan=False)


def test_replicas_add_up_to_what_one_would_have_counted(cancer):
    _, held, _, _ = cancer
    baseline, drifted = cancer[0], changed(held, moved)
    one = served(cancer, drifted).report()
    halves = [served(cancer, part) for part in (drifted.iloc[:110], drifted.iloc[110:])]
    assert {each.report().inputs.status for each in halves} == {"insufficient data"}
    both = report(add(each.document() for each in halves), baseline)
    assert both.replicas == 2
    assert both.inputs == one.inputs
    assert both.estimated_accuracy == one.estimated_accuracy


def test_labels_give_the_accuracy_and_confidence_estimates_it(cancer):
    _, held, answer, truth = cancer
    monitor = Monitor(cancer[0])
    live = monitor.live()
    live.observe(*answer(held), "all")
    live.feedback([{"prediction_id": "all", "row": row, "label": int(label)} for row, label in enumerate(truth)])
    found = monitor.report()
    accuracy = (np.array(answer(held)[1].predictions) == truth).mean()
    assert found.labels == len(held)
    assert found.metrics[0].live.value == accuracy
    assert found.metrics[0].live.low < accuracy < found.metrics[0].live.high
    assert found.estimated_accuracy.low <= accuracy <= found.estimated_accuracy.high
    assert BLIND in json.dumps(found.to_dict())


def test_a_model_that_got_worse_is_said_to_be(cancer):
    baseline, held, answer, truth = cancer
    packed = {"accuracy": baseline.output.metrics.get("accuracy") or _estimate(0.95, 0.9, 0.99)}
    monitor = Monitor(replace(baseline, output=replace(baseline.output, metrics=packed)))
    live = monitor.live()
    live.observe(*answer(held), "all")
    live.feedback([{"prediction_id": "all", "row": row, "label": 1 - int(each)} for row, each in enumerate(truth)])
    metric = monitor.report().metrics[0]
    assert (metric.name, metric.worse, metric.packed.value) == ("accuracy", True, 0.95)


def _estimate(*values):
    from modelimg_runtime.profile.output import Estimate

    return Estimate(*values)


def test_the_reader_picks_the_window(cancer, clock, make):
    _, held, _, _ = cancer
    monitor = Monitor(cancer[0], clock=clock)
    served(cancer, held, monitor=monitor)
    clock.now += 6 * make.HOUR
    served(cancer, changed(held, scaled), monitor=monitor)
    assert monitor.report(span_of("60m")).inputs.drifted == ("worst area",)
    assert monitor.report(span_of("24h")).counts.rows == 2 * len(held)
    before = "2025-11-24T16:00Z/2025-11-24T17:00Z"
    assert make.START == 1_764_000_100  # 2025-11-24T16:01:40Z
    assert monitor.report(span_of(before)).inputs.status == "calm"
    assert monitor.report(span_of("2020-01-01T00:00Z/2020-01-02T00:00Z")).counts.rows == 0


def test_counts_of_another_model_are_refused(cancer, mixed):
    document = Monitor(mixed[0]).document()
    with pytest.raises(ValueError, match="not of this package's model"):
        report(document, replace(mixed[0], identity=replace(mixed[0].identity, version="2")))
    with pytest.raises(ValueError, match="other columns"):
        report(document, cancer[0])
