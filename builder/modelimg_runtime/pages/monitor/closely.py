"""One column closely: its histograms, what changed, and every statistic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from modelimg_runtime.drift.report import DRIFT, Statistic
from modelimg_runtime.pages.html import Html, Node, element
from modelimg_runtime.pages.monitor.charts import histogram, twin
from modelimg_runtime.pages.monitor.columns import Column, Side
from modelimg_runtime.pages.monitor.parts import Cell, table, verdict
from modelimg_runtime.pages.monitor.places import Place
from modelimg_runtime.pages.monitor.words import LONGEST_WHOLE, count, edge, named, number, percent, shown
from modelimg_runtime.profile.bins import NumberBins
from modelimg_runtime.profile.values import DATETIME, TEXT

_OF: Final = {TEXT: " The text's length, in characters.", DATETIME: " In UTC."}
CATEGORIES: Final = 10
"""That are shown without unfolding."""


def cards(side: Side) -> Html:
    """The columns that are shown closely."""
    return element("div", [_card(column, side) for column in side.closely], class_="cards")


def _card(column: Column, side: Side) -> Html:
    heading = element("h3", named(column.name, LONGEST_WHOLE), id=f"{column.key}-heading")
    asked = side.asked == column.name
    return element(
        "article",
        heading,
        element("p", verdict(column.drift.status, column.drift.reasons)),
        _shares(column, side.reference),
        element("p", column.change, _OF.get(column.profile.kind), class_="hint")
        if isinstance(column.profile.bins, NumberBins)
        else None,
        element(
            "details",
            element("summary", "All numbers", element("span", f" of {shown(column.name)}", class_="unseen")),
            _statistics(column),
            _all_places(column, side.reference) if isinstance(column.profile.bins, NumberBins) else None,
        ),
        id=column.key,
        class_=f"card close{' bad' if column.drift.status == DRIFT else ''}{' asked' if asked else ''}",
        aria_labelledby=f"{column.key}-heading",
    )


def _shares(column: Column, reference: str) -> Node:
    bins = column.profile.bins
    if isinstance(bins, NumberBins):
        edges = [edge(column.profile.kind, each, 3) for each in bins.edges]
        title = f"{shown(column.name)}: share of rows in each bin, {reference} and live"
        return histogram(f"{column.key}-chart", title, column.change, column.places, edges)
    there = [place for place in column.places if not place.special or place.was or place.now]
    worst = {place.label for place in sorted(there, key=lambda place: -abs(place.change))[:CATEGORIES]}
    first = [place for place in there if place.label in worst]
    rest = [place for place in there if place.label not in worst]
    caption = f"{shown(column.name)}: share of each category, live and {reference}"
    more = (
        element(
            "details",
            element("summary", f"{len(rest)} more that changed less"),
            _categories(f"{caption}, the rest", rest, there),
        )
        if rest
        else None
    )
    return [_categories(caption, first, there), more]


def _categories(caption: str, places: Sequence[Place], of: Sequence[Place]) -> Html:
    top = max((max(place.was, place.now) for place in of), default=0.0)
    rows: list[list[Cell | Node]] = [
        [
            element("em", place.label) if place.special else element("bdi", place.label),
            Cell(twin(place, top), "drawn"),
            Cell(percent(place.now), "number"),
            Cell(percent(place.was), "number muted"),
        ]
        for place in places
    ]
    return table(caption, ("Category", "Share", "Live", "Then"), rows, class_="shares")


def _statistics(column: Column) -> Html:
    distribution, outside = column.drift.distribution, column.drift.outside
    found: list[tuple[str, Statistic | None]] = []
    if distribution is not None:
        found = [
            ("Population stability index", distribution.psi),
            ("Jensen–Shannon distance", distribution.jensen_shannon),
            ("Kolmogorov–Smirnov", distribution.kolmogorov_smirnov),
            ("L∞, greatest change of a share", distribution.l_infinity),
        ]
    rows: list[list[Cell | Node]] = [
        [name, _value(statistic), Cell(number(statistic.threshold), "number")]
        for name, statistic in found
        if statistic is not None
    ]
    for name, rate in (("Missing, change", column.drift.missing), ("Outside, change", outside)):
        if rate is not None and column.drift.rows:
            size = Statistic(abs(rate.change), rate.threshold)
            rows.append(
                [name, Cell(_signed(rate.change, size.exceeded), "number"), Cell(percent(rate.threshold), "number")]
            )
    if distribution is not None:
        rows.append(["χ² test, p", Cell(number(distribution.chi_square.p), "number"), Cell("", "number")])
    caption = f"{shown(column.name)}: statistics of {count(column.drift.rows)} live rows"
    return table(caption, ("Statistic", "Live", "Limit"), rows)


def _value(statistic: Statistic) -> Cell:
    return Cell(element("strong" if statistic.exceeded else "span", number(statistic.value)), "number")


def _signed(change: float, exceeded: bool) -> Html:
    sign = "+" if change > 0 else "−" if change < 0 else ""
    return element("strong" if exceeded else "span", f"{sign}{percent(abs(change))}")


def _all_places(column: Column, reference: str) -> Html:
    rows: list[list[Cell | Node]] = [
        [
            place.label,
            Cell(count(place.rows), "number"),
            Cell(percent(place.now), "number"),
            Cell(percent(place.was), "number"),
        ]
        for place in column.places
    ]
    caption = f"{shown(column.name)}: rows and shares by bin, live and {reference}"
    return table(caption, ("Bin", "Live rows", "Live", "Then"), rows)
