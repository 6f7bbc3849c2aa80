"""Decision trees: all trees of a forest walked at once, level by level.

Source: ``Tree._apply_dense`` of ``sklearn/tree/_tree.pyx``. A forest adds its trees up in their order; with ``n_jobs``
above 1, scikit-learn adds in the order in which its threads finish, and the order here is that of a single one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from modelimg_runtime.fast.errors import NotAnswered, NotSpecialised
from modelimg_runtime.fast.inputs import Array
from modelimg_runtime.fast.parts import Part

_TREE = "sklearn.tree._tree.Tree"
_LEAF = -1
_CELLS = 1 << 19
"""Trees × rows × values of a leaf that are held at once: some tens of MB at most."""


class Trees:
    """The nodes of several trees in one table.

    Every node has two lines, so that the line of its successor is found at its own line plus the outcome of its test.

    Args:
        parts: ``sklearn.tree._tree.Tree`` objects.
        width: columns of the input.
        missing: whether NaN is sent where the node says, or is for scikit-learn to refuse.

    Raises:
        NotSpecialised: several outputs, or nodes that are no tree.
    """

    def __init__(self, parts: Sequence[Part], width: int, *, missing: bool) -> None:
        nodes = [_nodes(part) for part in parts]
        self.values = np.concatenate([_values(part) for part in parts])
        self._width = len(parts) * int(self.values.shape[1])
        counts = np.array([len(each) for each in nodes])
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        owner = np.repeat(np.arange(len(parts)), counts)
        left, right, feature, threshold = (
            np.concatenate([each[name] for each in nodes])
            for name in ("left_child", "right_child", "feature", "threshold")
        )
        leaf = left == _LEAF
        inside = (left >= 0) & (right >= 0) & (left < counts[owner]) & (right < counts[owner])
        if not np.all(leaf | (inside & (feature >= 0) & (feature < width))):
            raise NotSpecialised("a tree whose nodes point to nowhere")
        own = np.arange(len(left))
        base = starts[owner]
        successors = np.stack([np.where(leaf, own, right + base), np.where(leaf, own, left + base)], axis=1)
        depths = _depths(successors, leaf, owner, starts)
        self._successors = (successors * 2).ravel().astype(np.intp)
        self._features = np.repeat(np.where(leaf, 0, feature), 2).astype(np.intp)
        self._thresholds = np.repeat(threshold, 2).astype(np.float64)
        self._missing_left = _missing_left(nodes) if missing else None
        # Deepest first, so that the trees with levels left are always the first ones.
        order = np.argsort(-depths, kind="stable")
        self._roots = (starts * 2)[order].astype(np.intp)
        self._back = np.argsort(order, kind="stable")
        self._active = [int(np.count_nonzero(depths > level)) for level in range(int(depths.max()))]

    def __len__(self) -> int:
        return len(self._roots)

    def chunk(self) -> int:
        """Rows that may be walked at once in bounded memory."""
        return max(1, _CELLS // self._width)

    def leaves(self, X: Array) -> Array:
        """The line of ``values`` in which each row ends in each tree.

        Args:
            X: shape (rows, width), in C order, 64-bit floats that are 32-bit ones.

        Returns:
            Shape (trees, rows), trees in their order.

        Raises:
            NotAnswered: an infinity, or NaN where scikit-learn does not take it.
        """
        rows, width = X.shape
        with_missing = self._check(X)
        cells, offsets = X.ravel(), np.arange(0, rows * width, width)
        lines = np.repeat(self._roots, rows).reshape(-1, rows)
        for active in self._active:
            here = lines[:active]
            at = self._features[here]
            tested = cells[at + offsets if rows > 1 else at]
            goes_left = tested <= self._thresholds[here]
            if with_missing is not None:
                goes_left |= np.isnan(tested) & with_missing[here]
            lines[:active] = self._successors[here + goes_left]
        return lines[self._back] >> 1

    def _check(self, X: Array) -> Array | None:
        if np.count_nonzero(np.isfinite(X)) == X.size:
            return None
        if self._missing_left is None or np.count_nonzero(np.isinf(X)):
            raise NotAnswered("an infinity, a number beyond 32 bits, or a missing value")
        return self._missing_left


def _nodes(part: Any) -> Array:
    if not isinstance(part, Part) or part.cls != _TREE:
        raise NotSpecialised("a tree that is not scikit-learn's")
    nodes = part["nodes"]
    needed = {"left_child", "right_child", "feature", "threshold"}
    if not isinstance(nodes, np.ndarray) or nodes.ndim != 1 or not needed <= set(nodes.dtype.names or ()):
        raise NotSpecialised("a tree without nodes")
    return nodes


def _values(part: Part) -> Array:
    """The tree's values, shape (nodes, classes)."""
    values = part.array("values", 3)
    if values.shape[:2] != (len(part["nodes"]), 1):
        raise NotSpecialised("trees with several outputs")
    return values[:, 0, :]


def _missing_left(nodes: Sequence[Array]) -> Array | None:
    if not all("missing_go_to_left" in (each.dtype.names or ()) for each in nodes):
        return None
    return np.repeat(np.concatenate([each["missing_go_to_left"] for each in nodes]) != 0, 2)


def _depths(successors: Array, leaf: Array, owner: Array, starts: Array) -> Array:
    """Levels below each root.

    Raises:
        NotSpecialised: a path comes back to itself, so that a walk would never end.
    """
    depths = np.zeros(len(starts), dtype=np.intp)
    level, frontier, visited = 0, starts, len(starts)
    while len(inner := frontier[~leaf[frontier]]):
        level += 1
        depths[owner[inner]] = level
        frontier = successors[inner].ravel()
        visited += len(frontier)
        if visited > len(leaf):
            raise NotSpecialised("a tree whose nodes go round in a circle")
    return depths
