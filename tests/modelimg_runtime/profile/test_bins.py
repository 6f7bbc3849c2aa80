"""Bins: every value has one place, the same alone and in a column."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelimg_runtime.profile import CategoryBins, NumberBins
from modelimg_runtime.profile.bins import bins_from_dict

GREATEST = float(np.finfo(np.float64).max)
EXACT = 2**53
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-EXACT, EXACT),
    st.integers(10**308, 10**320),
    st.floats(),
    st.text(max_size=3),
    st.datetimes(),
    st.decimals(),
    st.lists(st.integers(), max_size=2),
    st.just(pd.NA),
    st.just(pd.NaT),
)
EDGES = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=12, unique=True).map(sorted)


@pytest.mark.parametrize(
    ("edges", "places"),
    [
        # value: -inf -1 0 0.5 1 2 3 inf nan, in bins <0 [0, 1] (1, 2] >2 missing
        ((0.0, 1.0, 2.0), [0, 0, 1, 1, 1, 2, 3, 3, 4]),
        ((1.0, 1.0), [0, 0, 0, 0, 1, 2, 2, 2, 3]),
        ((0.0, 0.0, 1.0), [0, 0, 1, 2, 2, 3, 3, 3, 4]),
        ((-GREATEST, GREATEST), [0, 1, 1, 1, 1, 1, 1, 2, 3]),
    ],
)
def test_a_bin_holds_its_upper_edge_and_only_the_first_its_lower_one(edges, places):
    values = [-math.inf, -1.0, 0.0, 0.5, 1.0, 2.0, 3.0, math.inf, math.nan]
    binner = NumberBins(edges).binner("number")
    assert [binner.one(value) for value in values] == places
    assert binner.many(values).tolist() == places
    assert binner.size == NumberBins(edges).size == max(places) + 1
    assert binner.counts(np.array(values)).tolist() == np.bincount(places).tolist()
    assert binner.one(-0.0) == binner.one(0.0)


@pytest.mark.parametrize("value", [None, "5", [1], pd.NA, pd.NaT, 1j, b"1", {}])
def test_what_is_no_number_counts_as_missing(value):
    binner = NumberBins((0.0, 10.0)).binner("number")
    assert binner.one(value) == binner.size - 1
    assert binner.many([value, 5.0]).tolist() == [binner.size - 1, 1]


@settings(deadline=None)
@given(EDGES, st.lists(SCALARS, max_size=20), st.sampled_from(["number", "datetime", "duration", "text"]))
def test_one_value_is_where_it_is_in_a_column_of_numbers(edges, values, kind):
    binner = NumberBins(tuple(edges)).binner(kind)
    alone = [binner.one(value) for value in values]
    assert binner.many(values).tolist() == alone
    assert binner.many(pd.Series(values, dtype=object)).tolist() == alone
    assert all(0 <= place < binner.size for place in alone)
    assert binner.counts(values).sum() == len(values)


@settings(deadline=None)
@given(st.lists(SCALARS, max_size=20), st.booleans(), st.sampled_from(["category", "empty"]))
def test_one_value_is_where_it_is_in_a_column_of_categories(values, folded, kind):
    binner = CategoryBins(("1", "true", "a", ""), folded).binner(kind)
    alone = [binner.one(value) for value in values]
    assert binner.many(values).tolist() == alone
    assert all(0 <= place < binner.size for place in alone)


@pytest.mark.parametrize(
    "array", [np.arange(5), np.arange(5, dtype="f4"), np.array([True, False]), np.arange(5, dtype="u1")]
)
def test_a_column_of_any_width_is_binned_as_its_values(array):
    binner = NumberBins((0.0, 1.0, 3.0)).binner("number")
    assert binner.many(array).tolist() == [binner.one(value) for value in array.tolist()]


def test_a_new_name_is_unseen_where_all_were_named_and_other_where_some_were_not():
    values = ["a", "b", "new", None, float("nan")]
    assert CategoryBins(("a", "b")).binner("category").many(values).tolist() == [0, 1, 3, 4, 4]
    assert CategoryBins(("a", "b"), folded=True).binner("category").many(values).tolist() == [0, 1, 2, 4, 4]
    assert CategoryBins(()).binner("empty").many(values).tolist() == [1, 1, 1, 2, 2]


def test_booleans_are_no_numbers():
    binner = CategoryBins(("false", "true")).binner("boolean")
    assert [binner.one(value) for value in (False, True, np.bool_(True), None, 1, "true", "no")] == [
        0,
        1,
        1,
        4,
        3,
        1,
        3,
    ]
    assert binner.many(np.array([True, False])).tolist() == [1, 0]


def test_long_and_unspeakable_names_find_their_place():
    long, odd = "x" * 300, "a\ud800"
    bins = CategoryBins(tuple(str(name) for name in ("x" * 83 + "…" + "0" * 16, "a\\ud800")))
    binner = bins.binner("category")
    assert binner.one(odd) == 1
    assert binner.one(long) == 3  # cut to the same beginning, with another digest


def test_moments_are_placed_by_the_second():
    noon = dt.datetime(2026, 1, 2, 12, tzinfo=dt.timezone.utc)
    binner = NumberBins((noon.timestamp(), noon.timestamp() + 60)).binner("datetime")
    values = [noon, noon.replace(minute=1), noon.replace(minute=2), None]
    assert [binner.one(value) for value in values] == [1, 1, 2, 3]
    assert binner.many(pd.Series(values)).tolist() == [1, 1, 2, 3]
    assert binner.one("2026-01-02T12:00:30Z") == 1


def test_text_is_placed_by_its_length():
    binner = NumberBins((0.0, 3.0, 10.0)).binner("text")
    assert binner.many(["", "abc", "abcd", "x" * 11, None]).tolist() == [1, 1, 2, 3, 4]


@settings(deadline=None)
@given(EDGES)
def test_labels_of_numbers_are_all_different(edges):
    bins = NumberBins(tuple(edges))
    assert len(set(bins.labels)) == bins.size


@settings(deadline=None)
@given(st.lists(st.sampled_from(["<other>", "<unseen>", "<missing>", "<<other>", "a", "<"]), unique=True))
def test_labels_of_categories_are_all_different_whatever_they_are_called(names):
    bins = CategoryBins(tuple(names))
    assert len(set(bins.labels)) == bins.size


def test_labels_read_well():
    assert NumberBins((0.0, 1.5, 2.0)).labels == ("<under>", "[0.0, 1.5]", "(1.5, 2.0]", "<over>", "<missing>")
    assert CategoryBins(("a",)).labels == ("a", "<other>", "<unseen>", "<missing>")


@pytest.mark.parametrize(
    "edges", [(), (1.0,), (2.0, 1.0), (0.0, 1.0, 1.0), (0.0, math.inf), (math.nan, 1.0), (0.0, 0.0, 0.0)]
)
def test_edges_that_do_not_ascend_are_refused(edges):
    with pytest.raises(ValueError, match="edges"):
        NumberBins(edges)


@pytest.mark.parametrize(
    ("kind", "bins"),
    [
        ("colour", {"edges": [0, 1]}),
        ("number", {}),
        ("number", {"edges": "01"}),
        ("number", {"edges": [0, True]}),
        ("number", {"edges": [0, "1"]}),
        ("category", {"categories": ["a"]}),
        ("category", {"categories": ["a"], "folded": 0}),
        ("category", {"categories": [1], "folded": False}),
        ("category", {"categories": ["a", "a"], "folded": False}),
    ],
)
def test_json_that_is_no_bins_is_refused(kind, bins):
    with pytest.raises(ValueError, match=r"."):
        bins_from_dict(kind, bins)


@pytest.mark.parametrize(("kind", "bins"), [("text", NumberBins((0.0, 2.0))), ("boolean", CategoryBins(("a",), True))])
def test_bins_come_back_from_json(kind, bins):
    assert bins_from_dict(kind, bins.to_dict()) == bins
