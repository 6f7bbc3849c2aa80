"""Scalers: the arithmetic of ``sklearn.preprocessing._data``, operation by operation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from modelimg_runtime.columns import Batch
from modelimg_runtime.fast.errors import NotSpecialised
from modelimg_runtime.fast.inputs import Array, Matrix, Value, check_input, floats, refuse_infinite, refuse_not_finite
from modelimg_runtime.fast.parts import Part

_Change = Callable[[Array], Array | None]


def standard(part: Part, value: Value) -> Matrix:
    """``StandardScaler``: subtract the mean, divide by the scale."""
    mean, scale = _asked_for(part, "with_mean", "mean_"), _asked_for(part, "with_std", "scale_")
    return _scaled(part, value, _shift_and_divide(mean, scale))


def robust(part: Part, value: Value) -> Matrix:
    """``RobustScaler``: subtract the centre, divide by the scale."""
    center, scale = _asked_for(part, "with_centering", "center_"), _asked_for(part, "with_scaling", "scale_")
    return _scaled(part, value, _shift_and_divide(center, scale))


def max_abs(part: Part, value: Value) -> Matrix:
    """``MaxAbsScaler``: divide by the scale."""
    part.expect("clip", False, True)
    divide = _shift_and_divide(None, part.array("scale_"))
    return _scaled(part, value, _clipped(divide, -1.0, 1.0) if part.get("clip") else divide)


def min_max(part: Part, value: Value) -> Matrix:
    """``MinMaxScaler``: multiply by the scale, add the minimum, and perhaps clip."""
    part.expect("clip", False, True)
    scale, minimum = part.array("scale_"), part.array("min_")

    def change(X: Array) -> None:
        X *= scale
        X += minimum

    low, high = (float(bound) for bound in part["feature_range"])
    return _scaled(part, value, _clipped(change, low, high) if part.get("clip") else change)


def inverse_of_scaler(part: Part) -> Callable[[Array], Array] | None:
    """``inverse_transform`` of a ``StandardScaler`` or a ``MinMaxScaler`` for one column; None for all else."""
    if part.cls not in _INVERSES:
        return None
    part.check_plain()
    part.expect("copy", True)
    part.expect("clip", False)
    first, second = _INVERSES[part.cls](part)

    def back(X: Array) -> Array:
        refuse_not_finite(X)
        X = np.array(X, dtype=np.float64)
        first(X)
        second(X)
        return X

    return back


def _unscaled(part: Part) -> tuple[_Change, _Change]:
    mean, scale = _asked_for(part, "with_mean", "mean_"), _asked_for(part, "with_std", "scale_")
    one, nothing = np.ones(1), np.zeros(1)
    return (
        lambda X: np.multiply(X, one if scale is None else scale, out=X),
        lambda X: np.add(X, nothing if mean is None else mean, out=X),
    )


def _unstretched(part: Part) -> tuple[_Change, _Change]:
    minimum, scale = part.array("min_"), part.array("scale_")
    return lambda X: np.subtract(X, minimum, out=X), lambda X: np.divide(X, scale, out=X)


_INVERSES: dict[str, Callable[[Part], tuple[_Change, _Change]]] = {
    "sklearn.preprocessing._data.StandardScaler": _unscaled,
    "sklearn.preprocessing._data.MinMaxScaler": _unstretched,
}


def _asked_for(part: Part, switch: str, attribute: str) -> Array | None:
    part.expect(switch, True, False)
    return part.array(attribute) if part[switch] else None


def _shift_and_divide(shift: Array | None, divisor: Array | None) -> _Change:
    def change(X: Array) -> None:
        if shift is not None:
            X -= shift
        if divisor is not None:
            X /= divisor

    return change


def _clipped(change: _Change, low: float, high: float) -> _Change:
    def then_clip(X: Array) -> None:
        change(X)
        np.clip(X, low, high, out=X)

    return then_clip


def _scaled(part: Part, value: Value, change: _Change) -> Matrix:
    # Without a copy, scikit-learn may scale the caller's own frame, and a second call scales it again.
    part.expect("copy", True)
    check_input(part, value)
    given = floats(value, part)
    for name in ("mean_", "center_", "scale_", "min_"):
        fitted = part.get(name)
        if fitted is not None and fitted.shape != (given.width,):
            raise NotSpecialised(f"{name} of {part.name} has another length than its columns")
    read_given = given.read

    def read(batch: Batch) -> Array:
        X = read_given(batch)
        refuse_infinite(X)
        change(X)
        return X

    return Matrix(given.width, "f", read)
