"""Which columns drifted: the baked profile against live counts in the same bins.

Of each column up to three questions are asked: are the values that are there distributed as they were (χ²), are as many
missing, and are there more that the reference did not know (categories never seen, numbers far out of range; both by
Fisher's exact test)? Benjamini and Hochberg's procedure corrects for the number of all questions of all columns. What
is then no chance is drift only where it is large as well (`Thresholds`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from modelimg_runtime.drift.rates import Rate, compare_rates
from modelimg_runtime.drift.statistics import (
    ChiSquare,
    Histogram,
    chi_square,
    jensen_shannon,
    kolmogorov_smirnov,
    l_infinity,
    pooled,
    psi,
    shares,
)
from modelimg_runtime.drift.thresholds import Thresholds, benjamini_hochberg
from modelimg_runtime.profile.bins import NumberBins
from modelimg_runtime.profile.column import ColumnProfile

DRIFT: Final = "drift"
CALM: Final = "calm"
INSUFFICIENT: Final = "insufficient data"

DISTRIBUTION, MISSING, UNSEEN, OUT_OF_RANGE = "distribution", "missing", "unseen", "out_of_range"
"""Reasons that a column is reported for."""


@dataclass(frozen=True)
class Statistic:
    """A number and what it may be.

    Attributes:
        value: from 0.
        threshold: what chance and indifference explain.
    """

    value: float
    threshold: float

    @property
    def exceeded(self) -> bool:
        """Whether the value is above its threshold."""
        return self.value > self.threshold


@dataclass(frozen=True)
class Distribution:
    """How differently the values that are there are distributed, in bins that both sides fill.

    Attributes:
        bins: how many, after rare neighbours were put together.
        psi: population stability index.
        jensen_shannon: distance in √bits.
        kolmogorov_smirnov: greatest difference of the cumulated shares; None of categories, which have no order.
        l_infinity: greatest difference of one bin's share.
        chi_square: the test.
    """

    bins: int
    psi: Statistic
    jensen_shannon: Statistic
    kolmogorov_smirnov: Statistic | None
    l_infinity: Statistic
    chi_square: ChiSquare


@dataclass(frozen=True)
class Finding:
    """The answer to one question.

    Attributes:
        reason: why the column would be reported: ``distribution``, ``missing``, ``unseen`` or ``out_of_range``.
        size: the difference over its threshold.
        p: probability of a difference as large where nothing drifted.
        p_adjusted: the same, corrected for the number of questions.
        drift: whether it is large and no chance.
    """

    reason: str
    size: float
    p: float
    p_adjusted: float = 1.0
    drift: bool = False


@dataclass(frozen=True)
class ColumnDrift:
    """What is to be said of one column.

    Attributes:
        name: of the column.
        kind: of its values.
        rows: live ones.
        status: ``drift``, ``calm`` or ``insufficient data``.
        distribution: None where too few values are there, on either side.
        missing: share of missing values.
        outside: share of the values that the reference did not know; None where nobody can tell.
        findings: answers to the questions that could be asked, the largest first.
    """

    name: str
    kind: str
    rows: int
    status: str
    distribution: Distribution | None
    missing: Rate
    outside: Rate | None
    findings: tuple[Finding, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the column drifted; empty where it did not."""
        return tuple(finding.reason for finding in self.findings if finding.drift)

    @property
    def severity(self) -> float:
        """How many times the largest difference is over its threshold: of those that are drift, where any is."""
        sizes = [finding.size for finding in self.findings if finding.drift or self.status != DRIFT]
        return max(sizes, default=0.0)


@dataclass(frozen=True)
class DriftReport:
    """What is to be said of all columns.

    Attributes:
        rows: live ones, of the column that has most.
        columns: drifted ones first, and then by severity.
        thresholds: that were applied.
    """

    rows: int
    columns: tuple[ColumnDrift, ...]
    thresholds: Thresholds

    @property
    def drifted(self) -> tuple[str, ...]:
        """Names of the columns that drifted, the worst first."""
        return tuple(column.name for column in self.columns if column.status == DRIFT)

    @property
    def share(self) -> float | None:
        """Share of the columns that drifted, of those that have enough data; None where none has."""
        known = sum(column.status != INSUFFICIENT for column in self.columns)
        return len(self.drifted) / known if known else None

    @property
    def status(self) -> str:
        """``drift`` where any column drifted, ``insufficient data`` where none has enough."""
        if self.share is None:
            return INSUFFICIENT
        return DRIFT if self.share else CALM

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        columns = [
            asdict(column) | {"reasons": list(column.reasons), "severity": column.severity} for column in self.columns
        ]
        headline = {"status": self.status, "share": self.share, "drifted": list(self.drifted)}
        return headline | {"rows": self.rows, "columns": columns, "thresholds": asdict(self.thresholds)}


