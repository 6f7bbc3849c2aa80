"""``MLPClassifier`` and ``MLPRegressor``: the same products by the same BLAS, then the same activations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from modelimg_runtime.columns import Answer, Batch
from modelimg_runtime.fast.errors import NotSpecialised
from modelimg_runtime.fast.inputs import Array, Read, Value, check_input, numbers, refuse_not_finite
from modelimg_runtime.fast.linear import Reply, class_labels
from modelimg_runtime.fast.parts import Part


def regressor(part: Part, value: Value, _classes: Sequence[Any]) -> Reply:
    """``MLPRegressor``: one output or several."""
    read = _last_layer(part, value)

    def answer(batch: Batch) -> Answer:
        last = read(batch)
        return Answer(last.ravel() if last.shape[1] == 1 else last, None)

    return answer


def classifier(part: Part, value: Value, classes: Sequence[Any]) -> Reply:
    """``MLPClassifier`` of one label."""
    labels = class_labels(part, classes)
    binarizer, binary = part["_label_binarizer"], len(labels) == 2
    binarizer.expect("y_type_", "binary" if binary else "multiclass")
    read, outputs = _last_layer(part, value), 1 if binary else len(labels)
    if part["n_outputs_"] != outputs or len(part["intercepts_"][-1]) != outputs:
        raise NotSpecialised(f"{part.name} with several labels at once")

    def answer(batch: Batch) -> Answer:
        last = read(batch)
        if not binary:
            return Answer(labels[last.argmax(axis=1)], last if classes else None)
        second = last.ravel()
        chosen = labels[(second > 0.5).astype(np.intp)]
        return Answer(chosen, np.vstack([1 - second, second]).T if classes else None)

    return answer


def _last_layer(part: Part, value: Value) -> Read:
    """Activations of the last layer, shape (rows, outputs). Source: ``BaseMultilayerPerceptron._forward_pass_fast``."""
    check_input(part, value)
    matrix = numbers(value, part)
    if matrix.sparse:
        raise NotSpecialised(f"{part.name} on a sparse matrix")
    weights = [_weights(each, 2) for each in part["coefs_"]]
    biases = [_weights(each, 1) for each in part["intercepts_"]]
    hidden, output = (_activation(part[name]) for name in ("activation", "out_activation_"))
    if len(weights) != len(biases) or len(weights) != part["n_layers_"] - 1 or len(weights[0]) != matrix.width:
        raise NotSpecialised(f"{part.name} with layers that do not fit")
    read_given = matrix.read

    def read(batch: Batch) -> Array:
        activation = read_given(batch)
        refuse_not_finite(activation)
        for at, (weight, bias) in enumerate(zip(weights, biases, strict=True), 1):
            activation = np.matmul(activation, weight)
            activation += bias
            (hidden if at < len(weights) else output)(activation)
        return activation

    return read


def _weights(array: Any, dimensions: int) -> Array:
    if not isinstance(array, np.ndarray) or array.dtype != np.float64 or array.ndim != dimensions:
        raise NotSpecialised("a network whose weights are not 64-bit floats")
    return array


def _activation(name: str) -> Callable[[Array], Any]:
    if name == "logistic":
        # scikit-learn's own call; scipy.special loads fast, and element by element Python would take too long.
        from scipy.special import expit

        return lambda X: expit(X, out=X)
    if name not in _ACTIVATIONS:
        raise NotSpecialised(f"a network with the activation {name}")
    return _ACTIVATIONS[name]


def _softmax(X: Array) -> None:
    """Source: ``inplace_softmax`` of ``sklearn/neural_network/_base.py``."""
    np.exp(X - X.max(axis=1)[:, np.newaxis], out=X)
    X /= X.sum(axis=1)[:, np.newaxis]


_ACTIVATIONS: Mapping[str, Callable[[Array], Any]] = {
    "identity": lambda _X: None,
    "exp": lambda X: np.exp(X, out=X),
    "relu": lambda X: np.maximum(X, 0, out=X),
    "tanh": lambda X: np.tanh(X, out=X),
    "softmax": _softmax,
}
