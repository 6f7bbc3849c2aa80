"""Measuring in turns, and what is kept of it: every value, so that the spread can be seen beside the median."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

OURS = "modelimg"
"""The contender that ratios are of."""


@dataclass(frozen=True)
class Samples:
    """The values of one quantity, in the order in which they were measured."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """Their median."""
        return statistics.median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """What is shown of it: the least and the greatest."""
        return min(self.values), max(self.values)


@dataclass(frozen=True)
class Slices(Samples):
    """Values of many short slices of time. A single one may be anything, so their spread is that of the middle half."""

    @property
    def spread(self) -> tuple[float, float]:
        """The first and the third quartile."""
        if len(self.values) < 2:
            return super().spread
        first, _, third = statistics.quantiles(self.values, n=4, method="inclusive")
        return first, third


@dataclass(frozen=True)
class Row:
    """One quantity, measured for each contender.

    Attributes:
        key: what `benchmarks.targets` and the JSON know it by.
        label: what was measured.
        unit: ``s``, ``ms``, ``µs``, ``req/s``, ``MB`` (a million bytes), ``kB``, ``%``, or empty for a count.
        samples: by the contender's name; a contender that has no such quantity is absent.
        note: what has to be known to compare the figures.
    """

    key: str
    label: str
    unit: str
    samples: Mapping[str, Samples]
    note: str = ""

    def ratio(self, other: str, ours: str) -> float | None:
        """How many times as much the other takes as ours: a ratio of medians from the same run."""
        if other not in self.samples or ours not in self.samples or not self.samples[ours].median:
            return None
        return self.samples[other].median / self.samples[ours].median


@dataclass(frozen=True)
class Section:
    """Rows that belong together; a table of them has a line for each contender."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Target:
    """A limit and what was measured.

    Attributes:
        label: of what.
        limit: that holds or does not.
        measured: a median, or a ratio of medians of one run.
        least: the limit is a least rather than a greatest value.
        unit: empty for ratios and counts.
    """

    label: str
    limit: float
    measured: float
    least: bool = False
    unit: str = ""

    @property
    def met(self) -> bool:
        """Whether the limit holds."""
        return self.measured >= self.limit if self.least else self.measured <= self.limit


def in_turns(rounds: int, measures: Mapping[str, Callable[[int], float]]) -> dict[str, Samples]:
    """Measure A B A B …, so that a machine that becomes slower becomes slower for all; each value is shown at once.

    Args:
        rounds: values for each.
        measures: by name; each takes the round's number, from 0, and returns one value.
    """
    values: dict[str, list[float]] = {name: [] for name in measures}
    for number in range(rounds):
        for name, measure in measures.items():
            values[name].append(measure(number))
            print(f"{name}: {values[name][-1]:.2f}", file=sys.stderr, flush=True)
    return {name: Samples(tuple(found)) for name, found in values.items()}
