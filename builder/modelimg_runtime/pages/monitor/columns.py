"""Columns beside what was packed: a table of all, the worst first, and some of them closely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from modelimg_runtime.drift.rates import Rate
from modelimg_runtime.drift.report import DISTRIBUTION, MISSING, OUT_OF_RANGE, UNSEEN, ColumnDrift, DriftReport
from modelimg_runtime.pages.html import Node, element
from modelimg_runtime.pages.monitor.charts import spark
from modelimg_runtime.pages.monitor.parts import Cell, table, verdict
from modelimg_runtime.pages.monitor.places import Place, largest, places_of
from modelimg_runtime.pages.monitor.question import Question
from modelimg_runtime.pages.monitor.words import named, number, percent, shown
from modelimg_runtime.profile.column import ColumnProfile

CLOSELY: Final = 12
"""Columns that are shown closely without being asked for."""
MOST: Final = 400
"""Columns in their table; ``/monitor.json`` has all."""
MANY: Final = 20
"""Columns from which on their table scrolls."""


@dataclass(frozen=True)
class Column:
    """A column with all that is to be said of it.

    Attributes:
        key: anchor of its details.
        profile: that was packed.
        drift: of the live rows.
        places: of its histogram.
    """

    key: str
    profile: ColumnProfile
    drift: ColumnDrift
    places: tuple[Place, ...]

    @property
    def name(self) -> str:
        """Of the column."""
        return self.profile.name

    @property
    def change(self) -> str:
        """What changed most, in words."""
        if not self.drift.rows:
            return "No live rows."
        place = largest(self.places)
        if abs(place.change) < 0.0005:
            return "No share changed."
        return f"Most changed: {place.label}, from {percent(place.was)} to {percent(place.now)}."


@dataclass(frozen=True)
class Side:
    """The columns that go in, or those that come out.

    Attributes:
        kind: ``feature`` or ``answer``, the query's parameter that asks for one.
        reference: what the live rows are compared with.
        columns: the worst first.
        question: that was asked.
    """

    kind: str
    reference: str
    columns: tuple[Column, ...]
    question: Question

    @classmethod
    def of(
        cls,
        kind: str,
        reference: str,
        profiles: Sequence[ColumnProfile],
        live: Mapping[str, Sequence[int]],
        report: DriftReport,
        question: Question,
    ) -> Side:
        """Put together what belongs to each column.

        Args:
            kind: see the class.
            reference: see the class.
            profiles: as they were packed.
            live: name → counts in the bins of its profile.
            report: on these counts.
            question: see the class.
        """
        numbered = {profile.name: (number, profile) for number, profile in enumerate(profiles)}
        columns = []
        for drift in report.columns:
            number, profile = numbered[drift.name]
            columns.append(Column(f"{kind}-{number}", profile, drift, places_of(profile, live[drift.name])))
        return cls(kind, reference, tuple(columns), question)

    @property
    def asked(self) -> str | None:
        """Name of the column that was asked for."""
        return self.question.feature if self.kind == "feature" else self.question.answer

    @property
    def unknown(self) -> bool:
        """Whether a column was asked for that there is not."""
        return self.asked is not None and self.asked not in {column.name for column in self.columns}

    @property
    def closely(self) -> tuple[Column, ...]:
        """The columns that are shown closely: the one that was asked for, and the worst."""
        first = [column for column in self.columns if column.name == self.asked]
        return tuple(first + [column for column in self.columns if column.name != self.asked][: CLOSELY - len(first)])

    def table(self, caption: str) -> list[Node]:
        """The columns with the statistics that decide; of very many, those that are worst."""
        close = {column.key for column in self.closely}
        rows = [_row(column, self._href(column, close)) for column in self.columns[:MOST]]
        heads = ("Column", "Verdict", "Histograms", "PSI", "Missing", "Outside")
        more = len(self.columns) - len(rows)
        said = element("p", f"and {more} columns that changed less", class_="hint") if more else None
        return [table(caption, heads, rows, class_="drift tall" if len(rows) > MANY else "drift"), said]

    def _href(self, column: Column, close: set[str]) -> str:
        anchor = f"#{column.key}"
        return anchor if column.key in close else self.question.href(**{self.kind: column.name}) + anchor


def _row(column: Column, href: str) -> list[Cell | Node]:
    drift, distribution = column.drift, column.drift.distribution
    reasons = drift.reasons
    said = verdict(drift.status, reasons)
    where = UNSEEN if UNSEEN in reasons else OUT_OF_RANGE
    psi: Cell | Node = Cell(element("span", "–", aria_label="not computed"), "number")
    if distribution is not None:
        index = distribution.psi
        psi = Cell(_figure(number(index.value), f"limit {number(index.threshold)}", DISTRIBUTION in reasons), "number")
    return [
        element("a", named(column.name), href=href),
        said,
        Cell(spark(column.places, f"{shown(column.name)}: {column.change}"), "drawn bad" if reasons else "drawn"),
        psi,
        Cell(_rate(drift.missing, drift.rows, MISSING in reasons), "number"),
        Cell(_rate(drift.outside, drift.rows, where in reasons), "number"),
    ]


def _rate(rate: Rate | None, rows: int, drifted: bool) -> Node:
    if rate is None:
        return element("span", "–", aria_label="cannot be told")
    live = percent(rate.live) if rows else "–"
    return _figure(live, f"then {percent(rate.reference)}", drifted)


def _figure(value: str, beside: str, drifted: bool) -> list[Node]:
    return [element("strong" if drifted else "span", value), " ", element("small", beside, class_="muted")]
