"""Tests of the alert rules for ``promtool test rules``: series that fire each alert, and series that fire none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from modelimg.monitoring.promql import Histogram, equals, series
from modelimg.monitoring.rules import ALERTS, RECORDED, Alert, Recorded, alerts, histograms
from modelimg_runtime.drift.statistics import psi
from modelimg_runtime.drift.thresholds import Thresholds
from modelimg_runtime.monitor import Baseline
from modelimg_runtime.monitor.performance import ERRORS
from modelimg_runtime.monitor.scheme import LABELS
from modelimg_runtime.profile.column import ColumnProfile
from modelimg_runtime.profile.output import Estimate

_MINUTES: Final = 360
"""Length of the series."""
_PER_MINUTE: Final = 4
"""Rows a minute that a replica counts of what shifted."""
_STEPS: Final = _MINUTES // 5 * 5
_INSTANCES: Final = ("a:8080", "b:8080")
_DIGITS: Final = 1e-6
_CALM_COLUMNS: Final = 3
"""Columns whose calm is shown; all of them would be megabytes."""
_VALUE = re.compile(r"\{\{ [^}]*\$value[^}]*\}\}")


@dataclass(frozen=True)
class Fired:
    """An alert as it is expected: labels beside job and severity, and how its value is printed."""

    labels: Mapping[str, str]
    value: str = ""


def test_file(baseline: Baseline, job: str, rules: str) -> dict[str, Any]:
    """``alerts.test.yml``.

    Args:
        baseline: of the model.
        job: of the rules.
        rules: file name of the rules.
    """
    return {
        "rule_files": [rules],
        # What is recorded every five minutes must be evaluated so here: promtool knows one interval.
        "evaluation_interval": "5m",
        "group_eval_order": [RECORDED, ALERTS],
        "tests": [
            _test(baseline, job, "a calm model fires nothing", _calm(baseline, job), {}),
            _test(baseline, job, "a service in trouble", _trouble(baseline, job), _troubled(baseline)),
            _test(baseline, job, "no replica", [], {"ModelimgAbsent": [Fired({})]}),
            _test(
                baseline, job, "nobody asks", [_line("modelimg_info", job, "1x360")], {"ModelimgNoRows": [Fired({})]}
            ),
            *_performances(baseline, job),
            *_shifts(baseline, job),
        ],
    }


def _test(
    baseline: Baseline, job: str, name: str, given: list[dict[str, str]], fired: Mapping[str, Sequence[Fired]]
) -> dict[str, Any]:
    return {
        "name": name,
        "interval": "1m",
        "input_series": given,
        "alert_rule_test": [
            {
                "eval_time": f"{_MINUTES}m",
                "alertname": alert.name,
                "exp_alerts": [_expected(alert, baseline, job, each) for each in fired.get(alert.name, ())],
            }
            for alert in alerts(baseline, job)
        ],
    }


def _expected(alert: Alert, baseline: Baseline, job: str, fired: Fired) -> dict[str, Any]:
    labels = {"job": job, **fired.labels}
    summary = _VALUE.sub(lambda _: fired.value, alert.summary)
    for key, value in labels.items():
        summary = summary.replace(f"{{{{ $labels.{key} }}}}", value)
    return {
        "exp_labels": {"severity": alert.severity, "model": baseline.identity.name, **labels},
        "exp_annotations": {"summary": summary, "description": alert.advice},
    }


def _line(name: str, job: str, values: str, /, **labels: str) -> dict[str, str]:
    matchers = (equals(key, value) for key, value in {"job": job, **labels}.items())
    return {"series": series(name, *matchers), "values": values}


def _constant(value: float) -> str:
    """Without an exponent, which the notation of series does not know."""
    return f"{repr(value) if 'e' not in repr(value) else format(value, '.20f')}x{_MINUTES}"


def _growing(per_minute: int) -> str:
    return f"0+{per_minute}x{_MINUTES}"


def _calm(baseline: Baseline, job: str) -> list[dict[str, str]]:
    """Two replicas that fare well, and what they count is distributed as it was at packing."""
    found = [line for instance in _INSTANCES for line in _healthy(job, instance)]
    for what, histogram in histograms(baseline).items():
        for labels, column in _columns(baseline, what)[:_CALM_COLUMNS]:
            found += _counted(histogram, job, labels, column, column.counts)
    for name, one in baseline.output.metrics.items():
        found += _measured(job, _INSTANCES[0], name, one)
    return found


def _measured(job: str, instance: str, name: str, one: Estimate) -> Iterator[dict[str, str]]:
    """A metric of a replica's labelled rows, with its interval."""
    for end, value in (("", one.value), ("_low", one.low), ("_high", one.high)):
        yield _line(f"modelimg_performance{end}", job, _constant(value), metric=name, instance=instance)


