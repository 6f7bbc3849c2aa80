"""From values to places in a vector of counts: all columns of a table at once, as `profile.Binner` places each.

One row is placed by Python source that is generated from the bins, in which calls of anything more general would cost
more than the work. Many rows are placed in NumPy, all columns of numbers as one matrix.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from modelimg_runtime.columns import doubles
from modelimg_runtime.monitor.memory import Floats, Ints
from modelimg_runtime.profile.bins import NumberBins
from modelimg_runtime.profile.column import ColumnProfile
from modelimg_runtime.profile.values import CATEGORY, NUMBER

_WHOLE: Final = re.compile(r"0|-?[1-9][0-9]{0,17}", re.ASCII)
"""How `profile.values.name_of` writes whole numbers."""

Places = tuple[int, ...]
Column = Sequence[Any]

_FEW_BORDERS: Final = 24
"""Up to so many, a matrix is compared with one border after the other; beyond, values are looked up by bisection."""
_WIDTH: Final = 3
"""A look-up of a column takes as long as so many comparisons."""
_AT_ONCE: Final = 1 << 15
"""Cells of a matrix that are worked on at once, so that their comparisons stay in the processor's cache."""


class Table:
    """The compiled bins of some columns.

    Args:
        profiles: of the columns, in their order.
        start: where their counts begin in the vector.

    Attributes:
        starts: where the counts of each column begin.
        stop: where those of the last one end.
        numbers: positions of the columns of numbers.
        others: positions of all others.
    """

    def __init__(self, profiles: Sequence[ColumnProfile], start: int = 0) -> None:
        self.names = tuple(profile.name for profile in profiles)
        sizes = [profile.bins.size for profile in profiles]
        self.starts = [start + sum(sizes[:i]) for i in range(len(sizes))]
        self.start, self.stop = start, start + sum(sizes)
        self.row = compile_row(profiles, self.starts)
        """Values of a row in the order of the columns → their places."""
        self._binners = [profile.binner() for profile in profiles]
        numbers = [i for i, each in enumerate(profiles) if each.kind == NUMBER and isinstance(each.bins, NumberBins)]
        self.numbers = tuple(numbers)
        self._matrix = _Matrix([profiles[i] for i in numbers], [self.starts[i] for i in numbers])
        self.others = tuple(i for i in range(len(profiles)) if i not in {*numbers})
        self._named = frozenset(i for i in self.others if profiles[i].kind == CATEGORY)

    def counts(self, columns: Sequence[Column], out: Ints, numbers: Floats | None = None) -> None:
        """Add the counts of many rows.

        Args:
            columns: values in the order of the columns: lists, tuples, arrays or pandas Series, all of one length.
            out: the vector. Shape (≥ stop,).
            numbers: the columns ``self.numbers`` as doubles, where they are at hand; what stands under their positions
                is then not looked at. Shape (len(self.numbers), rows).
        """
        if self.numbers:
            if numbers is None:
                numbers = _matrix([columns[i] for i in self.numbers])
            if numbers is not None:
                self._matrix.counts(numbers, out)
            else:
                for i in self.numbers:
                    self._count(i, columns[i], out)
        for i in self.others:
            distinct = _distinct(columns[i]) if i in self._named else None
            if distinct is None:
                self._count(i, columns[i], out)
                continue
            one, start = self._binners[i].one, self.starts[i]
            for value, count in distinct.items():
                out[start + one(value)] += count

    def _count(self, i: int, column: Column, out: Ints) -> None:
        binner, start = self._binners[i], self.starts[i]
        out[start : start + binner.size] += binner.counts(list(column) if type(column) is tuple else column)


def _distinct(column: Column) -> Mapping[Any, int] | None:
    """How often each value is there; None where some may be equal and yet have different names, such as 1 and True."""
    if type(column) not in (list, tuple):
        return None
    try:
        counts = Counter(column)
    except TypeError:  # a value that cannot be looked up
        return None
    if {*map(type, counts)} <= {str, type(None)} or {*map(type, column)} in ({int}, {float}, {bool}, {str, float}):
        return counts
    return None


