"""Counting a table's rows is counting each column by its `Binner`, whatever the values are."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelimg_runtime.monitor.counting import Table
from modelimg_runtime.profile import CategoryBins, ColumnProfile, NumberBins

FINITE = st.floats(allow_nan=False, allow_infinity=False, width=64)
EDGES = st.lists(FINITE, min_size=2, max_size=40, unique=True).map(sorted).map(tuple)
NAMES = st.lists(
    st.one_of(st.sampled_from(["0", "1", "-7", "1.5", "true", "false", "a"]), st.text(max_size=3)), unique=True
).map(tuple)


def profiles(kinds_and_bins):
    return [ColumnProfile(str(i), kind, bins, (0,) * bins.size) for i, (kind, bins) in enumerate(kinds_and_bins)]


NUMBER_COLUMN = st.tuples(st.just("number"), EDGES.map(NumberBins))
OTHER_COLUMN = st.one_of(
    st.tuples(st.sampled_from(["text", "datetime", "duration"]), EDGES.map(NumberBins)),
    st.tuples(st.sampled_from(["category", "empty"]), st.builds(CategoryBins, NAMES, st.booleans())),
    st.just(("boolean", CategoryBins(("false", "true")))),
)
TABLES = st.lists(st.one_of(NUMBER_COLUMN, OTHER_COLUMN), max_size=6).map(profiles)

# Binner itself says that it compares larger whole numbers exactly one by one, and as doubles in a column.
NUMBERS = st.one_of(st.floats(), st.integers(-(2**53), 2**53))
TEXTS = st.one_of(st.text(max_size=3), st.sampled_from(["a", "0", "1", "true", "x" * 101]))
ODD = st.one_of(
    st.none(), st.booleans(), st.just(10**400), st.decimals(), st.just(Decimal("sNaN")), st.datetimes(), st.just(pd.NA)
)
COLUMNS = st.sampled_from([NUMBERS, TEXTS, st.one_of(NUMBERS, st.none()), st.one_of(NUMBERS, TEXTS, ODD)])


def expected(table, columns):
    counts = np.zeros(sum(each.bins.size for each in table), dtype=np.int64)
    start = 0
    for profile, column in zip(table, columns, strict=True):
        for value in column:
            counts[start + profile.binner().one(value)] += 1
        start += profile.bins.size
    return counts


@settings(max_examples=400, deadline=None)
@given(TABLES, st.integers(1, 12), st.data())
def test_rows_and_columns_count_as_the_binner_does(table, rows, data):
    columns = [data.draw(st.lists(data.draw(COLUMNS), min_size=rows, max_size=rows)) for _ in table]
    compiled, counts = Table(table), expected(table, columns)
    one_by_one = np.zeros_like(counts)
    for row in zip(*columns, strict=True):
        for place in compiled.row(row):
            one_by_one[place] += 1
    together = np.zeros_like(counts)
    compiled.counts(columns, together)
    assert one_by_one.tolist() == together.tolist() == counts.tolist()


@settings(max_examples=100, deadline=None)
@given(st.lists(NUMBER_COLUMN, min_size=1, max_size=8).map(profiles), st.data())
def test_columns_of_doubles_are_counted_at_their_edges_as_elsewhere(table, data):
    near = sorted({edge for each in table for edge in each.bins.edges})
    values = st.sampled_from([*near, *(math.nextafter(edge, math.inf) for edge in near), -0.0, math.inf, -math.inf])
    columns = [data.draw(st.lists(values, min_size=9, max_size=9)) for _ in table]
    together = np.zeros(sum(each.bins.size for each in table), dtype=np.int64)
    Table(table).counts(columns, together)
    assert together.tolist() == expected(table, columns).tolist()


def test_a_long_batch_is_counted_in_parts_and_wholly():
    table = profiles([("number", NumberBins((-1.0, 0.0, 1.0)))] * 3)
    columns = [np.random.RandomState(i).randn(150_000).tolist() for i in range(3)]
    counts = np.zeros(15, dtype=np.int64)
    Table(table).counts(columns, counts)
    assert (
        counts.tolist()
        == np.concatenate([each.binner().counts(column) for each, column in zip(table, columns, strict=True)]).tolist()
    )


def test_pandas_columns_are_counted_as_lists_are():
    frame = pd.DataFrame(
        {
            "a": [1.5, np.nan, 3.0] * 4,
            "b": pd.Categorical(["x", "y", None] * 4),
            "c": pd.to_datetime(["2026-01-01", None, "2026-01-03"] * 4),
            "d": pd.array([1, None, 3] * 4, dtype="Int64"),
        }
    )
    moment = dt.datetime(2026, 1, 2, tzinfo=dt.timezone.utc).timestamp()
    table = profiles(
        [
            ("number", NumberBins((1.0, 2.0))),
            ("category", CategoryBins(("x",))),
            ("datetime", NumberBins((0.0, moment))),
            ("number", NumberBins((0.0, 2.0))),
        ]
    )
    counts = np.zeros(16, dtype=np.int64)
    compiled = Table(table)
    compiled.counts([frame[name] for name in frame], counts)
    one_by_one = np.zeros_like(counts)
    for row in zip(*(frame[name] for name in frame), strict=True):
        for place in compiled.row(row):
            one_by_one[place] += 1
    assert counts.tolist() == [0, 4, 4, 4, *(4, 0, 4, 4), *(0, 4, 4, 4), *(0, 4, 4, 4)]
    assert one_by_one.tolist() == counts.tolist()


def test_names_that_equal_numbers_are_kept_apart():
    table = profiles([("category", CategoryBins(("1", "true")))])
    compiled, counts = Table(table), np.zeros(5, dtype=np.int64)
    column = [1, True, 1.0, "1", "true", False]
    compiled.counts([column], counts)
    assert counts.tolist() == [3, 2, 0, 1, 0]
    assert [compiled.row((value,))[0] for value in column] == [0, 1, 0, 0, 1, 3]


@pytest.mark.parametrize("value", [[1], {"a": 1}, {1}, object(), b"x", 1j])
def test_what_is_no_cell_is_counted_somewhere_and_raises_nothing(value):
    table = profiles([("number", NumberBins((0.0, 1.0))), ("category", CategoryBins(("a",)))])
    counts = np.zeros(8, dtype=np.int64)
    Table(table).counts([[value] * 9, [value] * 9], counts)
    row = Table(table).row((value, value))
    assert (counts[row[0]], counts[row[1]], counts.sum()) == (9, 9, 18)


def test_a_table_without_columns_counts_nothing():
    assert Table([]).row(()) == ()
    Table([]).counts([], np.zeros(0, dtype=np.int64))
