"""Collecting violations without keeping them all: a hostile body has millions of failing cells, a report names some.

Which ones are named does not depend on the bound: they are always the first, in the order of the report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from modelimg_runtime.errors import Violation
from modelimg_runtime.values import shown

_SLACK = 8
"""So many times the bound are kept before the list is cut: cutting sorts."""


class Violations(list[Violation]):
    """Violations, of which at most ``most`` are kept: whole-batch faults first, then row by row, in columns' order.

    Args:
        columns: names in the order of the report.
        most: how many are named; all where None.

    Attributes:
        most: as given.
        more: (column, check) → how many others there are.
    """

    def __init__(self, columns: Sequence[str] = (), most: int | None = None) -> None:
        super().__init__()
        self.more: Counter[tuple[str | None, str]] = Counter()
        self.most = most
        self._position = {name: number for number, name in enumerate(columns)}
        self._named: Counter[tuple[str | None, str]] = Counter()

    def note(self, row: int | None, column: str | None, check: str, value: Any) -> None:
        """Add one. Those of one column and check must come in the order of their rows.

        Args:
            row: as of `Violation`.
            column: as of `Violation`.
            check: as of `Violation`.
            value: the failing value as it is; it is shortened here.
        """
        source = (column if row is not None else None), check
        if self.most is not None:
            if self._named[source] >= self.most:
                self.more[source] += 1
                return
            self._named[source] += 1
        self.append(Violation(row, column, check, shown(value)))
        if self.most is not None and len(self) > self.most * _SLACK:
            self.settle()

    def note_more(self, column: str | None, check: str, count: int) -> None:
        """Add so many that come after those of the same column and check that are named."""
        if count > 0:
            self.more[column, check] += count

    def take(self, others: Violations) -> None:
        """Add another collection."""
        self.extend(others)
        self.more.update(others.more)
        if self.most is not None and len(self) > self.most * _SLACK:
            self.settle()

    def settle(self) -> Violations:
        """Sort, and cut to the bound; itself."""
        self.sort(key=self._place)
        if self.most is not None and len(self) > self.most:
            self.more.update(_sources(self[self.most :]))
            del self[self.most :]
        return self

    def _place(self, violation: Violation) -> tuple[int, int]:
        row = -1 if violation.row is None else violation.row
        return row, self._position.get(violation.column or "", -1)


def _sources(violations: Iterable[Violation]) -> Iterable[tuple[str | None, str]]:
    return ((each.column if each.row is not None else None, each.check) for each in violations)