class _Matrix:
    """Columns of numbers, placed together.

    Args:
        profiles: of the columns; all have bins of numbers.
        starts: where the counts of each begin.
    """

    def __init__(self, profiles: Sequence[ColumnProfile], starts: Sequence[int]) -> None:
        borders = [_borders(profile) for profile in profiles]
        few = [i for i, each in enumerate(borders) if len(each) <= _FEW_BORDERS]
        longest = max((len(borders[i]) for i in few), default=0)
        self._few = few if len(few) * _WIDTH >= longest else []
        self._many = [(i, np.array(each)) for i, each in enumerate(borders) if i not in self._few]
        # No number is above infinity, so the columns with fewer borders may be filled up with it.
        filled = [[*borders[i], *[math.inf] * (longest - len(borders[i]))] for i in self._few]
        self._borders = np.array(filled).T.reshape(longest, len(self._few), 1)
        self._missing = np.array([len(each) + 1 for each in borders])[:, None]
        self._starts = np.array(starts)[:, None]

    def counts(self, values: Floats, out: Ints) -> None:
        """Add the counts of some rows. Shape of the values (columns, rows)."""
        step = max(64, _AT_ONCE // len(values))
        for begin in range(0, values.shape[1], step):
            part = values[:, begin : begin + step]
            places = self._places(part) + self._starts
            out += np.bincount(places.ravel(), minlength=len(out))

    def _places(self, values: Floats) -> NDArray[np.intp]:
        places = np.empty(values.shape, dtype=np.intp)
        if self._few:
            whole = len(self._few) == len(places)
            few = values if whole else values[self._few]
            above = few > self._borders
            places[slice(None) if whole else self._few] = np.add.reduce(above.view(np.uint8), axis=0, dtype=np.uint8)
        for i, borders in self._many:
            places[i] = borders.searchsorted(values[i])
        missing = np.isnan(values)
        if missing.any():
            np.copyto(places, self._missing, where=missing)
        return places


def _borders(profile: ColumnProfile) -> list[float]:
    """What values are compared with: a value's place is the number of borders below it."""
    assert isinstance(profile.bins, NumberBins)  # noqa: S101 - the caller asked
    edges = profile.bins.edges
    return [math.nextafter(edges[0], -math.inf), *edges[1:]]


def _matrix(columns: Sequence[Column]) -> Floats | None:
    """Columns of numbers as a matrix, NaN where one is None; None where a value is something else."""
    if not all(type(column) in (list, tuple) for column in columns):
        return None
    try:
        return np.frombuffer(doubles([*chain.from_iterable(columns)])).reshape(len(columns), -1)
    except TypeError:
        return None


def compile_row(profiles: Sequence[ColumnProfile], starts: Sequence[int]) -> Callable[[Sequence[Any]], Places]:
    """A function from the values of a row, in the order of the columns, to their places.

    Nothing of the profile is in its source but the number of columns: edges and names are constants of its namespace.
    """
    ones = [_placed(profile.binner().one, start) for profile, start in zip(profiles, starts, strict=True)]

    def each(values: Sequence[Any]) -> Places:
        return tuple([one(value) for one, value in zip(ones, values, strict=True)])

    constants: dict[str, Any] = {"bisect_left": bisect_left}
    parts = [
        part
        for i, (profile, start) in enumerate(zip(profiles, starts, strict=True))
        for part in _part(i, profile, start, ones[i], constants)
    ]
    names = "".join(f"v{i}, " for i in range(len(profiles)))
    source = f"def row(values):\n    {names}= values\n    return ({', '.join(parts)},)\n" if parts else ""
    exec(compile(source, "<monitor>", "exec"), constants)  # noqa: S102 - source of our own, in which only numbers vary
    fast: Callable[[Sequence[Any]], Places] = constants.get("row", each)

    def row(values: Sequence[Any]) -> Places:
        try:
            return fast(values)
        except (TypeError, ValueError, ArithmeticError):  # a value that cannot be compared, or looked up
            return each(values)

    return row


def _named(table: Mapping[str, int], one: Callable[[Any], int]) -> Callable[[Any], int]:
    """The place of a value that is no name in the table: of whole numbers at once, but not of True, which equals 1."""
    wholes = {int(name): place for name, place in table.items() if _WHOLE.fullmatch(name)}
    return lambda value: wholes[value] if type(value) is int and value in wholes else one(value)


def _placed(one: Callable[[Any], int], start: int) -> Callable[[Any], int]:
    return lambda value: start + one(value)


def _part(
    i: int, profile: ColumnProfile, start: int, one: Callable[[Any], int], constants: dict[str, Any]
) -> Iterator[str]:
    """The expression of one column's place; its constants are added to the namespace."""
    constants[f"one{i}"] = one
    if profile.kind == NUMBER and isinstance(profile.bins, NumberBins):
        constants[f"edges{i}"] = _borders(profile)
        missing, value = start + profile.bins.size - 1, f"v{i}"
        yield f"{missing} if {value} is None or {value} != {value} else bisect_left(edges{i}, {value}) + {start}"
    elif profile.kind == CATEGORY and not isinstance(profile.bins, NumberBins):
        table = {name: start + place for place, name in enumerate(profile.bins.categories)}
        constants |= {f"table{i}": table, f"one{i}": _named(table, one)}
        yield f"table{i}[v{i}] if v{i} in table{i} else one{i}(v{i})"
    else:
        yield f"one{i}(v{i})"
