"""Judging numbers: r², mean absolute error and root mean squared error, from sums of powers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from modelimg_runtime.monitor.scheme import LABELS, Added, Floats, LabelRefused, Sums, Truth, normal, several
from modelimg_runtime.profile.column import ColumnProfile
from modelimg_runtime.profile.output import Estimate

LARGEST: Final = 1e60
"""The largest label: its fourth power, summed up over any number of rows, is still a double."""
SUMS: Final = ("|e|", "e2", "e4", "s", "s2", "s3", "s4", "e2s", "e2s2")
"""Sums over labelled rows: e is prediction minus label, s the label minus the packed mean of the predictions."""


class Numbers:
    """One number or several a row. Sums are taken around the packed mean, so that few digits cancel.

    Args:
        profiles: of the predictions.
    """

    wholes = 1

    def __init__(self, profiles: Sequence[ColumnProfile]) -> None:
        self.width = len(profiles)
        self.floats = self.width * len(SUMS)
        self._centres = np.array([profile.mean or 0.0 for profile in profiles])

    def one(self, prediction: Any) -> Truth:
        """See `Scheme`; NaN where the model answered nothing."""
        return (_float(prediction),) if self.width == 1 else tuple(map(_float, prediction))

    def numbers(self, predictions: Sequence[Any]) -> Floats:
        """See `Scheme`."""
        return np.array(predictions, dtype=np.float64).reshape(len(predictions), self.width)

    def truth(self, label: Any) -> Truth:
        """See `Scheme`."""
        values = [label] if self.width == 1 else several(label, self.width)
        for value in values:
            if type(value) not in (int, float) or not -LARGEST <= value <= LARGEST:
                raise LabelRefused(f"a label must be a number from {-LARGEST:g} to {LARGEST:g}")
        return tuple(map(float, values))

    def added(self, predicted: Truth, truth: Truth) -> Added:
        """See `Scheme`; `SUMS` names them."""
        if any(map(math.isnan, predicted)):  # which would stay in the sums
            raise LabelRefused("the answer to this row was a missing value")
        said, true = np.clip(predicted, -LARGEST, LARGEST), np.array(truth)
        e, s = said - true, true - self._centres
        square = e * e
        return (0,), np.stack([abs(e), square, square**2, s, s**2, s**3, s**4, square * s, square * s**2], 1).ravel()

    def estimates(self, sums: Sums) -> dict[str, Estimate]:
        """r2, mae and rmse: means over outputs; so are their standard errors, which the true ones do not exceed."""
        n = int(sums.wholes[0])
        if n < LABELS:
            return {}
        moments = np.asarray(sums.floats, dtype=np.float64).reshape(self.width, len(SUMS)) / n
        mae, mse, fourth = moments[:, 0], moments[:, 1], moments[:, 2]
        found = {"mae": normal(float(mae.mean()), float(_se(mse - mae**2, n).mean()), 0.0)}
        root, spread = math.sqrt(float(mse.mean())), float(_se(fourth - mse**2, n).mean())
        found["rmse"] = normal(root, spread / (2 * root) if root else 0.0, 0.0)
        r2 = _r2(moments, n)
        return found | ({"r2": r2} if r2 else {})

    def describe(self, sums: Sums) -> dict[str, Any]:
        """The sums of each output by name."""
        rows = np.asarray(sums.floats, dtype=np.float64).reshape(self.width, len(SUMS)).tolist()
        return {"centres": self._centres.tolist(), "sums": [dict(zip(SUMS, row, strict=True)) for row in rows]}


def _float(prediction: float | None) -> float:
    return math.nan if prediction is None else float(prediction)


def _r2(moments: Floats, n: int) -> Estimate | None:
    """1 − A/B, A the mean of e², B the variance of the labels: its influence is −e²/B + A (s − m)²/B²."""
    _, a, e4, m, s2, s3, s4, e2s, e2s2 = moments.T
    b = s2 - m**2
    if not (b > 0).all():
        return None
    with np.errstate(over="ignore", invalid="ignore"):  # labels that are all but equal, answers far off
        ratio, d4, e2d2 = a / b, s4 - 4 * m * s3 + 6 * m**2 * s2 - 3 * m**4, e2s2 - 2 * m * e2s + m**2 * a
        variance = (e4 - 2 * ratio * e2d2 + ratio**2 * d4) / b**2
    if not (np.isfinite(ratio).all() and np.isfinite(variance).all()):
        return None
    return normal(float((1 - a / b).mean()), float(_se(variance, n).mean()), -math.inf, 1.0)


def _se(variance: Floats, n: int) -> Floats:
    """Standard errors of means; rounding may make a variance of 0 negative."""
    found: Floats = np.sqrt(np.maximum(variance, 0.0) / n)
    return found
