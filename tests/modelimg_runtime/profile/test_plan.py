"""Two passes: profiles of parts add up to the profile of the whole, to the last bit."""

from __future__ import annotations

import datetime as dt
import math
import pickle
from functools import reduce

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelimg_runtime.contract import ProfileSettings
from modelimg_runtime.profile import InputProfile, Plan, Survey, Tally, lattice, survey

NEW_YEAR = dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)
RANDOM = np.random.RandomState(0)
ROWS = 3000
CELLS = st.one_of(st.none(), st.integers(-3, 3), st.floats(), st.text(max_size=2), st.booleans())
COLUMNS = st.one_of(
    st.lists(st.one_of(st.none(), st.floats()), min_size=1, max_size=60),
    st.lists(st.one_of(st.none(), st.sampled_from(["a", "b", "c"])), min_size=1, max_size=60),
    st.lists(CELLS, min_size=1, max_size=60),
)


def profile_of(parts, given_settings=None):
    plan = Plan.of(reduce(Survey.merge, map(Survey.of, parts)), given_settings)
    tally = reduce(Tally.merge, [plan.count(part) for part in parts])
    columns = plan.profiles(tally)
    return InputProfile(columns[0].n, columns, plan.settings)


def one_column(values, given_settings=None):
    return profile_of([{"x": values}], given_settings).columns[0]


@pytest.fixture(scope="module")
def table():
    frame = pd.DataFrame(
        {
            "normal": RANDOM.randn(ROWS),
            "huge": RANDOM.randn(ROWS) * 1e300,
            "tiny": RANDOM.rand(ROWS) * 1e-310,
            "count": RANDOM.poisson(3, ROWS),
            "flag": RANDOM.rand(ROWS) < 0.3,
            "colour": RANDOM.choice(["red", "green", "blue", "puce"], ROWS, p=[0.5, 0.3, 0.199, 0.001]),
            "code": pd.Categorical(RANDOM.choice([1, 2, 3], ROWS)),
            "note": [f"note {i} {'!' * (i % 7)}" for i in range(ROWS)],
            "when": pd.Timestamp("2026-01-01") + pd.to_timedelta(RANDOM.randint(0, 10**6, ROWS), "s"),
            "wait": pd.to_timedelta(RANDOM.rand(ROWS), "h"),
            "same": 5.0,
            "gone": None,
        }
    )
    frame.loc[RANDOM.rand(ROWS) < 0.1, ["normal", "colour", "when"]] = None
    frame.loc[:2, "normal"] = [np.inf, -np.inf, -0.0]
    return frame


@pytest.mark.parametrize("cuts", [[1], [1000, 2000], [10, 11, 2999], list(range(100, ROWS, 100))])
@pytest.mark.parametrize("bounded", [False, True])
def test_parts_add_up_to_the_whole_byte_for_byte(table, cuts, bounded, monkeypatch):
    if bounded:  # so few cells that neighbours must merge
        monkeypatch.setattr(lattice, "LIMIT", 64)
        monkeypatch.setattr(survey, "NAMES", 64)
    whole = profile_of([dict(table.items())])
    parts = [dict(table.iloc[a:b].items()) for a, b in zip([0, *cuts], [*cuts, ROWS], strict=True)]
    assert profile_of(parts).to_json() == profile_of(parts[::-1]).to_json() == whole.to_json()


@settings(deadline=None, max_examples=150)
@given(COLUMNS, st.integers(0, 60))
def test_any_column_has_a_profile_that_its_parts_add_up_to(values, cut):
    whole = profile_of([{"x": values}], ProfileSettings(fold_below=2))
    kinds = {each.columns["x"].kind for each in map(Survey.of, ({"x": values[:cut]}, {"x": values[cut:]}))}
    assert whole.columns[0].n == len(values)
    assert InputProfile.from_json(whole.to_json()) == whole
    # Parts of two kinds are another test's: a part may see numbers where the whole sees names.
    if len(kinds - {"empty"}) == 1:
        parts = [{"x": part} for part in (values[:cut], values[cut:]) if part]
        assert profile_of(parts, ProfileSettings(fold_below=2)).to_json() == whole.to_json()


def test_a_column_of_numbers_with_text_further_down_is_one_of_categories():
    parts = [{"x": np.repeat([1.0, 2.5], 20)}, {"x": ["1"] * 10 + ["n/a"] * 15}]
    column = profile_of(parts).columns[0]
    assert column.kind == "category"
    assert dict(zip(column.bins.categories, column.counts, strict=False)) == {"1": 30, "2.5": 20, "n/a": 15}
    assert profile_of(parts[::-1]).columns[0] == column


