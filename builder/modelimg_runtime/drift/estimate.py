"""Accuracy without labels: confidence-based performance estimation (CBPE), from counts of confidences.

The packed calibration says how often the model is right at a confidence; its mean over the live confidences estimates
how often it is right now. That holds while the inputs move and their relation to the label stays. **It cannot see
concept drift**: where the same inputs come to mean another label, the model is as confident as before, and so is the
estimate.

Source: Zadrozny and Elkan, "Transforming classifier scores into accurate multiclass probability estimates" (2002), for
the calibration; the estimate is what NannyML calls CBPE of accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from modelimg_runtime.drift.special import normal_quantile
from modelimg_runtime.profile.calibration import CONFIDENCE_BINS, Calibration
from modelimg_runtime.profile.output import Estimate

ROWS = 200
"""Below so many rows, nothing is estimated."""


def estimated_accuracy(
    calibration: Calibration, counts: Sequence[int] | NDArray[np.int64], confidence: float = 0.95
) -> Estimate | None:
    """The accuracy to expect of live answers; None of fewer than ``ROWS``.

    The interval covers two chances: of the live answers, each right or wrong with its probability, and of the
    reference's, on which the calibration was fitted. Bins that the calibration gives one accuracy were fitted together,
    so they err together; half a row is added to either outcome, so that a calibration that was never wrong is not sure.

    Args:
        calibration: of the package.
        counts: live answers by confidence, in the places of ``CONFIDENCE_BINS``.
        confidence: of the interval.

    Raises:
        ValueError: counts in other places.
    """
    live = np.asarray(counts, dtype=np.float64)
    if len(live) != CONFIDENCE_BINS.size:
        raise ValueError(f"confidences are counted in {CONFIDENCE_BINS.size} places, and these are {len(live)}")
    inner = live[1:-2]  # a probability is neither out of range nor missing
    n = float(inner.sum())
    if n < ROWS:
        return None
    accuracies, weights = calibration.by_bin(), inner / n
    value = float(weights @ accuracies)
    variance = float(weights @ (accuracies * (1 - accuracies))) / n + _calibration_variance(calibration, weights)
    reach = normal_quantile(confidence) * math.sqrt(variance)
    return Estimate(value, max(0.0, value - reach), min(1.0, value + reach))


def _calibration_variance(calibration: Calibration, weights: NDArray[np.float64]) -> float:
    """Of the weighted mean of fitted accuracies, each from the reference's rows in all bins that share it."""
    accuracies, blocks = np.unique(calibration.by_bin(), return_inverse=True)
    rows = np.bincount(blocks, weights=np.array(calibration.rows, dtype=np.float64))
    share = np.bincount(blocks, weights=weights)
    smoothed = (accuracies * rows + 0.5) / (rows + 1)
    return float((share**2 * smoothed * (1 - smoothed) / (rows + 1)).sum())
