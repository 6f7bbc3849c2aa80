"""Linear models give scikit-learn's bits, whatever the batch's size and memory order."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import (
    BayesianRidge,
    ElasticNet,
    ElasticNetCV,
    GammaRegressor,
    HuberRegressor,
    Lars,
    Lasso,
    LassoCV,
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    Perceptron,
    PoissonRegressor,
    Ridge,
    RidgeClassifier,
    RidgeClassifierCV,
    RidgeCV,
    SGDClassifier,
    SGDRegressor,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC, LinearSVR

from modelimg_runtime.fast import NotAnswered, NotSpecialised, read_parts, specialise
from modelimg_runtime.fast.linear import shares_of_sigmoids, sigmoids

CLASSIFIERS = {
    "two classes": LogisticRegression(),
    "no intercept": LogisticRegression(fit_intercept=False),
    "liblinear": LogisticRegression(solver="liblinear"),
    "sparse coefficients": LogisticRegression(solver="liblinear", l1_ratio=1, C=0.05),
    "ridge": RidgeClassifier(),
    "support vectors": LinearSVC(),
    "perceptron": Perceptron(),
    "cross-validated": LogisticRegressionCV(
        Cs=2, cv=2, max_iter=5000, l1_ratios=(0,), scoring="accuracy", use_legacy_attributes=False
    ),
    "ridge, cross-validated": RidgeClassifierCV(),
    "gradients": SGDClassifier(random_state=0),
    "gradients of the log loss": SGDClassifier(loss="log_loss", random_state=0),
}
REGRESSORS = {
    "plain": LinearRegression(),
    "no intercept": LinearRegression(fit_intercept=False),
    "ridge": Ridge(),
    "lasso": Lasso(alpha=0.5),
    "elastic net": ElasticNet(),
    "ridge, cross-validated": RidgeCV(),
    "lasso, cross-validated": LassoCV(cv=2),
    "elastic net, cross-validated": ElasticNetCV(cv=2),
    "least angles": Lars(),
    "bayesian": BayesianRidge(),
    "huber": HuberRegressor(max_iter=1000),
    "gradients": SGDRegressor(max_iter=10_000, tol=1e-2, random_state=0),
    "support vectors": LinearSVR(max_iter=10_000),
    "poisson": PoissonRegressor(max_iter=1000),
    "gamma": GammaRegressor(max_iter=1000),
}
OF_ONE_OUTPUT = {
    *("lasso, cross-validated", "elastic net, cross-validated", "bayesian", "huber", "gradients", "support vectors"),
    *("poisson", "gamma"),
}


@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_of_two_classes_are_exact(compare, data, name, scaled):
    X, y = data.cancer
    model = make_pipeline(StandardScaler(), CLASSIFIERS[name]) if scaled else CLASSIFIERS[name]
    assert compare.exact(model.fit(X, y), X).counts == {"answered": 8}


@pytest.mark.parametrize("name", [name for name in CLASSIFIERS if not name.startswith(("lib", "sparse"))])
def test_classifiers_of_several_classes_are_exact(compare, data, name):
    for X, y in (data.iris, data.wine):
        model = make_pipeline(StandardScaler(), CLASSIFIERS[name]).fit(X, y)
        assert compare.exact(model, X).counts == {"answered": 8}


@pytest.mark.parametrize("name", REGRESSORS)
def test_regressors_are_exact_also_with_several_outputs(compare, data, name):
    X, y = data.diabetes
    compare.exact(REGRESSORS[name].fit(X, y), X)
    if name in OF_ONE_OUTPUT:
        return
    two = REGRESSORS[name].fit(X, np.column_stack([y, -y]))
    assert compare.exact(two, X).fast.answer(compare.as_batch(compare.sample(X, 3))).predictions.shape == (3, 2)


def test_a_score_of_exactly_zero_is_the_first_class(compare, data):
    X, y = data.cancer
    for model in (LogisticRegression().fit(X, y), RidgeClassifier().fit(X, y)):
        model.coef_, model.intercept_ = np.zeros_like(model.coef_), np.zeros(1)
        pair = compare.exact(model, X, sizes=(1, 5))
        assert pair.fast.answer(compare.as_batch(compare.sample(X, 1))).predictions.tolist() == [0]


def test_columns_of_integers_and_integers_beside_floats_and_bools_are_exact(compare, data):
    X, y = data.diabetes
    whole = (X * 1000).round().astype("int64")
    compare.exact(LinearRegression().fit(whole, y), whole)
    mixed = X.assign(age=whole["age"], sex=X["sex"] > 0)
    compare.exact(LinearRegression().fit(mixed, y), mixed)
    compare.exact(make_pipeline(StandardScaler(), LinearRegression()).fit(mixed, y), mixed)


def test_a_model_fitted_on_an_array_is_exact(compare, data):
    X, y = data.wine
    compare.exact(make_pipeline(StandardScaler(), LogisticRegression()).fit(X.to_numpy(), y), X)


def test_products_with_a_sparse_matrix_are_exact(compare, data):
    texts = data.texts.fillna("none")
    years = data.penguins[0]["year"]
    frame = texts.assign(first=years.astype(str).astype("str"), bill=data.numbers["bill_depth_mm"].fillna(-0.0) / 20)
    _, species = data.penguins
    encoder = OneHotEncoder(handle_unknown="ignore")
    wide = ColumnTransformer([("t", encoder, list(frame)[:-1])], remainder="passthrough", sparse_threshold=0.9)
    for model in (
        make_pipeline(wide, LogisticRegression()),
        make_pipeline(wide, RidgeClassifier()),
    ):
        compare.exact(model.fit(frame, species), frame)
    heavy = data.penguins[0]["heavy"].to_numpy()
    for final, y in ((LogisticRegression(), heavy), (LinearRegression(), years), (Lasso(0.01), years)):
        compare.exact(make_pipeline(wide, final).fit(frame, y), frame)


def test_extreme_cells_give_the_same_bits_or_are_left_to_scikit_learn(compare, data, show):
    X, y = data.iris
    logistic = compare.pair(make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y), X)
    X2, y2 = data.cancer
    X2 = X2.iloc[:, :4]
    counts = compare.probe(logistic, X, examples=100).counts
    counts += compare.probe(compare.pair(LogisticRegression().fit(X2, y2), X2), X2, examples=100).counts
    counts += compare.probe(compare.pair(Ridge().fit(X2, y2), X2), X2, examples=60).counts
    show(f"linear models on odd rows: {dict(counts)}")
    assert counts["answered"] > 100
    assert counts["refused by both"] > 20
    assert counts["left to scikit-learn"] == 0


@pytest.mark.parametrize("cell", [float("nan"), None, float("inf"), float("-inf")])
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize(
    "model", [LogisticRegression(), Ridge(), make_pipeline(StandardScaler(), LogisticRegression())]
)
def test_missing_and_infinite_cells_are_not_answered_as_scikit_learn_refuses_them(compare, data, cell, rows, model):
    X, y = data.wine
    pair = compare.pair(model.fit(X, y), X)
    columns = compare.sample(X, rows)
    columns[X.columns[2]][-1] = cell
    assert pair.expected(columns) is None
    with pytest.raises(NotAnswered):
        pair.fast.answer(compare.as_batch(columns))


def test_the_sigmoid_is_scipys(show):
    random = np.random.RandomState(0)
    odd = [0.0, -0.0, 709.9, -709.9, 745.2, -745.2, 1e308, -1e308, math.inf, -math.inf]
    scores = np.concatenate([random.randn(200_000) * 20, odd])
    probabilities = sigmoids(scores)
    theirs = expit(scores)
    assert probabilities[:, 1].tobytes() == theirs.tobytes()
    assert probabilities[:, 0].tobytes() == (1 - theirs).tobytes()
    show(f"sigmoids compared: {len(scores)}")


@pytest.mark.parametrize(
    ("attribute", "change", "says"),
    [
        ("classes_", lambda labels: labels[:1], "single class"),
        ("classes_", lambda labels: np.array([0, 1, 2]), "3 classes where the package has 2"),
        ("classes_", lambda labels: [labels, labels], "several outputs"),
        ("multi_class", lambda _: "ovr", "multi_class=ovr"),
        ("predict", lambda _: 1, "predict of its own"),
        ("coef_", lambda coef: coef[:, :2], "2 coefficients on 3 columns"),
        ("coef_", lambda coef: coef.astype(np.float32), "coef_ of LogisticRegression is not an array of 64-bit floats"),
        ("coef_", lambda coef: coef[None], "not an array of 64-bit floats"),
        ("coef_", lambda coef: np.repeat(coef, 2, axis=0), "coefficients for another number of classes"),
        ("n_features_in_", lambda _: "three", "fitted on three columns"),
        ("intercept_", lambda _: "none", "attributes of other types or shapes"),
        ("_sklearn_output_config", lambda _: 3, "attributes of other types or shapes"),
        ("n_features_in_", lambda _: 4, "fitted on 4 columns, not on 3"),
        ("feature_names_in_", lambda names: names[::-1], "other names or in another order"),
        ("_metadata_request", lambda _: 1, "routed metadata"),
    ],
)
def test_what_is_not_known_to_be_exact_has_no_fast_form(compare, data, attribute, change, says):
    X, y = data.cancer
    X = X.iloc[:, :3]
    model = LogisticRegression().fit(X, y)
    setattr(model, attribute, change(getattr(model, attribute, None)))
    with pytest.raises(NotSpecialised, match=says):
        compare.specialised(model, X, (0, 1))


def test_liblinear_with_one_problem_per_class_has_no_fast_form(compare, data):
    X, y = data.wine
    model = LogisticRegression().fit(X, y)
    model.solver = "liblinear"
    with pytest.raises(NotSpecialised, match="one problem per class"):
        compare.specialised(model, X)


def test_up_to_version_1_7_liblinear_has_probabilities_of_one_problem_per_class(compare, data):
    X, y = data.wine
    model = SGDClassifier(loss="log_loss", random_state=0).fit(X, y)  # the same formula
    file = compare.saved(LogisticRegression(max_iter=5000).fit(X, y))
    part = read_parts(file, "joblib", frozenset(compare.recorded(file).globals))
    part.state.update(solver="liblinear", multi_class="deprecated", coef_=model.coef_, intercept_=model.intercept_)
    fast = specialise(part, list(compare.dtypes_of(X).items()), (0, 1, 2))
    columns = compare.sample(X, 30)
    found = fast.answer(compare.as_batch(columns)).probabilities
    assert found.tobytes() == model.predict_proba(pd.DataFrame(columns)).tobytes()


@pytest.mark.parametrize("loss", ["modified_huber", "epsilon_insensitive"])
def test_losses_of_gradient_descent_without_a_fast_form_are_named(compare, data, loss):
    X, y = data.wine
    with pytest.raises(NotSpecialised, match=f"loss={loss}"):
        compare.specialised(SGDClassifier(loss=loss, random_state=0).fit(X, y), X)


def test_where_every_class_is_impossible_all_are_given_the_same_probability(compare, data):
    assert shares_of_sigmoids(np.array([[-1e4] * 4, [0.0, 1e4, 0.0, -1e4]])).tolist() == [
        [0.25] * 4,
        [0.25, 0.5, 0.25, 0.0],
    ]


def test_probabilities_are_given_only_where_the_package_has_classes(compare, data):
    X, y = data.cancer
    fast = compare.specialised(make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y), X, ())
    assert fast.answer(compare.as_batch(compare.sample(X, 2))).probabilities is None


def test_strings_and_bools_alone_have_no_fast_form(compare, data):
    frame = pd.DataFrame({"a": [True, False, True], "b": [False, False, True]})
    with pytest.raises(NotSpecialised, match="on strings or on bools"):
        compare.pair(LinearRegression().fit(frame, [1, 2, 3]), frame)
