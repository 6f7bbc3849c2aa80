"""Decision trees: all trees of an ensemble walked at once, level by level.

Sources: ``Tree._apply_dense`` of ``sklearn/tree/_tree.pyx`` and ``_predict_one_from_raw_data`` of
``sklearn/ensemble/_hist_gradient_boosting/_predictor.pyx``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelimg_runtime.fast.errors import NotAnswered, NotSpecialised
from modelimg_runtime.fast.inputs import Array
from modelimg_runtime.fast.parts import Part

_TREE = "sklearn.tree._tree.Tree"
_LEAF = -1
_CELLS = 1 << 19
"""Trees × rows × values of a leaf that are held at once: some tens of MB at most."""
_WALKERS = 10_000
"""Trees × rows that are walked at once; the arrays of more than that leave the processor's cache."""
_FIRST_STOP, _STOPS = 8, 4
"""Levels after which it is first looked who has arrived, and how often from then on."""
_CATEGORIES = 256
"""Values of a categorical feature; where a table has one more, it is for missing ones."""


@dataclass(frozen=True)
class Nodes:
    """The nodes of one tree, whatever estimator it is of.

    Attributes:
        left: place of the left child, shape (nodes,).
        right: place of the right one.
        leaf: whether there are no children.
        feature: column that is compared.
        threshold: what is greater goes right.
        missing_left: whether NaN goes left; None where NaN is for scikit-learn to refuse.
        values: shape (nodes, outputs).
        category: line of ``goes_right`` for a node that splits by category, −1 for others; None without any.
        goes_right: shape (splits by category, 257), whether each category goes right, and at the end, a missing one.
    """

    left: Array
    right: Array
    leaf: Array
    feature: Array
    threshold: Array
    missing_left: Array | None
    values: Array
    category: Array | None = None
    goes_right: Array | None = None

    def __len__(self) -> int:
        return len(self.left)


