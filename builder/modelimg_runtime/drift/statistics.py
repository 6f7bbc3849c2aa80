"""How far two histograms of the same bins are apart. docs/reference/profile.md has the formulas and their sources."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from modelimg_runtime.drift.special import chi2_sf

EXPECTED: Final = 5.0
"""Rows that a bin must expect on either side for χ² to hold; smaller ones are put together (Cochran, 1954)."""

Histogram = NDArray[np.float64]


@dataclass(frozen=True)
class ChiSquare:
    """A χ² test.

    Attributes:
        statistic: the sum.
        df: degrees of freedom.
        p: probability of a sum as large where nothing drifted.
    """

    statistic: float
    df: int
    p: float


def psi(reference: Histogram, live: Histogram) -> float:
    """The population stability index, Σ (q − p) ln(q / p), of smoothed shares."""
    p, q = smoothed(reference), smoothed(live)
    return float(((q - p) * np.log(q / p)).sum())


def jensen_shannon(reference: Histogram, live: Histogram) -> float:
    """The Jensen–Shannon distance of smoothed shares in √bits, below 1: the root of the divergence from their mean."""
    p, q = smoothed(reference), smoothed(live)
    middle = (p + q) / 2
    divergence = float((p * np.log2(p / middle) + q * np.log2(q / middle)).sum()) / 2
    return math.sqrt(max(0.0, divergence))


def kolmogorov_smirnov(reference: Histogram, live: Histogram) -> float:
    """The greatest difference of the cumulated shares at the bins' edges: at most that of the values themselves."""
    return float(np.abs(np.cumsum(shares(reference)) - np.cumsum(shares(live))).max())


def l_infinity(reference: Histogram, live: Histogram) -> float:
    """The greatest difference of a bin's share."""
    return float(np.abs(shares(reference) - shares(live)).max())


def chi_square(reference: Histogram, live: Histogram) -> ChiSquare:
    """Pearson's test that both histograms are samples of one distribution.

    The reference is a sample as well; as its rows N → ∞, this is Σ (O − n p)² / (n p). Bins that are empty on both
    sides do not count.
    """
    table = np.stack([reference, live])
    table = table[:, table.sum(axis=0) > 0]
    df = table.shape[1] - 1
    if df < 1:
        return ChiSquare(0.0, 0, 1.0)
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    statistic = float(((table - expected) ** 2 / expected).sum())
    return ChiSquare(statistic, df, chi2_sf(statistic, df))


def pooled(reference: Histogram, live: Histogram) -> tuple[Histogram, Histogram]:
    """The histograms with neighbouring bins put together until each expects ``EXPECTED`` rows on either side.

    Expected is what a bin would hold if both were samples of one distribution. Neighbours are neighbouring intervals,
    or the rarest categories, which stand last.
    """
    both = reference + live
    total = float(both.sum())
    if total == 0:
        return both[:1], both[:1]
    least = EXPECTED * total / max(1.0, min(float(reference.sum()), float(live.sum())))
    groups = _groups(both.tolist(), least)
    return np.add.reduceat(reference, groups), np.add.reduceat(live, groups)


def _groups(counts: Sequence[float], least: float) -> list[int]:
    """Where each group starts; what is left over at the end joins the last one."""
    starts, held = [0], 0.0
    for position, count in enumerate(counts):
        if held >= least:
            starts.append(position)
            held = 0.0
        held += count
    return starts if held >= least or len(starts) == 1 else starts[:-1]


def shares(counts: Histogram) -> Histogram:
    """Counts over their sum."""
    found: Histogram = counts / counts.sum()
    return found


def smoothed(counts: Histogram) -> Histogram:
    """Shares after half a row was added to each bin, (c + ½) / (n + ½ B): none is 0 (Krichevsky and Trofimov, 1981)."""
    found: Histogram = (counts + 0.5) / (counts.sum() + 0.5 * len(counts))
    return found
