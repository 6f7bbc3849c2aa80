"""Charts as inline SVG, each with a title and a description; what they show stands in a table beside them, too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from typing import Final

from modelimg_runtime.pages.html import Html, Node, element
from modelimg_runtime.pages.monitor.geometry import Box, at, bars, round_top, short, slots, spread
from modelimg_runtime.pages.monitor.places import MISSING, OVER, UNDER, Place
from modelimg_runtime.pages.monitor.words import number, percent
from modelimg_runtime.profile.output import Estimate

WAS, NOW = 0.92, 0.46
"""How much of its slot a bar of the reference, and a live one, takes: told apart without any colour."""

_WIDTH: Final = 290.0
_LETTER: Final = 6.4
"""Width of a digit at the charts' font size, at most."""
_GAP: Final = 6.0
"""Between two texts, and between the bins and what is aside."""
_BESIDE: Final = 18.0
_ASIDE: Final = {UNDER: 18.0, OVER: 18.0, MISSING: 46.0}
"""Room for what is aside; the word below is wider than the bar."""


def figure(
    identifier: str, size: tuple[float, float], title: str, words: str, *content: Node, class_: str = "chart"
) -> Html:
    """An SVG that a screen reader reads as an image with a name and a description.

    Args:
        identifier: unique on the page.
        size: width and height of its own units.
        title: its name.
        words: its description.
        content: of it.
        class_: of it.
    """
    return element(
        "svg",
        element("title", title, id=f"{identifier}-title"),
        element("desc", words, id=f"{identifier}-desc"),
        *content,
        viewBox=f"0 0 {short(size[0])} {short(size[1])}",
        role="img",
        aria_labelledby=f"{identifier}-title",
        aria_describedby=f"{identifier}-desc",
        class_=class_,
    )


def label(text: str, x: float, y: float, anchor: str = "middle") -> Html:
    """Text in a chart."""
    return element("text", text, x=short(x), y=short(y), text_anchor=anchor)


def path(boxes: Sequence[Box], class_: str) -> Node:
    """Several boxes as one shape; nothing where all are empty."""
    drawn = "".join(box.path for box in boxes)
    return element("path", d=drawn, class_=class_) if drawn else None


# ---- histograms ----------------------------------------------------------------------------------------------------


def histogram(identifier: str, title: str, words: str, places: Sequence[Place], edges: Sequence[str]) -> Html:
    """Both histograms of a column of numbers, one over the other.

    Args:
        identifier: unique on the page.
        title: of the chart.
        words: its description.
        places: of the column.
        edges: of its bins, as they are written.
    """
    area = Box(36, 8, _WIDTH - 38, 112)
    places = [place for place in places if not place.special or place.was or place.now]
    found = _slots(places, area)
    top = round_top(max((max(place.was, place.now) for place in places), default=1.0))
    was = bars([place.was for place in places], found, top, WAS)
    now = bars([place.now for place in places], found, top, NOW)
    tips = [
        element(
            "g",
            element("title", f"{place.label}: {percent(place.was)} then, {percent(place.now)} now"),
            element("rect", x=short(box.x), y=area.y, width=short(box.width), height=area.height),
        )
        for place, box in zip(places, found, strict=True)
    ]
    return figure(
        identifier,
        (_WIDTH, 142),
        title,
        words,
        _grid(area, top),
        path(was, "was"),
        path(now, "now"),
        _axis(places, found, edges, area.y + area.height + 14),
        element("g", tips, class_="tips"),
    )


def spark(places: Sequence[Place], words: str) -> Html:
    """The same as small as a word, without scales."""
    area = Box(0, 1, 120, 30)
    found = slots(area, len(places))
    top = max((max(place.was, place.now) for place in places), default=0.0) or 1.0
    was = bars([place.was for place in places], found, top, WAS)
    now = bars([place.now for place in places], found, top, NOW)
    floor = element("path", d="M0 31.5h120", class_="floor")
    return element(
        "svg",
        path(was, "was"),
        path(now, "now"),
        floor,
        viewBox="0 0 120 32",
        role="img",
        aria_label=words,
        class_="spark",
    )