class Trees:
    """The nodes of several trees in one table, level after level, each right child behind its left one.

    A leaf is its own left child, and nothing is greater than its threshold, so that a walker who has arrived stays.

    Args:
        trees: their nodes.
        width: columns of the input.

    Raises:
        NotSpecialised: nodes that are no tree.

    Attributes:
        values: shape (nodes, outputs).
    """

    def __init__(self, trees: Sequence[Nodes], width: int) -> None:
        counts = np.array([len(each) for each in trees])
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        owner = np.repeat(np.arange(len(trees)), counts)
        left, right, leaf, feature, threshold = (
            np.concatenate([getattr(each, name) for each in trees])
            for name in ("left", "right", "leaf", "feature", "threshold")
        )
        inside = (left >= 0) & (right >= 0) & (left < counts[owner]) & (right < counts[owner])
        fit = (feature >= 0) & (feature < width) & ~np.isnan(threshold)
        if not np.all(leaf | (inside & fit)) or len(leaf) >= 1 << 31:
            raise NotSpecialised("a tree whose nodes point to nowhere")
        base = starts[owner]
        order, self._levels = _by_level(left + base, right + base, leaf, starts)
        place = np.empty(len(leaf), dtype=np.intp)
        place[order] = np.arange(len(order))
        leaf, stay = leaf[order], np.arange(len(order))
        self._left = np.where(leaf, stay, place[np.where(leaf, 0, (left + base)[order])])
        self._feature = np.where(leaf, 0, feature[order]).astype(np.intp)
        self._threshold = np.where(leaf, np.inf, threshold[order])
        self.values = np.concatenate([each.values for each in trees])[order]
        self._inner = ~leaf
        self._roots = place[starts]
        self._missing_right = _missing_right(trees, order)
        self._category, self._goes_right = _categories(trees, order)
        self._categorical = [] if self._category is None else np.unique(self._feature[self._category >= 0]).tolist()
        self._width = len(trees) * int(self.values.shape[1])

    def __len__(self) -> int:
        return len(self._roots)

    def chunk(self) -> int:
        """Rows that may be walked at once in bounded memory."""
        return max(1, _CELLS // self._width)

    def leaves(self, X: Array) -> Array:
        """The line of ``values`` in which each row ends in each tree.

        Args:
            X: shape (rows, width), 64-bit floats in C order.

        Returns:
            Shape (trees, rows), trees in their order.

        Raises:
            NotAnswered: NaN where scikit-learn does not take it, or a category that is none.
        """
        missing = bool(np.isnan(X).any())
        if missing and self._missing_right is None:
            raise NotAnswered("a missing value")
        if self._categorical:
            _check_categories(X[:, self._categorical])
        together = max(1, _WALKERS // len(X))
        if together >= len(self):
            return self._walk(self._roots, X, missing=missing)
        groups = range(0, len(self), together)
        return np.concatenate([self._walk(self._roots[at : at + together], X, missing=missing) for at in groups])

    def _walk(self, roots: Array, X: Array, *, missing: bool) -> Array:
        """The same for some of the trees; from time to time, who has arrived is left behind."""
        rows, width = X.shape
        cells, at = X.ravel(), np.repeat(roots, rows)
        offsets = np.tile(np.arange(0, rows * width, width), len(roots))
        arrived, walkers = at.copy(), np.arange(len(at))
        place, tested, threshold, right = at.copy(), np.empty(len(at)), np.empty(len(at)), np.empty(len(at), np.bool_)
        for level in range(self._levels):
            if level >= _FIRST_STOP and level % _STOPS == 0:
                going = self._inner.take(at)
                arrived[walkers] = at
                at, offsets, walkers = at[going], offsets[going], walkers[going]
                count = len(at)
                if not count:
                    break
                place, tested, threshold, right = place[:count], tested[:count], threshold[:count], right[:count]
            # ``clip`` skips the check of each index, and none is out of bounds.
            self._feature.take(at, out=place, mode="clip")
            if rows > 1:
                place += offsets
            cells.take(place, out=tested, mode="clip")
            self._threshold.take(at, out=threshold, mode="clip")
            np.greater(tested, threshold, out=right)
            if missing:
                right |= np.isnan(tested) & self._missing_right.take(at)
            if self._category is not None:
                self._split_by_category(self._category.take(at), tested, right)
            self._left.take(at, out=place, mode="clip")
            np.add(place, right, out=at)
        arrived[walkers] = at
        return arrived.reshape(-1, rows)

    def _split_by_category(self, lines: Array, tested: Array, right: Array) -> None:
        splits = lines >= 0
        value = tested[splits]
        value[np.isnan(value)] = _CATEGORIES
        right[splits] = self._goes_right[lines[splits], value.astype(np.intp)]


def nodes_of(part: Any, *, missing: bool) -> Nodes:
    """The nodes of a ``sklearn.tree._tree.Tree``.

    Args:
        part: the tree.
        missing: whether NaN is sent where the node says, or is for scikit-learn to refuse.

    Raises:
        NotSpecialised: it is none, or has several outputs.
    """
    if not isinstance(part, Part) or part.cls != _TREE:
        raise NotSpecialised("a tree that is not scikit-learn's")
    nodes = part["nodes"]
    needed = {"left_child", "right_child", "feature", "threshold"}
    if not isinstance(nodes, np.ndarray) or nodes.ndim != 1 or not needed <= set(nodes.dtype.names or ()):
        raise NotSpecialised("a tree without nodes")
    values = part.array("values", 3)
    if values.shape[:2] != (len(nodes), 1):
        raise NotSpecialised("trees with several outputs")
    told = missing and "missing_go_to_left" in (nodes.dtype.names or ())
    left = nodes["left_child"]
    return Nodes(
        left=left,
        right=nodes["right_child"],
        leaf=left == _LEAF,
        feature=nodes["feature"],
        threshold=nodes["threshold"],
        missing_left=nodes["missing_go_to_left"] != 0 if told else None,
        values=values[:, 0, :],
    )


def _by_level(left: Array, right: Array, leaf: Array, roots: Array) -> tuple[Array, int]:
    """Nodes in the order of a walk over all trees at once, and how many levels there are below the roots.

    Raises:
        NotSpecialised: a node is found twice: a walk might never end.
    """
    order = [roots]
    found = len(roots)
    while len(inner := order[-1][~leaf[order[-1]]]):
        order.append(np.stack([left[inner], right[inner]], axis=1).ravel())
        found += len(order[-1])
        if found > len(leaf):
            break
    nodes = np.concatenate(order)
    if len(np.unique(nodes)) < len(nodes):
        raise NotSpecialised("a tree whose nodes go round in a circle")
    return nodes, len(order) - 1


def _missing_right(trees: Sequence[Nodes], order: Array) -> Any:
    """Which inner nodes send NaN to the right; it goes left otherwise, as NaN is not greater than anything."""
    told = [each.missing_left for each in trees if each.missing_left is not None]
    if len(told) < len(trees):
        return None
    leaf = np.concatenate([each.leaf for each in trees])
    right: Array = ~(np.concatenate(told) | leaf)[order]
    return right


def _categories(trees: Sequence[Nodes], order: Array) -> tuple[Array | None, Any]:
    """For each node its line in one table for all trees, and the table; None where no node splits by category."""
    if all(each.category is None for each in trees):
        return None, None
    lines, tables, first = [], [], 0
    for each in trees:
        category = np.full(len(each), -1) if each.category is None else each.category
        lines.append(np.where(category >= 0, category + first, -1))
        if each.goes_right is not None:
            tables.append(each.goes_right)
            first += len(each.goes_right)
    return np.concatenate(lines)[order], np.concatenate(tables)


def _check_categories(X: Array) -> None:
    """Insist on categories as the estimator's own encoder makes them; C converts any others in its own ways.

    Raises:
        NotAnswered: a value that is neither missing nor a whole number below 256.
    """
    known = np.isnan(X) | ((X >= 0) & (X < _CATEGORIES) & (np.floor(X) == X))
    if not known.all():
        raise NotAnswered("a category that is none of an encoder's")
