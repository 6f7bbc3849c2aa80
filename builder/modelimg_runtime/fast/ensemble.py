"""Single trees, forests and gradient boosting on top of ``trees``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from modelimg_runtime.columns import Answer, Batch
from modelimg_runtime.fast.errors import NotSpecialised
from modelimg_runtime.fast.inputs import Array, Value, check_input, singles
from modelimg_runtime.fast.linear import Reply, adds_and_multiplies_apart, class_labels, sigmoids
from modelimg_runtime.fast.parts import Part
from modelimg_runtime.fast.trees import Trees

_Rows = Callable[[Array], Array]
_BINARY_LOSS = "sklearn._loss.loss.HalfBinomialLoss"
_WITHOUT_MISSING = ("1.4.", "1.5.")
"""Versions in which only some of the forests take NaN; there scikit-learn decides."""


def tree_classifier(part: Part, value: Value, classes: Sequence[Any]) -> Reply:
    """``DecisionTreeClassifier``, ``ExtraTreeClassifier``: the fractions of classes in a leaf."""
    trees = _trees([part], part, value)
    return _voting(part, value, classes, trees, lambda X: trees.values[trees.leaves(X)[0]])


def forest_classifier(part: Part, value: Value, classes: Sequence[Any]) -> Reply:
    """``RandomForestClassifier``, ``ExtraTreesClassifier``: the mean of the trees' fractions."""
    trees = _forest(part, value)
    return _voting(part, value, classes, trees, _mean(trees))


def tree_regressor(part: Part, value: Value, _classes: Sequence[Any]) -> Reply:
    """``DecisionTreeRegressor``, ``ExtraTreeRegressor``."""
    trees = _trees([part], part, value)
    read = _in_chunks(part, value, trees, lambda X: trees.values[trees.leaves(X)[0]])
    return lambda batch: Answer(read(batch)[:, 0], None)


def forest_regressor(part: Part, value: Value, _classes: Sequence[Any]) -> Reply:
    """``RandomForestRegressor``, ``ExtraTreesRegressor``: the mean of the trees."""
    trees = _forest(part, value)
    read = _in_chunks(part, value, trees, _mean(trees))
    return lambda batch: Answer(read(batch)[:, 0], None)


def boosting_regressor(part: Part, value: Value, _classes: Sequence[Any]) -> Reply:
    """``GradientBoostingRegressor`` that starts from a constant."""
    part.expect("init", None)
    start = part["init_"].array("constant_", 2)
    read = _boosted(part, value, float(start[0, 0]))
    return lambda batch: Answer(read(batch)[:, 0], None)


def boosting_classifier(part: Part, value: Value, classes: Sequence[Any]) -> Reply:
    """``GradientBoostingClassifier`` for two classes by the log loss, starting from the log-odds of the training data.

    Raises:
        NotSpecialised: more classes, another loss or another start.
    """
    labels = class_labels(part, classes)
    part.expect("init", None)
    if part["_loss"].cls != _BINARY_LOSS or len(labels) != 2:
        raise NotSpecialised(f"{part.name} with another loss than the binary log loss")
    read = _boosted(part, value, _log_odds(part["init_"].array("class_prior_")))

    def answer(batch: Batch) -> Answer:
        scores = read(batch)[:, 0]
        return Answer(labels.take((scores >= 0).astype(np.intp)), sigmoids(scores) if classes else None)

    return answer


def _log_odds(prior: Array) -> float:
    # scikit-learn's own call, whose last bit NumPy's logarithm does not always give; scipy.special loads fast.
    from scipy.special import logit

    eps = np.finfo(np.float64).eps
    return float(logit(np.clip(prior[1:2], eps, 1 - eps))[0])


def _forest(part: Part, value: Value) -> Trees:
    estimators = part["estimators_"]
    if not isinstance(estimators, list) or not estimators:
        raise NotSpecialised(f"{part.name} without trees")
    return _trees(estimators, part, value)


def _trees(estimators: Sequence[Any], part: Part, value: Value, *, missing: bool = True) -> Trees:
    check_input(part, value)
    matrix = singles(value, part)
    if any(not isinstance(each, Part) or each.get("n_outputs_", 1) != 1 for each in estimators):
        raise NotSpecialised(f"{part.name} with several outputs")
    for each in estimators:
        each.check_plain()
    missing = missing and not matrix.sparse and _takes_missing(estimators[0])
    return Trees([each["tree_"] for each in estimators], matrix.width, missing=missing)


def _takes_missing(tree: Part) -> bool:
    """Whether a tree surely takes NaN. Source: ``__sklearn_tags__`` of ``sklearn.tree._classes`` since 1.6."""
    best_split_of_random_tree = tree.name.startswith("Extra") and tree.get("splitter") != "random"
    too_old = str(tree.get("_sklearn_version")).startswith(_WITHOUT_MISSING)
    return tree.get("criterion") != "absolute_error" and not best_split_of_random_tree and not too_old


def _mean(trees: Trees) -> _Rows:
    zeros, count = np.zeros(trees.values.shape[1]), len(trees)
    return lambda X: _added_up(zeros, trees.values, trees.leaves(X)) / count


def _added_up(start: Array, values: Array, leaves: Array) -> Array:
    """One value after the other, as a loop adds; NumPy's own sums may add pairs first.

    Args:
        start: what every sum starts from, shape (outputs,).
        values: shape (nodes, outputs).
        leaves: shape (values to add, rows).

    Returns:
        Shape (rows, outputs).
    """
    terms = np.empty((len(leaves) + 1, leaves.shape[1], values.shape[1]))
    terms[0] = start
    np.take(values, leaves, axis=0, out=terms[1:], mode="clip")
    np.add.accumulate(terms, axis=0, out=terms)
    added: Array = terms[-1]
    return added


def _boosted(part: Part, value: Value, start: float) -> Callable[[Batch], Array]:
    """Raw predictions, shape (rows, 1). Source: ``predict_stages`` of ``sklearn/ensemble/_gradient_boosting.pyx``."""
    stages = part["estimators_"]
    if not adds_and_multiplies_apart() or not isinstance(stages, np.ndarray) or stages.shape[1:] != (1,):
        raise NotSpecialised(f"{part.name} with several outputs, or on this processor")
    trees = _trees(stages[:, 0].tolist(), part, value, missing=False)
    steps, begin = trees.values * float(part["learning_rate"]), np.array([start])
    return _in_chunks(part, value, trees, lambda X: _added_up(begin, steps, trees.leaves(X)))


def _in_chunks(part: Part, value: Value, trees: Trees, predict: _Rows) -> Callable[[Batch], Array]:
    read_given, chunk = singles(value, part).read, trees.chunk()

    def read(batch: Batch) -> Array:
        X = read_given(batch)
        if len(X) <= chunk:
            return predict(X)
        return np.concatenate([predict(X[start : start + chunk]) for start in range(0, len(X), chunk)])

    return read


def _voting(part: Part, value: Value, classes: Sequence[Any], trees: Trees, predict: _Rows) -> Reply:
    labels = class_labels(part, classes)
    if trees.values.shape[1] != len(labels):
        raise NotSpecialised(f"{part.name} with several outputs")
    read = _in_chunks(part, value, trees, predict)

    def answer(batch: Batch) -> Answer:
        fractions = read(batch)
        return Answer(labels.take(fractions.argmax(axis=1), axis=0), fractions if classes else None)

    return answer
