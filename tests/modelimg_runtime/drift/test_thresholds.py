"""Thresholds that know the sample size: what chance does is hardly ever above them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from modelimg_runtime.drift.report import drift_report
from modelimg_runtime.drift.statistics import psi
from modelimg_runtime.drift.thresholds import Thresholds, benjamini_hochberg
from modelimg_runtime.profile import Plan, Survey

REPEATS = 3000
REFERENCE = 100_000


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_the_correction_for_many_columns_is_scipys(p):
    np.testing.assert_allclose(benjamini_hochberg(p), stats.false_discovery_control(p), rtol=1e-12)


def test_no_columns_need_no_correction():
    assert benjamini_hochberg([]) == []


def test_thresholds_are_the_formulas_of_the_reference():
    limits = Thresholds()
    assert limits.for_psi(10, 100_000, 100) == pytest.approx(stats.chi2.isf(0.01, 9) * (1 / 100 + 1e-5))
    assert limits.for_psi(10, 100_000, 1_000_000) == 0.1
    assert limits.for_psi(1, 100, 100) == 0.1
    assert limits.for_kolmogorov_smirnov(100, 100) == pytest.approx(1.628 * np.sqrt(0.02), rel=1e-3)
    assert limits.for_kolmogorov_smirnov(10**6, 10**6) == limits.for_jensen_shannon(10, 10**6, 10**6) == 0.1


@pytest.mark.parametrize("n", [50, 100, 200, 500, 2000])
def test_the_index_alone_passes_its_threshold_in_one_of_a_hundred_windows_at_most(n, show):
    random = np.random.RandomState(n)
    reference = np.full(10, REFERENCE / 10)
    live = random.multinomial(n, [0.1] * 10, size=REPEATS).astype(float)
    limit = Thresholds().for_psi(10, REFERENCE, n)
    found = np.array([psi(reference, each) for each in live])
    fixed, knowing = (found > 0.1).mean(), (found > limit).mean()
    show(f"n = {n}: index above 0.1 in {fixed:.1%}, above {limit:.3f} in {knowing:.2%} of {REPEATS} windows")
    # Three standard errors of a rate of 1 % that is measured so often.
    assert knowing <= 0.01 + 3 * np.sqrt(0.01 * 0.99 / REPEATS)
    assert fixed >= knowing


COLUMNS = {
    "normal": lambda random, n: random.randn(n),
    "heavy tails": lambda random, n: random.standard_cauchy(n),
    "ties": lambda random, n: np.where(random.rand(n) < 0.6, 0.0, random.exponential(size=n)),
    "counts": lambda random, n: random.poisson(3, n),
    "rarely missing": lambda random, n: np.where(random.rand(n) < 0.02, np.nan, random.rand(n)),
    "categories": lambda random, n: np.array(list("abcdefghijkl"), dtype=object)[
        random.geometric(0.3, n).clip(max=12) - 1
    ],
}


@pytest.mark.parametrize(("n", "windows"), [(200, 300), (500, 300), (2000, 200)])
@pytest.mark.parametrize("rows", [400, 20_000])
def test_a_report_on_many_columns_is_hardly_ever_a_false_alarm(n, windows, rows, show):
    random, false, reported = np.random.RandomState(n + rows), 0, 0
    data = {name: draw(random, rows) for name, draw in COLUMNS.items()}
    plan = Plan.of(Survey.of(data))
    profiles = plan.profiles(plan.count(data))
    for _ in range(windows):
        counts = {each.name: each.binner.counts(COLUMNS[each.name](random, n)) for each in plan.columns}
        report = drift_report(profiles, counts)
        false += report.status == "drift"
        reported += len(report.columns)
    show(f"n = {n}, N = {rows}: {false} of {windows} windows of {reported // windows} columns reported")
    assert false / windows <= 0.01
