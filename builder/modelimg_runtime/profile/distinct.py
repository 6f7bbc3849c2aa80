"""How many different values there are, in bounded memory: the k least hashes.

Source: Bar-Yossef et al., "Counting distinct elements in a data stream" (2002); Beyer et al., "On synopses for
distinct-value estimation under multiset operations" (2007), whose unbiased estimator (k − 1) / U₍ₖ₎ this is. The
summary is a function of the set of values alone, so that parts merge to exactly that of the whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

K: Final = 4096
"""Hashes that are kept; the relative standard error of an estimate is 1 / √K, 1.6 %."""

Hashes = NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class Distinct:
    """See the module.

    Attributes:
        hashes: the least ``K`` of the values' hashes, ascending.
    """

    hashes: Hashes

    @classmethod
    def of_ints(cls, values: NDArray[np.int64]) -> Distinct:
        """Of 64-bit integers."""
        return cls(_least(_mixed(values.view(np.uint64))))

    @classmethod
    def of_names(cls, names: Iterable[str]) -> Distinct:
        """Of texts that UTF-8 can encode."""
        digests = b"".join(hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names)
        return cls(_least(np.frombuffer(digests, dtype="<u8").astype(np.uint64)))

    def merge(self, other: Distinct) -> Distinct:
        """Of the values of both."""
        return Distinct(_least(np.concatenate([self.hashes, other.hashes])))

    @property
    def estimate(self) -> int:
        """How many: exact below ``K``."""
        if len(self.hashes) < K:
            return len(self.hashes)
        return round((K - 1) * 2**64 / int(self.hashes[-1]))


def _least(hashes: Hashes) -> Hashes:
    if len(hashes) > 2 * K:  # more than two summaries hold, so these are of different values
        hashes = np.partition(hashes, K)[:K]
    return np.unique(hashes)[:K]


def _mixed(values: Hashes) -> Hashes:
    """A bijection that scatters neighbours: the finaliser of SplitMix64 (Steele, Lea and Flood, 2014)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
