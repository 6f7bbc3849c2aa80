"""Thresholds that know the sample size: what chance alone would do is never reported."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from modelimg_runtime.drift.special import chi2_isf


@dataclass(frozen=True)
class Thresholds:
    """What counts as drift. A column drifted where a difference is both large and no chance.

    Attributes:
        psi: the least index that matters, however many rows there are.
        distance: the least Jensen–Shannon distance, Kolmogorov–Smirnov and L∞ difference that matters.
        rate: the least change of a share of missing, unseen or out-of-range values that matters.
        false_alarms: share of windows without any drift in which some column may be reported, by chance.
        tail: how often a single statistic may pass its threshold by chance, where only that one is looked at.
        rows: below so many, nothing is said.
    """

    psi: float = 0.1
    distance: float = 0.1
    rate: float = 0.01
    false_alarms: float = 0.001
    tail: float = 0.01
    rows: int = 200

    def for_psi(self, bins: int, reference: float, live: float) -> float:
        """Threshold of the index: max(0.1, χ²_{B−1} (1/n + 1/N)), whose chance part has the mean (B − 1)(1/n + 1/N).

        Source: Yurdakul and Naranjo, "Statistical properties of the population stability index" (2020).
        """
        return max(self.psi, self._chance(bins, reference, live))

    def for_jensen_shannon(self, bins: int, reference: float, live: float) -> float:
        """Of the distance in √bits: for small differences its square is the index over 8 ln 2."""
        return max(self.distance, math.sqrt(self._chance(bins, reference, live) / (8 * math.log(2))))

    def for_kolmogorov_smirnov(self, reference: float, live: float) -> float:
        """Of the difference: √(−½ ln(α/2)) √(1/n + 1/N), which is 1.628 √… at 1 % (Smirnov, 1948)."""
        return max(self.distance, math.sqrt(-0.5 * math.log(self.tail / 2) * (1 / live + 1 / reference)))

    def for_l_infinity(self, shares: Sequence[float], reference: float, live: float) -> float:
        """Of the difference of one bin's share: normal, with the greatest variance of any bin, Bonferroni over bins."""
        variance = max(share * (1 - share) for share in shares) * (1 / live + 1 / reference)
        return max(self.distance, math.sqrt(chi2_isf(self.tail / len(shares), 1) * variance))

    def _chance(self, bins: int, reference: float, live: float) -> float:
        return chi2_isf(self.tail, bins - 1) * (1 / live + 1 / reference) if bins > 1 else 0.0


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """Adjusted p-values: those at or below α name the columns of which at most the share α is named by chance.

    Source: Benjamini and Hochberg, "Controlling the false discovery rate" (1995). Holds for independent tests and for
    positively dependent ones.

    Returns:
        In the order of ``p``.
    """
    order = sorted(range(len(p)), key=lambda i: p[i], reverse=True)
    adjusted, least = [1.0] * len(p), 1.0
    for rank, position in zip(range(len(p), 0, -1), order, strict=True):
        least = min(least, p[position] * len(p) / rank)
        adjusted[position] = least
    return adjusted
