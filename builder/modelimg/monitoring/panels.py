"""Parts of a Grafana dashboard: queries, panels, and where they stand. The model is that of Grafana 10 and 11."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
WIDTH: Final = 24
"""Columns of Grafana's grid."""
LINES, STAT, TABLE, BARS, TEXT = "timeseries", "stat", "table", "barchart", "text"
"""Grafana's names of panels."""


@dataclass(frozen=True)
class Query:
    """A query of a panel.

    Attributes:
        expr: PromQL, with Grafana's variables.
        legend: how a series is called, with ``{{label}}``.
    """

    expr: str
    legend: str = ""

    def to_dict(self, ref: str, kind: str) -> dict[str, Any]:
        """A target of a panel of a kind; but for lines, one value at the end of the range is enough."""
        instant = kind != LINES
        return {
            "datasource": DATASOURCE,
            "editorMode": "code",
            "expr": self.expr,
            "format": "table" if kind in (BARS, TABLE) else "time_series",
            "instant": instant,
            "legendFormat": self.legend or "__auto",
            "range": not instant,
            "refId": ref,
        }


@dataclass(frozen=True)
class Panel:
    """A panel.

    Attributes:
        kind: one of those above.
        title: above it.
        description: what it shows and what to do.
        queries: in their order.
        unit: Grafana's name of it.
        width: in columns of the grid.
        height: in its rows.
        options: of the kind.
        defaults: of all fields, beside the unit.
        overrides: field → properties of it alone.
        transformations: of the results, in their order.
    """

    kind: str
    title: str
    description: str
    queries: Sequence[Query]
    unit: str = "short"
    width: int = 12
    height: int = 8
    options: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    transformations: Sequence[Mapping[str, Any]] = ()

    def to_dict(self, number: int, x: int, y: int) -> dict[str, Any]:
        """For the dashboard's JSON."""
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": DATASOURCE,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "targets": [query.to_dict(chr(ord("A") + place), self.kind) for place, query in enumerate(self.queries)],
            "options": dict(self.options),
            "fieldConfig": {
                "defaults": {"unit": self.unit, **self.defaults},
                "overrides": [_override(name, properties) for name, properties in self.overrides.items()],
            },
            "transformations": [dict(each) for each in self.transformations],
        }


def _override(name: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "matcher": {"id": "byName", "options": name},
        "properties": [{"id": key, "value": value} for key, value in properties.items()],
    }


def stat(title: str, description: str, query: Query, unit: str = "short", **defaults: Any) -> Panel:
    """One number, large."""
    options = {
        "colorMode": "value",
        "graphMode": "none",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "textMode": "auto",
    }
    return Panel(STAT, title, description, (query,), unit, 4, 4, options, {"noValue": "not known", **defaults})


def lines(
    title: str, description: str, *queries: Query, unit: str = "short", width: int = 12, **defaults: Any
) -> Panel:
    """Numbers over time."""
    options = {
        "legend": {"calcs": ["lastNotNull"], "displayMode": "table", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    custom = {"custom": {"lineWidth": 2, "fillOpacity": 0, "showPoints": "never", "spanNulls": True}}
    return Panel(LINES, title, description, queries, unit, width, 8, options, {**custom, **defaults})


def compared(title: str, description: str, packed: Query, live: Query, place: Query, *, width: int = 12) -> Panel:
    """Two histograms side by side, bin by bin, in the order of the bins: of packed and of live data."""
    transformations = [
        {"id": "joinByField", "options": {"byField": "bin", "mode": "outer"}},
        {"id": "sortBy", "options": {"fields": {}, "sort": [{"field": "Value #C", "desc": False}]}},
        {"id": "filterFieldsByName", "options": {"include": {"names": ["bin", "Value #A", "Value #B"]}}},
        _renamed({"Value #A": "at packing", "Value #B": "live"}),
    ]
    options = {
        "xField": "bin",
        "orientation": "auto",
        "groupWidth": 0.8,
        "barWidth": 0.9,
        "showValue": "never",
        "stacking": "none",
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "none"},
        "xTickLabelRotation": -30,
    }
    colours = {
        "at packing": {"color": {"mode": "fixed", "fixedColor": "#8e8e8e"}},
        "live": {"color": {"mode": "fixed", "fixedColor": "blue"}},
    }
    queries = (packed, live, place)
    defaults = {"min": 0, "custom": {"fillOpacity": 80, "lineWidth": 1}}
    return Panel(
        BARS, title, description, queries, "percentunit", width, 10, options, defaults, colours, transformations
    )


def table(title: str, description: str, by: str, columns: Mapping[str, Query], *, width: int = 12) -> Panel:
    """Instant values of one label, joined; sorted by the first column, the largest first."""
    names = {f"Value #{chr(ord('A') + place)}": name for place, name in enumerate(columns)}
    transformations = [
        {"id": "joinByField", "options": {"byField": by, "mode": "outer"}},
        {"id": "filterFieldsByName", "options": {"include": {"names": [by, *names]}}},
        _renamed(names),
    ]
    options = {
        "cellHeight": "sm",
        "footer": {"show": False},
        "showHeader": True,
        "sortBy": [{"displayName": next(iter(columns)), "desc": True}],
    }
    return Panel(
        TABLE,
        title,
        description,
        tuple(columns.values()),
        "short",
        width,
        10,
        options,
        {"decimals": 3},
        transformations=transformations,
    )


def _renamed(names: Mapping[str, str]) -> dict[str, Any]:
    return {"id": "organize", "options": {"excludeByName": {}, "indexByName": {}, "renameByName": dict(names)}}


def text(title: str, content: str, *, width: int = 12, height: int = 4) -> Panel:
    """Words."""
    return Panel(TEXT, title, "", (), width=width, height=height, options={"mode": "markdown", "content": content})


def placed(rows: Iterable[tuple[str, Sequence[Panel]]]) -> list[dict[str, Any]]:
    """Panels with numbers and places: rows have titles, and panels flow from left to right in lines of one height."""
    found: list[dict[str, Any]] = []
    y = 0
    for title, panels in rows:
        if not panels:
            continue
        place = {"x": 0, "y": y, "w": WIDTH, "h": 1}
        found.append(
            {"id": len(found) + 1, "type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": place}
        )
        y += 1
        for line in _flowing(panels):
            x, height = 0, max(panel.height for panel in line)
            for panel in line:
                found.append(replace(panel, height=height).to_dict(len(found) + 1, x, y))
                x += panel.width
            y += height
    return found


def _flowing(panels: Sequence[Panel]) -> Iterator[list[Panel]]:
    line: list[Panel] = []
    for panel in panels:
        if sum(each.width for each in line) + panel.width > WIDTH:
            yield line
            line = []
        line.append(panel)
    yield line
