"""Charts: bars are as high as their shares, and whatever is counted, they are well-formed and stay in their frame."""

from __future__ import annotations

import itertools
import math
import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from modelimg_runtime.pages.monitor.charts import histogram, over_time, spark, squares, twin, whiskers
from modelimg_runtime.pages.monitor.geometry import Box, at, bars, round_top, slots, spread
from modelimg_runtime.pages.monitor.places import Place, largest, places_of
from modelimg_runtime.pages.monitor.words import edge
from modelimg_runtime.profile.bins import CategoryBins, NumberBins
from modelimg_runtime.profile.column import ColumnProfile
from modelimg_runtime.profile.output import Estimate

SHARES = st.floats(0, 1)
COUNTS = st.integers(0, 1 << 62)
NUMBERS = st.floats(-1e300, 1e300)


@st.composite
def columns(draw):
    """A profile and live counts in its bins."""
    if draw(st.booleans()):
        edges = sorted(draw(st.lists(NUMBERS, min_size=2, max_size=52, unique=True)))
        assume(all(a < b for a, b in itertools.pairwise(edges)))
        kind, bins = draw(st.sampled_from(["number", "datetime", "duration"])), NumberBins(tuple(edges))
    else:
        names = draw(st.lists(st.text(max_size=90), max_size=30, unique=True))
        kind, bins = "category", CategoryBins(tuple(names), draw(st.booleans()))
    counts = st.lists(COUNTS, min_size=bins.size, max_size=bins.size)
    return ColumnProfile(draw(st.text()), kind, bins, tuple(draw(counts))), draw(counts)


def drawn(svg):
    """The SVG as XML, which has a name for screen readers or is hidden from them."""
    root = ET.fromstring(svg)
    identifiers = {each.get("id") for each in root.iter() if each.get("id")}
    assert root.get("viewBox")
    if root.get("role") == "img":
        assert root.get("aria-label") or {root.get("aria-labelledby"), root.get("aria-describedby")} <= identifiers
    else:
        assert root.get("aria-hidden") == "true"
    assert not re.search(r"\b(nan|inf)\b", " ".join(each.get("d", "") for each in root.iter()))
    return root


def is_within(root):
    """Whether every shape begins inside of the frame."""
    _, _, width, height = map(float, root.get("viewBox").split())
    points = [
        (float(x), float(y))
        for each in root.iter()
        for x, y in re.findall(r"M(-?[\d.e+]+) (-?[\d.e+]+)", each.get("d", ""))
    ]
    return all(-0.1 <= x <= width + 0.1 and -0.1 <= y <= height + 0.1 for x, y in points)


# ---- geometry ------------------------------------------------------------------------------------------------------


@given(st.lists(SHARES, min_size=1, max_size=60), st.floats(0.1, 1))
def test_bars_stand_on_the_floor_and_are_as_high_as_their_shares(shares, fill):
    area, top = Box(10, 20, 300, 100), max(*shares, 0.05)
    found = bars(shares, slots(area, len(shares)), top, fill)
    for share, bar in zip(shares, found, strict=True):
        assert bar.height == pytest.approx(100 * share / top)
        assert bar.y + bar.height == pytest.approx(120)
        assert bar.x + 1e-9 >= 10
        assert bar.x + bar.width <= 310 + 1e-9
    assert all(a.x + a.width <= b.x + 1e-9 for a, b in itertools.pairwise(found))


@pytest.mark.parametrize(
    ("share", "top", "height"), [(0.5, 1.0, 50), (2.0, 1.0, 100), (-1.0, 1.0, 0), (0.5, 0.0, 0), (0.0, 0.0, 0)]
)
def test_no_bar_leaves_its_slot(share, top, height):
    assert bars([share], [Box(0, 0, 10, 100)], top, 1)[0].height == height


@given(SHARES)
def test_a_scale_holds_what_it_is_for(share):
    assert share <= round_top(share) <= max(0.05, 2.01 * share)


@given(NUMBERS, NUMBERS)
def test_a_span_of_values_has_its_place_on_a_scale(a, b):
    low, high = min(a, b), max(a, b)
    scale = spread(low, high)
    assert scale[0] < scale[1]
    assert 0 <= at(low, scale, Box(0, 0, 100, 0)) <= at(high, scale, Box(0, 0, 100, 0)) <= 100


def test_a_scale_does_not_reach_beyond_what_can_be():
    assert spread(0.5, 0.9, 1.0)[1] == pytest.approx(0.932)
    assert spread(0.5, 1.0, 1.0)[1] == 1.0
    assert spread(1.0, 1.0, 1.0) == pytest.approx((0.992, 1.0))


