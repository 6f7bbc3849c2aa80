"""Recording and alert rules for Prometheus, made from a model's packed profiles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from modelimg.monitoring.promql import PROBES, Histogram, equals, features, predictions, series
from modelimg_runtime.drift.special import normal_quantile
from modelimg_runtime.drift.thresholds import Thresholds
from modelimg_runtime.monitor import Baseline
from modelimg_runtime.monitor.performance import ERRORS
from modelimg_runtime.monitor.scheme import LABELS

WARNING, CRITICAL = "warning", "critical"
RECORDED, ALERTS = "modelimg-recorded", "modelimg-alerts"
"""Names of the groups."""
LIVE_METRICS: Final = {"classification": ("accuracy", "f1_macro"), "regression": ("r2", "mae", "rmse")}
"""Task → metrics of labelled rows that a server computes."""
STEP: Final = "5m"
"""How often is recorded; a window of a day is then the sum of 288 numbers, of however many replicas."""
DAY: Final = "1d"
_MOST: Final = {True: "least", False: "most"}


@dataclass(frozen=True)
class Recording:
    """A recording rule: a name, and the query that it is kept for."""

    name: str
    expr: str

    def to_dict(self) -> dict[str, Any]:
        """For YAML."""
        return {"record": self.name, "expr": self.expr}


@dataclass(frozen=True)
class Alert:
    """An alert rule.

    Attributes:
        name: as Alertmanager shows it.
        expr: holds where there is something to tell.
        held: for how long it must hold.
        severity: ``warning`` or ``critical``.
        summary: one sentence, a Go template of ``$labels`` and ``$value``.
        advice: what to look at, plain text.
    """

    name: str
    expr: str
    held: str
    severity: str
    summary: str
    advice: str


@dataclass(frozen=True)
class Recorded:
    """Names of what is recorded of a histogram over a day, summed over replicas."""

    step: str
    counts: str
    packed: str
    live_share: str
    packed_share: str
    psi: str
    threshold: str

    @classmethod
    def of(cls, histogram: Histogram, what: str) -> Recorded:
        """Names by Prometheus's convention, level:metric:operation."""
        each, level = "_".join((*histogram.by, "bin")), "_".join(histogram.by)
        return cls(
            step=f"{each}:modelimg_{what}:increase{STEP}",
            counts=f"{each}:modelimg_{what}:increase{DAY}",
            packed=f"{each}:modelimg_{what}:packed",
            live_share=f"{each}:modelimg_{what}_share:increase{DAY}",
            packed_share=f"{each}:modelimg_{what}_share:packed",
            psi=f"{level}:modelimg_{what}_psi:increase{DAY}",
            threshold=f"{level}:modelimg_{what}_psi_threshold:increase{DAY}",
        )


def rule_file(baseline: Baseline, job: str) -> dict[str, Any]:
    """The groups of ``alerts.yml``."""
    labels = {"model": template_text(baseline.identity.name)}
    rules = [
        {
            "alert": alert.name,
            "expr": alert.expr,
            "for": alert.held,
            "labels": {"severity": alert.severity, **labels},
            "annotations": {"summary": alert.summary, "description": alert.advice},
        }
        for alert in alerts(baseline, job)
    ]
    recorded = [rule.to_dict() for rule in recordings(baseline, job)]
    return {
        "groups": [
            {"name": RECORDED, "interval": STEP, "rules": recorded},
            {"name": ALERTS, "rules": rules},
        ]
    }


def histograms(baseline: Baseline) -> Mapping[str, Histogram]:
    """What is recorded → its histogram."""
    outputs = baseline.output
    found = {"predictions": predictions(outputs.rows, len(outputs.predictions))}
    return ({"feature_values": features(baseline.input.rows)} if baseline.input.columns else {}) | found


