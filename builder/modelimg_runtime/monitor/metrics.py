"""Metric families of the monitor for Prometheus. Values of labels are of the packed profiles alone, never of callers'.

Counters add up over replicas, and PromQL picks the window; what is compared here is what this replica's ring of windows
holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from modelimg_runtime.drift.report import INSUFFICIENT, ColumnDrift
from modelimg_runtime.monitor.counts import Counts
from modelimg_runtime.monitor.report import MonitorReport
from modelimg_runtime.profile.column import ColumnProfile

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from modelimg_runtime.monitor.baseline import Baseline


def families(baseline: Baseline, total: Counts, recent: MonitorReport) -> Iterator[Metric]:
    """All families.

    Args:
        baseline: of the model.
        total: counts since they began.
        recent: the report on the windows in the ring.
    """
    yield from _values(baseline, total)
    yield from _drift(recent)
    yield from _quality(recent, total)


def _values(baseline: Baseline, total: Counts) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    features, predictions = baseline.input.columns, baseline.output.predictions
    values = CounterMetricFamily("modelimg_feature_values", "Served values by bin.", labels=("feature", "bin"))
    ratios = GaugeMetricFamily(
        "modelimg_baseline_ratio", "Share of the training data in each bin.", labels=("feature", "bin")
    )
    for column in features:
        _fill(values, (column.name,), column, total.inputs.get(column.name, column.bins.size * (0,)))
        _fill(ratios, (column.name,), column, _shares(column))
    # The usual model has one output, which needs no label.
    names = ("bin",) if len(predictions) == 1 else ("output", "bin")
    answers = CounterMetricFamily("modelimg_predictions", "Answers by bin.", labels=names)
    expected = GaugeMetricFamily(
        "modelimg_prediction_baseline_ratio", "Share of the answers to the packed split in each bin.", labels=names
    )
    for column in predictions:
        labels = () if len(predictions) == 1 else (column.name,)
        _fill(answers, labels, column, total.outputs.get(column.name, column.bins.size * (0,)))
        _fill(expected, labels, column, _shares(column))
    yield from (values, ratios, answers, expected)


def _fill(family: Metric, labels: tuple[str, ...], column: ColumnProfile, numbers: Iterable[float]) -> None:
    for label, number in zip(column.bins.labels, numbers, strict=True):
        family.add_metric((*labels, label), number)  # type: ignore[attr-defined]


def _shares(column: ColumnProfile) -> Sequence[float]:
    return [count / column.n if column.n else 0.0 for count in column.counts]


def _drift(recent: MonitorReport) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    labels = ("feature", "statistic")
    drift = GaugeMetricFamily("modelimg_drift", "Difference from the training data.", labels=labels)
    limits = GaugeMetricFamily(
        "modelimg_drift_threshold", "What chance and indifference explain of the difference.", labels=labels
    )
    verdicts = GaugeMetricFamily(
        "modelimg_feature_drifted", "1 where the column drifted, 0 where not.", labels=("feature",)
    )
    for column in recent.inputs.columns:
        if column.status == INSUFFICIENT:
            continue
        verdicts.add_metric((column.name,), float(bool(column.reasons)))
        for statistic, (value, threshold) in statistics_of(column).items():
            drift.add_metric((column.name, statistic), value)
            limits.add_metric((column.name, statistic), threshold)
    yield from (drift, limits, verdicts)
    yield GaugeMetricFamily("modelimg_drift_window_rows", "Rows that drift is looked for in.", recent.counts.rows)
    share = GaugeMetricFamily("modelimg_drifted_columns_ratio", "Share of the columns that drifted.")
    if recent.inputs.share is not None:
        share.add_metric((), recent.inputs.share)
    yield share


def statistics_of(column: ColumnDrift) -> Mapping[str, tuple[float, float]]:
    """Statistic → its value and its threshold: distances of the distribution, and changes of rates."""
    found: dict[str, tuple[float, float]] = {}
    if column.distribution is not None:
        of = column.distribution
        ordered = {"kolmogorov_smirnov": of.kolmogorov_smirnov} if of.kolmogorov_smirnov else {}
        known = {"psi": of.psi, "jensen_shannon": of.jensen_shannon, "l_infinity": of.l_infinity, **ordered}
        found |= {name: (each.value, each.threshold) for name, each in known.items()}
    found["missing"] = abs(column.missing.change), column.missing.threshold
    if column.outside is not None:
        found["outside"] = max(0.0, column.outside.change), column.outside.threshold
    return found


def _quality(recent: MonitorReport, total: Counts) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    estimate = GaugeMetricFamily(
        "modelimg_estimated_accuracy_ratio", "Accuracy estimated from confidence, blind to concept drift."
    )
    if recent.estimated_accuracy is not None:
        estimate.add_metric((), recent.estimated_accuracy.value)
    yield estimate
    feedback = CounterMetricFamily("modelimg_feedback", "Labels by what became of them.", labels=("outcome",))
    for outcome, count in total.feedback.items():
        feedback.add_metric((outcome,), count)
    yield feedback
    yield from _performance(recent)


def _performance(recent: MonitorReport) -> Iterator[Metric]:
    """Metrics of the labelled rows with the ends of their intervals, which are of this replica's rows alone."""
    from prometheus_client.core import GaugeMetricFamily

    said = {
        "": "Metric of the labelled rows.",
        "_low": "Lower end of its 95 % interval.",
        "_high": "Upper end of its 95 % interval.",
        "_packed": "Metric on the packed split.",
        "_packed_low": "Lower end of its 95 % interval.",
        "_packed_high": "Upper end of its 95 % interval.",
    }
    found = {
        end: GaugeMetricFamily(f"modelimg_performance{end}", words, labels=("metric",)) for end, words in said.items()
    }
    for metric in recent.metrics:
        for prefix, estimate in (("", metric.live), ("_packed", metric.packed)):
            if estimate is None:
                continue
            for end, value in (("", estimate.value), ("_low", estimate.low), ("_high", estimate.high)):
                found[prefix + end].add_metric((metric.name,), value)
    yield from found.values()
