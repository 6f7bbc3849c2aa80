"""The table of all estimators that have a fast form at the end of a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from modelimg_runtime.columns import Batch
from modelimg_runtime.fast import constant, ensemble, hist, linear, meta, neural
from modelimg_runtime.fast.compose import PIPELINE, TRANSFORMERS, steps_of, transformed
from modelimg_runtime.fast.errors import NotSpecialised
from modelimg_runtime.fast.inputs import Array, Read, Value
from modelimg_runtime.fast.linear import Reply
from modelimg_runtime.fast.parts import Part, parts_of

SEARCHES = frozenset(
    f"sklearn.model_selection._search{module}"
    for module in (
        ".GridSearchCV",
        ".RandomizedSearchCV",
        "_successive_halving.HalvingGridSearchCV",
        "_successive_halving.HalvingRandomSearchCV",
    )
)
"""Searches for parameters, which predict as the best estimator does that they found."""


def reply_of(part: Part, value: Value, classes: Sequence[Any]) -> Reply:
    """What answers for an estimator.

    Args:
        part: the estimator, a pipeline with one at its end, or a search that found one.
        value: its input.
        classes: the classes of its probabilities; empty where none are asked for.

    Raises:
        NotSpecialised: it has no fast form.
    """
    part, value = at_the_end(part, value)
    predictor = PREDICTORS.get(part.cls)
    if predictor is None:
        raise NotSpecialised(f"{part.name} has no fast form")
    return predictor(part, value, classes)


def decision_of(part: Part, value: Value) -> Read:
    """A classifier's scores or, where it has none, probabilities; of two classes, only the second one's.

    Returns:
        Shape (rows, 1) for two classes, else (rows, classes).

    Raises:
        NotSpecialised: it has no fast form.
    """
    part, value = at_the_end(part, value)
    if part.cls in _DECISIONS:
        return _DECISIONS[part.cls](part, value)
    if part.cls not in _WITHOUT_DECISIONS:
        raise NotSpecialised(f"{part.name} under another estimator has no fast form")
    count = len(part["classes_"])
    reply, first = reply_of(part, value, tuple(range(count))), 1 if count == 2 else 0

    def read(batch: Batch) -> Array:
        probabilities = reply(batch).probabilities
        assert probabilities is not None  # noqa: S101 - asked for by the classes
        return probabilities[:, first:]

    return read


def rows_apart(model: Part) -> bool:
    """Whether all that a model is made of treats each row by itself, in the same order of operations for any batch.

    One-sided: what is not known to do so is taken not to. A product through BLAS does not, and neither does a sum of 8
    or more values across columns in Fortran order, which for a single row is one in C order.
    """
    return all(
        part.cls in _ROWS_APART and int(part.get("n_trees_per_iteration_", 1)) < _PAIRED
        for part in parts_of(model)
        if "_sklearn_version" in part
    )


def at_the_end(part: Part, value: Value) -> tuple[Part, Value]:
    """The estimator at the end of a model, and what the steps before it make of the value.

    Raises:
        NotSpecialised: a pipeline without an estimator at its end, or a step without a fast form.
    """
    while part.cls == PIPELINE or part.cls in SEARCHES:
        if part.cls in SEARCHES:
            part.check_plain()
            part = part["best_estimator_"]
            continue
        steps = steps_of(part)
        if not steps or part["steps"][-1][1] is not steps[-1]:
            raise NotSpecialised("a Pipeline without an estimator at its end")
        for step in steps[:-1]:
            value = transformed(step, value)
        part = steps[-1]
    return part, value


_Predictor = Callable[[Part, Any, Sequence[Any]], Reply]
_FOREST, _TREE, _LINEAR = "sklearn.ensemble._forest.", "sklearn.tree._classes.", "sklearn.linear_model."
_BOOSTED, _HIST = "sklearn.ensemble._gb.", "sklearn.ensemble._hist_gradient_boosting.gradient_boosting."
_NETWORK, _VOTING = "sklearn.neural_network._multilayer_perceptron.", "sklearn.ensemble._voting."

_LINEAR_MODELS: Mapping[str, _Predictor] = {
    f"{_LINEAR}_logistic.LogisticRegression": linear.logistic,
    f"{_LINEAR}_logistic.LogisticRegressionCV": linear.logistic,
    f"{_LINEAR}_stochastic_gradient.SGDClassifier": linear.sgd_classifier,
    **dict.fromkeys(
        (
            f"{_LINEAR}_ridge.RidgeClassifier",
            f"{_LINEAR}_ridge.RidgeClassifierCV",
            f"{_LINEAR}_perceptron.Perceptron",
            f"{_LINEAR}_passive_aggressive.PassiveAggressiveClassifier",
            "sklearn.svm._classes.LinearSVC",
        ),
        linear.without_probabilities,
    ),
    **dict.fromkeys(
        (
            f"{_LINEAR}_base.LinearRegression",
            f"{_LINEAR}_ridge.Ridge",
            f"{_LINEAR}_ridge.RidgeCV",
            *(f"{_LINEAR}_coordinate_descent.{name}{cv}" for name in ("Lasso", "ElasticNet") for cv in ("", "CV")),
            *(
                f"{_LINEAR}_least_angle.{name}"
                for name in ("Lars", "LassoLars", "LarsCV", "LassoLarsCV", "LassoLarsIC")
            ),
            *(f"{_LINEAR}_bayes.{name}" for name in ("BayesianRidge", "ARDRegression")),
            f"{_LINEAR}_huber.HuberRegressor",
            f"{_LINEAR}_theil_sen.TheilSenRegressor",
            f"{_LINEAR}_quantile.QuantileRegressor",
        ),
        linear.regressor,
    ),
    **dict.fromkeys(
        (
            f"{_LINEAR}_stochastic_gradient.SGDRegressor",
            f"{_LINEAR}_passive_aggressive.PassiveAggressiveRegressor",
        ),
        linear.by_stochastic_gradients,
    ),
    "sklearn.svm._classes.LinearSVR": linear.regressor,
    **dict.fromkeys((f"{_LINEAR}_glm.glm.PoissonRegressor", f"{_LINEAR}_glm.glm.GammaRegressor"), linear.of_log_link),
}
_TREE_CLASSIFIERS: Mapping[str, _Predictor] = {
    **dict.fromkeys((f"{_TREE}DecisionTreeClassifier", f"{_TREE}ExtraTreeClassifier"), ensemble.tree_classifier),
    **dict.fromkeys((f"{_FOREST}RandomForestClassifier", f"{_FOREST}ExtraTreesClassifier"), ensemble.forest_classifier),
}
PREDICTORS: Mapping[str, _Predictor] = {
    **_LINEAR_MODELS,
    **_TREE_CLASSIFIERS,
    **dict.fromkeys((f"{_TREE}DecisionTreeRegressor", f"{_TREE}ExtraTreeRegressor"), ensemble.tree_regressor),
    **dict.fromkeys((f"{_FOREST}RandomForestRegressor", f"{_FOREST}ExtraTreesRegressor"), ensemble.forest_regressor),
    f"{_BOOSTED}GradientBoostingClassifier": ensemble.boosting_classifier,
    f"{_BOOSTED}GradientBoostingRegressor": ensemble.boosting_regressor,
    f"{_HIST}HistGradientBoostingClassifier": hist.classifier,
    f"{_HIST}HistGradientBoostingRegressor": hist.regressor,
    "sklearn.dummy.DummyClassifier": constant.dummy_classifier,
    "sklearn.dummy.DummyRegressor": constant.dummy_regressor,
    f"{_NETWORK}MLPClassifier": neural.classifier,
    f"{_NETWORK}MLPRegressor": neural.regressor,
    f"{_VOTING}VotingClassifier": partial(meta.voting_classifier, reply_of=reply_of),
    f"{_VOTING}VotingRegressor": partial(meta.voting_regressor, reply_of=reply_of),
    "sklearn.compose._target.TransformedTargetRegressor": partial(meta.transformed_target, reply_of=reply_of),
    "sklearn.calibration.CalibratedClassifierCV": partial(meta.calibrated_classifier, decision_of=decision_of),
}
"""By the class's dotted name; ``predict`` of everything else is left to scikit-learn."""

_DECISIONS: Mapping[str, Callable[[Part, Any], Read]] = {
    **{
        name: linear.decision
        for name, predictor in _LINEAR_MODELS.items()
        if predictor in (linear.logistic, linear.sgd_classifier, linear.without_probabilities)
    },
    f"{_BOOSTED}GradientBoostingClassifier": ensemble.boosting_scores,
    f"{_HIST}HistGradientBoostingClassifier": hist.scores,
}
_WITHOUT_DECISIONS = frozenset({*_TREE_CLASSIFIERS, f"{_NETWORK}MLPClassifier", "sklearn.dummy.DummyClassifier"})
_ROWS_APART = frozenset(
    {
        *(name for name in PREDICTORS if name not in _LINEAR_MODELS and not name.startswith(_NETWORK)),
        *TRANSFORMERS,
        *SEARCHES,
        "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
        "sklearn.preprocessing._label.LabelEncoder",
        "sklearn.impute._base.MissingIndicator",
        "sklearn.isotonic.IsotonicRegression",
        "sklearn.calibration._SigmoidCalibration",
    }
)
_PAIRED = 8
"""Values from which on NumPy adds up a line in pairs. Source: ``pairwise_sum`` of ``numpy/_core/src/umath``."""