def recordings(baseline: Baseline, job: str) -> Iterator[Recording]:
    """The index of each column and of the answers over a day, and what they are of, in the order of computing."""
    for what, histogram in histograms(baseline).items():
        names, limits = Recorded.of(histogram, what), Thresholds()
        many = len(baseline.input.columns if what == "feature_values" else baseline.output.predictions)
        z = round(normal_quantile(1 - 2 * limits.false_alarms / many), 6)
        yield Recording(names.step, histogram.increase(STEP, equals("job", job)))
        own = {each: series(each, equals("job", job)) for each in (names.step, names.counts, names.packed)}
        counts, packed = own[names.counts], own[names.packed]
        yield Recording(names.counts, f"sum_over_time({own[names.step]}[{DAY}])")
        yield Recording(names.packed, histogram.packed(equals("job", job)))
        yield Recording(names.live_share, histogram.smoothed(counts, packed))
        yield Recording(names.packed_share, histogram.smoothed(packed, packed))
        shares = [series(each, equals("job", job)) for each in (names.live_share, names.packed_share)]
        yield Recording(names.psi, histogram.psi(*shares))
        yield Recording(names.threshold, histogram.psi_threshold(counts, packed, least=limits.psi, z=z))


def alerts(baseline: Baseline, job: str) -> Iterator[Alert]:
    """All alerts that can be told of this model."""
    yield from _drift(baseline, job)
    yield from _performance(baseline, job)
    yield from _answers(job)
    yield from _service(job)


def _drift(baseline: Baseline, job: str) -> Iterator[Alert]:
    own = equals("job", job)
    if baseline.input.columns:
        yield Alert(
            "ModelimgFeatureDrifted",
            f"max by (job, feature) ({series('modelimg_feature_drifted', own)}) == 1",
            "1h",
            WARNING,
            "{{ $labels.feature }} is not what {{ $labels.job }} was trained on",
            "A replica found a large difference that is no chance; look at where the column comes from.",
        )
        yield Alert(
            "ModelimgManyColumnsDrifted",
            f"max by (job) ({series('modelimg_drifted_columns_ratio', own)}) > 0.2",
            "1h",
            CRITICAL,
            "{{ $value | humanizePercentage }} of the columns of {{ $labels.job }} drifted",
            "So many columns at once are rather a broken pipeline or other units than a changing world.",
        )
    for what, histogram in histograms(baseline).items():
        name, summary = {
            "feature_values": ("ModelimgFeatureShifted", "{{ $labels.feature }} of {{ $labels.job }} has shifted"),
            "predictions": ("ModelimgPredictionsShifted", "The answers of {{ $labels.job }} have shifted"),
        }[what]
        names = Recorded.of(histogram, what)
        psi, threshold, counts = (series(each, own) for each in (names.psi, names.threshold, names.counts))
        on = f"on ({histogram.labels})"
        yield Alert(
            name,
            f"{psi} > {on} {threshold}\n  and {on} {histogram.total(counts)} >= {Thresholds().rows}",
            "1h",
            WARNING,
            summary + ': its stability index over a day is {{ printf "%.2f" $value }}',
            "Of all replicas together, and more than chance explains. /monitor and the dashboard show the histograms.",
        )


def _performance(baseline: Baseline, job: str) -> Iterator[Alert]:
    """A replica's interval lies wholly beyond the packed one.

    Intervals of replicas do not add up, so each is looked at by itself.
    """
    own = equals("job", job)
    accepted = series("modelimg_feedback_total", own, equals("outcome", "accepted"))
    for name in LIVE_METRICS.get(baseline.task, ()):
        if (packed := baseline.output.metrics.get(name)) is None:
            continue
        less = name in ERRORS
        end = series(f"modelimg_performance_{'low' if less else 'high'}", own, equals("metric", name))
        known = f"{end}\n  and on (job, instance) {accepted} >= {LABELS}"
        limit = f"> {packed.high!r}" if less else f"< {packed.low!r}"
        yield Alert(
            f"ModelimgPerformanceWorse{name.title().replace('_', '')}",
            f"{'max' if less else 'min'} by (job, metric) (\n  {known}\n) {limit}",
            "1h",
            CRITICAL,
            f'{{{{ $labels.metric }}}} of {{{{ $labels.job }}}} is {{{{ printf "%.4g" $value }}}} at {_MOST[less]}, '
            "worse than at packing",
            f"At packing it was {packed.value:.4g}, between {packed.low:.4g} and {packed.high:.4g} at 95 %; "
            "the interval of a replica's labelled rows lies beyond that.",
        )


