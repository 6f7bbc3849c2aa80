"""The report: which columns, why, how sure, and what it does not say."""

from __future__ import annotations

import json

import numpy as np
import pytest

from modelimg_runtime.contract import canonical_json
from modelimg_runtime.drift import Thresholds, drift_report
from modelimg_runtime.profile import CategoryBins, ColumnProfile, NumberBins, Plan, Survey

NUMBERS = NumberBins((0.0, 1.0, 2.0, 3.0, 4.0))
FLAT = (0, 250, 250, 250, 250, 0, 0)


def number(name="x", counts=FLAT):
    return ColumnProfile(name, "number", NUMBERS, counts)


def category(counts, name="c", *, folded=False):
    return ColumnProfile(name, "category", CategoryBins(("a", "b"), folded), counts)


def only(profile, counts, limits=None):
    return drift_report([profile], {profile.name: counts}, limits).columns[0]


def test_the_same_histogram_is_calm():
    column = only(number(), FLAT)
    assert (column.status, column.reasons, column.severity) == ("calm", (), 0.0)
    assert column.distribution.psi.value == pytest.approx(0, abs=1e-12)
    assert not column.distribution.psi.exceeded


@pytest.mark.parametrize("rows", [0, 1, 199])
def test_fewer_rows_than_needed_are_insufficient_whatever_they_hold(rows):
    report = drift_report([number()], {"x": (0, 0, 0, 0, rows, 0, 0)})
    assert (report.status, report.share, report.drifted) == ("insufficient data", None, ())
    assert report.columns[0].distribution is None
    assert report.rows == rows


def test_a_profile_of_no_rows_is_no_reference():
    assert only(number(counts=(0,) * 7), FLAT).status == "insufficient data"


@pytest.mark.parametrize(
    ("profile", "live", "reasons"),
    [
        (number(), (0, 100, 100, 100, 700, 0, 0), ("distribution",)),
        (number(), (0, 225, 225, 225, 225, 0, 100), ("missing",)),
        (number(counts=(0, 200, 200, 200, 200, 0, 200)), FLAT, ("missing",)),
        (number(), (0, 245, 245, 245, 245, 20, 0), ("out_of_range",)),
        (number(), (1000, 0, 0, 0, 0, 0, 0), ("distribution", "out_of_range")),
        (number(), (0, 0, 0, 0, 0, 0, 1000), ("missing",)),
        (category((500, 500, 0, 0, 0)), (490, 490, 0, 20, 0), ("unseen",)),
        (category((500, 490, 10, 0, 0), folded=True), (400, 390, 210, 0, 0), ("distribution",)),
        (category((500, 500, 0, 0, 0)), (700, 300, 0, 0, 0), ("distribution",)),
    ],
)
def test_each_change_is_named(profile, live, reasons):
    column = only(profile, live)
    assert (column.status, tuple(sorted(column.reasons))) == ("drift", reasons)
    assert column.severity > 1


@pytest.mark.parametrize(
    ("profile", "live"),
    [
        (number(), (0, 249, 249, 249, 248, 5, 0)),  # half a percent out of range: surely no chance, and too little
        (number(counts=(0, 50, 50, 50, 50, 0, 0)), (0, 40, 40, 60, 60, 0, 0)),  # chance, at these sizes
        (category((500, 500, 0, 0, 0)), (500, 499, 0, 1, 0)),
        (number(counts=(0, 25_000, 25_000, 25_000, 25_000, 0, 0)), (0, 24_000, 26_000, 24_000, 26_000, 0, 0)),
    ],
)
def test_what_is_small_or_chance_is_calm(profile, live):
    assert only(profile, live).status == "calm"


def test_missing_values_do_not_hide_how_the_others_are_distributed():
    column = only(number(), (0, 0, 0, 0, 500, 0, 500))
    assert set(column.reasons) == {"missing", "distribution"}
    assert column.missing.live == 0.5


def test_too_few_values_beside_the_missing_ones_have_no_distribution():
    column = only(number(), (0, 0, 0, 0, 150, 0, 850))
    assert column.distribution is None
    assert column.reasons == ("missing",)


def test_folded_categories_cannot_tell_what_is_unseen():
    assert only(category((500, 480, 20, 0, 0), folded=True), (500, 500, 0, 0, 0)).outside is None


def test_categories_have_no_order_and_so_no_cumulated_share():
    assert only(category((500, 500, 0, 0, 0)), (500, 500, 0, 0, 0)).distribution.kolmogorov_smirnov is None
    assert only(number(), FLAT).distribution.kolmogorov_smirnov.value == 0


def test_a_column_in_which_nothing_ever_was_reports_anything_that_is():
    empty = ColumnProfile("e", "empty", CategoryBins(()), (0, 0, 1000))
    assert only(empty, (0, 0, 500)).status == "calm"
    column = only(empty, (0, 300, 200))
    assert column.reasons == ("missing",)


def test_the_headline_is_the_share_of_columns_and_the_worst_comes_first():
    profiles = [number(name) for name in ("calm", "worst", "bad", "few")]
    counts = {
        "calm": FLAT,
        "worst": (0, 0, 0, 0, 1000, 0, 0),
        "bad": (0, 100, 200, 300, 400, 0, 0),
        "few": (0, 1, 1, 1, 1, 0, 0),
    }
    report = drift_report(profiles, counts)
    assert [column.name for column in report.columns] == ["worst", "bad", "calm", "few"]
    assert (report.status, report.drifted, report.share, report.rows) == ("drift", ("worst", "bad"), 2 / 3, 1000)


def test_many_calm_columns_raise_what_one_must_show():
    live = (0, 205, 250, 250, 295, 0, 0)
    p = only(number(), live).findings[0].p
    limits = Thresholds(psi=0.0, false_alarms=4 * p, tail=0.5)
    assert only(number(), live, limits).status == "drift"
    profiles = [number(f"x{i}") for i in range(20)]
    slightly = (0, 251, 249, 250, 250, 0, 0)
    report = drift_report(profiles, {each.name: live if each.name == "x7" else slightly for each in profiles}, limits)
    assert report.status == "calm"


def test_counts_of_other_bins_are_refused():
    with pytest.raises(ValueError, match="'x' has 3 counts, and its profile 7 places"):
        drift_report([number()], {"x": (1, 2, 3)})
    with pytest.raises(KeyError):
        drift_report([number()], {})


def test_no_columns_are_insufficient_data():
    assert drift_report([], {}).status == "insufficient data"


def test_a_report_is_json():
    report = drift_report([number(), category((500, 500, 0, 0, 0))], {"x": FLAT, "c": (900, 100, 0, 0, 0)})
    document = json.loads(canonical_json(report.to_dict()))
    assert (document["status"], document["share"], document["drifted"]) == ("drift", 0.5, ["c"])
    assert document["columns"][0]["reasons"] == ["distribution"]
    assert document["columns"][0]["severity"] > 1
    assert document["thresholds"]["rows"] == 200


def test_three_hundred_columns_of_a_long_window_are_compared():
    random = np.random.RandomState(0)
    data = {f"x{i}": random.randn(2000) for i in range(300)}
    plan = Plan.of(Survey.of(data))
    profiles = plan.profiles(plan.count(data))
    counts = {each.name: np.array(each.counts) * 10_000 for each in profiles}
    assert drift_report(profiles, counts).rows == 20_000_000
