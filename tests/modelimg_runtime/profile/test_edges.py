"""Where bins go: quantiles of the reference, in which nobody is alone."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modelimg_runtime.contract import ProfileSettings
from modelimg_runtime.profile.edges import BINS, DISCRETE, ROUNDING, category_bins, number_bins, quantiles
from modelimg_runtime.profile.lattice import Lattice

RANDOM = np.random.RandomState(0)
OPEN = ProfileSettings(min_max=True, fold_below=1)
GREATEST = float(np.finfo(np.float64).max)
COLUMNS = st.one_of(
    hnp.arrays(np.float64, st.integers(1, 300), elements=st.floats(allow_nan=False, allow_infinity=False)),
    hnp.arrays(np.float64, st.integers(1, 300), elements=st.integers(-5, 5).map(float)),
)
SETTINGS = st.builds(ProfileSettings, st.booleans(), st.integers(1, 60), st.integers(1, 30))


def counted(values, settings):
    bins = number_bins(Lattice.of(values), settings)
    return bins, bins.binner("number").counts(values)


def test_quantiles_are_numpys():
    values = RANDOM.randn(1001)
    expected = np.quantile(values, np.arange(21) / 20, method="inverted_cdf")
    np.testing.assert_array_equal(quantiles(Lattice.of(values), OPEN), expected)


def test_a_long_column_has_ten_bins_of_about_equal_counts():
    _, counts = counted(RANDOM.randn(10_000), ProfileSettings())
    assert len(counts) == BINS + 3
    assert (np.abs(counts[1:-2] - 1000) <= 10).all()
    assert counts[[0, -2, -1]].tolist() == [0, 0, 0]


@settings(deadline=None)
@given(COLUMNS, SETTINGS)
def test_no_bin_between_the_edges_and_no_shown_quantile_is_of_fewer_rows_than_asked(values, given_settings):
    bins, counts = counted(values, given_settings)
    assert counts.sum() == len(values)
    inner = counts[1:-2]
    if len(inner) > 1:  # the outer two also hold what is beyond a fence in the reference
        joined = [*inner]
        joined[0] += counts[0]
        joined[-1] += counts[-2]
        assert min(joined) >= given_settings.fold_below
    for i, value in enumerate(quantiles(Lattice.of(values), given_settings)):
        if value is not None and not (given_settings.min_max and i in (0, 20)):
            assert min((values <= value).sum(), (values >= value).sum()) >= given_settings.fold_below
    if given_settings.min_max:
        assert bins.edges[0] <= values.min() <= values.max() <= bins.edges[-1]
        assert (bins.edges[0], bins.edges[-1]) == pytest.approx((values.min(), values.max()), rel=2 * ROUNDING)
        assert counts[0] == counts[-2] == 0


def test_the_least_and_the_largest_value_are_not_in_a_profile_unless_many_share_them_or_it_is_asked_for():
    values = np.concatenate([RANDOM.rand(1000), [777.0, -888.0]])
    bins, _ = counted(values, ProfileSettings())
    assert {777.0, -888.0}.isdisjoint([*bins.edges, *quantiles(Lattice.of(values), ProfileSettings())])
    shared = np.concatenate([RANDOM.rand(1000), np.full(10, 777.0)])
    bins, _ = counted(shared, ProfileSettings())
    assert quantiles(Lattice.of(shared), ProfileSettings())[-1] == 777.0
    assert 777.0 < bins.edges[-1] < 777.01


def test_a_single_row_is_no_extreme_that_may_be_shown_even_where_nothing_is_folded():
    values = np.arange(100.0)
    shown = quantiles(Lattice.of(values), ProfileSettings(fold_below=1))
    assert (shown[0], shown[1], shown[-2], shown[-1]) == (None, 4.0, 94.0, None)


def test_a_fence_is_far_outside_and_does_not_pass_zero_where_no_value_does():
    bins, _ = counted(100 + RANDOM.rand(1000), ProfileSettings())
    low, high = bins.edges[0], bins.edges[-1]
    assert 98.4 < low < 98.9
    assert 102.1 < high < 102.6
    assert counted(RANDOM.rand(1000), ProfileSettings())[0].edges[0] == 0.0
    assert counted(-RANDOM.rand(1000), ProfileSettings())[0].edges[-1] == 0.0
    assert counted(RANDOM.randn(1000), ProfileSettings())[0].edges[0] < -5


def test_few_different_values_have_a_bin_each():
    values = np.repeat(np.arange(DISCRETE), 10).astype(float)
    bins, counts = counted(values, ProfileSettings())
    assert bins.edges[:-1] == (0.0, *(number + 0.5 for number in range(DISCRETE - 1)))
    assert bins.edges[-1] == pytest.approx((DISCRETE - 1) * (1 + ROUNDING), rel=1e-12)
    assert counts[1:-2].tolist() == [10] * DISCRETE


@pytest.mark.parametrize(
    "rounded",
    [
        lambda values: values.astype(np.float32).astype(float),
        lambda values: np.array([float(f"{value:.6g}") for value in values]),
        lambda values: values.round(10),
        lambda values: np.nextafter(values, np.inf),
        lambda values: np.nextafter(values, -np.inf),
    ],
    ids=["float32", "%.6g", "10 decimals", "up", "down"],
)
@pytest.mark.parametrize("distinct", [[0.1, 0.7], [1 / 3, 2 / 3, 1.1, 12345.678901], [-0.1, 0.0, 0.3], [-7.7]])
def test_few_values_that_come_rounded_are_where_they_were(distinct, rounded):
    values = np.repeat(np.array(distinct), 50)
    bins, counts = counted(values, ProfileSettings())
    if rounded(np.zeros(1))[0] < 0:
        values = values[values != 0]  # which no rounding takes below 0
        counts = bins.binner("number").counts(values)
    assert bins.binner("number").counts(rounded(values)).tolist() == counts.tolist()


def test_rare_ones_among_few_values_join_their_neighbour():
    values = np.repeat([0.0, 1.0, 2.0, 3.0], [50, 3, 40, 2])
    bins, counts = counted(values, ProfileSettings())
    assert bins.edges[:2] == (0.0, 0.5)
    assert len(bins.edges) == 3
    assert counts[1:3].tolist() == [50, 45]


@pytest.mark.parametrize(
    ("values", "edges"),
    [
        (np.full(50, 7.0), (7.0 - 7 * ROUNDING, 7.0 + 7 * ROUNDING)),
        (np.zeros(50), (0.0, 0.0)),
        (np.full(3, 7.0), (-GREATEST, GREATEST)),
        (np.array([]), (-GREATEST, GREATEST)),
        (np.array([1.0, 2.0]), (-GREATEST, GREATEST)),
        (np.array([np.inf] * 30), (-GREATEST, GREATEST)),
    ],
)
def test_constants_and_too_few_rows_have_one_bin(values, edges):
    bins, counts = counted(values, ProfileSettings())
    assert bins.edges == edges
    assert counts.sum() == len(values)


def test_the_widest_column_has_finite_edges():
    values = np.linspace(-1, 1, 101) * GREATEST
    bins, counts = counted(values, ProfileSettings())
    assert bins.edges[0] == -GREATEST
    assert bins.edges[-1] == GREATEST
    assert counts.sum() == 101


def test_heavy_ties_leave_fewer_bins():
    values = np.where(RANDOM.rand(1000) < 0.7, 0.0, RANDOM.exponential(size=1000))
    bins, counts = counted(values, ProfileSettings())
    assert bins.edges[:2] == (0.0, values[values > 0].min() / 2)
    assert 3 <= len(counts) - 3 < BINS
    assert counts[1] == (values == 0).sum()


def test_rare_and_surplus_categories_are_folded():
    counts = Counter({"a": 30, "b": 30, "c": 10, "d": 9})
    assert category_bins(counts, ProfileSettings()).categories == ("a", "b", "c")
    assert category_bins(counts, ProfileSettings()).folded
    assert category_bins(counts, ProfileSettings(top=1)).categories == ("a",)
    assert not category_bins(counts, ProfileSettings(fold_below=1)).folded
    assert category_bins(Counter(), ProfileSettings()).categories == ()


@pytest.mark.parametrize("wrong", [{"top": -1}, {"fold_below": 0}])
def test_settings_that_cannot_be_meant_are_refused(wrong):
    with pytest.raises(ValueError, match="cannot be below"):
        ProfileSettings(**wrong)
