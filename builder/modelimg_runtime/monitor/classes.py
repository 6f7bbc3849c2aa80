"""Judging classes: confusion counts, accuracy and the macro-averaged F1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from modelimg_runtime.monitor.scheme import LABELS, Added, Floats, LabelRefused, Sums, Truth, normal, several, share
from modelimg_runtime.profile.binner import Binner
from modelimg_runtime.profile.bins import CategoryBins
from modelimg_runtime.profile.column import ColumnProfile
from modelimg_runtime.profile.output import Estimate

MATRIX: Final = 20
"""Classes up to which whole confusion matrices are kept; of more, how often each was true, was said, and was right."""


class Classes:
    """One class a row: a confusion matrix, or its margins and diagonal where the classes are many.

    Args:
        profile: of the predictions.
    """

    floats, width = 0, 1

    def __init__(self, profile: ColumnProfile) -> None:
        self._binner = profile.binner()
        self.names, self._allowed = _names(profile)
        k = self._k = len(self.names)
        self._whole = k <= MATRIX
        self._known: dict[tuple[type, Any], Truth] = {}
        self.wholes = 1 + (k * k if self._whole else 3 * k)

    def one(self, prediction: Any) -> Truth:
        """The class's number."""
        # A type belongs to the key, since True equals 1.
        return self._known.get((type(prediction), prediction)) or self._number(prediction)

    def _number(self, prediction: Any) -> Truth:
        place = self._binner.one(prediction)
        if place >= self._k - 1:
            return (float(self._k - 1),)
        return self._known.setdefault((type(prediction), prediction), (float(place),))

    def numbers(self, predictions: Sequence[Any]) -> Floats:
        """The classes' numbers; what is none of them is the last one, ``<other>``."""
        types = {*map(type, predictions)}
        # Values of one type that are equal have one name; True and 1 have not.
        keys = predictions if len(types) == 1 else [*zip(map(type, predictions), predictions, strict=True)]
        known = {key: self.one(key if len(types) == 1 else key[1])[0] for key in {*keys}}
        return np.fromiter(map(known.__getitem__, keys), np.float64, len(keys))[:, None]

    def truth(self, label: Any) -> Truth:
        """The class's number."""
        return (_class_of(self._binner, label, self._allowed),)

    def added(self, predicted: Truth, truth: Truth) -> Added:
        """See `Scheme`."""
        k, said, true = self._k, int(predicted[0]), int(truth[0])
        if self._whole:
            return (0, 1 + true * k + said), None
        right = (1 + 2 * k + true,) if said == true else ()
        return (0, 1 + true, 1 + k + said, *right), None

    def estimates(self, sums: Sums) -> dict[str, Estimate]:
        """accuracy, and f1_macro as scikit-learn has it: the mean over the classes that are true or said."""
        n = sums.wholes[0]
        if not n:
            return {}
        found = {"accuracy": share(int(self._margins(sums)[2].sum()), n)}
        return found | ({"f1_macro": self._f1(sums)} if n >= LABELS else {})

    def _margins(self, sums: Sums) -> tuple[Floats, Floats, Floats]:
        k, cells = self._k, np.asarray(sums.wholes[1:], dtype=np.float64)
        if self._whole:
            matrix = cells.reshape(k, k)
            return matrix.sum(axis=1), matrix.sum(axis=0), matrix.diagonal()
        return cells[:k], cells[k : 2 * k], cells[2 * k :]

    def _f1(self, sums: Sums) -> Estimate:
        """The mean of F_c = 2 r_c / s_c, where s_c = t_c + p_c.

        A right row of class c moves F_c by (2 − 2 F_c) / s_c, a wrong one F_t by −F_t / s_t and F_p by −F_p / s_p; the
        squares of what rows move, summed up, are the variance. Without a matrix, (a + b)² ≤ 2 a² + 2 b² bounds those of
        the wrong ones from above.
        """
        true, said, right = self._margins(sums)
        either = true + said
        held = either > 0
        size = np.where(held, either, 1.0)
        f1 = np.where(held, 2 * right / size, 0.0)
        pull = f1 / size
        if self._whole:
            wrong = np.asarray(sums.wholes[1:], dtype=np.float64).reshape(self._k, self._k) * (1 - np.eye(self._k))
            missed = float((wrong * (pull[:, None] + pull[None, :]) ** 2).sum())
        else:
            missed = float((2 * pull**2 * (true + said - 2 * right)).sum())
        squares = float((right * (2 * (1 - f1) / size) ** 2).sum()) + missed
        classes = int(held.sum())
        return normal(float(f1.sum()) / classes, math.sqrt(squares) / classes, 0.0, 1.0)

    def describe(self, sums: Sums) -> dict[str, Any]:
        """A confusion matrix, rows true and columns said, or its margins and diagonal."""
        k, cells = self._k, [int(each) for each in sums.wholes[1:]]
        if self._whole:
            return {"classes": list(self.names), "confusion": [cells[i * k : (i + 1) * k] for i in range(k)]}
        return {"classes": list(self.names), "true": cells[:k], "said": cells[k : 2 * k], "right": cells[2 * k :]}


class Labels:
    """Several classes a row, all of which must be right.

    Args:
        profiles: of the predictions.
    """

    wholes, floats = 2, 0

    def __init__(self, profiles: Sequence[ColumnProfile]) -> None:
        self._binners = [profile.binner() for profile in profiles]
        self._allowed = [_names(profile)[1] for profile in profiles]
        self.width = len(profiles)

    def one(self, prediction: Any) -> Truth:
        """See `Scheme`."""
        return tuple([float(binner.one(value)) for binner, value in zip(self._binners, prediction, strict=True)])

    def numbers(self, predictions: Sequence[Any]) -> Floats:
        """See `Scheme`."""
        columns = zip(self._binners, zip(*predictions, strict=True), strict=True)
        return np.stack([binner.many(list(values)) for binner, values in columns], axis=1).astype(np.float64)

    def truth(self, label: Any) -> Truth:
        """See `Scheme`."""
        values = several(label, self.width)
        return tuple(
            _class_of(binner, value, allowed)
            for binner, allowed, value in zip(self._binners, self._allowed, values, strict=True)
        )

    def added(self, predicted: Truth, truth: Truth) -> Added:
        """See `Scheme`."""
        return ((0, 1) if predicted == truth else (0,)), None

    def estimates(self, sums: Sums) -> dict[str, Estimate]:
        """accuracy: of rows of which all classes are right."""
        n, hits = sums.wholes
        return {"accuracy": share(hits, n)} if n else {}

    def describe(self, sums: Sums) -> dict[str, Any]:
        """See `Scheme`."""
        return {"right": int(sums.wholes[1])}


def _names(profile: ColumnProfile) -> tuple[tuple[str, ...], int]:
    """Names of the classes with one for all others, and the greatest number that a label may have."""
    bins = profile.bins
    assert isinstance(bins, CategoryBins)  # noqa: S101 - `scheme_of` asked
    return (*bins.categories, "<other>"), len(bins.categories) if bins.folded else len(bins.categories) - 1


def _class_of(binner: Binner, label: Any, allowed: int) -> float:
    # An array or an object is no class; the text of one that is nested deeply cannot even be made.
    place = math.inf if isinstance(label, (list, dict)) else binner.one(label)
    if place > allowed:
        raise LabelRefused("the label is none of the model's classes")
    return float(place)