def _healthy(job: str, instance: str, labels: str = f"0+1x{_MINUTES}") -> Iterator[dict[str, str]]:
    on = {"instance": instance}
    yield _line("up", job, "1x360", **on)
    yield _line("modelimg_info", job, "1x360", **on)
    yield _line("process_start_time_seconds", job, "1000x360", **on)
    yield _line("modelimg_drifted_columns_ratio", job, "0.1x360", **on)
    yield _line("modelimg_rows_total", job, _growing(99), outcome="predicted", **on)
    yield _line("modelimg_rows_total", job, _growing(1), outcome="rejected", **on)
    yield _line("modelimg_requests_total", job, _growing(99), route="/predict", code="200", **on)
    yield _line("modelimg_requests_total", job, _growing(1), route="/predict", code="500", **on)
    yield _line("modelimg_requests_total", job, _growing(50), route="/readyz", code="503", **on)
    yield _line("modelimg_feedback_total", job, labels, outcome="accepted", **on)
    for bound in ("0.01", "+Inf"):
        yield _line("modelimg_request_duration_seconds_bucket", job, _growing(100), route="/predict", le=bound, **on)


def _trouble(baseline: Baseline, job: str) -> list[dict[str, str]]:
    """One replica of which everything is wrong that can be told without a histogram."""
    on = {"instance": _INSTANCES[0]}
    found = [
        _line("up", job, "0x360", **on),
        _line("modelimg_info", job, "1x360", **on),
        _line("process_start_time_seconds", job, "1000x340 2000x6 3000x6 4000x8", **on),
        _line("modelimg_drifted_columns_ratio", job, "0.5x360", **on),
        _line("modelimg_rows_total", job, _growing(3), outcome="predicted", **on),
        _line("modelimg_rows_total", job, _growing(1), outcome="rejected", **on),
        _line("modelimg_requests_total", job, _growing(3), route="/predict", code="200", **on),
        _line("modelimg_requests_total", job, _growing(1), route="/predict", code="500", **on),
        _line("modelimg_request_duration_seconds_bucket", job, _growing(0), route="/predict", le="1.0", **on),
        _line("modelimg_request_duration_seconds_bucket", job, _growing(4), route="/predict", le="2.0", **on),
        _line("modelimg_request_duration_seconds_bucket", job, _growing(4), route="/predict", le="+Inf", **on),
        # The first failure of its kind: a series that begins.
        _line(
            "modelimg_validation_failures_total",
            job,
            "_x354 1x6",
            direction="output",
            column="prediction",
            check="isin",
            **on,
        ),
        _line("modelimg_feedback_total", job, _growing(1), outcome="accepted", **on),
    ]
    for name, one in _bad_metrics(baseline).items():
        found += _measured(job, _INSTANCES[0], name, one)
    if baseline.input.columns:
        found.append(_line("modelimg_feature_drifted", job, "1x360", feature=baseline.input.columns[0].name, **on))
    return found


def _bad_metrics(baseline: Baseline) -> dict[str, Estimate]:
    """Metric → an interval that is wholly worse than the packed one; its nearer end is exact to four digits."""
    found = {}
    for name, one in baseline.output.metrics.items():
        least, most = float(np.floor(one.low)) - 1, float(np.ceil(one.high)) + 1
        found[name] = Estimate(most + 1, most, most + 2) if name in ERRORS else Estimate(least - 1, least - 2, least)
    return found


def _fired_metrics(baseline: Baseline) -> dict[str, list[Fired]]:
    """Of those, the alerts, which say the nearer end."""
    found = {}
    for name, one in _bad_metrics(baseline).items():
        value = f"{one.low if name in ERRORS else one.high:.4g}"
        found[f"ModelimgPerformanceWorse{name.title().replace('_', '')}"] = [Fired({"metric": name}, value)]
    return found


def _performances(baseline: Baseline, job: str) -> Iterator[dict[str, Any]]:
    """Metrics that are worse: by chance, by too few labels, and of one replica."""
    bad, packed = _bad_metrics(baseline), baseline.output.metrics
    if not bad:
        return
    # A worse value, but an interval that reaches the packed one.
    wide = {
        name: Estimate(one.value, min(one.low, packed[name].low), max(one.high, packed[name].high))
        for name, one in bad.items()
    }
    few, enough = f"{LABELS - 1}x{_MINUTES}", f"{LABELS}x{_MINUTES}"
    cases: tuple[tuple[str, Mapping[str, Estimate], str, Mapping[str, Sequence[Fired]]], ...] = (
        ("metrics whose intervals reach the packed ones fire nothing", wide, enough, {}),
        ("metrics of too few labels fire nothing", bad, few, {}),
        ("metrics of one replica that are worse", bad, enough, _fired_metrics(baseline)),
    )
    for words, estimates, labels, fired in cases:
        one, other = _INSTANCES
        given = [*_healthy(job, one, labels), *_healthy(job, other, enough)]
        for name, estimate in estimates.items():
            given += [*_measured(job, one, name, estimate), *_measured(job, other, name, packed[name])]
        yield _test(baseline, job, words, given, fired)


