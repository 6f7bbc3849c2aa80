"""How it went: rows, drift and accuracy of the windows that are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from modelimg_runtime.drift import DriftReport, drift_report
from modelimg_runtime.drift.estimate import estimated_accuracy
from modelimg_runtime.monitor.baseline import Baseline
from modelimg_runtime.monitor.counts import Counts, iso, total
from modelimg_runtime.monitor.document import Document
from modelimg_runtime.monitor.performance import scheme_of
from modelimg_runtime.monitor.scheme import Sums
from modelimg_runtime.pages.frame import section
from modelimg_runtime.pages.html import Html, Node, element
from modelimg_runtime.pages.monitor.charts import over_time
from modelimg_runtime.pages.monitor.parts import Cell, table
from modelimg_runtime.pages.monitor.words import count, length, moment, number, percent
from modelimg_runtime.profile.output import CONFIDENCE, Estimate

_MOST: Final = 24
"""Spans of time in a chart; of more windows, neighbours are added up."""
_COMPARISONS: Final = 2400
"""Columns of all spans together, each of which takes 0.1 ms: a wide model gets fewer spans."""
_LEAST: Final = 3
"""Spans below which columns are not compared at all."""


@dataclass(frozen=True)
class Point:
    """A span of time.

    Attributes:
        start: in seconds since 1970.
        rows: that were answered in it.
        drift: of the input columns; None where that would take too long.
        accuracy: estimated without labels.
        metric: the first metric of the labelled rows.
    """

    start: int
    rows: int
    drift: DriftReport | None
    accuracy: Estimate | None
    metric: Estimate | None

    @property
    def share(self) -> float | None:
        """Share of the columns that drifted; None where nothing can be said."""
        return self.drift.share if self.drift else None


def trend(document: Document, baseline: Baseline) -> Html | None:
    """The section; None as long as there are not two windows.

    Args:
        document: with the windows.
        baseline: of the model.
    """
    windows, seconds = document.windows, document.window_seconds
    starts = sorted(start for start, counts in windows.items() if counts.rows or counts.labels)
    if len(starts) < 2:
        return None
    affordable = _COMPARISONS // max(1, len(baseline.input.columns))
    compared = affordable >= _LEAST
    most = min(_MOST, affordable) if compared else _MOST
    together = -(-((starts[-1] - starts[0]) // seconds + 1) // most) * seconds
    spans = range(starts[0], starts[-1] + 1, together)
    points = [_point(start, _sum(windows, start, together), baseline, compared=compared) for start in spans]
    words = f"From left to right, {length(together)} each; a dot on the floor is too little to tell."
    return section(
        "trend",
        "How it went",
        element("p", words),
        element("div", _charts(points), class_="cards"),
        element("details", element("summary", "The same as a table"), _table(points, baseline)),
    )


def _sum(windows: Mapping[int, Counts], start: int, seconds: int) -> Counts:
    return total([counts for begins, counts in windows.items() if start <= begins < start + seconds])


def _point(start: int, counts: Counts, baseline: Baseline, *, compared: bool) -> Point:
    if not counts.inputs:
        return Point(start, 0, None, None, None)
    scheme, calibration = scheme_of(baseline), baseline.output.calibration
    found = scheme.estimates(Sums(counts.performance, counts.sums)) if scheme and counts.labels else {}
    accuracy = None
    if calibration is not None and CONFIDENCE in counts.outputs:
        accuracy = estimated_accuracy(calibration, counts.outputs[CONFIDENCE])
    return Point(
        start,
        counts.rows,
        drift_report(baseline.input.columns, counts.inputs) if compared else None,
        accuracy,
        next(iter(found.values()), None),
    )


def _charts(points: Sequence[Point]) -> list[Html]:
    first, last = _clock(points[0].start), _clock(points[-1].start)
    most = max(point.rows for point in points)
    rows = over_time(
        "trend-rows-chart",
        "Rows answered",
        f"At most {count(most)}.",
        [float(point.rows) for point in points],
        (number(most), first, last),
    )
    charts = [_card("trend-rows", "Rows", rows)]
    if any(point.drift is not None for point in points):
        shares = [point.share for point in points]
        worst = max((share for share in shares if share is not None), default=0.0)
        drift = over_time(
            "trend-drift-chart",
            "Share of the columns that drifted",
            f"At most {percent(worst)}.",
            shares,
            (percent(worst or 1.0), first, last),
        )
        charts.append(_card("trend-drift", "Columns that drifted", drift))
    return charts


def _card(key: str, name: str, chart: Html) -> Html:
    heading = element("h3", name, id=f"{key}-heading")
    return element("article", heading, chart, class_="card close", aria_labelledby=f"{key}-heading")


def _clock(start: int) -> str:
    stamp = iso(start) or ""
    return f"{stamp[5:10]} {stamp[11:16]}"


def _table(points: Sequence[Point], baseline: Baseline) -> Html:
    rows: list[list[Cell | Node]] = [
        [
            moment(point.start),
            Cell(count(point.rows), "number"),
            Cell(percent(point.share) if point.share is not None else "–", "number"),
            Cell(percent(point.accuracy.value) if point.accuracy else "–", "number"),
            Cell(number(point.metric.value) if point.metric else "–", "number"),
        ]
        for point in points
    ]
    metric = "mae" if baseline.task == "regression" else "accuracy"
    heads = ("From", "Rows", "Columns drifted", "Accuracy, estimated", f"By labels: {metric}")
    return table("The windows that are kept", heads, rows, class_="tall" if len(rows) > _MOST // 2 else "")