def twin(place: Place, top: float) -> Html:
    """The two shares of a category, lying one over the other in its row of a table."""
    was, now = (short(99 * min(1.0, share / top)) if top else 0 for share in (place.was, place.now))
    return element(
        "svg",
        element("rect", x=0, y=1, width=was, height=14, class_="was"),
        element("rect", x=0, y=5, width=now, height=6, class_="now"),
        viewBox="0 0 100 16",
        preserveAspectRatio="none",
        aria_hidden="true",
        class_="twin",
    )


def _slots(places: Sequence[Place], area: Box) -> list[Box]:
    """Bins side by side; apart from them what is below, above, and missing."""
    aside = sum(_ASIDE[place.special] + _GAP for place in places if place.special)
    inner = (area.width - aside) / max(1, sum(1 for place in places if not place.special))
    found, x = [], area.x
    for place in places:
        if not place.special:
            found.append(Box(x, area.y, inner, area.height))
            x += inner
            continue
        width = _ASIDE[place.special]
        before = 0.0 if place.special == UNDER else _GAP
        found.append(Box(x + before + (width - _BESIDE) / 2, area.y, _BESIDE, area.height))
        x += width + _GAP
    return found


def _grid(area: Box, top: float) -> Html:
    lines = []
    for part in (0.0, 0.5, 1.0):
        y = area.y + area.height * (1 - part)
        lines.append(element("path", d=f"M{short(area.x)} {short(y)}h{short(area.width)}", class_="grid"))
        lines.append(label(f"{100 * top * part:g}\u00a0%", area.x - 5, y + 3.5, "end"))
    return element("g", lines)


def _axis(places: Sequence[Place], found: Sequence[Box], edges: Sequence[str], y: float) -> Html:
    """Names below the bars: of some edges, and of what is aside."""
    bins = [box for place, box in zip(places, found, strict=True) if not place.special]
    names = {UNDER: "<", OVER: ">", MISSING: "missing"}
    aside = [
        label(names[place.special], box.x + box.width / 2, y)
        for place, box in zip(places, found, strict=True)
        if place.special in names
    ]
    return element("g", aside, _edges(bins, edges, y))


def _edges(bins: Sequence[Box], edges: Sequence[str], y: float) -> list[Html]:
    """The first, the last, and of those between as many as there is room for."""
    if not bins:
        return []
    left, right = bins[0].x, bins[-1].x + bins[-1].width
    last = len(edges) - 1
    first = label(edges[0], left, y, "start")
    until, end = left + _width(edges[0]), right - _width(edges[last])
    if until + _GAP > end:
        return [first]
    shown = [first, label(edges[last], right, y, "end")]
    for i in range(1, last):
        x, half = bins[i].x, _width(edges[i]) / 2
        if x - half >= until + _GAP and x + half + _GAP <= end:
            shown.append(label(edges[i], x, y))
            until = x + half
    return shown


def _width(text: str) -> float:
    return len(text) * _LETTER


# ---- intervals -----------------------------------------------------------------------------------------------------


def whiskers(identifier: str, title: str, live: Estimate, packed: Estimate | None, most: float = math.inf) -> Html:
    """A metric with its interval, below the same as it was packed: a dot, and a hollow diamond.

    Args:
        identifier: unique on the page.
        title: of the chart.
        live: of the labelled rows.
        packed: None where it is not known.
        most: that the metric can be.
    """
    known = [each for each in (packed, live) if each is not None]
    scale = spread(min(each.low for each in known), max(each.high for each in known), most)
    area = Box(46, 0, _WIDTH - 62, 60)
    words = f"Live {between(live)}" + (f"; packed {between(packed)}." if packed else "; not known at packing.")
    ends = [
        label(number(scale[0], 3), area.x, 72, "start"),
        label(number(scale[1]), area.x + area.width, 72, "end"),
    ]
    line = element("path", d=f"M{short(area.x)} 58h{short(area.width)}", class_="grid")
    return figure(
        identifier,
        (_WIDTH, 78),
        title,
        words,
        line,
        ends,
        _whisker("packed", packed, scale, area, 18, hollow=True) if packed else None,
        _whisker("live", live, scale, area, 42, hollow=False),
    )


