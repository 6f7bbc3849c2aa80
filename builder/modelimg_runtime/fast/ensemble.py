"""Single trees, forests and gradient boosting on top of ``trees``.

A forest adds its trees up in their order; with ``n_jobs`` above 1, scikit-learn adds in the order in which its threads
finish, and the order here is that of a single one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from modelimg_runtime.columns import Answer, Batch
from modelimg_runtime.fast.added import sum_chains, sum_values
from modelimg_runtime.fast.errors import NotSpecialised
from modelimg_runtime.fast.inputs import Array, Read, Value, check_input, refuse_infinite, singles
from modelimg_runtime.fast.linear import Reply, adds_and_multiplies_apart, class_labels, sigmoids, softmax
from modelimg_runtime.fast.parts import Part
from modelimg_runtime.fast.trees import Trees, nodes_of

_Rows = Callable[[Array], Array]
_LOSSES = "sklearn._loss.loss."
_WITH_COUNTS = ("1.2.", "1.3.")
"""Versions in which the leaves of classifiers hold the weights of the classes instead of their fractions."""
_WITHOUT_MISSING = ("1.2.", "1.3.", "1.4.", "1.5.")
"""Versions in which none or only some of the forests take NaN; there scikit-learn decides."""


def tree_classifier(part: Part, value: Value, classes: Sequence[Any]) -> Reply:
    """``DecisionTreeClassifier``, ``ExtraTreeClassifier``: the fractions of classes in a leaf."""
    trees = _trees([part], part, value)
    fractions = _fractions(part, trees)
    return _voting(part, value, classes, trees, lambda X: fractions[trees.leaves(X)[0]])


def forest_classifier(part: Part, value: Value, classes: Sequence[Any]) -> Reply:
    """``RandomForestClassifier``, ``ExtraTreesClassifier``: the mean of the trees' fractions."""
    trees = _forest(part, value)
    return _voting(part, value, classes, trees, _mean(trees, _fractions(part, trees)))


def tree_regressor(part: Part, value: Value, _classes: Sequence[Any]) -> Reply:
    """``DecisionTreeRegressor``, ``ExtraTreeRegressor``."""
    trees = _trees([part], part, value)
    read = _in_chunks(part, value, trees, lambda X: trees.values[trees.leaves(X)[0]])
    return lambda batch: Answer(read(batch)[:, 0], None)


def forest_regressor(part: Part, value: Value, _classes: Sequence[Any]) -> Reply:
    """``RandomForestRegressor``, ``ExtraTreesRegressor``: the mean of the trees."""
    trees = _forest(part, value)
    read = _in_chunks(part, value, trees, _mean(trees, trees.values))
    return lambda batch: Answer(read(batch)[:, 0], None)


def boosting_regressor(part: Part, value: Value, _classes: Sequence[Any]) -> Reply:
    """``GradientBoostingRegressor`` that starts from a constant."""
    part.expect("init", None, "zero")
    start = np.zeros(1) if part.get("init") else part["init_"].array("constant_", 2)[0]
    read = _boosted(part, value, start)
    return lambda batch: Answer(read(batch)[:, 0], None)


def boosting_classifier(part: Part, value: Value, classes: Sequence[Any]) -> Reply:
    """``GradientBoostingClassifier`` by the log loss or, for two classes, the exponential loss.

    Raises:
        NotSpecialised: another loss or another start than zero or the training data's classes.
    """
    labels = class_labels(part, classes)
    read = boosting_scores(part, value)
    if len(labels) > 2:
        return _of_scores(labels, read, classes)
    factor = 2.0 if _loss(part) == "ExponentialLoss" else 1.0

    def answer(batch: Batch) -> Answer:
        scores = read(batch)[:, 0]
        return Answer(labels.take((scores >= 0).astype(np.intp)), sigmoids(factor * scores) if classes else None)

    return answer


