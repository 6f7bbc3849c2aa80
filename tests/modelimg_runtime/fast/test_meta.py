"""Estimators that ask others give scikit-learn's bits: votes, calibration, transformed targets and searches."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from modelimg_runtime.fast import NotAnswered, NotSpecialised

LINEAR = make_pipeline(StandardScaler(), LogisticRegression())
FOREST = RandomForestClassifier(5, random_state=0)
TREE = DecisionTreeClassifier(max_depth=3, random_state=0)
EACH = [("linear", LINEAR), ("forest", FOREST), ("tree", TREE)]

CLASSIFIERS = {
    "soft votes": VotingClassifier(EACH, voting="soft"),
    "soft votes with weights": VotingClassifier(EACH, voting="soft", weights=[0.3, 2, 1]),
    "hard votes": VotingClassifier(EACH),
    "hard votes with weights": VotingClassifier([*EACH, ("ridge", RidgeClassifier())], weights=[1, 2.5, 1, 0.2]),
    "votes of those that are left": VotingClassifier(EACH, voting="soft", weights=[1, 2, 3]).set_params(forest="drop"),
    "votes of votes": VotingClassifier([("a", VotingClassifier(EACH, voting="soft")), ("b", TREE)], voting="soft"),
    "sigmoids of scores": CalibratedClassifierCV(LinearSVC(), cv=3),
    "sigmoids of probabilities": CalibratedClassifierCV(FOREST, cv=2),
    "sigmoids of boosting": CalibratedClassifierCV(GradientBoostingClassifier(n_estimators=3), cv=2),
    "one fold": CalibratedClassifierCV(LINEAR, ensemble=False, cv=3),
    "isotonic": CalibratedClassifierCV(LINEAR, method="isotonic", cv=2),
    "isotonic of probabilities": CalibratedClassifierCV(TREE, method="isotonic", cv=2),
    "search": GridSearchCV(LINEAR, {"logisticregression__C": [0.1, 1]}, cv=2),
    "search of a forest": RandomizedSearchCV(FOREST, {"max_depth": [2, 4]}, n_iter=2, cv=2, random_state=0),
    "a search at the end": make_pipeline(StandardScaler(), GridSearchCV(FOREST, {"max_depth": [2]}, cv=2)),
    "votes of searches": VotingClassifier([("a", GridSearchCV(TREE, {"max_depth": [2]}, cv=2)), ("b", LINEAR)]),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_are_exact_for_two_classes_and_for_three(compare, data, name):
    for X, y in (data.cancer, data.iris):
        assert compare.exact(CLASSIFIERS[name].fit(X, y), X).counts == {"answered": 8}


def test_a_frozen_classifier_that_was_calibrated_is_exact(compare, data):
    X, y = data.cancer
    model = CalibratedClassifierCV(FrozenEstimator(LINEAR.fit(X[:300], y[:300]))).fit(X[300:], y[300:])
    assert compare.exact(model, X).counts == {"answered": 8}


def test_votes_over_mixed_columns_are_exact_with_missing_and_unknown_cells(compare, data, show):
    X, species = data.penguins
    X = X[["island", "body_mass_g", "year"]]
    columns = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["island"]), remainder="passthrough")
    model = VotingClassifier(
        [("a", make_pipeline(columns, TREE)), ("b", make_pipeline(columns, FOREST))], voting="soft"
    ).fit(X, species)
    pair = compare.probe(compare.exact(model, X), X, examples=20)
    show(f"{dict(pair.counts)}")
    assert pair.counts["left to scikit-learn"] == 0


REGRESSORS = {
    "mean": VotingRegressor([("a", LinearRegression()), ("b", RandomForestRegressor(4, random_state=0))]),
    "mean with weights": VotingRegressor([("a", Ridge()), ("b", DecisionTreeRegressor())], weights=[0.2, 0.7]),
    "logarithm": TransformedTargetRegressor(Ridge(), func=np.log, inverse_func=np.exp),
    "logarithm of 1 more": TransformedTargetRegressor(
        make_pipeline(StandardScaler(), RandomForestRegressor(4, random_state=0)), func=np.log1p, inverse_func=np.expm1
    ),
    "scaled": TransformedTargetRegressor(Ridge(), transformer=StandardScaler()),
    "centred": TransformedTargetRegressor(Ridge(), transformer=StandardScaler(with_std=False)),
    "stretched": TransformedTargetRegressor(DecisionTreeRegressor(max_depth=3), transformer=MinMaxScaler((1, 2))),
    "as it is": TransformedTargetRegressor(LinearRegression()),
    "search": GridSearchCV(TransformedTargetRegressor(Ridge(), func=np.sqrt, inverse_func=np.square), {}, cv=2),
}


@pytest.mark.parametrize("name", REGRESSORS)
def test_regressors_are_exact(compare, data, name):
    X, y = data.diabetes
    assert compare.exact(REGRESSORS[name].fit(X, y), X).counts == {"answered": 8}


@pytest.mark.parametrize("model", [REGRESSORS["mean"], REGRESSORS["logarithm"], REGRESSORS["search"], LINEAR])
def test_models_fitted_on_arrays_are_exact(compare, data, model):
    X, y = data.diabetes
    model.fit(X.to_numpy(), y if model is not LINEAR else y > 100)
    assert compare.exact(model, X, sizes=(1, 7)).counts == {"answered": 4}


def test_a_prediction_that_its_transformer_refuses_is_left_to_scikit_learn(compare, data):
    X, y = data.diabetes
    X = X[["bmi"]]
    model = TransformedTargetRegressor(Ridge(), transformer=StandardScaler()).fit(X, y)
    model.regressor_.coef_[:] = 1.7e308
    columns = {"bmi": [1.7e308]}
    pair = compare.pair(model, X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert pair.expected(columns) is None
    with pytest.raises(NotAnswered):
        pair.fast.answer(compare.as_batch(columns))


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (VotingClassifier([("a", SVC())]), "SVC has no fast form"),
        (CalibratedClassifierCV(SVC(), cv=2), "SVC under another estimator"),
        (CalibratedClassifierCV(VotingClassifier(EACH, voting="soft"), cv=2), "VotingClassifier under another"),
        (CalibratedClassifierCV(LINEAR, method="temperature", cv=2), "method=temperature"),
        (GridSearchCV(SVC(), {"C": [1]}, cv=2), "SVC has no fast form"),
        (TransformedTargetRegressor(Ridge(), transformer=RobustScaler()), "RobustScaler"),
        (TransformedTargetRegressor(Ridge(), transformer=QuantileTransformer(n_quantiles=9)), "QuantileTransformer"),
        (
            TransformedTargetRegressor(Ridge(), func=np.sin, inverse_func=np.arcsin, check_inverse=False),
            "numpy.sin is neither",
        ),
        (TransformedTargetRegressor(SVC()), "SVC has no fast form"),
        (TransformedTargetRegressor(Ridge(), transformer=FunctionTransformer(np.exp, np.round)), "round"),
    ],
    ids=lambda value: re.sub(r" at 0x[0-9a-f]+", "", str(value)),  # addresses differ from process to process
)
def test_estimators_that_ask_one_without_a_fast_form_are_named(compare, data, model, says):
    X, y = data.cancer
    target = y + 1.0 if isinstance(model, TransformedTargetRegressor) and "SVC" not in str(model) else y
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model.fit(X, target)
            classes = compare.labels_of(model)
        except AttributeError:
            classes = (0, 1)
    with pytest.raises(NotSpecialised, match=says):
        compare.specialised(model, X, classes)


def test_several_targets_that_were_transformed_have_no_fast_form(compare, data):
    X, y = data.diabetes
    model = TransformedTargetRegressor(Ridge(), func=np.log, inverse_func=np.exp).fit(X, np.column_stack([y, y]))
    with pytest.raises(NotSpecialised, match="_training_dim=2"):
        compare.specialised(model, X)
