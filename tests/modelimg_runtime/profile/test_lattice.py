"""Quantile summaries: exact while values are few, and always the same whatever the order and the parts."""

from __future__ import annotations

from functools import reduce

import datasketches
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modelimg_runtime.profile import distinct, lattice
from modelimg_runtime.profile.distinct import Distinct
from modelimg_runtime.profile.lattice import LIMIT, Lattice

FLOATS = hnp.arrays(np.float64, st.integers(0, 200), elements=st.floats(allow_nan=True, allow_infinity=True))
RANDOM = np.random.RandomState(0)


def same(one: Lattice, two: Lattice) -> bool:
    equal = np.array_equal(one.cells, two.cells) and np.array_equal(one.counts, two.counts)
    seen = (one.seen is None) == (two.seen is None)
    return equal and one.shift == two.shift and one.distinct == two.distinct and seen


def parts_of(values, cuts):
    return [Lattice.of(part) for part in np.split(values, sorted(cuts))]


@settings(deadline=None)
@given(FLOATS)
def test_a_short_column_is_kept_exactly(values):
    finite = values[np.isfinite(values)] + 0.0
    expected, counts = np.unique(finite, return_counts=True)
    found = Lattice.of(values)
    np.testing.assert_array_equal(found.uppers, expected)
    np.testing.assert_array_equal(found.lowers, expected)
    np.testing.assert_array_equal(found.counts, counts)
    assert (found.n, found.distinct) == (len(finite), len(expected))


@settings(deadline=None, max_examples=60)
@given(FLOATS, st.lists(st.integers(0, 200), max_size=4), st.randoms())
def test_parts_merge_to_the_whole_in_any_order_also_when_cells_had_to_merge(values, cuts, random):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lattice, "LIMIT", 16)
        parts = parts_of(values, cuts)
        random.shuffle(parts)
        assert same(reduce(Lattice.merge, parts), Lattice.of(values))


@pytest.mark.parametrize(
    "values",
    [
        RANDOM.randn(200_000),
        RANDOM.lognormal(0, 3, 200_000),
        1.7e9 + RANDOM.rand(200_000) * 1e5,
        RANDOM.standard_cauchy(200_000),
    ],
    ids=["normal", "lognormal", "times", "heavy tails"],
)
def test_a_long_column_takes_bounded_memory_and_ranks_are_as_good_as_a_sketchs(values, show):
    whole = Lattice.of(values)
    parts = [Lattice.of(part) for part in np.array_split(values, 7)]
    assert same(reduce(Lattice.merge, parts[::-1]), whole)
    assert 0 < len(whole.cells) <= LIMIT
    assert abs(whole.distinct / len(values) - 1) < 0.06
    shares = np.arange(1, 20) / 20
    edges = whole.uppers[np.searchsorted(np.cumsum(whole.counts), shares * len(values))]
    sketch = datasketches.kll_doubles_sketch(4096)
    sketch.update(values)
    ordered = np.sort(values)
    error, peer = (
        np.abs(np.searchsorted(ordered, np.array(found), side="right") / len(values) - shares).max()
        for found in (edges, sketch.get_quantiles(shares))
    )
    show(f"largest error of rank: {error:.5f} in {len(whole.cells)} cells, KLL with k = 4096: {peer:.5f}")
    assert error < 0.002
    # What is at or below an edge is counted exactly.
    below = np.cumsum(whole.counts)[np.searchsorted(whole.uppers, edges)]
    np.testing.assert_array_equal(below, np.searchsorted(ordered, edges, side="right"))


def test_extremes_of_the_doubles_stay_in_their_cells(monkeypatch):
    monkeypatch.setattr(lattice, "LIMIT", 2)
    greatest = np.finfo(np.float64).max
    values = np.array([-greatest, -1.0, -5e-324, -0.0, 0.0, 5e-324, 1.0, greatest, np.inf, -np.inf, np.nan])
    found = Lattice.of(values)
    assert found.n == 8
    assert found.lowers[0] == -greatest
    assert found.uppers[-1] == greatest
    assert (found.lowers <= found.uppers).all()


@settings(deadline=None)
@given(
    st.sets(st.text(st.characters(exclude_categories=["Cs"]), max_size=5)),
    st.sets(st.text(max_size=3).filter(str.isascii)),
)
def test_distinct_values_of_parts_are_those_of_the_whole(one, two):
    merged = Distinct.of_names(one).merge(Distinct.of_names(two))
    np.testing.assert_array_equal(merged.hashes, Distinct.of_names(one | two).hashes)
    assert merged.estimate == len(one | two)


@pytest.mark.parametrize("n", [5_000, 100_000, 1_000_000])
def test_many_distinct_values_are_estimated_within_four_standard_errors(n):
    found = Distinct.of_ints(np.arange(n, dtype=np.int64) * 1_000_003)
    assert len(found.hashes) == distinct.K
    assert abs(found.estimate / n - 1) < 4 / np.sqrt(distinct.K)


def test_few_distinct_values_are_not_estimated():
    assert Distinct.of_ints(np.arange(4000, dtype=np.int64)).estimate == 4000
    assert Distinct.of_names([]).estimate == 0
