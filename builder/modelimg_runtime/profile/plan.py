"""The second pass over the data: bins that a survey chose, and counts in them, which parts add up exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelimg_runtime.contract import ProfileSettings
from modelimg_runtime.profile.binner import Binner
from modelimg_runtime.profile.bins import Bins, CategoryBins
from modelimg_runtime.profile.column import ColumnProfile
from modelimg_runtime.profile.edges import category_bins, number_bins, quantiles
from modelimg_runtime.profile.lattice import Lattice
from modelimg_runtime.profile.moments import Centre, Sums
from modelimg_runtime.profile.survey import ColumnSurvey, Survey
from modelimg_runtime.profile.values import (
    BOOLEAN,
    CATEGORY,
    EMPTY,
    NUMERIC,
    TEXT,
    Floats,
    count_nans,
    lengths_of,
    numbers_of,
)


@dataclass(frozen=True, eq=False)
class ColumnTally:
    """What was counted of one column.

    Attributes:
        counts: by place. Shape (bins.size,).
        nan: missing values that are a float's NaN.
        infinities: how many are −∞, and how many +∞.
        sums: of the finite numbers.
    """

    counts: NDArray[np.int64]
    nan: int = 0
    infinities: tuple[int, int] = (0, 0)
    sums: Sums = field(default_factory=Sums)

    def merge(self, other: ColumnTally) -> ColumnTally:
        """Of both parts."""
        low, high = self.infinities
        return ColumnTally(
            self.counts + other.counts,
            self.nan + other.nan,
            (low + other.infinities[0], high + other.infinities[1]),
            self.sums.merge(other.sums),
        )


@dataclass(frozen=True)
class ColumnPlan:
    """How one column is counted.

    Attributes:
        name: of the column.
        kind: of its values.
        bins: where they are counted.
        quantiles: as `ColumnProfile` has them.
        distinct: how many different values there are.
        centre: what deviations are taken from.
    """

    name: str
    kind: str
    bins: Bins
    quantiles: tuple[float | None, ...] = ()
    distinct: int | None = None
    centre: Centre = field(default_factory=Centre)

    @cached_property
    def binner(self) -> Binner:
        """The compiled bins."""
        return self.bins.binner(self.kind)

    def count(self, values: Any) -> ColumnTally:
        """Count some values: an array, a list, or a pandas Series."""
        counts, nan = self.binner.counts(values), count_nans(values)
        if self.kind not in NUMERIC and self.kind != TEXT:
            return ColumnTally(counts, nan)
        numbers = lengths_of(values) if self.kind == TEXT else numbers_of(values)
        infinities = int(np.isneginf(numbers).sum()), int(np.isposinf(numbers).sum())
        return ColumnTally(counts, nan, infinities, Sums.of(numbers[np.isfinite(numbers)], self.centre))

    def profile(self, tally: ColumnTally) -> ColumnProfile:
        """The profile of what was counted."""
        return ColumnProfile(
            name=self.name,
            kind=self.kind,
            bins=self.bins,
            counts=tuple(tally.counts.tolist()),
            nan=tally.nan,
            infinities=tally.infinities,
            mean=tally.sums.mean(self.centre),
            std=tally.sums.std(self.centre),
            quantiles=self.quantiles,
            distinct=self.distinct,
        )


@dataclass(frozen=True, eq=False)
class Tally:
    """What was counted of a table, or of a part of one.

    Attributes:
        columns: in the order of the plan.
    """

    columns: tuple[ColumnTally, ...]

    def merge(self, other: Tally) -> Tally:
        """Of both parts, which were counted by one plan; the order does not matter."""
        return Tally(tuple(a.merge(b) for a, b in zip(self.columns, other.columns, strict=True)))


@dataclass(frozen=True)
class Plan:
    """How a table is counted.

    Attributes:
        columns: in the table's order.
        settings: that it was made with.
    """

    columns: tuple[ColumnPlan, ...]
    settings: ProfileSettings

    @classmethod
    def of(cls, survey: Survey, settings: ProfileSettings | None = None) -> Plan:
        """Choose the bins of every column."""
        settings = settings or ProfileSettings()
        return cls(tuple(plan_column(name, each, settings) for name, each in survey.columns.items()), settings)

    def count(self, columns: Mapping[str, Any]) -> Tally:
        """Count one part of the table.

        Args:
            columns: name → values, all of one length; others than the plan's are left out.

        Raises:
            ValueError: a column is missing.
        """
        absent = [column.name for column in self.columns if column.name not in columns]
        if absent:
            raise ValueError(f"the part has no column {absent[0]!r}")
        return Tally(tuple(column.count(columns[column.name]) for column in self.columns))

    def profiles(self, tally: Tally) -> tuple[ColumnProfile, ...]:
        """Of all columns, of what was counted."""
        return tuple(plan.profile(each) for plan, each in zip(self.columns, tally.columns, strict=True))


def plan_column(name: str, survey: ColumnSurvey, settings: ProfileSettings) -> ColumnPlan:
    """Choose the bins of one column."""
    if survey.names is None:
        return _numeric(name, survey.kind, survey.numbers, settings)
    if survey.kind == BOOLEAN:
        return ColumnPlan(name, BOOLEAN, CategoryBins(("false", "true")), distinct=survey.names.distinct)
    if survey.kind == EMPTY:
        return ColumnPlan(name, EMPTY, CategoryBins(()), distinct=0)
    counts = survey.names.counts
    bins = category_bins(counts or {}, settings)
    named = sum((counts or {})[category] for category in bins.categories)
    # Names that are nearly all different say nothing by their counts, and would all be `other`.
    if not survey.declared and 2 * named < survey.numbers.n:
        return _numeric(name, TEXT, survey.numbers, settings, survey.names.distinct)
    return ColumnPlan(name, CATEGORY, bins, distinct=survey.names.distinct)


def _numeric(
    name: str, kind: str, numbers: Lattice, settings: ProfileSettings, distinct: int | None = None
) -> ColumnPlan:
    return ColumnPlan(
        name=name,
        kind=kind,
        bins=number_bins(numbers, settings),
        quantiles=quantiles(numbers, settings),
        distinct=numbers.distinct if distinct is None else distinct,
        centre=_centre(numbers.uppers, numbers),
    )


def _centre(values: Floats, numbers: Lattice) -> Centre:
    """The median, which is at most one standard deviation from the mean."""
    if not len(values):
        return Centre()
    median = values[np.searchsorted(np.cumsum(numbers.counts), -(-numbers.n // 2))]
    largest = max(abs(float(values[0])), abs(float(values[-1])))
    return Centre(float(median), int(np.frexp(largest)[1]))
