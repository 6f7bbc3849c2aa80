"""The first pass over the data: what is needed to choose the bins. Parts are surveyed apart, and merge in any order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from modelimg_runtime.profile.distinct import Distinct
from modelimg_runtime.profile.lattice import Lattice
from modelimg_runtime.profile.values import (
    CATEGORY,
    EMPTY,
    NUMBER,
    NUMERIC,
    is_declared,
    kind_of,
    lengths_of,
    name_of,
    names_of,
    numbers_of,
)

NAMES: Final = 65_536
"""Different names up to which a column may be one of categories; one with more is text."""


@dataclass(frozen=True, eq=False)
class NameCounts:
    """Counts of names, while they are not too many.

    Attributes:
        counts: name → values; None once there were more than ``NAMES``.
        seen: the different names, once the counts no longer tell.
    """

    counts: Mapping[str, int] | None
    seen: Distinct | None = None

    @classmethod
    def of(cls, counts: Mapping[str, int]) -> NameCounts:
        """Of counted names, given up when they are too many."""
        if len(counts) <= NAMES:
            return cls(counts)
        return cls(None, Distinct.of_names(counts))

    def merge(self, other: NameCounts) -> NameCounts:
        """Of the values of both."""
        if self.counts is None or other.counts is None:
            return NameCounts(None, self._distinct().merge(other._distinct()))
        return NameCounts.of(Counter(self.counts) + Counter(other.counts))

    @property
    def distinct(self) -> int:
        """How many different names; estimated where they are more than ``NAMES``."""
        return len(self.counts) if self.counts is not None else self._distinct().estimate

    def _distinct(self) -> Distinct:
        return self.seen or Distinct.of_names(self.counts or ())


@dataclass(frozen=True, eq=False)
class ColumnSurvey:
    """What is known of one column after the first pass.

    Attributes:
        kind: of its values.
        numbers: of numeric kinds the finite values; of names their lengths.
        names: of the other kinds; None of numeric ones.
        declared: the column's dtype says that it is categorical.
    """

    kind: str
    numbers: Lattice
    names: NameCounts | None = None
    declared: bool = False

    @classmethod
    def of(cls, values: Any) -> ColumnSurvey:
        """Of some values: an array, a list, or a pandas Series."""
        kind = kind_of(values)
        if kind in NUMERIC:
            return cls(kind, Lattice.of(numbers_of(values)))
        counted = Counter(name for name in names_of(values) if name is not None)
        return cls(kind, Lattice.of(lengths_of(values)), NameCounts.of(counted), is_declared(values))

    def merge(self, other: ColumnSurvey) -> ColumnSurvey:
        """Of the values of both; where one has numbers and the other names, numbers become names.

        Raises:
            ValueError: the kinds cannot be one column.
        """
        if EMPTY in (self.kind, other.kind):
            kept = other if self.kind == EMPTY else self
            return replace(kept, declared=self.declared or other.declared)
        if self.kind == other.kind and self.names is None and other.names is None:
            return replace(self, numbers=self.numbers.merge(other.numbers))
        (lengths, names), (more_lengths, more_names) = self._named(other.kind), other._named(self.kind)
        return ColumnSurvey(
            self.kind if self.kind == other.kind else CATEGORY,
            lengths.merge(more_lengths),
            names.merge(more_names),
            self.declared or other.declared,
        )

    def _named(self, beside: str) -> tuple[Lattice, NameCounts]:
        """Lengths and names; a column of whole numbers may hold text further down the file."""
        if self.names is not None:
            return self.numbers, self.names
        if self.kind != NUMBER or self.numbers.shift:
            raise ValueError(f"it holds {self.kind} in one part of the data and {beside} in another")
        names = [str(name_of(value)) for value in self.numbers.uppers.tolist()]
        lengths = np.repeat(np.array([len(name) for name in names], dtype=np.float64), self.numbers.counts)
        return Lattice.of(lengths), NameCounts(dict(zip(names, self.numbers.counts.tolist(), strict=True)))


@dataclass(frozen=True, eq=False)
class Survey:
    """What is known of a table after the first pass.

    Attributes:
        columns: by name, in order.
    """

    columns: Mapping[str, ColumnSurvey]

    @classmethod
    def of(cls, columns: Mapping[str, Any]) -> Survey:
        """Of one part of a table.

        Args:
            columns: name → values (an array, a list, or a pandas Series), all of one length.
        """
        return cls({name: ColumnSurvey.of(values) for name, values in columns.items()})

    def merge(self, other: Survey) -> Survey:
        """Of two parts of one table.

        Raises:
            ValueError: the parts have different columns, or one that cannot be the same.
        """
        if self.columns.keys() != other.columns.keys():
            raise ValueError("parts of one table must have the same columns")
        return Survey({name: _merged(name, column, other.columns[name]) for name, column in self.columns.items()})


def _merged(name: str, one: ColumnSurvey, two: ColumnSurvey) -> ColumnSurvey:
    try:
        return one.merge(two)
    except ValueError as error:
        raise ValueError(f"column {name!r} cannot be profiled: {error}") from error