def _answers(job: str) -> Iterator[Alert]:
    own = equals("job", job)
    broken = series("modelimg_validation_failures_total", own, equals("direction", "output"))
    yield Alert(
        "ModelimgOutputContractBroken",
        # A series that was not there before begins with its first failure, which no increase() can see.
        f"sum by (job, column, check) (increase({broken}[10m])) > 0\n"
        f"  or sum by (job, column, check) ({broken} unless {broken} offset 10m) > 0",
        "0m",
        CRITICAL,
        "{{ $labels.job }} made answers that break their contract: {{ $labels.column }} {{ $labels.check }}",
        "They were not served: callers got an error. The model or its environment is not what was packed.",
    )
    rows = series("modelimg_rows_total", own)
    rejected = series("modelimg_rows_total", own, equals("outcome", "rejected"))
    yield Alert(
        "ModelimgInputRejected",
        f"sum by (job) (rate({rejected}[15m])) / sum by (job) (rate({rows}[15m])) > 0.1",
        "15m",
        WARNING,
        "{{ $value | humanizePercentage }} of the rows for {{ $labels.job }} break its contract",
        "modelimg_validation_failures_total says which columns and checks; a caller may send another format.",
    )
    yield Alert(
        "ModelimgNoRows",
        f"(sum by (job) (increase({rows}[1h])) or 0 * max by (job) ({series('modelimg_info', own)})) == 0",
        "1h",
        WARNING,
        "Nobody asks {{ $labels.job }}",
        "No row came for two hours, though the model is there. Look at its callers, or silence this where it is usual.",
    )


def _service(job: str) -> Iterator[Alert]:
    own = equals("job", job)
    asked = series("modelimg_requests_total", own, f'route!~"{PROBES}"')
    failed = series("modelimg_requests_total", own, f'route!~"{PROBES}"', 'code=~"5.."')
    yield Alert(
        "ModelimgErrors",
        f"sum by (job) (rate({failed}[5m])) / sum by (job) (rate({asked}[5m])) > 0.05",
        "10m",
        CRITICAL,
        "{{ $value | humanizePercentage }} of the requests to {{ $labels.job }} fail",
        "Answers of 500 are in the server's log with their ids; 503 is a server that is full or not ready.",
    )
    buckets = series("modelimg_request_duration_seconds_bucket", own, f'route!~"{PROBES}"')
    yield Alert(
        "ModelimgSlow",
        f"histogram_quantile(0.99, sum by (job, le) (rate({buckets}[5m]))) > 1",
        "10m",
        WARNING,
        "One in a hundred requests to {{ $labels.job }} takes {{ $value | humanizeDuration }} or more",
        "Large batches take long; else give it more CPU or another replica.",
    )
    yield Alert(
        "ModelimgDown",
        f"{series('up', own)} == 0",
        "5m",
        CRITICAL,
        "{{ $labels.instance }} of {{ $labels.job }} cannot be scraped",
        "It is not there, or does not answer.",
    )
    yield Alert(
        "ModelimgAbsent",
        f"absent({series('modelimg_info', own)})",
        "10m",
        CRITICAL,
        "No replica of {{ $labels.job }} has a model loaded",
        "Prometheus finds none under this job, or their models do not load: /readyz says why.",
    )
    yield Alert(
        "ModelimgRestarts",
        f"max by (job, instance) (changes({series('process_start_time_seconds', own)}[1h])) >= 3",
        "0m",
        WARNING,
        "{{ $labels.instance }} of {{ $labels.job }} was started {{ $value }} times in an hour",
        "A process is killed or ends by itself; memory is the usual reason.",
    )


def template_text(text: str) -> str:
    """A text that Prometheus's templates leave as it is."""
    return text.replace("{{", '{{ "{{" }}')
