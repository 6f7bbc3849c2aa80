"""Statistics are SciPy's on the same bins."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from modelimg_runtime.drift.rates import compare_rates, wilson
from modelimg_runtime.drift.statistics import (
    EXPECTED,
    chi_square,
    jensen_shannon,
    kolmogorov_smirnov,
    l_infinity,
    pooled,
    psi,
    smoothed,
)

PAIRS = st.integers(2, 40).flatmap(
    lambda bins: st.tuples(
        *(st.lists(st.integers(0, 5000), min_size=bins, max_size=bins).filter(sum).map(lambda c: np.array(c, float)),)
        * 2
    )
)
TWO = np.array([10.0, 0, 30, 40, 20]), np.array([30.0, 5, 5, 0, 60])


@settings(deadline=None)
@given(PAIRS)
def test_psi_is_both_relative_entropies(pair):
    p, q = map(smoothed, pair)
    assert psi(*pair) == pytest.approx(stats.entropy(p, q) + stats.entropy(q, p), rel=1e-9, abs=1e-12)


@settings(deadline=None)
@given(PAIRS)
def test_the_jensen_shannon_distance_is_scipys(pair):
    assert jensen_shannon(*pair) == pytest.approx(jensenshannon(*map(smoothed, pair), base=2), rel=1e-6, abs=1e-7)


@settings(deadline=None)
@given(PAIRS)
def test_kolmogorov_smirnov_is_scipys_of_the_binned_values(pair):
    values = [np.repeat(np.arange(len(each)), each.astype(int) // 50 + 1) for each in pair]
    counts = [np.bincount(each).astype(float) for each in values]
    assert kolmogorov_smirnov(*counts) == pytest.approx(stats.ks_2samp(*values, method="asymp").statistic)


@settings(deadline=None)
@given(PAIRS)
def test_chi_square_is_scipys(pair):
    table = np.stack(pair)
    table = table[:, table.sum(axis=0) > 0]
    found = chi_square(*pair)
    if table.shape[1] < 2:
        assert (found.statistic, found.df, found.p) == (0.0, 0, 1.0)
        return
    expected = stats.chi2_contingency(table, correction=False)
    assert found.statistic == pytest.approx(expected.statistic, rel=1e-9)
    assert found.df == expected.dof
    assert found.p == pytest.approx(expected.pvalue, rel=1e-7, abs=1e-280)


def test_chi_square_of_an_endless_reference_is_the_goodness_of_fit():
    shares, live = np.array([0.1, 0.2, 0.3, 0.4]), np.array([15.0, 30, 25, 30])
    expected = stats.chisquare(live, shares * live.sum())
    found = chi_square(shares * 1e12, live)
    assert (found.statistic, found.p) == (pytest.approx(expected.statistic), pytest.approx(expected.pvalue))


def test_l_infinity_is_the_greatest_difference_of_shares():
    assert l_infinity(*TWO) == pytest.approx(0.4)


@pytest.mark.parametrize("statistic", [psi, jensen_shannon, kolmogorov_smirnov, l_infinity])
def test_equal_histograms_are_no_distance_apart(statistic):
    counts = np.array([5.0, 0, 10, 100])
    assert statistic(counts, counts) == pytest.approx(0, abs=1e-12)
    assert statistic(counts, counts[::-1]) > 0.3


@settings(deadline=None)
@given(PAIRS)
def test_pooling_keeps_all_rows_and_leaves_no_bin_that_expects_too_few(pair):
    p, q = pooled(*pair)
    assert (p.sum(), q.sum()) == (pair[0].sum(), pair[1].sum())
    if len(p) > 1:
        expected = (p + q) / (p + q).sum() * min(p.sum(), q.sum())
        assert expected.min() >= EXPECTED * (1 - 1e-12)


def test_pooling_puts_neighbours_together_and_what_is_left_to_the_last():
    p, q = pooled(np.array([2.0, 3, 50, 0, 4, 40, 1]), np.array([2.0, 3, 50, 0, 4, 40, 1]))
    assert p.tolist() == q.tolist() == [5, 50, 45]
    nothing = np.zeros(4)
    assert [each.tolist() for each in pooled(nothing, nothing)] == [[0], [0]]


@pytest.mark.parametrize(("count", "n"), [(0, 10), (1, 10), (5, 10), (10, 10), (3, 1000), (999_999, 1_000_000)])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_the_interval_of_a_rate_is_scipys(count, n, confidence):
    expected = stats.binomtest(count, n).proportion_ci(confidence, method="wilson")
    assert wilson(count, n, confidence) == (pytest.approx(expected.low), pytest.approx(expected.high))


def test_nothing_seen_is_an_interval_of_everything():
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("reference", "live"), [((3, 100), (12, 90)), ((0, 5000), (2, 200)), ((50, 100), (20, 100))])
def test_rates_are_compared_by_fishers_exact_test(reference, live):
    (seen, rows), (count, n) = reference, live
    table = [[count, n - count], [seen, rows - seen]]
    more = compare_rates(reference, live, threshold=0.01, both_ways=False)
    assert more.p == pytest.approx(stats.fisher_exact(table, alternative="greater").pvalue)
    either = compare_rates(reference, live, threshold=0.01, both_ways=True)
    tails = [stats.fisher_exact(table, alternative=side).pvalue for side in ("less", "greater")]
    assert either.p == pytest.approx(min(1, 2 * min(tails)))
    assert either.change == pytest.approx(count / n - seen / rows)
    assert (either.low, either.high) == wilson(count, n)


def test_a_rate_of_no_rows_is_no_evidence():
    rate = compare_rates((5, 100), (0, 0), threshold=0.01, both_ways=True)
    assert (rate.live, rate.low, rate.high, rate.p) == (0.0, 0.0, 1.0, 1.0)
    assert math.isfinite(compare_rates((0, 0), (5, 100), threshold=0.01, both_ways=False).reference)
