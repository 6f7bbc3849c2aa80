"""Where the bins of a column go: quantiles of the reference, in which nobody is alone.

Two rules keep single rows of the training data out of a profile. A bin of numbers, or a named category, held at least
``fold_below`` values; and an order statistic (a quantile, an edge) is given only where at least that many values are at
or below it and as many at or above. The least and the largest value are given where they are asked for
(``min_max``), or where that many rows share them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from modelimg_runtime.contract import ProfileSettings
from modelimg_runtime.profile.bins import CategoryBins, NumberBins
from modelimg_runtime.profile.column import QUANTILES
from modelimg_runtime.profile.lattice import Lattice

BINS: Final = 10
"""Bins of about equal counts between the edges of a column of numbers."""
DISCRETE: Final = 20
"""A column of numbers with up to so many different values has a bin for each."""
FENCE: Final = 1.5
"""How far the least and the greatest edge are outside of the outermost quantiles, in distances between these: Tukey's
factor, applied to the range from 5 % to 95 % and not to the quartiles, so that hardly anything is outside."""

ROUNDING: Final = 1e-5
"""By how much of itself a value may be rounded on its way, as 32-bit floats and ``%.6g`` round, and not be outside."""

_GREATEST: Final = float(np.finfo(np.float64).max)
_LEAST_SHOWN: Final = 2
"""Rows that must share the least or the largest value even where ``fold_below`` is 1."""

Ints = NDArray[np.int64]


def quantiles(numbers: Lattice, settings: ProfileSettings) -> tuple[float | None, ...]:
    """Quantiles at 0, 1/20, …, 1: the least value whose share of values at or below is as large.

    Those that are withheld are None (see the module).
    """
    n = numbers.n
    if not n:
        return (None,) * (QUANTILES + 1)
    values, below = numbers.uppers, np.cumsum(numbers.counts)
    ranks = [max(1, -(-n * i // QUANTILES)) for i in range(QUANTILES + 1)]
    positions = np.searchsorted(below, ranks)
    found: list[float | None] = []
    for i, position in enumerate(positions.tolist()):
        extreme = i in (0, QUANTILES)
        least = max(settings.fold_below, _LEAST_SHOWN) if extreme else settings.fold_below
        at_or_below, at_or_above = int(below[position]), n - int(below[position]) + int(numbers.counts[position])
        shown = (extreme and settings.min_max) or min(at_or_below, at_or_above) >= least
        found.append(float(values[position]) if shown else None)
    if settings.min_max:
        found[0] = float(numbers.lowers[0])
    return tuple(found)


def number_bins(numbers: Lattice, settings: ProfileSettings) -> NumberBins:
    """Bins of a column of numbers: one for each of a few values, else about ``BINS`` of equal counts."""
    if not numbers.n:
        return NumberBins((-_GREATEST, _GREATEST))
    low, high = _range(numbers, settings)
    below = np.cumsum(numbers.counts)
    inner = [_after(numbers, position) for position in _borders(numbers, below, settings.fold_below)]
    return NumberBins((low, *(value for value in inner if low <= value < high and value > -_GREATEST), high))


def category_bins(counts: Mapping[str, int], settings: ProfileSettings) -> CategoryBins:
    """Bins of a column of categories: the most frequent ones that are frequent enough to be named."""
    frequent = [(name, count) for name, count in counts.items() if count >= settings.fold_below]
    kept = sorted(frequent, key=lambda pair: (-pair[1], pair[0]))[: settings.top]
    return CategoryBins(tuple(name for name, _ in kept), folded=len(kept) < len(counts))


def _after(numbers: Lattice, position: int) -> float:
    """Halfway from one cell to the next, since callers round: a value belongs to its bin however its last bits come."""
    value, following = float(numbers.uppers[position]), float(numbers.lowers[position + 1])
    halfway = value / 2 + following / 2  # halves, because the sum may be no double
    return halfway if value <= halfway < following else value


def _borders(numbers: Lattice, below: Ints, least: int) -> Iterator[int]:
    """Positions of the cells that end a bin: with ``least`` values in each bin, the last included."""
    n = numbers.n
    if len(numbers.cells) <= DISCRETE:
        candidates = np.arange(len(numbers.cells))
    else:
        parts = max(1, min(BINS, n // max(1, least)))
        candidates = np.unique(np.searchsorted(below, [-(-n * i // parts) for i in range(1, parts)]))
    done = 0
    for position in candidates.tolist():
        count = int(below[position])
        if count - done >= max(1, least) and n - count >= max(1, least):
            done = count
            yield position


def _range(numbers: Lattice, settings: ProfileSettings) -> tuple[float, float]:
    """The least and the greatest edge: the extreme values where they may be shown, else fences far outside.

    A fence does not pass 0 where no value does.
    """
    shown = quantiles(numbers, settings)
    known = [value for value in shown[1:-1] if value is not None]
    if not known and (shown[0] is None or shown[-1] is None):
        return -_GREATEST, _GREATEST
    inner = known or [value for value in shown if value is not None]
    reach = FENCE * (inner[-1] / 2 - inner[0] / 2) * 2  # halves, because the difference may be no double
    lowest, highest = float(numbers.lowers[0]), float(numbers.uppers[-1])
    low = max(inner[0] - reach, 0.0 if lowest >= 0 else -_GREATEST) if shown[0] is None else lowest
    high = min(inner[-1] + reach, 0.0 if highest <= 0 else _GREATEST) if shown[-1] is None else highest
    return max(low - ROUNDING * abs(low), -_GREATEST), min(high + ROUNDING * abs(high), _GREATEST)