def boosting_scores(part: Part, value: Value) -> Read:
    """Raw predictions of a ``GradientBoostingClassifier``, shape (rows, 1) for two classes, else (rows, classes)."""
    part.expect("init", None, "zero")
    start, count = _STARTS.get(_loss(part)), len(part["classes_"])
    if start is None or (count > 2) != (start is _log_shares):
        raise NotSpecialised(f"{part.name} with the loss {part['_loss'].name}")
    if part.get("init"):
        return _boosted(part, value, np.zeros(count if count > 2 else 1))
    return _boosted(part, value, start(part["init_"].array("class_prior_")))


def _loss(part: Part) -> str:
    loss = part["_loss"]
    return loss.name if isinstance(loss, Part) and loss.cls.startswith(_LOSSES) else ""


def _log_odds(prior: Array) -> Array:
    # scikit-learn's own call, whose last bit NumPy's logarithm does not always give; scipy.special loads fast.
    from scipy.special import logit

    return np.asarray(logit(_kept_off_bounds(prior[1:2])))


def _log_shares(prior: Array) -> Array:
    """Logarithms relative to the geometric mean. Source: ``MultinomialLogit.link`` and scipy's ``gmean``."""
    shares = _kept_off_bounds(prior)[np.newaxis]
    mean = np.exp(np.mean(np.log(shares), axis=1))
    relative: Array = np.log(shares / mean[:, np.newaxis])[0]
    return relative


def _kept_off_bounds(shares: Array) -> Array:
    eps = np.finfo(np.float64).eps
    return np.clip(shares, eps, 1 - eps)


_STARTS: dict[str, Callable[[Array], Array]] = {
    "HalfBinomialLoss": _log_odds,
    "ExponentialLoss": lambda prior: 0.5 * _log_odds(prior),
    "HalfMultinomialLoss": _log_shares,
}


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
    return Trees([nodes_of(each["tree_"], missing=missing) for each in estimators], matrix.width)


def _takes_missing(tree: Part) -> bool:
    """Whether a tree surely takes NaN. Source: ``__sklearn_tags__`` of ``sklearn.tree._classes`` since 1.6."""
    best_split_of_random_tree = tree.name.startswith("Extra") and tree.get("splitter") != "random"
    too_old = str(tree.get("_sklearn_version")).startswith(_WITHOUT_MISSING)
    return tree.get("criterion") != "absolute_error" and not best_split_of_random_tree and not too_old


def _fractions(part: Part, trees: Trees) -> Array:
    """The fractions of classes at each node. Source: ``predict_proba`` of ``sklearn.tree._classes`` up to 1.3."""
    if not str(part.get("_sklearn_version")).startswith(_WITH_COUNTS):
        return trees.values
    total = trees.values.sum(axis=1)[:, np.newaxis]
    total[total == 0.0] = 1.0
    fractions: Array = trees.values / total
    return fractions


def _mean(trees: Trees, values: Array) -> _Rows:
    zeros, count = np.zeros(values.shape[1]), len(trees)
    return lambda X: sum_values(zeros, values, trees.leaves(X)) / count


def _boosted(part: Part, value: Value, start: Array) -> Read:
    """Raw predictions, shape (rows, trees of a stage).

    Source: ``predict_stages`` of ``sklearn/ensemble/_gradient_boosting.pyx``.
    """
    stages, sums = part["estimators_"], len(start)
    if not adds_and_multiplies_apart() or not isinstance(stages, np.ndarray) or stages.shape[1:] != (sums,):
        raise NotSpecialised(f"{part.name} with another number of trees than of scores, or on this processor")
    trees = _trees(stages.ravel().tolist(), part, value, missing=False)
    steps = trees.values * float(part["learning_rate"])
    return _in_chunks(part, value, trees, lambda X: np.ascontiguousarray(sum_chains(start, steps, trees.leaves(X)).T))


def _in_chunks(part: Part, value: Value, trees: Trees, predict: _Rows) -> Read:
    read_given, chunk = singles(value, part).read, trees.chunk()

    def read(batch: Batch) -> Array:
        X = read_given(batch)
        refuse_infinite(X)
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


def _of_scores(labels: Array, read: Read, classes: Sequence[Any]) -> Reply:
    def answer(batch: Batch) -> Answer:
        scores = read(batch)
        chosen = labels[scores.argmax(axis=1)]
        return Answer(chosen, softmax(scores) if classes else None)

    return answer