def drift_report(
    profiles: Iterable[ColumnProfile],
    counts: Mapping[str, Sequence[int] | NDArray[np.int64]],
    thresholds: Thresholds | None = None,
) -> DriftReport:
    """Compare live counts with baked profiles.

    Args:
        profiles: of the columns, from an input or an output profile.
        counts: column → live counts in the profile's bins, of length ``bins.size``.
        thresholds: what counts as drift.

    Raises:
        ValueError: counts of a column that are not in its profile's bins.
        KeyError: a column without counts.
    """
    limits = thresholds or Thresholds()
    found = [_compare(each, np.asarray(counts[each.name], dtype=np.float64), limits) for each in profiles]
    columns = sorted(_judged(found, limits), key=_worst_first)
    return DriftReport(max((column.rows for column in found), default=0), tuple(columns), limits)


def _worst_first(column: ColumnDrift) -> tuple[int, float, str]:
    return (DRIFT, CALM, INSUFFICIENT).index(column.status), -column.severity, column.name


def _compare(profile: ColumnProfile, live: Histogram, limits: Thresholds) -> ColumnDrift:
    """One column, before the number of questions is taken into account."""
    bins, reference = profile.bins, np.array(profile.counts, dtype=np.float64)
    if live.shape != reference.shape:
        raise ValueError(f"column {profile.name!r} has {len(live)} counts, and its profile {len(reference)} places")
    ordered = isinstance(bins, NumberBins)
    distribution = _distribution(reference[:-1], live[:-1], limits, ordered=ordered)
    missing = _rate(reference, live, (bins.size - 1,), limits, both_ways=True)
    outside = _rate(reference[:-1], live[:-1], bins.outside, limits, both_ways=False) if bins.outside else None
    findings = [_of_rate(MISSING, missing)]
    if outside is not None:
        findings.append(_of_rate(OUT_OF_RANGE if ordered else UNSEEN, outside))
    if distribution is not None:
        index = distribution.psi
        findings.append(Finding(DISTRIBUTION, index.value / index.threshold, distribution.chi_square.p))
    return ColumnDrift(
        name=profile.name,
        kind=profile.kind,
        rows=int(live.sum()),
        status=CALM if live.sum() >= limits.rows and profile.n else INSUFFICIENT,
        distribution=distribution,
        missing=missing,
        outside=outside,
        findings=tuple(sorted(findings, key=lambda finding: (-finding.size, finding.reason))),
    )


def _judged(columns: Sequence[ColumnDrift], limits: Thresholds) -> list[ColumnDrift]:
    """The columns with their verdicts. A rate that is 0 on both sides asks nothing: chance could not change it."""
    asked = [
        (column.name, finding)
        for column in columns
        if column.status != INSUFFICIENT
        for finding in column.findings
        if finding.p < 1
    ]
    adjusted = benjamini_hochberg([finding.p for _, finding in asked])
    verdicts = {
        (name, finding.reason): replace(finding, p_adjusted=p, drift=p <= limits.false_alarms and finding.size > 1)
        for (name, finding), p in zip(asked, adjusted, strict=True)
    }
    judged = []
    for column in columns:
        findings = tuple(verdicts.get((column.name, finding.reason), finding) for finding in column.findings)
        drifted = any(finding.drift for finding in findings)
        judged.append(replace(column, findings=findings, status=DRIFT if drifted else column.status))
    return judged


def _of_rate(reason: str, rate: Rate) -> Finding:
    return Finding(reason, abs(rate.change) / rate.threshold, rate.p)


def _rate(reference: Histogram, live: Histogram, places: Sequence[int], limits: Thresholds, *, both_ways: bool) -> Rate:
    seen, count = (int(side[list(places)].sum()) for side in (reference, live))
    return compare_rates(
        (seen, int(reference.sum())), (count, int(live.sum())), threshold=limits.rate, both_ways=both_ways
    )


def _distribution(reference: Histogram, live: Histogram, limits: Thresholds, *, ordered: bool) -> Distribution | None:
    n, m = float(reference.sum()), float(live.sum())
    if m < limits.rows or n == 0:
        return None
    p, q = pooled(reference, live)
    return Distribution(
        bins=len(p),
        psi=Statistic(psi(p, q), limits.for_psi(len(p), n, m)),
        jensen_shannon=Statistic(jensen_shannon(p, q), limits.for_jensen_shannon(len(p), n, m)),
        kolmogorov_smirnov=Statistic(kolmogorov_smirnov(p, q), limits.for_kolmogorov_smirnov(n, m))
        if ordered
        else None,
        l_infinity=Statistic(l_infinity(p, q), limits.for_l_infinity(shares(p + q).tolist(), n, m)),
        chi_square=chi_square(p, q),
    )
