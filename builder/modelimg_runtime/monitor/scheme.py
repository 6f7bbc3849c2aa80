"""What the ways of judging answers have in common: sums over labelled rows, and metrics of these with intervals.

The intervals are of 95 %, from closed formulas where the package's are from resampling:

* accuracy: Wilson's (Wilson, 1927);
* the others: normal, with the variance of the estimate's influence function (the delta method: van der Vaart,
  *Asymptotic Statistics*, 1998, chapter 3; for the macro-averaged F1 also Takahashi et al., "Confidence interval for
  micro-averaged F1 and macro-averaged F1 scores", 2022).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from modelimg_runtime.drift.rates import wilson
from modelimg_runtime.drift.special import normal_quantile
from modelimg_runtime.profile.output import Estimate

LABELS: Final = 30
"""Below so many labels, only the accuracy is given: the other intervals lean on the normal distribution."""

_Z: Final = normal_quantile(0.95)
Floats = NDArray[np.float64]
Truth = tuple[float, ...]
Added = tuple[tuple[int, ...], "Floats | None"]
"""Cells of whole numbers to which a labelled row adds 1, and what it adds to the floats."""


class LabelRefused(ValueError):  # noqa: N818 - it says what is the case
    """The label is none that could have been right; the message says why."""


@dataclass(frozen=True)
class Sums:
    """What was summed up.

    Attributes:
        wholes: the first is the number of labels.
        floats: empty for classes.
    """

    wholes: Sequence[int]
    floats: Sequence[float] = ()


class Scheme(Protocol):
    """What is summed up for one kind of model.

    Attributes:
        wholes: cells of whole numbers; the first counts the labels.
        floats: cells of floats.
        width: numbers that stand for one prediction.
    """

    wholes: int
    floats: int
    width: int

    def one(self, prediction: Any) -> Truth:
        """What stands for a prediction."""

    def numbers(self, predictions: Sequence[Any]) -> Floats:
        """What stands for some predictions. Shape (n, width)."""

    def truth(self, label: Any) -> Truth:
        """What stands for a label, or for a prediction that a caller sends back.

        Raises:
            LabelRefused: it could not have been right.
        """

    def added(self, predicted: Truth, truth: Truth) -> Added:
        """What a labelled row adds.

        Raises:
            LabelRefused: the prediction is one that no label can judge.
        """

    def estimates(self, sums: Sums) -> dict[str, Estimate]:
        """The metrics of what was summed up; those that are not defined are left out."""

    def describe(self, sums: Sums) -> dict[str, Any]:
        """The sums by name, for JSON."""


def share(hits: int, n: int) -> Estimate:
    """A share of right answers with Wilson's interval."""
    return Estimate(hits / n, *wilson(hits, n))


def normal(value: float, error: float, low: float = -math.inf, high: float = math.inf) -> Estimate:
    """An estimate with its standard error, within what it may be."""
    return Estimate(value, max(low, value - _Z * error), min(high, value + _Z * error))


def several(label: Any, count: int) -> Sequence[Any]:
    """A label of several outputs.

    Raises:
        LabelRefused: it is none.
    """
    if not isinstance(label, list) or len(label) != count:
        raise LabelRefused(f"a label must be an array of {count}, one for each output")
    return label
