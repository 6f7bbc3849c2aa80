"""Rates of rare events, of which there may be none: missing values, unseen categories, numbers out of range."""

from __future__ import annotations

import math
from dataclasses import dataclass

from modelimg_runtime.drift.special import hypergeometric_tails, normal_quantile


@dataclass(frozen=True)
class Rate:
    """How often something happens, in the reference and live.

    Attributes:
        reference: share of the reference's rows.
        live: share of the live rows.
        low: lower end of the 95 % interval around ``live``.
        high: its upper end.
        threshold: how far ``live`` may be from ``reference`` before anybody is told.
        p: probability of a difference as large where nothing drifted.
    """

    reference: float
    live: float
    low: float
    high: float
    threshold: float
    p: float

    @property
    def change(self) -> float:
        """Of the share, upwards positive."""
        return self.live - self.reference


def wilson(count: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """An interval for a rate, from 0 to 1; all of it where nothing was seen.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference" (1927).
    """
    if n == 0:
        return 0.0, 1.0
    z = normal_quantile(confidence)
    share, square = count / n, z * z / n
    centre = share + square / 2
    reach = z * math.sqrt(share * (1 - share) / n + square / (4 * n))
    low, high = (centre - reach) / (1 + square), (centre + reach) / (1 + square)
    return (0.0 if count == 0 else max(0.0, low)), (1.0 if count == n else min(1.0, high))


def compare_rates(reference: tuple[int, int], live: tuple[int, int], *, threshold: float, both_ways: bool) -> Rate:
    """Compare a rate with the reference's, by Fisher's exact test, which holds however rare it is.

    Args:
        reference: how often, and of how many rows.
        live: the same.
        threshold: of `Rate`.
        both_ways: whether a fall is as bad as a rise.
    """
    (seen, rows), (count, n) = reference, live
    fewer, more = hypergeometric_tails(count, n, seen + count, rows + n)
    p = min(1.0, 2 * min(fewer, more)) if both_ways else more
    low, high = wilson(count, n)
    return Rate(seen / rows if rows else 0.0, count / n if n else 0.0, low, high, threshold, p)
