"""What a cell counts as: the same kind, number and name whatever stores it."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from modelimg_runtime.profile.values import (
    LONGEST_NAME,
    count_nans,
    kind_of,
    length_of,
    lengths_of,
    name_of,
    names_of,
    number_of,
    numbers_of,
)

NOON = dt.datetime.fromisoformat("2026-01-02T12:00:00")
SECONDS = 1_767_355_200.0
ZONE = dt.timezone(dt.timedelta(hours=2))

KINDS = {
    "floats": (np.array([1.5, np.nan]), "number"),
    "ints": (pd.Series([1, 2]), "number"),
    "nullable ints": (pd.Series([1, None], dtype="Int64"), "number"),
    "decimals": ([Decimal("1.5"), None], "number"),
    "ints with none": ([1, None, 2], "number"),
    "booleans": (pd.Series([True, False]), "boolean"),
    "booleans with none": ([True, None], "boolean"),
    "nullable booleans": (pd.Series([True, None], dtype="boolean"), "boolean"),
    "times": (pd.Series([NOON]), "datetime"),
    "times with a zone": (pd.Series([NOON.replace(tzinfo=ZONE)]), "datetime"),
    "dates": ([NOON.date(), None], "datetime"),
    "durations": (pd.Series([pd.Timedelta(1, "s"), None]), "duration"),
    "strings": (pd.Series(["a", None]), "category"),
    "categorical numbers": (pd.Series([1, 2], dtype="category"), "category"),
    "all missing, but declared": (pd.Series([None], dtype="category"), "category"),
    "numbers and booleans": ([1, True], "category"),
    "numbers and text": ([1, "a", 2.5], "category"),
    "lists": ([[1], [2, 3]], "category"),
    "complex": (np.array([1j]), "category"),
    "nothing": ([], "empty"),
    "no rows of ints": (np.array([], dtype=int), "empty"),
    "all None": ([None, None], "empty"),
    "all NaN": (np.array([np.nan]), "empty"),
    "all NaT": (pd.Series([pd.NaT, pd.NaT]), "empty"),
    "all NA": (pd.Series([pd.NA, pd.NA], dtype="object"), "empty"),
}


@pytest.mark.parametrize("case", KINDS)
def test_a_column_is_of_the_kind_of_its_values(case):
    values, kind = KINDS[case]
    assert kind_of(values) == kind


@pytest.mark.parametrize(
    "values",
    [
        pd.Series([NOON, pd.NaT]),
        pd.Series([NOON, pd.NaT]).astype("datetime64[s]"),
        pd.Series([NOON, pd.NaT], dtype=object),
        pd.Series([NOON.replace(hour=14, tzinfo=ZONE), pd.NaT]),
        [NOON, None],
        [NOON.replace(hour=14, tzinfo=ZONE), None],
        ["2026-01-02T12:00:00", None],
        ["2026-01-02T12:00:00Z", "no time at all"],
        ["2026-01-02T14:00:00+02:00", float("nan")],
        np.array(["2026-01-02T12", "NaT"], dtype="datetime64[h]"),
    ],
)
def test_a_moment_is_one_number_whatever_stores_it(values):
    np.testing.assert_array_equal(numbers_of(values), [SECONDS, np.nan])


def test_times_count_to_the_microsecond_and_far_from_today():
    odd = dt.datetime.fromisoformat("2026-01-02T03:04:05.678901")
    expected = odd.replace(tzinfo=dt.timezone.utc).timestamp()
    for values in ([odd], pd.Series([odd]), pd.Series([odd], dtype=object), [pd.Timestamp(odd)]):
        assert numbers_of(values)[0] == expected
    assert numbers_of([dt.date(1, 1, 1)])[0] == -62_135_596_800.0
    assert numbers_of(pd.Series([pd.Timedelta("-1.5s")]))[0] == numbers_of([dt.timedelta(seconds=-1.5)])[0] == -1.5


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (True, 1.0),
        (3, 3.0),
        (np.float32(0.5), 0.5),
        (Decimal("2.5"), 2.5),
        (10**400, float("inf")),
        (-(10**400), float("-inf")),
        (Decimal("sNaN"), float("nan")),
        (None, float("nan")),
        (pd.NA, float("nan")),
        (pd.NaT, float("nan")),
        ("5", float("nan")),
        ([1], float("nan")),
        (1j, float("nan")),
    ],
)
def test_what_is_no_number_is_missing_and_what_is_too_large_is_infinite(value, number):
    np.testing.assert_equal(number_of(value), number)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("a", "a"),
        ("", ""),
        (np.str_("a"), "a"),
        (1, "1"),
        (1.0, "1"),
        (np.int8(1), "1"),
        (1.5, "1.5"),
        (1e300, "1e+300"),
        (float("inf"), "inf"),
        (True, "true"),
        (np.bool_(False), "false"),
        (Decimal("1.50"), "1.50"),
        ("a\ud800b", "a\\ud800b"),
        ("grün", "grün"),
        (None, None),
        (float("nan"), None),
        (pd.NA, None),
        (pd.NaT, None),
    ],
)
def test_a_category_has_one_name_that_json_can_hold(value, name):
    assert name_of(value) == name
    assert names_of([value]) == [name]


def test_long_names_are_cut_and_still_different():
    first, second = "x" * 5000 + "a", "x" * 5000 + "b"
    assert name_of(first) != name_of(second)
    assert len(str(name_of(first))) == len(str(name_of(10**5000))) == LONGEST_NAME
    assert length_of(first) == 5001


def test_lengths_are_of_the_whole_text():
    np.testing.assert_array_equal(lengths_of(pd.Series(["", "abc", None])), [0, 3, np.nan])


def test_nan_is_counted_apart_from_none_where_both_can_be():
    assert count_nans(np.array([1, np.nan])) == 1
    assert count_nans([None, float("nan"), pd.NA, 1]) == 1
    assert count_nans(pd.Series([1, None], dtype="Int64").astype(object)) == 0
    assert count_nans(np.array([1, 2])) == 0


def test_reading_profiles_imports_nothing_that_makes_them():
    code = "import sys; from modelimg_runtime.profile import InputProfile, OutputProfile; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    makers = {f"modelimg_runtime.profile.{name}" for name in ("survey", "plan", "lattice", "moments", "edges")}
    assert (makers | {"fractions"}).isdisjoint(loaded)


def test_profiles_and_drift_need_neither_pandas_nor_scipy():
    code = "import sys, modelimg_runtime.profile.output, modelimg_runtime.drift.estimate, modelimg_runtime.drift as d; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"pandas", "scipy", "sklearn", "pandera"}.isdisjoint(loaded)
