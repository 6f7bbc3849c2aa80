"""Special functions are SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from modelimg_runtime.drift.special import chi2_isf, chi2_sf, hypergeometric_tails, normal_quantile


@pytest.mark.parametrize("df", [*range(1, 61), 99, 100, 500, 1001])
def test_the_tail_of_chi_square_is_scipys_to_ten_digits(df):
    grid = np.concatenate([[0.0], np.geomspace(1e-8, 1400, 120), [df, df - 1e-9]])
    expected = stats.chi2.sf(grid, df)
    found = np.array([chi2_sf(float(x), df) for x in grid])
    there = expected > 1e-290
    np.testing.assert_allclose(found[there], expected[there], rtol=1e-10)
    assert (found[~there] < 1e-280).all()


def test_impossible_values_have_all_the_probability_above_them():
    assert chi2_sf(-1.0, 3) == chi2_sf(0.0, 1) == 1.0


@pytest.mark.parametrize("p", [0.9, 0.5, 0.05, 0.01, 0.001, 1e-9, 1e-200])
@pytest.mark.parametrize("df", [1, 2, 9, 12, 52])
def test_its_inverse_is_scipys(p, df):
    assert chi2_isf(p, df) == pytest.approx(stats.chi2.isf(p, df), rel=1e-10)


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.99])
def test_the_normal_quantile_is_scipys(confidence):
    assert normal_quantile(confidence) == pytest.approx(stats.norm.isf((1 - confidence) / 2), rel=1e-10)


def test_hypergeometric_tails_are_scipys(show):
    random, worst = np.random.RandomState(0), 0.0
    for _ in range(2000):
        total = int(random.choice([5, 50, 1000, 100_000]))
        draws, marked = random.randint(0, total + 1), random.randint(0, total + 1)
        least, most = max(0, draws + marked - total), min(draws, marked)
        k = int(np.clip(draws * marked // total + random.randint(-8, 9), least, most))
        expected = stats.hypergeom.cdf(k, total, marked, draws), stats.hypergeom.sf(k - 1, total, marked, draws)
        for found, true in zip(hypergeometric_tails(k, draws, marked, total), expected, strict=True):
            worst = max(worst, abs(found - true) / true if true > 1e-250 else found)
    show(f"2000 tails, largest relative difference to SciPy {worst:.1e}")
    assert worst < 1e-8


def test_counts_beyond_what_can_be_drawn_have_no_probability():
    assert hypergeometric_tails(5, 4, 4, 10) == (1.0, 0.0)
    assert hypergeometric_tails(0, 8, 8, 10) == (0.0, 1.0)
    assert hypergeometric_tails(0, 0, 3, 10) == (1.0, 1.0)
