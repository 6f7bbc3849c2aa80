"""A fitted estimator, read as parts, turned into the plain arithmetic of its predictions.

Exact or not used: whatever is not known to give scikit-learn's own bits raises ``NotSpecialised``, and a batch that
scikit-learn would refuse raises ``NotAnswered``, so that scikit-learn itself decides about both.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from modelimg_runtime.columns import Answer, Batch
from modelimg_runtime.fast import constant, ensemble, linear
from modelimg_runtime.fast.compose import PIPELINE, steps_of, transformed
from modelimg_runtime.fast.errors import NotAnswered, NotSpecialised
from modelimg_runtime.fast.inputs import KINDS, Column, Table, Value, plain_array
from modelimg_runtime.fast.linear import Reply
from modelimg_runtime.fast.parts import Part, parts_of

VERSIONS = ("1.4", "1.5", "1.6", "1.7", "1.8", "1.9")
"""Versions of scikit-learn with which these formulas were compared, bit for bit."""

_ENSEMBLE_ROWS = 1000
"""Rows up to which walking trees in NumPy is faster than scikit-learn's compiled walk with its overhead."""

_Predictor = Callable[[Part, Any, Sequence[Any]], Reply]
_LINEAR: Mapping[str, _Predictor] = {
    "sklearn.linear_model._logistic.LogisticRegression": linear.logistic,
    "sklearn.linear_model._base.LinearRegression": linear.regressor,
    "sklearn.linear_model._ridge.Ridge": linear.regressor,
    "sklearn.linear_model._coordinate_descent.Lasso": linear.regressor,
    "sklearn.linear_model._coordinate_descent.ElasticNet": linear.regressor,
    "sklearn.linear_model._ridge.RidgeClassifier": linear.without_probabilities,
    "sklearn.linear_model._perceptron.Perceptron": linear.without_probabilities,
    "sklearn.svm._classes.LinearSVC": linear.without_probabilities,
    "sklearn.dummy.DummyClassifier": constant.dummy_classifier,
    "sklearn.dummy.DummyRegressor": constant.dummy_regressor,
}
_TREES: Mapping[str, _Predictor] = {
    "sklearn.tree._classes.DecisionTreeClassifier": ensemble.tree_classifier,
    "sklearn.tree._classes.DecisionTreeRegressor": ensemble.tree_regressor,
    "sklearn.tree._classes.ExtraTreeClassifier": ensemble.tree_classifier,
    "sklearn.tree._classes.ExtraTreeRegressor": ensemble.tree_regressor,
    "sklearn.ensemble._forest.RandomForestClassifier": ensemble.forest_classifier,
    "sklearn.ensemble._forest.RandomForestRegressor": ensemble.forest_regressor,
    "sklearn.ensemble._forest.ExtraTreesClassifier": ensemble.forest_classifier,
    "sklearn.ensemble._forest.ExtraTreesRegressor": ensemble.forest_regressor,
    "sklearn.ensemble._gb.GradientBoostingClassifier": ensemble.boosting_classifier,
    "sklearn.ensemble._gb.GradientBoostingRegressor": ensemble.boosting_regressor,
}


class FastModel:
    """A model without scikit-learn. It holds no state between calls, so threads may share one.

    Attributes:
        version: the scikit-learn that fitted it; the caller compares it with the installed one.
        best_rows: rows of a batch up to which this is faster than scikit-learn.
    """

    def __init__(self, reply: Reply, version: str, best_rows: int) -> None:
        self._reply = reply
        self.version = version
        self.best_rows = best_rows

    def answer(self, batch: Batch) -> Answer:
        """Predictions, and probabilities where there are classes and the estimator has ``predict_proba``.

        Args:
            batch: rows that the contract accepted, columns in the order that ``specialise`` was given.

        Returns:
            What scikit-learn says of these rows as one batch, bit for bit.

        Raises:
            NotAnswered: scikit-learn refuses such rows, or may: a missing value, an infinity, an unknown category.
        """
        if not batch.rows:
            raise NotAnswered("no rows")
        try:
            with np.errstate(all="ignore"):
                return self._reply(batch)
        except (TypeError, ValueError, OverflowError) as error:
            raise NotAnswered(f"values of another kind than the columns': {error}") from error


def specialise(model: Part, columns: Sequence[tuple[str, str]], classes: Sequence[Any]) -> FastModel:
    """Put the fast form of a model together.

    Args:
        model: the fitted estimator.
        columns: pairs of a name and a dtype (``float64``, ``int64``, ``bool``, ``str``), in the schema's order.
        classes: the manifest's classes; empty where it has none.

    Raises:
        NotSpecialised: an estimator, a parameter, a dtype or a version without a fast form.
    """
    try:
        return _specialised(model, columns, classes)
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        raise NotSpecialised(f"{model.name} with attributes of other types or shapes: {error}") from error


def _specialised(model: Part, columns: Sequence[tuple[str, str]], classes: Sequence[Any]) -> FastModel:
    version = _version(model)
    unknown = [dtype for _, dtype in columns if dtype not in KINDS]
    if unknown:
        raise NotSpecialised(f"columns of dtype {unknown[0]}")
    table = Table(tuple(Column(name, at, KINDS[dtype]) for at, (name, dtype) in enumerate(columns)))
    final, value = _before_last(model, plain_array(table) if _fitted_on_arrays(model) else table)
    predictor = _LINEAR.get(final.cls) or _TREES.get(final.cls)
    if predictor is None:
        raise NotSpecialised(f"{final.name} has no fast form")
    return FastModel(predictor(final, value, classes), version, _ENSEMBLE_ROWS if final.cls in _TREES else sys.maxsize)


def _version(model: Part) -> str:
    """The version that all parts carry.

    Raises:
        NotSpecialised: none, several, or one whose formulas are not known.
    """
    found = {str(part["_sklearn_version"]) for part in parts_of(model) if "_sklearn_version" in part}
    if len(found) != 1:
        raise NotSpecialised(f"parts fitted by {len(found)} versions of scikit-learn")
    version = found.pop()
    if ".".join(version.split(".")[:2]) not in VERSIONS:
        raise NotSpecialised(f"scikit-learn {version}")
    return version


def _before_last(model: Part, value: Value) -> tuple[Part, Value]:
    """The estimator at the end of the model, and what the steps before it make of the value."""
    while model.cls == PIPELINE:
        steps = steps_of(model)
        if not steps or model["steps"][-1][1] is not steps[-1]:
            raise NotSpecialised("a Pipeline without an estimator at its end")
        for step in steps[:-1]:
            value = transformed(step, value)
        model = steps[-1]
    return model, value


def _fitted_on_arrays(model: Part) -> bool:
    """Whether ``predict.output_frame`` hands the estimator an array instead of a frame."""
    while model.cls == PIPELINE and model["steps"] and isinstance(model["steps"][0][1], Part):
        model = model["steps"][0][1]
    return "n_features_in_" in model and "feature_names_in_" not in model
