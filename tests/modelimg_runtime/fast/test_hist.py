"""Histogram-based gradient boosting gives scikit-learn's bits: missing cells, infinities and native categories too."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from modelimg_runtime.fast import NotAnswered, NotSpecialised, read_parts, specialise
from modelimg_runtime.fast import parts_of as walk
from modelimg_runtime.fast import trees as trees_module


@pytest.fixture(autouse=True)
def one_thread():
    """OpenMP's threads wait for each other by spinning, which takes minutes where others use the processor too."""
    with threadpool_limits(1, "openmp"):
        yield


REGRESSORS = {
    "squares": HistGradientBoostingRegressor(max_iter=25, random_state=0),
    "absolute": HistGradientBoostingRegressor(loss="absolute_error", max_iter=10),
    "quantile": HistGradientBoostingRegressor(loss="quantile", quantile=0.9, max_iter=10),
    "poisson": HistGradientBoostingRegressor(loss="poisson", max_iter=15, learning_rate=0.3),
    "gamma": HistGradientBoostingRegressor(loss="gamma", max_iter=10),
    "stumps": HistGradientBoostingRegressor(max_depth=1, max_iter=30),
    "early": HistGradientBoostingRegressor(early_stopping=True, max_iter=40, random_state=0),
}


def numbers_only(data):
    X, species = data.penguins
    return X.select_dtypes("number").astype("float64"), species


def thresholds(model):
    return [float(each) for stage in model._predictors for tree in stage for each in tree.nodes["num_threshold"][:9]]


@pytest.mark.parametrize("name", REGRESSORS)
def test_regressors_are_exact_with_every_loss(compare, data, name):
    X, y = data.diabetes
    assert compare.exact(REGRESSORS[name].fit(X, y), X).counts == {"answered": 8}


@pytest.mark.parametrize("count", [2, 3, 9])
def test_classifiers_are_exact_for_two_classes_and_for_many(compare, data, count):
    X = data.cancer[0].iloc[:, :8]
    target = np.array([f"class {each}" for each in range(count)], dtype=object)[
        (X.iloc[:, 0].rank(pct=True, method="first") * count).clip(upper=count - 0.01).astype(int)
    ]
    model = HistGradientBoostingClassifier(max_iter=6, random_state=0).fit(X, target)
    assert compare.exact(model, X).counts == {"answered": 8}


def test_missing_and_infinite_cells_go_where_the_training_sent_them(compare, data, show):
    X, species = numbers_only(data)
    for rows in (X["year"] > 0, X.notna().all(axis=1)):
        model = HistGradientBoostingClassifier(max_iter=8, random_state=0).fit(X[rows], species[rows])
        pair = compare.probe(compare.exact(model, X, sizes=(1, 3, 300)), X, special=thresholds(model), examples=40)
        show(f"{dict(pair.counts)}")
        assert pair.counts.keys() == {"answered"}


@pytest.mark.parametrize("dtype", ["category", "str"])
def test_native_categories_are_exact_known_unknown_and_missing(compare, data, dtype, show):
    X, species = data.penguins
    X = X.astype({"island": dtype, "sex": dtype})
    model = HistGradientBoostingClassifier(
        max_iter=8, categorical_features=["island", "sex"], min_samples_leaf=5, random_state=0
    ).fit(X, species)
    assert any(tree.nodes["is_categorical"].any() for stage in model._predictors for tree in stage)
    pair = compare.probe(compare.exact(model, X, sizes=(1, 3, 64)), X)
    show(f"{dtype}: {dict(pair.counts)}")
    assert pair.counts.keys() <= {"answered"}


def test_categories_by_their_dtype_beside_ordered_ones_are_exact(compare, data):
    X, species = data.penguins
    X = X.assign(island=X["island"].astype("category"), heavy=X["heavy"].map({True: "yes", False: "no"}))
    X = X.assign(heavy=X["heavy"].astype(pd.CategoricalDtype(["no", "yes", "never"], ordered=True))).drop(columns="sex")
    model = HistGradientBoostingRegressor(max_iter=12, random_state=0).fit(X, X["year"] + (species == "Gentoo"))
    assert compare.exact(model, X).counts == {"answered": 8}


def test_a_hundred_categories_and_some_beyond_those_of_the_training_are_exact(compare):
    random = np.random.RandomState(0)
    codes = random.randint(0, 120, 3000)
    X = pd.DataFrame({"code": pd.Series([f"c{code}" for code in codes], dtype="str"), "x": random.rand(3000)})
    y = np.sin(codes) + X["x"]
    model = HistGradientBoostingRegressor(max_iter=10, categorical_features=["code"]).fit(
        X[codes < 100], y[codes < 100]
    )
    pair = compare.exact(model, X, sizes=(1, 200))
    assert pair.counts == {"answered": 4}


@pytest.mark.parametrize("categorical", [None, [0, 2]])
def test_models_fitted_on_arrays_are_exact(compare, data, categorical):
    X, y = data.diabetes
    X = X.iloc[:, :4].assign(age=(X["age"] * 40).round(), bmi=(X["bmi"] * 30).round())
    model = HistGradientBoostingRegressor(max_iter=8, categorical_features=categorical).fit(X.to_numpy(), y)
    assert compare.exact(model, X, sizes=(1, 2, 64)).counts == {"answered": 5}


