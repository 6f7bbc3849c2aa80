"""Sums that do not depend on order, and moments that neither overflow nor cancel."""

from __future__ import annotations

import math
import statistics
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modelimg_runtime.profile import moments
from modelimg_runtime.profile.lattice import Lattice
from modelimg_runtime.profile.moments import Sums, exact_sum, merged_moments
from modelimg_runtime.profile.plan import _centre

FINITE = hnp.arrays(np.float64, st.integers(0, 50), elements=st.floats(allow_nan=False, allow_infinity=False))
GREATEST = float(np.finfo(np.float64).max)


def of(values):
    numbers = Lattice.of(values)
    centre = _centre(numbers.uppers, numbers)
    return Sums.of(values, centre), centre


@settings(deadline=None)
@given(FINITE)
def test_a_sum_is_exact(values):
    assert Fraction(exact_sum(values), 2**1126) == sum(map(Fraction, values.tolist()))


def test_a_sum_is_exact_in_pieces(monkeypatch):
    monkeypatch.setattr(moments, "_AT_ONCE", 3)
    values = np.array([1e300, 1.0, -1e300, 5e-324, 2.0**60, -1.0, 0.1])
    assert Fraction(exact_sum(values), 2**1126) == sum(map(Fraction, values.tolist()))


@settings(deadline=None)
@given(FINITE, st.integers(0, 50))
def test_parts_add_up_to_the_whole_to_the_last_bit(values, cut):
    whole, centre = of(values)
    one, two = Sums.of(values[:cut], centre), Sums.of(values[cut:], centre)
    assert one.merge(two) == two.merge(one) == whole


@pytest.mark.parametrize(
    "values",
    [
        [1.0, 2.0, 4.0],
        [1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16],  # the classic of cancellation
        [1e300, -1e300, 3e300],
        [3e-320, 5e-324, 1e-320],
        [0.1] * 1000,
        list(np.random.RandomState(0).lognormal(0, 4, 5000)),
        [GREATEST, GREATEST / 2],
    ],
)
def test_moments_are_those_of_exact_arithmetic(values):
    sums, centre = of(np.array(values))
    exact = [Fraction(value) for value in values]
    assert sums.mean(centre) == pytest.approx(float(statistics.mean(exact)), rel=1e-15)
    variance = statistics.variance(exact)
    scale = max(abs(value) for value in exact)
    expected = math.sqrt(float(variance / scale**2)) * float(scale) if variance else 0.0
    assert sums.std(centre) == pytest.approx(expected, rel=1e-9, abs=0)


def test_moments_that_do_not_exist_are_none():
    for values, mean in (([], None), ([2.5], 2.5)):
        sums, centre = of(np.array(values))
        assert (sums.mean(centre), sums.std(centre)) == (mean, None)
    sums, centre = of(np.array([GREATEST, -GREATEST]))
    assert (sums.mean(centre), sums.std(centre)) == (0.0, None)  # no double holds it


@settings(deadline=None)
@given(FINITE.filter(lambda v: (np.abs(v) < 1e100).all()), st.integers(0, 50))
def test_moments_of_two_profiles_merge_to_rounding(values, cut):
    parts = [values[:cut], values[cut:]]
    means = tuple(float(np.mean(part)) if len(part) else None for part in parts)
    stds = tuple(float(np.std(part, ddof=1)) if len(part) > 1 else None for part in parts)
    mean, std = merged_moments((len(parts[0]), len(parts[1])), means, stds)
    scale = float(np.abs(values).max()) if len(values) else 0.0
    assert mean == (pytest.approx(np.mean(values), rel=1e-9, abs=1e-12 * scale) if len(values) else None)
    assert std == (pytest.approx(np.std(values, ddof=1), rel=1e-7, abs=1e-7 * scale) if len(values) > 1 else None)


def test_what_no_double_can_hold_merges_to_none():
    assert merged_moments((2, 2), (0.0, 0.0), (None, 1.0)) == (None, None)
    assert merged_moments((2, 2), (-GREATEST, GREATEST), (0.0, 0.0))[1] is None
