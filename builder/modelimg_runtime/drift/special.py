"""The few special functions that the statistics need, since the runtime has no SciPy at hand that loads fast."""

from __future__ import annotations

import math
from functools import lru_cache

_BISECTIONS = 200


def chi2_sf(x: float, df: int) -> float:
    """Probability that a χ² variable of ``df`` degrees of freedom exceeds ``x``.

    A finite sum of positive terms for whole degrees of freedom, so no digits cancel: relative error below 10⁻¹².
    Source: Abramowitz and Stegun, Handbook of Mathematical Functions (1964), 26.4.4 and 26.4.5.

    Args:
        x: from 0.
        df: from 1.
    """
    if x <= 0:
        return 1.0
    half = x / 2
    log_half, first = math.log(half), 0.5 * (df % 2)
    terms = [math.exp((k + first) * log_half - half - math.lgamma(k + first + 1)) for k in range(df // 2)]
    return min(1.0, math.fsum(terms) + (math.erfc(math.sqrt(half)) if df % 2 else 0.0))


@lru_cache(maxsize=1024)
def chi2_isf(p: float, df: int) -> float:
    """The value that a χ² variable of ``df`` degrees of freedom exceeds with probability ``p``, 0 < p < 1."""
    low, high = 0.0, 1.0
    while chi2_sf(high, df) > p:
        low, high = high, 2 * high
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if chi2_sf(middle, df) > p else (low, middle)
    return high


def normal_quantile(confidence: float) -> float:
    """The z with which ±z holds a standard normal variable with a probability: 1.96 of 0.95."""
    return math.sqrt(chi2_isf(1 - confidence, 1))


def hypergeometric_tails(k: int, draws: int, marked: int, total: int) -> tuple[float, float]:
    """Probabilities of at most, and of at least, ``k`` marked ones among draws without replacement.

    Source: the sum that Fisher's exact test takes (1922); terms follow from each other by ratios, outwards from ``k``.
    """
    least, most = max(0, draws + marked - total), min(draws, marked)
    if not least <= k <= most:
        return (1.0, 0.0) if k > most else (0.0, 1.0)
    here = math.exp(_log_choose(marked, k) + _log_choose(total - marked, draws - k) - _log_choose(total, draws))
    above = below = 0.0
    term, i = here, k
    while i < most and term > 1e-17 * (here + above):
        term *= (marked - i) * (draws - i) / ((i + 1) * (total - marked - draws + i + 1))
        above, i = above + term, i + 1
    term, i = here, k
    while i > least and term > 1e-17 * (here + below):
        term *= i * (total - marked - draws + i) / ((marked - i + 1) * (draws - i + 1))
        below, i = below + term, i - 1
    return min(1.0, below + here), min(1.0, above + here)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