def test_a_part_in_which_a_column_is_all_missing_says_nothing_of_its_kind():
    parts = [{"x": [None] * 5}, {"x": pd.Series(["a"] * 20)}, {"x": np.full(5, np.nan)}]
    column = profile_of(parts).columns[0]
    assert (column.kind, column.counts) == ("category", (20, 0, 0, 10))


@pytest.mark.parametrize(("one", "two"), [([NEW_YEAR], ["a"]), ([1.5], [dt.timedelta(1)]), ([True], [dt.timedelta(1)])])
def test_kinds_that_cannot_be_one_column_are_refused_by_name(one, two):
    for first, second in ((one, two), (two, one)):
        with pytest.raises(ValueError, match=r"column 'x' cannot be profiled: it holds .+ in one part .+ in another"):
            Survey.of({"x": first}).merge(Survey.of({"x": second}))


def test_parts_of_different_tables_are_refused():
    with pytest.raises(ValueError, match="same columns"):
        Survey.of({"x": [1]}).merge(Survey.of({"y": [1]}))
    plan = Plan.of(Survey.of({"x": [1.0], "y": [1.0]}))
    with pytest.raises(ValueError, match="no column 'y'"):
        plan.count({"x": [1.0]})


def test_a_profile_says_what_pandas_says(table):
    column = one_column(table["normal"])
    finite = table["normal"].replace([np.inf, -np.inf], np.nan).dropna()
    assert (column.mean, column.std) == (pytest.approx(finite.mean()), pytest.approx(finite.std()))
    assert column.distinct == finite.nunique()
    assert column.missing == column.nan == table["normal"].isna().sum()
    assert column.infinities == (1, 1)
    np.testing.assert_array_equal(
        column.quantiles[1:-1], np.quantile(finite, np.arange(1, 20) / 20, method="inverted_cdf")
    )
    counts = pd.cut(finite, [-np.inf, *column.bins.edges[1:-1], np.inf]).value_counts(sort=False)
    assert sum(column.counts[:2]) - 1 == counts.iloc[0]
    assert list(column.counts[2:-3]) == counts.iloc[1:-1].tolist()


def test_every_kind_has_its_bins(table):
    found = {column.name: column for column in profile_of([dict(table.items())]).columns}
    assert {name: column.kind for name, column in found.items()} == {
        "normal": "number",
        "huge": "number",
        "tiny": "number",
        "count": "number",
        "flag": "boolean",
        "colour": "category",
        "code": "category",
        "note": "text",
        "when": "datetime",
        "wait": "duration",
        "same": "number",
        "gone": "empty",
    }
    assert found["colour"].bins.categories == ("red", "green", "blue")
    assert found["colour"].bins.folded
    assert found["flag"].bins.categories == ("false", "true")
    assert found["note"].distinct == ROWS
    assert found["note"].mean == pytest.approx(table["note"].str.len().mean())
    assert found["when"].mean == pytest.approx(table["when"].mean().timestamp())
    assert found["same"].bins.edges == pytest.approx((5.0, 5.0), rel=1e-4)
    assert (found["same"].std, found["same"].distinct) == (0.0, 1)
    assert found["gone"].counts == (0, 0, ROWS)
    assert math.isfinite(found["huge"].std)
    assert 0 < found["tiny"].std < 1e-310


def test_text_of_a_dozen_values_is_categorical_and_ids_are_not():
    assert one_column(list("abcdefghijkl") * 20).kind == "category"
    assert one_column([f"id-{i}" for i in range(500)]).kind == "text"
    assert one_column(pd.Series([f"id-{i}" for i in range(500)], dtype="category")).kind == "category"


def test_no_rare_category_and_no_single_text_is_in_the_profile(table):
    text = profile_of([dict(table.items())]).to_json()
    assert "puce" not in text
    assert "note 1" not in text


def test_more_names_than_are_counted_are_text_and_their_number_is_estimated(monkeypatch):
    monkeypatch.setattr(survey, "NAMES", 100)
    column = one_column([f"n{i % 3000}" for i in range(6000)])
    assert (column.kind, column.distinct) == ("text", 3000)


def test_a_profile_is_bounded_in_size():
    names = RANDOM.choice([f"{'x' * 90}{i:03}" for i in range(60)], 20_000)
    many = profile_of([{"text": names, "number": RANDOM.randn(20_000)}])
    assert len(many.to_json()) < 10_000


def test_surveys_and_plans_travel_between_processes(table):
    columns = dict(table.items())
    plan = Plan.of(pickle.loads(pickle.dumps(Survey.of(columns))))
    there = pickle.loads(pickle.dumps(plan))
    assert there == plan
    assert plan.profiles(pickle.loads(pickle.dumps(there.count(columns)))) == plan.profiles(plan.count(columns))
