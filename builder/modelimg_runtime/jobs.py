"""``n_jobs`` of a fitted model, which pays while training and costs while serving.

Predicting one row in threads takes 3.6 times as long as without (a forest of 100 trees, 2 CPUs), and the server has
threads of its own for requests that come together. So it is unset, on estimators whose answer it does not change:

- forests let each tree answer alone and add up: in the trees' order without ``n_jobs``, with it in the order in which
  threads come to an end (``sklearn.ensemble._forest._accumulate_prediction``), which is one of the same sums at best;
- ``ColumnTransformer``, ``FeatureUnion`` and ``MultiOutput…`` put whole results side by side.

It is left alone where it groups sums (bagging) or distances (neighbours), and where only ``fit`` reads it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

log = logging.getLogger(__name__)

_UNSET = frozenset(
    {
        ("sklearn.ensemble._forest", "RandomForestClassifier"),
        ("sklearn.ensemble._forest", "RandomForestRegressor"),
        ("sklearn.ensemble._forest", "ExtraTreesClassifier"),
        ("sklearn.ensemble._forest", "ExtraTreesRegressor"),
        ("sklearn.ensemble._forest", "RandomTreesEmbedding"),
        ("sklearn.compose._column_transformer", "ColumnTransformer"),
        ("sklearn.pipeline", "FeatureUnion"),
        ("sklearn.multioutput", "MultiOutputClassifier"),
        ("sklearn.multioutput", "MultiOutputRegressor"),
    }
)


def unset_jobs(estimator: Any) -> Any:
    """Unset ``n_jobs`` of an estimator, and of those in it, where that changes no answer.

    Args:
        estimator: fitted; it is changed.

    Returns:
        The same object.
    """
    for each in _estimators(estimator, set()):
        kind = type(each)
        if (kind.__module__, kind.__qualname__) in _UNSET and getattr(each, "n_jobs", None) not in (None, 1):
            log.info("%s predicts without its n_jobs=%s", kind.__name__, each.n_jobs)
            each.n_jobs = None
    return estimator


def _estimators(value: Any, seen: set[int]) -> Iterator[Any]:
    """The estimators in a value, itself included; trees of a forest are not looked into."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, Mapping):
        inside = list(value.values())
    elif isinstance(value, (list, tuple)):
        inside = list(value)
    elif isinstance(value, np.ndarray):
        inside = value.ravel().tolist() if value.dtype == object else []
    elif callable(getattr(type(value), "get_params", None)):
        yield value
        inside = [] if type(value).__module__ == "sklearn.ensemble._forest" else list(vars(value).values())
    else:
        return
    for each in inside:
        yield from _estimators(each, seen)
