"""How far a classifier's confidence can be believed: the share of right answers by the probability of the top class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from modelimg_runtime.profile.bins import NumberBins

CONFIDENCE_BINS: Final = NumberBins(tuple(i / 50 for i in range(51)))
"""Bins of the top class's probability."""
SCORE_BINS: Final = NumberBins(tuple(i / 20 for i in range(21)))
"""Bins of each class's probability."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """A monotone curve from confidence to accuracy, fitted on data that the model was not fitted on.

    Attributes:
        confidences: knots of the curve, ascending, from 0 to 1.
        accuracies: share of right answers at each, never falling, from 0 to 1.
        centres: mean confidence of the reference's rows in each bin of ``CONFIDENCE_BINS``; the bin's middle where
            there are none.
        rows: of the reference, by bin.
    """

    confidences: tuple[float, ...]
    accuracies: tuple[float, ...]
    centres: tuple[float, ...]
    rows: tuple[int, ...]

    def __post_init__(self) -> None:
        bins = len(CONFIDENCE_BINS.edges) - 1
        if not self.confidences or len(self.confidences) != len(self.accuracies):
            raise ValueError("a calibration needs as many accuracies as confidences, and one at least")
        if any(a >= b for a, b in pairwise(self.confidences)) or any(a > b for a, b in pairwise(self.accuracies)):
            raise ValueError("a calibration must rise")
        if not all(0 <= value <= 1 for value in (*self.confidences, *self.accuracies)):
            raise ValueError("confidences and accuracies are from 0 to 1")
        if len(self.centres) != bins or len(self.rows) != bins or min(self.rows) < 0:
            raise ValueError(f"a calibration has one centre and one number of rows for each of {bins} bins")

    def accuracy_at(self, confidences: Floats) -> Floats:
        """The share of right answers to expect at some confidences, which may be any number."""
        return np.interp(confidences, self.confidences, self.accuracies)

    def by_bin(self) -> Floats:
        """The share of right answers to expect in each bin of ``CONFIDENCE_BINS``. Shape (bins,)."""
        return self.accuracy_at(np.array(self.centres))

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "confidences": list(self.confidences),
            "accuracies": list(self.accuracies),
            "centres": list(self.centres),
            "rows": list(self.rows),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Calibration:
        """From JSON.

        Raises:
            ValueError: a field is missing, of another type, or no calibration.
        """
        try:
            return cls(
                tuple(map(float, data["confidences"])),
                tuple(map(float, data["accuracies"])),
                tuple(map(float, data["centres"])),
                tuple(map(int, data["rows"])),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"the calibration lacks or misnames a field: {error}") from error
