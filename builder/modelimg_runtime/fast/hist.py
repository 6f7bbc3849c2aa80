"""``HistGradientBoostingClassifier`` and ``HistGradientBoostingRegressor``, with their native categories.

Source: ``sklearn/ensemble/_hist_gradient_boosting``. Each iteration adds its trees to the raw predictions, one per
class; numbers are compared as 64-bit floats, infinities too, and NaN goes where training sent it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from modelimg_runtime.columns import Answer, Batch
from modelimg_runtime.fast.added import sum_chains
from modelimg_runtime.fast.compose import transformed
from modelimg_runtime.fast.errors import NotSpecialised
from modelimg_runtime.fast.inputs import Array, Matrix, Read, Value, check_input, floats
from modelimg_runtime.fast.linear import Reply, class_labels, sigmoids, softmax
from modelimg_runtime.fast.parts import Part
from modelimg_runtime.fast.trees import Nodes, Trees

_LOSSES = "sklearn._loss.loss."
_INVERSE_LINKS: Mapping[str, Callable[[Array], Array]] = {
    "HalfSquaredError": lambda raw: raw,
    "AbsoluteError": lambda raw: raw,
    "PinballLoss": lambda raw: raw,
    "HalfPoissonLoss": np.exp,
    "HalfGammaLoss": np.exp,
}
_NODE_FIELDS = {
    *("value", "feature_idx", "num_threshold", "missing_go_to_left", "left", "right"),
    *("is_leaf", "is_categorical", "bitset_idx"),
}
_BY_PROBABILITY = ("1.2.", "1.3.", "1.4.")
"""Versions whose classifier takes the class with the largest probability, and not that with the largest score."""


def regressor(part: Part, value: Value, _classes: Sequence[Any]) -> Reply:
    """``HistGradientBoostingRegressor`` with every loss."""
    inverse = _INVERSE_LINKS.get(_loss(part))
    if inverse is None:
        raise NotSpecialised(f"{part.name} with the loss {part['_loss'].name}")
    read = scores(part, value)
    return lambda batch: Answer(inverse(read(batch).ravel()), None)


def classifier(part: Part, value: Value, classes: Sequence[Any]) -> Reply:
    """``HistGradientBoostingClassifier``, for two classes or more."""
    labels = class_labels(part, classes)
    read, binary = scores(part, value), len(labels) == 2
    if _loss(part) != ("HalfBinomialLoss" if binary else "HalfMultinomialLoss"):
        raise NotSpecialised(f"{part.name} with the loss {part['_loss'].name}")
    if str(part.get("_sklearn_version")).startswith(_BY_PROBABILITY):
        return _by_probability(labels, read, classes)

    def answer(batch: Batch) -> Answer:
        raw = read(batch)
        if binary:
            raw = raw.ravel()
            return Answer(labels[(raw > 0).astype(np.intp)], sigmoids(raw) if classes else None)
        chosen = labels[raw.argmax(axis=1)]
        return Answer(chosen, softmax(raw) if classes else None)

    return answer


def _by_probability(labels: Array, read: Read, classes: Sequence[Any]) -> Reply:
    def answer(batch: Batch) -> Answer:
        raw = read(batch)
        probabilities = sigmoids(raw.ravel()) if len(labels) == 2 else softmax(raw)
        return Answer(labels[probabilities.argmax(axis=1)], probabilities if classes else None)

    return answer


def scores(part: Part, value: Value) -> Read:
    """Raw predictions, shape (rows, trees of an iteration), in Fortran order.

    Raises:
        NotSpecialised: another shape than scikit-learn's.
    """
    check_input(part, value)
    preprocessor = part.get("_preprocessor")
    matrix = floats(value, part) if preprocessor is None else transformed(preprocessor, value)
    if not isinstance(matrix, Matrix) or matrix.sparse:
        raise NotSpecialised(f"{part.name} on strings or on a sparse matrix")
    start = part.array("_baseline_prediction", 2)
    iterations = part["_predictors"]
    count = int(part["n_trees_per_iteration_"])
    if start.shape != (1, count) or not iterations or any(len(each) != count for each in iterations):
        raise NotSpecialised(f"{part.name} with another number of trees than of scores")
    known = _known_categories(part)
    trees = Trees([_nodes(tree, known) for each in iterations for tree in each], matrix.width)
    begin, read_given, chunk = 0.0 + start[0], matrix.read, trees.chunk()

    def read(batch: Batch) -> Array:
        X = np.ascontiguousarray(read_given(batch), dtype=np.float64)
        if len(X) <= chunk:
            return sum_chains(begin, trees.values, trees.leaves(X)).T
        parts = [sum_chains(begin, trees.values, trees.leaves(X[at : at + chunk])) for at in range(0, len(X), chunk)]
        return np.concatenate(parts, axis=1).T

    return read


def _loss(part: Part) -> str:
    loss = part["_loss"]
    if not isinstance(loss, Part) or not loss.cls.startswith(_LOSSES):
        raise NotSpecialised(f"{part.name} with a loss of its own")
    return loss.name


def _known_categories(part: Part) -> Mapping[int, Array]:
    """Categorical column of the input → whether each of 256 values was seen in training."""
    mapper = part["_bin_mapper"]
    known = {}
    for column in np.flatnonzero(mapper["is_categorical_"]).tolist():
        seen = np.zeros(256, dtype=np.bool_)
        seen[np.asarray(mapper["bin_thresholds_"][column]).astype(np.intp)] = True
        known[column] = seen
    return known


def _nodes(tree: Any, known: Mapping[int, Array]) -> Nodes:
    nodes = tree["nodes"] if isinstance(tree, Part) and tree.name == "TreePredictor" else None
    if not isinstance(nodes, np.ndarray) or nodes.ndim != 1 or not set(nodes.dtype.names or ()) >= _NODE_FIELDS:
        raise NotSpecialised("a tree that is not scikit-learn's")
    leaf = nodes["is_leaf"] != 0
    missing_left = nodes["missing_go_to_left"] != 0
    splits = np.flatnonzero((nodes["is_categorical"] != 0) & ~leaf)
    category = goes_right = None
    if len(splits):
        category = np.full(len(nodes), -1)
        category[splits] = np.arange(len(splits))
        sets = _members(np.asarray(tree["raw_left_cat_bitsets"]))
        goes_right = np.array([_goes_right(nodes[at], sets, known, missing_left[at]) for at in splits])
    return Nodes(
        left=nodes["left"].astype(np.int64),
        right=nodes["right"].astype(np.int64),
        leaf=leaf,
        feature=nodes["feature_idx"],
        threshold=nodes["num_threshold"],
        missing_left=missing_left,
        values=nodes["value"].reshape(-1, 1),
        category=category,
        goes_right=goes_right,
    )


def _goes_right(node: Any, sets: Array, known: Mapping[int, Array], missing_left: Any) -> Array:
    """Whether each category, and at the end a missing one, goes right; who was not seen in training is missing."""
    left = sets[int(node["bitset_idx"])]
    right = np.where(left, False, known[int(node["feature_idx"])] | (not missing_left))
    return np.append(right, not missing_left)


def _members(bitsets: Array) -> Array:
    """Bit sets of 8 × 32 bits as bools, shape (sets, 256). Source: ``sklearn/utils/_bitset.pyx``."""
    if bitsets.ndim != 2 or bitsets.shape[1] != 8 or bitsets.dtype != np.uint32:
        raise NotSpecialised("sets of categories in another form than scikit-learn's")
    return ((bitsets[:, :, None] >> np.arange(32, dtype=np.uint32)) & 1).astype(np.bool_).reshape(-1, 256)