# ---- what is counted -----------------------------------------------------------------------------------------------


@settings(max_examples=150)
@given(columns())
def test_any_counts_of_any_column_are_drawn_well_formed(column):
    profile, live = column
    places = places_of(profile, live)
    assert sum(place.now for place in places) == pytest.approx(1 if any(live) else 0)
    assert sum(place.was for place in places) == pytest.approx(1 if profile.n else 0)
    change = abs(largest(places).change)
    assert all(abs(place.change) <= change for place in places)
    assert is_within(drawn(spark(places, places[0].label)))
    drawn(twin(places[0], max(place.was for place in places)))
    if isinstance(profile.bins, NumberBins):
        edges = [edge(profile.kind, each, 3) for each in profile.bins.edges]
        assert is_within(drawn(histogram("a", places[0].label, places[-1].label, places, edges)))


def test_places_are_named_and_counted_in_the_order_of_the_profile():
    profile = ColumnProfile("x", "number", NumberBins((0.0, 0.0, 1.0, 2.5)), (1, 1, 1, 1, 0, 0))
    places = places_of(profile, [0, 0, 0, 0, 3, 1])
    assert [place.label for place in places] == ["below 0", "0", "0 to 1", "1 to 2.5", "above 2.5", "missing"]
    assert [place.now for place in places] == [0, 0, 0, 0, 0.75, 0.25]
    assert (largest(places).label, largest(places).change) == ("above 2.5", 0.75)


def test_counts_in_other_bins_are_no_histogram():
    profile = ColumnProfile("x", "category", CategoryBins(("a",)), (1, 0, 0, 0))
    with pytest.raises(ValueError, match="shorter"):
        places_of(profile, [1, 2, 3])


def test_both_histograms_have_the_heights_of_their_shares():
    places = [Place("1", 0.4, 0.1, 1), Place("2", 0.2, 0.2, 2), Place("missing", 0.4, 0.7, 7, "missing")]
    root = drawn(histogram("a", "t", "w", places, ["0", "1", "2"]))
    heights = {each.get("class"): re.findall(r"v([\d.]+)", each.get("d")) for each in root if each.get("d")}
    full = 112 / 0.8  # the scale ends at 80 %
    for class_, expected in (("was", [0.4, 0.2, 0.4]), ("now", [0.1, 0.2, 0.7])):
        assert [float(each) for each in heights[class_]] == pytest.approx([full * each for each in expected], abs=0.06)


def test_text_below_the_bars_does_not_overlap():
    edges = [f"{number}.123" for number in range(51)]
    places = [Place(str(number), 0.02, 0.02, 1) for number in range(50)]
    root = drawn(histogram("a", "t", "w", places, edges))
    below = sorted(float(each.get("x")) for each in root.iter("text") if each.text in edges)
    assert len(below) >= 3
    assert min(b - a for a, b in itertools.pairwise(below)) > 6.4 * len("0.123")


# ---- other charts --------------------------------------------------------------------------------------------------


@given(
    st.tuples(NUMBERS, NUMBERS, NUMBERS),
    st.none() | st.tuples(NUMBERS, NUMBERS, NUMBERS),
    st.sampled_from([1.0, math.inf]),
)
def test_any_interval_is_drawn(live, packed, most):
    (low, value, high), then = sorted(live), sorted(packed) if packed else None
    estimate = Estimate(value, low, high)
    chart = drawn(whiskers("m", "m", estimate, then and Estimate(then[1], then[0], then[2]), most))
    assert is_within(chart)
    assert len([each for each in chart.iter() if each.get("class") == "whisker"]) == (2 if packed else 1)


@given(st.lists(st.none() | st.floats(0, 1e12), min_size=1, max_size=30))
def test_any_time_is_drawn_and_a_dot_stands_for_what_is_not_known(values):
    chart = drawn(over_time("t", "t", "t", values, ("1", "a", "b")))
    assert is_within(chart)
    assert len([each for each in chart.iter() if each.get("class") == "dot"]) == values.count(None)


@pytest.mark.parametrize("count", [0, 1, 15, 60, 61, 1000])
def test_each_column_has_a_square_of_its_kind(count):
    kinds = ["full"] * (count // 3) + ["hollow"] * (count // 3) + ["dot"] * (count - 2 * (count // 3))
    chart = drawn(squares("s", "t", "w", kinds))
    found = {each.get("class"): each.get("d").count("M") for each in chart if each.get("d")}
    assert found == {kind: kinds.count(kind) for kind in set(kinds)}
    assert is_within(chart)
