"""A Grafana dashboard of a served model: drift, histograms live and at packing, answers, how good they are, service."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Final

from modelimg.monitoring.panels import Panel, Query, compared, lines, placed, stat, table, text
from modelimg.monitoring.promql import PROBES, equals, features, predictions, series
from modelimg.monitoring.rules import LIVE_METRICS
from modelimg.monitoring.variables import named_features, variables
from modelimg_runtime.monitor import Baseline
from modelimg_runtime.monitor.report import BLIND

SCHEMA_VERSION: Final = 39
"""Of Grafana 10.4 and 11; newer ones migrate it."""
_OWN: Final = 'job=~"$job",instance=~"$instance"'
_FEATURE: Final = 'feature="${feature:raw}"'
_OUTPUT: Final = 'output="${output:raw}"'
_RATE: Final = "$__rate_interval"
_RANGE: Final = "$__range"
_SHARE: Final = "percentunit"


def dashboard(baseline: Baseline, job: str | None = None) -> dict[str, Any]:
    """The dashboard's JSON.

    Args:
        baseline: of the model.
        job: that is chosen at first; all that serve the model where None.
    """
    rows = (
        ("In short", list(_short(baseline))),
        ("Drift", list(_drift(baseline))),
        ("Feature ${feature:text}", list(_feature(baseline))),
        ("Answers", list(_answers(baseline))),
        ("Service", list(_service())),
    )
    return {
        "uid": f"modelimg-{hashlib.sha256(baseline.identity.name.encode()).hexdigest()[:12]}",
        "title": f"{baseline.identity.name}, served by modelimg",
        "description": f"Of the profiles that {baseline.identity.name} {baseline.identity.version} was packed with.",
        "tags": ["modelimg"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "1m",
        "time": {"from": "now-24h", "to": "now"},
        "timezone": "",
        "annotations": {"list": []},
        "links": [],
        "templating": {"list": variables(baseline, job)},
        "panels": placed(rows),
    }


def expressions(found: dict[str, Any]) -> list[str]:
    """All queries of a dashboard."""
    return [target["expr"] for panel in found["panels"] for target in panel.get("targets", ())]


def _of(metric: str, *matchers: str) -> str:
    return series(metric, _OWN, *matchers)


def _short(baseline: Baseline) -> Iterator[Panel]:
    if baseline.input.columns:
        steps = [{"color": "green", "value": None}, {"color": "orange", "value": 0.001}, {"color": "red", "value": 0.2}]
        yield stat(
            "Columns that drifted",
            "Share of the columns, of the replica that sees most of it.",
            Query(f"max({_of('modelimg_drifted_columns_ratio')})"),
            _SHARE,
            thresholds={"mode": "absolute", "steps": steps},
        )
    yield stat(
        "Rows", "Answered in the range that is shown.", Query(_increase("modelimg_rows_total", 'outcome="predicted"'))
    )
    if _calibrated(baseline):
        yield stat(
            "Estimated accuracy", BLIND, Query(f"avg({_of('modelimg_estimated_accuracy_ratio')})"), _SHARE, decimals=1
        )
    if metrics := LIVE_METRICS.get(baseline.task):
        yield stat(
            f"{metrics[0]}, of labels",
            "Of the rows whose labels came back by /feedback.",
            Query(f"avg({_of('modelimg_performance', equals('metric', metrics[0]))})"),
            decimals=3,
        )
    asked, failed = _asked(), _asked('code=~"5.."')
    yield stat(
        "Requests that fail",
        "Share of 5xx in the range that is shown.",
        Query(f"(sum(increase({failed}[{_RANGE}])) or vector(0)) / sum(increase({asked}[{_RANGE}]))"),
        _SHARE,
        decimals=2,
    )
    yield stat("Replicas", "With a model loaded.", Query(f"count({_of('modelimg_info')})"))


def _drift(baseline: Baseline) -> Iterator[Panel]:
    if not baseline.input.columns:
        return

    def psi(metric: str) -> str:
        return f"max by (feature) ({_of(metric, equals('statistic', 'psi'))})"

    yield table(
        "Features, the most drifted first",
        "1 in the last column is drift: a large difference that is no chance, over all windows that a replica keeps. "
        "The index above its threshold alone may be chance.",
        "feature",
        {
            "stability index": Query(psi("modelimg_drift")),
            "threshold": Query(psi("modelimg_drift_threshold")),
            "drifted": Query(f"max by (feature) ({_of('modelimg_feature_drifted')})"),
        },
    )
    yield lines(
        "Share of the columns that drifted",
        "By replica. Below 200 rows nothing is said.",
        Query(_of("modelimg_drifted_columns_ratio"), "{{instance}}"),
        unit=_SHARE,
        min=0,
        max=1,
    )


def _feature(baseline: Baseline) -> Iterator[Panel]:
    if not named_features(baseline):
        return
    histogram = features(baseline.input.rows)
    yield compared(
        "Training data and live data",
        "Share of the values in each bin. Live is the range that is shown, of all replicas that are chosen.",
        Query(histogram.baseline_share(_OWN, _FEATURE)),
        Query(histogram.share(_RANGE, _OWN, _FEATURE)),
        Query(histogram.place(_OWN, _FEATURE)),
    )
    yield lines(
        "Statistics and their thresholds",
        "By the replica that is worst, over all windows that it keeps.",
        Query(f"max by (statistic) ({_of('modelimg_drift', _FEATURE)})", "{{statistic}}"),
        Query(f"max by (statistic) ({_of('modelimg_drift_threshold', _FEATURE)})", "{{statistic}}, threshold"),
        width=8,
        min=0,
    )
    yield stat(
        "Stability index, range shown",
        "Of all chosen replicas together. 0.1 is little, 0.25 is much; of few rows, chance alone makes more.",
        Query(histogram.index(_RANGE, _OWN, _FEATURE)),
        decimals=3,
    )


def _answers(baseline: Baseline) -> Iterator[Panel]:
    several = len(baseline.output.predictions) > 1
    histogram = predictions(baseline.output.rows, len(baseline.output.predictions))
    own = (_OWN, _OUTPUT if several else "")
    yield compared(
        "Answers at packing and live",
        f"Share of the answers; at packing, those to the split {baseline.output.split!r}.",
        Query(histogram.baseline_share(*own)),
        Query(histogram.share(_RANGE, *own)),
        Query(histogram.place(*own)),
    )
    yield lines(
        "Answers by bin",
        "Share of the answers over time.",
        Query(
            f"sum by (bin) (rate({series(histogram.counter, *own)}[{_RATE}]))\n"
            f"  / scalar(sum(rate({series(histogram.counter, *own)}[{_RATE}])) > 0)",
            "{{bin}}",
        ),
        unit=_SHARE,
        min=0,
    )
    if _calibrated(baseline):
        yield lines(
            "Estimated accuracy",
            BLIND,
            Query(_of("modelimg_estimated_accuracy_ratio"), "{{instance}}"),
            *_expected(baseline),
            unit=_SHARE,
        )
    if LIVE_METRICS.get(baseline.task):
        yield lines(
            "Performance, of labelled rows",
            "With labels from /feedback, beside the packed split: the mean of the replicas, and the outermost ends of "
            "their intervals of 95 %. These do not add up; modelimg monitor merge has the interval of all together.",
            Query(f"avg by (metric) ({_of('modelimg_performance')})", "{{metric}}"),
            Query(f"min by (metric) ({_of('modelimg_performance_low')})", "{{metric}}, lowest"),
            Query(f"max by (metric) ({_of('modelimg_performance_high')})", "{{metric}}, highest"),
            Query(f"max by (metric) ({_of('modelimg_performance_packed')})", "{{metric}}, at packing"),
        )
    yield lines(
        "Labels that come back",
        "By what became of them.",
        Query(f"sum by (outcome) (rate({_of('modelimg_feedback_total')}[{_RATE}]))", "{{outcome}}"),
        unit="cps",
        min=0,
    )
    if _calibrated(baseline):
        yield text("What the estimate cannot see", BLIND)


def _service() -> Iterator[Panel]:
    yield lines(
        "Requests by code",
        "Without those of probes and of Prometheus.",
        Query(f"sum by (code) (rate({_asked()}[{_RATE}]))", "{{code}}"),
        unit="reqps",
        min=0,
    )
    buckets = _of("modelimg_request_duration_seconds_bucket", f'route!~"{PROBES}"')
    yield lines(
        "Latency",
        "From a request's head to the end of its answer, by route.",
        *(
            Query(
                f"histogram_quantile({quantile}, sum by (route, le) (rate({buckets}[{_RATE}])))",
                f"{{{{route}}}} {name}",
            )
            for name, quantile in (("p50", 0.5), ("p99", 0.99))
        ),
        unit="s",
        min=0,
    )
    yield lines(
        "Rows by outcome",
        "predicted: answered; rejected: in a request that breaks the contract; failed: at which the model failed.",
        Query(f"sum by (outcome) (rate({_of('modelimg_rows_total')}[{_RATE}]))", "{{outcome}}"),
        unit="rowsps",
        min=0,
    )
    failures = _of("modelimg_validation_failures_total")
    yield lines(
        "Where the contract is broken",
        "The ten most frequent places; output is the model's own answer, which is then not served.",
        Query(
            f"topk(10, sum by (direction, column, check) (rate({failures}[{_RATE}])))",
            "{{direction}} {{column}} {{check}}",
        ),
        unit="cps",
        min=0,
    )
    yield lines(
        "Memory",
        "Of each process.",
        Query(_of("process_resident_memory_bytes"), "{{instance}} {{worker}}"),
        unit="bytes",
        min=0,
    )
    yield lines(
        "Requests under way, and starts",
        "Requests that have begun and not ended, and serving processes that were started since the containers were.",
        Query(f"sum({_of('modelimg_requests_in_flight')})", "under way"),
        Query(f"sum({_of('modelimg_process_starts_total')})", "starts"),
        min=0,
    )


def _asked(*matchers: str) -> str:
    return _of("modelimg_requests_total", f'route!~"{PROBES}"', *matchers)


def _increase(metric: str, *matchers: str) -> str:
    return f"sum(increase({_of(metric, *matchers)}[{_RANGE}]))"


def _calibrated(baseline: Baseline) -> bool:
    return baseline.output.calibration is not None and baseline.output.confidence is not None


def _expected(baseline: Baseline) -> Iterator[Query]:
    if baseline.output.expected_accuracy is not None:
        yield Query(f"vector({baseline.output.expected_accuracy!r})", "at packing")
