"""Real tables: the held-back half is no drift, and each change is reported by the names of the columns it was made in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets

from modelimg_runtime.drift import drift_report
from modelimg_runtime.profile import Plan, Survey

ROOT = Path(__file__).parents[3]
REPEATS = 100
SHIFTED = 20


def named(frame):
    return frame.rename(columns=str)


TABLES = {
    "breast cancer": lambda: named(datasets.load_breast_cancer(as_frame=True).data),
    "diabetes": lambda: named(datasets.load_diabetes(as_frame=True).data),
    "digits": lambda: named(datasets.load_digits(as_frame=True).data),
    "penguins": lambda: pd.read_csv(ROOT / "examples/penguins/penguins.csv"),
}


def split(table, seed):
    """Half, or as much as leaves 200 rows to serve."""
    order = np.random.RandomState(seed).permutation(len(table))
    cut = min(len(table) // 2, len(table) - 210)
    return tuple(table.iloc[rows].reset_index(drop=True) for rows in (order[:cut], order[cut:]))


def report(reference, live):
    plan = Plan.of(Survey.of(dict(reference.items())))
    profiles = plan.profiles(plan.count(dict(reference.items())))
    return drift_report(profiles, {each.name: each.binner.counts(live[each.name]) for each in plan.columns})


@pytest.mark.parametrize("name", TABLES)
def test_the_held_back_half_is_no_drift_in_99_of_100_repeats(name, show):
    table = TABLES[name]()
    found = [report(*split(table, seed)) for seed in range(REPEATS)]
    alarms = [each.drifted for each in found if each.status != "calm"]
    rows, columns = found[0].rows, len(found[0].columns)
    show(f"{name}: {columns} columns, {rows} rows served: drift in {len(alarms)} of {REPEATS} repeats {alarms or ''}")
    assert len(alarms) <= REPEATS // 100


def test_a_table_too_small_to_hold_back_200_rows_is_insufficient_data():
    wine = named(datasets.load_wine(as_frame=True).data)
    assert report(wine[:89], wine[89:]).status == "insufficient data"


def mean_shift(table, reference, random):
    for name in ("mean radius", "worst texture"):
        table[name] += 0.75 * reference[name].std()


def scale(table, reference, random):
    table["mean area"] *= 1.5


def nulls(table, reference, random):
    table.loc[random.rand(len(table)) < 0.1, "mean smoothness"] = None


def swap(table, reference, random):
    names = ["mean smoothness", "worst smoothness"]
    table[names] = table[names[::-1]].to_numpy()


def new_category(table, reference, random):
    table.loc[random.rand(len(table)) < 0.2, "island"] = "Ross"


def other_mix(table, reference, random):
    table.loc[random.rand(len(table)) < 0.4, "island"] = "Torgersen"


def text_nulls(table, reference, random):
    table.loc[random.rand(len(table)) < 0.2, "sex"] = None


def swapped_bills(table, reference, random):
    names = ["bill_length_mm", "bill_depth_mm"]
    table[names] = table[names[::-1]].to_numpy()


def one_unit(table, reference, random):
    table["body_mass_g"] /= 1000


def brighter(table, reference, random):
    table["pixel_3_3"] = np.minimum(16, table["pixel_3_3"] * 1.5)


def dead_pixel(table, reference, random):
    table["pixel_4_4"] = 0.0


def lit_corner(table, reference, random):
    table["pixel_0_0"] = random.randint(0, 3, len(table))


CHANGES = [
    ("breast cancer", mean_shift, {"mean radius", "worst texture"}, {"distribution"}),
    ("breast cancer", scale, {"mean area"}, {"distribution"}),
    ("breast cancer", nulls, {"mean smoothness"}, {"missing"}),
    ("breast cancer", swap, {"mean smoothness", "worst smoothness"}, {"distribution"}),
    ("penguins", new_category, {"island"}, {"unseen"}),
    ("penguins", other_mix, {"island"}, {"distribution"}),
    ("penguins", text_nulls, {"sex"}, {"missing"}),
    ("penguins", swapped_bills, {"bill_length_mm", "bill_depth_mm"}, {"distribution", "out_of_range"}),
    ("penguins", one_unit, {"body_mass_g"}, {"distribution"}),
    ("digits", brighter, {"pixel_3_3"}, {"distribution"}),
    ("digits", dead_pixel, {"pixel_4_4"}, {"distribution"}),
    ("digits", lit_corner, {"pixel_0_0"}, {"out_of_range"}),
]


@pytest.mark.parametrize(("name", "change", "columns", "reasons"), CHANGES, ids=[c[1].__name__ for c in CHANGES])
def test_a_change_is_reported_by_the_columns_it_was_made_in_and_by_no_other(name, change, columns, reasons, show):
    table, exact, worst = TABLES[name](), 0, []
    for seed in range(SHIFTED):
        reference, live = split(table, seed)
        change(live, reference, np.random.RandomState(seed))
        found = report(reference, live)
        exact += set(found.drifted) == columns
        worst.append(found)
    show(f"{name}, {change.__name__}: exactly {sorted(columns)} in {exact} of {SHIFTED} repeats")
    assert exact >= SHIFTED - 1
    for found in worst:
        reported = {column.name: set(column.reasons) for column in found.columns if column.name in columns}
        assert all(reasons & each for each in reported.values() if each)
