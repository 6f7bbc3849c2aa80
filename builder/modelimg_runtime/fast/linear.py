"""Linear models: the same products, by the same call of the same BLAS on the same memory order."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from modelimg_runtime.columns import Answer, Batch
from modelimg_runtime.fast.errors import NotSpecialised
from modelimg_runtime.fast.inputs import Array, Read, Value, check_input, numbers, refuse_not_finite
from modelimg_runtime.fast.parts import Part

Reply = Callable[[Batch], Answer]
_Probabilities = Callable[[Array], Array]


def regressor(part: Part, value: Value, _classes: Sequence[Any]) -> Reply:
    """``LinearRegression``, ``Ridge``, ``Lasso``, ``ElasticNet``, …: one output or several."""
    scores = _scores(part, value)
    return lambda batch: Answer(scores(batch), None)


def by_stochastic_gradients(part: Part, value: Value, _classes: Sequence[Any]) -> Reply:
    """``SGDRegressor``, ``PassiveAggressiveRegressor``, ``LinearSVR``: one output, flattened."""
    scores = _scores(part, value)
    return lambda batch: Answer(scores(batch).ravel(), None)


def of_log_link(part: Part, value: Value, _classes: Sequence[Any]) -> Reply:
    """``PoissonRegressor``, ``GammaRegressor``: the exponential of the scores."""
    scores = _scores(part, value)
    return lambda batch: Answer(np.exp(scores(batch)), None)


def logistic(part: Part, value: Value, classes: Sequence[Any]) -> Reply:
    """``LogisticRegression``: the sigmoid for two classes, the softmax for more.

    With the solver ``liblinear``, up to 1.7, it is the sigmoid of each class against the others.

    Raises:
        NotSpecialised: one of the schemes of ``multi_class`` that scikit-learn has given up.
    """
    part.expect("multi_class", "auto", "deprecated")
    labels = class_labels(part, classes)
    one_by_one = part["solver"] == "liblinear"
    if one_by_one and len(labels) > 2 and "multi_class" not in part:
        raise NotSpecialised(f"{part.name} with one problem per class")
    several = shares_of_sigmoids if one_by_one else softmax
    return _classifier(part, value, labels, (sigmoids if len(labels) == 2 else several) if classes else None)


def sgd_classifier(part: Part, value: Value, classes: Sequence[Any]) -> Reply:
    """``SGDClassifier``, with probabilities where its loss gives some.

    Raises:
        NotSpecialised: probabilities by the modified Huber loss.
    """
    labels = class_labels(part, classes)
    part.expect("loss", "log_loss", "hinge", "squared_hinge", "perceptron", "squared_error", "huber")
    probabilities = sigmoids if len(labels) == 2 else shares_of_sigmoids
    return _classifier(part, value, labels, probabilities if classes and part["loss"] == "log_loss" else None)


def decision(part: Part, value: Value) -> Read:
    """``decision_function``, shape (rows, 1) for two classes, else (rows, classes)."""
    scores, count = _scores(part, value), len(class_labels(part, ()))
    _check_count(part, count)
    return lambda batch: scores(batch).reshape(batch.rows, -1)


def without_probabilities(part: Part, value: Value, classes: Sequence[Any]) -> Reply:
    """``RidgeClassifier``, ``LinearSVC``, ``Perceptron``: the sign of the scores, or the largest."""
    if "_label_binarizer" in part:
        part["_label_binarizer"].expect("y_type_", "binary", "multiclass")
    return _classifier(part, value, class_labels(part, classes), None)


def class_labels(part: Part, classes: Sequence[Any]) -> Array:
    """A classifier's labels.

    Raises:
        NotSpecialised: several outputs, or another number of labels than the manifest has.
    """
    # RidgeClassifier kept them in its binarizer up to 1.7.
    labels = part["classes_"] if "classes_" in part else part["_label_binarizer"]["classes_"]
    if not isinstance(labels, np.ndarray) or labels.ndim != 1 or len(labels) < 2:
        raise NotSpecialised(f"{part.name} with several outputs or a single class")
    if len(classes) not in (0, len(labels)):
        raise NotSpecialised(f"{part.name} with {len(labels)} classes where the package has {len(classes)}")
    return labels


def sigmoids(scores: Array) -> Array:
    """Probabilities of both classes, shape (rows, 2), from scores of the second one.

    Source: ``expit`` of xsf, ``1 / (1 + exp(-x))`` with the C library's ``exp``, which is not always NumPy's.
    """
    return np.array([(1.0 - p, p) for p in map(_expit, scores.tolist())])


def softmax(scores: Array) -> Array:
    """Probabilities, shape (rows, classes), in place. Source: ``sklearn.utils.extmath.softmax``."""
    scores -= np.max(scores, axis=1).reshape(-1, 1)
    np.exp(scores, out=scores)
    scores /= np.sum(scores, axis=1).reshape(-1, 1)
    return scores


def shares_of_sigmoids(scores: Array) -> Array:
    """Probabilities from scores of each class against the others, shape (rows, classes).

    Source: ``LinearClassifierMixin._predict_proba_lr``.
    """
    each = expits(scores)
    total = each.sum(axis=1)
    nothing = total == 0
    each[nothing, :] = 1
    total[nothing] = each.shape[1]
    each /= total.reshape(len(each), -1)
    return each


def expits(scores: Array) -> Array:
    """``expit`` of each score, in the memory order of the scores."""
    values = np.array([_expit(x) for x in scores.ravel(order="K").tolist()])
    return values.reshape(scores.shape, order="F" if np.isfortran(scores) else "C")


def adds_and_multiplies_apart() -> bool:
    """Whether compiled loops of scipy's and scikit-learn's wheels round each product before they add it.

    Compilers for other processors than x86-64 fuse the two by default.
    """
    return platform.machine().lower() in ("x86_64", "amd64")


def _expit(x: float) -> float:
    try:
        return 1.0 / (1.0 + math.exp(-x))
    except OverflowError:
        return 0.0


def _classifier(part: Part, value: Value, labels: Array, probabilities: _Probabilities | None) -> Reply:
    scores_of, binary = _scores(part, value), len(labels) == 2
    _check_count(part, len(labels))
    either = labels[:1], labels[1:]

    def answer(batch: Batch) -> Answer:
        scores = scores_of(batch)
        if binary:
            scores = scores.reshape(-1)
            if len(scores) == 1:
                chosen = either[scores.item() > 0]
                return Answer(chosen, probabilities(scores) if probabilities else None, scores)
            chosen = (scores > 0).astype(np.intp)
        else:
            chosen = scores.argmax(axis=1)
        # The softmax works in place.
        given = probabilities(scores if binary else scores.copy()) if probabilities else None
        return Answer(labels.take(chosen, axis=0), given, scores)

    return answer


def _check_count(part: Part, classes: int) -> None:
    if math.prod(part["coef_"].shape[:-1]) != (1 if classes == 2 else classes):
        raise NotSpecialised(f"{part.name} with coefficients for another number of classes")


def _scores(part: Part, value: Value) -> Read:
    """``X @ coef_.T + intercept_``."""
    check_input(part, value)
    coef = part.array("coef_", 1, 2)
    matrix = numbers(value, part)
    if coef.shape[-1] != matrix.width:
        raise NotSpecialised(f"{part.name} with {coef.shape[-1]} coefficients on {matrix.width} columns")
    intercept = np.asarray(part["intercept_"], dtype=np.float64)
    weights, read = coef.T, matrix.read
    if matrix.sparse and not adds_and_multiplies_apart():
        raise NotSpecialised(f"{part.name} on a sparse matrix")
    multiply = _sparse_product if matrix.sparse else np.matmul

    def scores(batch: Batch) -> Array:
        X = read(batch)
        refuse_not_finite(X)
        return multiply(X, weights) + intercept

    return scores


def _sparse_product(X: Array, weights: Array) -> Array:
    """What scipy's CSR product gives, of shape (rows,) or (rows, outputs): each row added up from left to right.

    Zeros, which a sparse matrix does not hold, change no sum that has started from zero.
    """
    if weights.ndim == 1:
        return np.add.accumulate(X * weights, axis=1)[:, -1] + 0.0
    return np.stack([_sparse_product(X, column) for column in weights.T], axis=1)