def test_behind_a_pipeline_of_mixed_columns_they_are_exact(compare, data, show):
    X, species = data.penguins
    texts = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    for numbers in (SimpleImputer(add_indicator=True), StandardScaler()):
        columns = ColumnTransformer([("n", numbers, list(data.numbers)), ("t", texts, ["island", "sex"])])
        model = make_pipeline(columns, HistGradientBoostingClassifier(max_iter=5)).fit(X, species)
        pair = compare.probe(compare.exact(model, X, sizes=(1, 64)), X, examples=15)
        show(f"{numbers}: {dict(pair.counts)}")
        assert pair.counts["left to scikit-learn"] == 0


def test_large_batches_are_walked_in_chunks_and_groups_with_the_same_bits(compare, data, monkeypatch):
    X, y = data.wine
    monkeypatch.setattr(trees_module, "_CELLS", 200)
    monkeypatch.setattr(trees_module, "_WALKERS", 40)
    compare.exact(HistGradientBoostingClassifier(max_iter=9).fit(X, y), X, sizes=(1, 7, 8, 9, 50))
    compare.exact(REGRESSORS["squares"].fit(X, y), X, sizes=(1, 7, 30))


def parts_of(compare, model):
    file = compare.saved(model)
    return read_parts(file, "joblib", frozenset(compare.recorded(file).globals))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda part: part["_loss"].state.clear() or setattr(type(part["_loss"]), "cls", "mine.Loss"), "of its own"),
        (lambda part: part.state.update(_predictors=[]), "another number of trees"),
        (lambda part: part.state.update(n_trees_per_iteration_=2), "another number of trees"),
        (lambda part: part.state.update(_baseline_prediction=np.zeros(1)), "not an array of 64-bit floats"),
        (lambda part: part["_predictors"][0][0].state.update(nodes=np.zeros(3)), "a tree that is not scikit-learn's"),
        (lambda part: part.state.update(n_features_in_=3), "fitted on 3 columns"),
        (lambda part: part.state.update(predict=None), "a predict of its own"),
    ],
    ids=["loss", "no trees", "trees", "start", "nodes", "columns", "method"],
)
def test_states_that_are_not_scikit_learns_have_no_fast_form(compare, data, change, says):
    X, y = data.diabetes
    part = parts_of(compare, HistGradientBoostingRegressor(max_iter=2).fit(X, y))
    change(part)
    with pytest.raises(NotSpecialised, match=says):
        specialise(part, list(compare.dtypes_of(X).items()), ())


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("left", 9999, "point to nowhere"),
        ("right", 2**32 - 1, "point to nowhere"),
        ("feature_idx", 10, "point to nowhere"),
        ("feature_idx", -1, "point to nowhere"),
        ("num_threshold", np.nan, "point to nowhere"),
        ("left", 0, "round in a circle"),
        ("right", 0, "round in a circle"),
    ],
)
def test_nodes_that_are_no_tree_are_refused_instead_of_walked(compare, data, field, value, says):
    X, y = data.diabetes
    part = parts_of(compare, HistGradientBoostingRegressor(max_iter=2).fit(X, y))
    tree = part["_predictors"][1][0]
    tree.state["nodes"] = tree["nodes"].copy()
    tree.state["nodes"][field][0] = value
    with pytest.raises(NotSpecialised, match=says):
        specialise(part, list(compare.dtypes_of(X).items()), ())


def test_sparse_input_which_scikit_learn_refuses_has_no_fast_form(compare, data):
    X, species = data.penguins
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(X[["island"]])
    model = make_pipeline(encoder, HistGradientBoostingClassifier(max_iter=2)).fit(X[["island"]], species)
    compare.exact(model, X[["island"]], sizes=(1, 5))
    encoder.sparse_output = True
    with pytest.raises(NotSpecialised, match="sparse matrix"):
        compare.specialised(model, X[["island"]])


def test_up_to_version_1_4_the_class_with_the_largest_probability_is_chosen(compare, data):
    X, y = data.cancer
    part = parts_of(compare, HistGradientBoostingClassifier(max_iter=2).fit(X, y))
    for tree in part["_predictors"]:
        tree[0].state["nodes"] = tree[0]["nodes"].copy()
        tree[0].state["nodes"]["value"] = 0.0
    part.state["_baseline_prediction"] = np.array([[1e-20]])
    for version, chosen in (("1.9.1", 1), ("1.5.0", 1), ("1.4.2", 0), ("1.3.2", 0), ("1.2.0", 0)):
        for each in walk(part):
            if "_sklearn_version" in each:
                each.state["_sklearn_version"] = version
        answer = specialise(part, list(compare.dtypes_of(X).items()), (0, 1)).answer(
            compare.as_batch(compare.sample(X, 2))
        )
        assert answer.predictions.tolist() == [chosen] * 2
        assert answer.probabilities.tolist() == [[0.5, 0.5]] * 2


@pytest.mark.parametrize("code", [-1.0, 1.5, 256.0, 1e30])
def test_categories_that_no_encoder_gives_are_left_to_scikit_learn(compare, data, code):
    X, y = data.diabetes
    X = X.iloc[:, :2].assign(age=(X["age"] * 40).round() + 10)
    part = parts_of(compare, HistGradientBoostingRegressor(max_iter=5, categorical_features=["age"]).fit(X, y))
    part.state["_preprocessor"] = None  # as up to 1.3, where codes are taken as they come
    fast = specialise(part, list(compare.dtypes_of(X).items()), ())
    columns = {"age": [3.0, float("nan")], "sex": [0.1, 0.1]}
    assert len(fast.answer(compare.as_batch(columns)).predictions) == 2
    columns["age"][1] = code
    with pytest.raises(NotAnswered, match="none of an encoder's"):
        fast.answer(compare.as_batch(columns))
