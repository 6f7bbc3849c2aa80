"""Mean and standard deviation that do not depend on the order of the values, nor on how they were parted.

Values are scaled by a power of two and centred on a fixed number near their middle, so that neither huge nor tiny ones
overflow and no digits cancel. The sums of deviations and of their squares are kept exactly, as integers: floating-point
addition is not associative, and parts that are merged in another order would differ in their last digits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_UNIT: Final = 1126
"""Sums count in units of 2⁻¹¹²⁶: the last bit of the 53 that ``frexp`` gives the least double."""
_AT_ONCE: Final = 2**25
"""Values whose halves of 27 bits add up exactly in a double."""


@dataclass(frozen=True)
class Centre:
    """What deviations are taken from.

    Attributes:
        value: a finite number near the middle of the values.
        exponent: values are divided by 2^exponent, which is about the largest magnitude among them.
    """

    value: float = 0.0
    exponent: int = 0

    def deviations(self, values: Floats) -> Floats:
        """Scaled deviations of finite values."""
        deviations: Floats = np.ldexp(values, -self.exponent) - math.ldexp(self.value, -self.exponent)
        return deviations


@dataclass(frozen=True)
class Sums:
    """Exact sums of some finite values.

    Attributes:
        n: how many.
        deviations: sum of the scaled deviations, in units of 2⁻¹¹²⁶.
        squares: sum of their squares (each rounded to a double), in the same units.
    """

    n: int = 0
    deviations: int = 0
    squares: int = 0

    @classmethod
    def of(cls, values: Floats, centre: Centre) -> Sums:
        """Of finite values."""
        deviations = centre.deviations(values)
        return cls(len(values), exact_sum(deviations), exact_sum(deviations * deviations))

    def merge(self, other: Sums) -> Sums:
        """Of the values of both, whatever the order."""
        return Sums(self.n + other.n, self.deviations + other.deviations, self.squares + other.squares)

    def mean(self, centre: Centre) -> float | None:
        """The mean; None without values."""
        if not self.n:
            return None
        scale = Fraction(2) ** centre.exponent
        return float(Fraction(centre.value) + Fraction(self.deviations, self.n << _UNIT) * scale)

    def std(self, centre: Centre) -> float | None:
        """The sample standard deviation (n − 1); None of fewer than two values, or where no double can hold it."""
        if self.n < 2:
            return None
        squares, deviations = Fraction(self.squares, 1 << _UNIT), Fraction(self.deviations, 1 << _UNIT)
        variance = max(Fraction(0), squares - deviations**2 / self.n) / (self.n - 1)
        try:
            return math.ldexp(math.sqrt(variance), centre.exponent)
        except OverflowError:
            return None


def exact_sum(values: Floats) -> int:
    """The exact sum of finite doubles, in units of 2⁻¹¹²⁶."""
    if len(values) > _AT_ONCE:
        return sum(exact_sum(values[start : start + _AT_ONCE]) for start in range(0, len(values), _AT_ONCE))
    if not len(values):
        return 0
    fractions, exponents = np.frexp(values)
    mantissas = np.ldexp(fractions, 53).astype(np.int64)
    lowest = int(exponents.min())
    places = exponents - lowest
    high = np.bincount(places, weights=(mantissas >> 26).astype(np.float64))
    low = np.bincount(places, weights=(mantissas & (2**26 - 1)).astype(np.float64))
    return sum(
        ((int(upper) << 26) + int(lower)) << (place + lowest - 53 + _UNIT)
        for place, (upper, lower) in enumerate(zip(high.tolist(), low.tolist(), strict=True))
        if upper or lower
    )


def merged_moments(
    n: tuple[int, int], means: tuple[float | None, float | None], stds: tuple[float | None, float | None]
) -> tuple[float | None, float | None]:
    """Mean and standard deviation of two parts together, to rounding.

    Source: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances" (1979).

    Args:
        n: values in each part.
        means: of each part; None without values.
        stds: sample standard deviations of each; None of fewer than two values.
    """
    total = sum(n)
    if not all(n):
        return (means[1], stds[1]) if not n[0] else (means[0], stds[0])
    first, second = means
    if first is None or second is None or any(size > 1 and std is None for size, std in zip(n, stds, strict=True)):
        return None, None
    delta = second - first
    parts = [(size - 1) * (std or 0.0) * (std or 0.0) for size, std in zip(n, stds, strict=True)]
    squares = sum(parts) + delta * delta * (n[0] * n[1] / total)
    mean, std = first + delta * (n[1] / total), math.sqrt(squares / (total - 1))
    return (mean if math.isfinite(mean) else None), (std if math.isfinite(std) else None)
