"""What Prometheus scrapes: bins that add up, and no label value that is not of the packed profiles."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from modelimg_runtime.columns import Batch, Prediction
from modelimg_runtime.monitor import Limits, Monitor
from modelimg_runtime.profile.output import Estimate


def scraped(monitor):
    """Name, sorted labels → value, through the text format."""

    class Once(Collector):
        def collect(self):
            yield from monitor.families()

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Once())
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }


def of(samples, name):
    return {key[1:]: value for key, value in samples.items() if key[0] == name}


def test_bins_are_counted_by_the_labels_of_the_profile(mixed, answered):
    baseline, frame = mixed
    monitor = Monitor(baseline)
    monitor.live().observe(*answered(frame), "r")
    samples = scraped(monitor)
    values = of(samples, "modelimg_feature_values_total")
    for column in baseline.input.columns:
        found = [values[("bin", label), ("feature", column.name)] for label in column.bins.labels]
        assert found == list(column.counts)
    assert len(values) == sum(column.bins.size for column in baseline.input.columns)
    shares = of(samples, "modelimg_baseline_ratio")
    for column in baseline.input.columns:
        total = sum(value for key, value in shares.items() if ("feature", column.name) in key)
        assert total == pytest.approx(1)
    predictions = of(samples, "modelimg_predictions_total")
    assert sum(predictions.values()) == len(frame)
    assert set(predictions) == set(of(samples, "modelimg_prediction_baseline_ratio"))


def test_drift_stands_beside_its_threshold(mixed, answered):
    baseline, frame = mixed
    moved = frame.assign(x=frame["x"] + 2)
    monitor = Monitor(baseline)
    monitor.live().observe(*answered(moved), "r")
    samples = scraped(monitor)
    drift, thresholds = of(samples, "modelimg_drift"), of(samples, "modelimg_drift_threshold")
    assert drift.keys() == thresholds.keys()
    over = {dict(key)["feature"] for key, value in drift.items() if value > thresholds[key]}
    assert over == {"x"}
    assert {dict(key)["feature"] for key, value in of(samples, "modelimg_feature_drifted").items() if value} == {"x"}
    assert samples[("modelimg_drifted_columns_ratio",)] == 1 / 5
    assert samples[("modelimg_drift_window_rows",)] == len(frame)
    assert 0 < samples[("modelimg_estimated_accuracy_ratio",)] <= 1


def test_without_enough_rows_there_is_no_drift_to_alert_on(mixed):
    samples = scraped(Monitor(mixed[0]))
    for name in ("modelimg_drift", "modelimg_feature_drifted", "modelimg_drifted_columns_ratio"):
        assert of(samples, name) == {}
    assert samples[("modelimg_drift_window_rows",)] == 0
    assert set(of(samples, "modelimg_feature_values_total").values()) == {0}
    assert not any(math.isnan(value) for value in samples.values())


def test_feedback_and_performance_are_counted(mixed, answered):
    baseline, frame = mixed
    monitor = Monitor(baseline)
    live = monitor.live()
    live.observe(*answered(frame.iloc[:40]), "r")
    live.feedback([{"prediction_id": "r", "row": row, "label": "bad"} for row in range(41)])
    samples = scraped(monitor)
    assert {dict(key)["outcome"]: value for key, value in of(samples, "modelimg_feedback_total").items()} == {
        "accepted": 40,
        "unknown": 1,
        "duplicate": 0,
        "invalid": 0,
    }
    assert 0 <= samples[("modelimg_performance", ("metric", "accuracy"))] <= 1


@pytest.mark.parametrize("packed", [None, Estimate(0.9, 0.85, 0.95)])
def test_metrics_stand_with_their_intervals(mixed, answered, packed):
    baseline, frame = mixed
    metrics = {} if packed is None else {"accuracy": packed, "roc_auc": packed}
    monitor = Monitor(replace(baseline, output=replace(baseline.output, metrics=metrics)))
    live = monitor.live()
    live.observe(*answered(frame.iloc[:40]), "r")
    live.feedback([{"prediction_id": "r", "row": row, "label": "bad"} for row in range(40)])
    samples = scraped(monitor)
    found = {metric.name: metric.live for metric in monitor.report().metrics}
    assert set(found) == {"accuracy", "f1_macro"}
    for name, estimate in found.items():
        ends = [samples["modelimg_performance" + end, ("metric", name)] for end in ("", "_low", "_high")]
        assert ends == [estimate.value, estimate.low, estimate.high]
        assert ends[1] < ends[0] < ends[2]
    # What was packed is there where it is known and can be compared.
    for end, value in (("", 0.9), ("_low", 0.85), ("_high", 0.95)):
        known = {} if packed is None else {(("metric", "accuracy"),): value}
        assert of(samples, f"modelimg_performance_packed{end}") == known


def test_without_labels_there_is_no_performance_to_alert_on(mixed, answered):
    baseline, frame = mixed
    monitor = Monitor(baseline)
    monitor.live().observe(*answered(frame.iloc[:40]), "r")
    assert {name for name, *_ in scraped(monitor) if name.startswith("modelimg_performance")} == set()


def test_callers_cannot_make_series(mixed, answered):
    baseline, frame = mixed
    monitor = Monitor(baseline)
    live, before = monitor.live(), None
    for number in range(60):
        part = frame.iloc[: 1 + number].assign(colour=f"new-{number}", x=number * 1e6)
        live.observe(*answered(part), f"r{number}")
        live.feedback([{"prediction_id": f"r{number}", "label": f"label-{number}"}])
        if number in (20, 59):
            names = set(scraped(monitor))
            assert before is None or names == before
            before = names


def test_several_outputs_are_told_apart(make):
    output = make.numbers_output(np.arange(50.0), np.arange(50.0))
    monitor = Monitor(make.baseline(pd.DataFrame({"x": np.arange(50.0)}), "regression", output))
    monitor.live().observe(Batch(("x",), ([1.0],), 1), Prediction([[1.0, 2.0]], None), "r")
    found = of(scraped(monitor), "modelimg_predictions_total")
    assert {dict(key)["output"] for key in found} == {"prediction_0", "prediction_1"}
    assert sum(found.values()) == 2


def test_drift_is_of_the_ring_and_bins_are_of_all_time(mixed, answered, clock, make):
    baseline, frame = mixed
    monitor = Monitor(baseline, Limits(windows=3), clock=clock)
    live = monitor.live()
    for hour, rows in ((0, 500), (1, 300), (2, 200), (3, 100)):
        clock.now = make.START + hour * make.HOUR
        live.observe(*answered(frame.iloc[:rows]), "r")
    samples = scraped(monitor)
    assert samples[("modelimg_drift_window_rows",)] == 600
    assert sum(of(samples, "modelimg_predictions_total").values()) == 1100