def _troubled(baseline: Baseline) -> dict[str, list[Fired]]:
    down = {"instance": _INSTANCES[0]}
    fired = {
        "ModelimgOutputContractBroken": [Fired({"column": "prediction", "check": "isin"})],
        "ModelimgInputRejected": [Fired({}, "25%")],
        "ModelimgErrors": [Fired({}, "25%")],
        "ModelimgSlow": [Fired({}, "1.99s")],
        "ModelimgDown": [Fired(down)],
        "ModelimgRestarts": [Fired(down, "3")],
    }
    fired |= _fired_metrics(baseline)
    if baseline.input.columns:
        fired["ModelimgFeatureDrifted"] = [Fired({"feature": baseline.input.columns[0].name})]
        fired["ModelimgManyColumnsDrifted"] = [Fired({}, "50%")]
    return fired


def _shifts(baseline: Baseline, job: str) -> Iterator[dict[str, Any]]:
    """Of the inputs and of the answers, one histogram that shifted; its index is the one that `drift` computes."""
    for what, histogram in histograms(baseline).items():
        chosen = next((each for each in _columns(baseline, what) if _shifted_index(each[1])), None)
        if chosen is None:
            continue
        labels, column = chosen
        counts, index = _shifted(column), _shifted_index(column)
        alert = {"feature_values": "ModelimgFeatureShifted", "predictions": "ModelimgPredictionsShifted"}[what]
        given = [line for instance in _INSTANCES for line in _healthy(job, instance)]
        given += _counted(histogram, job, labels, column, counts)
        found = _test(baseline, job, f"{what} shift", given, {alert: [Fired(labels, f"{index:.2f}")]})
        recorded = series(Recorded.of(histogram, what).psi, equals("job", job))
        rounded = float(np.floor(index / _DIGITS + 0.5) * _DIGITS)
        matchers = [equals(key, value) for key, value in {"job": job, **labels}.items()]
        yield found | {
            "promql_expr_test": [
                {
                    "expr": f"abs({recorded} - {rounded!r}) < bool {_DIGITS!r}",
                    "eval_time": f"{_MINUTES}m",
                    "exp_samples": [{"labels": "{" + ",".join(matchers) + "}", "value": 1}],
                }
            ]
        }


def _columns(baseline: Baseline, what: str) -> list[tuple[dict[str, str], ColumnProfile]]:
    """Labels and profile of what is counted, but of columns that have no values."""
    if what == "feature_values":
        return [({"feature": column.name}, column) for column in baseline.input.columns if column.n > column.missing]
    answers = baseline.output.predictions
    labelled = [({"output": each.name} if len(answers) > 1 else {}, each) for each in answers]
    return [each for each in labelled if each[1].n > each[1].missing]


def _shifted(column: ColumnProfile) -> list[int]:
    """Live counts by bin: all of them where the packed data had least."""
    packed = column.counts[:-1]
    least = packed.index(min(packed))
    return [_PER_MINUTE if place == least else 0 for place in range(len(packed))] + [0]


def _shifted_index(column: ColumnProfile) -> float:
    """The index of those counts; 0 where the packed rows are too few to tell it from chance."""
    live = np.array(_shifted(column)[:-1], dtype=np.float64) * _STEPS * len(_INSTANCES)
    packed = np.array(column.counts[:-1], dtype=np.float64)
    chance = 4 * len(packed) * (1 / float(live.sum()) + 1 / float(packed.sum()))
    index = psi(packed, live)
    return index if index > max(Thresholds().psi, chance) else 0.0


def _counted(
    histogram: Histogram, job: str, labels: Mapping[str, str], column: ColumnProfile, counts: Sequence[int]
) -> Iterator[dict[str, str]]:
    for instance in _INSTANCES:
        for place, label in enumerate(column.bins.labels):
            on = {"instance": instance, **labels, "bin": label}
            yield _line(histogram.counter, job, _growing(counts[place]), **on)
            yield _line(histogram.baseline, job, _constant(column.counts[place] / column.n), **on)
