"""Sums in the order of scikit-learn's loops: one value after the other.

NumPy's own sums may add pairs first, and the order decides the last bit.
"""

from __future__ import annotations

import numpy as np

from modelimg_runtime.fast.inputs import Array


def sum_values(start: Array, values: Array, leaves: Array) -> Array:
    """Add up lines of a table.

    Args:
        start: what every sum starts from, shape (outputs,).
        values: shape (nodes, outputs).
        leaves: lines of ``values``, shape (values to add, rows).

    Returns:
        Shape (rows, outputs), in C order.
    """
    terms = np.empty((len(leaves) + 1, leaves.shape[1], values.shape[1]))
    terms[0] = start
    values.take(leaves, axis=0, out=terms[1:], mode="clip")
    np.add.accumulate(terms, axis=0, out=terms)
    added: Array = terms[-1]
    return added


def sum_chains(start: Array, values: Array, leaves: Array) -> Array:
    """Add up single values, every n-th into the n-th of several sums.

    Args:
        start: what each sum starts from, shape (sums,).
        values: shape (nodes, 1).
        leaves: lines of ``values``, shape (values of each sum × sums, rows).

    Returns:
        Shape (sums, rows), in C order.
    """
    sums, rows = len(start), leaves.shape[1]
    terms = np.empty((len(leaves) // sums + 1, sums, rows))
    terms[0] = start[:, np.newaxis]
    values.ravel().take(leaves.reshape(-1, sums, rows), out=terms[1:], mode="clip")
    np.add.accumulate(terms, axis=0, out=terms)
    added: Array = terms[-1]
    return added