def between(found: Estimate) -> str:
    """A number with its interval in words."""
    return f"{number(found.value)} ({number(found.low)} to {number(found.high)})"


def _whisker(name: str, found: Estimate, scale: tuple[float, float], area: Box, y: float, *, hollow: bool) -> Html:
    low, middle, high = (at(value, scale, area) for value in (found.low, found.value, found.high))
    line = f"M{short(low)} {y - 4:g}v8M{short(low)} {y:g}H{short(high)}M{short(high)} {y - 4:g}v8"
    mark = (
        element("path", d=f"M{short(middle)} {y - 6:g}l6 6l-6 6l-6 -6z", class_="diamond")
        if hollow
        else element("circle", cx=short(middle), cy=short(y), r=5.5)
    )
    whisker = element("path", d=line, class_="whisker")
    return element("g", label(name, 0, y + 3.5, "start"), whisker, mark, class_="then" if hollow else "live")


# ---- many columns at once ------------------------------------------------------------------------------------------


def squares(identifier: str, title: str, words: str, kinds: Sequence[str]) -> Html:
    """A square for each column: full where it drifted, hollow where it is calm, a dot where nothing can be said.

    Args:
        identifier: unique on the page.
        title: of the chart.
        words: its description.
        kinds: ``full``, ``hollow`` or ``dot``; those of one kind stand together.
    """
    row = 15 if len(kinds) <= 60 else 30  # so that squares stay large enough on a phone
    side = _WIDTH / row
    shapes: list[Html] = []
    places = iter(range(len(kinds)))
    for kind, group in groupby(kinds):
        drawn = "".join(_square(kind, next(places), row, side) for _ in group)
        shapes.append(element("path", d=drawn, class_=kind))
    height = side * -(-len(kinds) // row)
    return figure(identifier, (_WIDTH, max(side, height)), title, words, shapes, class_="squares")


def _square(kind: str, position: int, row: int, side: float) -> str:
    size = {"full": 0.86, "hollow": 0.68}.get(kind, 0.2) * side
    x, y = (position % row + 0.5) * side - size / 2, (position // row + 0.5) * side - size / 2
    return Box(x, y, size, size).path


def over_time(
    identifier: str, title: str, words: str, values: Sequence[float | None], ends: tuple[str, str, str]
) -> Html:
    """A bar for each span of time; a dot on the floor where nothing can be said.

    Args:
        identifier: unique on the page.
        title: of the chart.
        words: its description.
        values: from 0; None where unknown.
        ends: what stands at the scale's top, and below the first and the last bar.
    """
    area = Box(46, 10, _WIDTH - 48, 76)
    top = max((value for value in values if value is not None), default=0.0) or 1.0
    found = slots(area, len(values))
    drawn = bars([value or 0.0 for value in values], found, top, 0.8)
    y = area.y + area.height
    dots = [
        element("circle", cx=short(slot.x + slot.width / 2), cy=short(y - 4), r=1.8, class_="dot")
        for value, slot in zip(values, found, strict=True)
        if value is None
    ]
    floor = element("path", d=f"M{short(area.x)} {short(y)}h{short(area.width)}", class_="grid")
    marks = [
        label(ends[0], area.x - 5, area.y + 6, "end"),
        label("0", area.x - 5, y + 3, "end"),
        label(ends[1], area.x, y + 15, "start"),
        label(ends[2], area.x + area.width, y + 15, "end"),
    ]
    return figure(identifier, (_WIDTH, y + 20), title, words, floor, path(drawn, "now"), dots, marks)
