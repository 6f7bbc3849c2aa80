"""Scalers, imputers, encoders and their composition give scikit-learn's bits in front of a linear model and a tree."""

from __future__ import annotations

import re
import warnings
from functools import partial

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.dummy import DummyRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import check_array

from modelimg_runtime.fast import NotAnswered, NotSpecialised

NUMBERS = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]
TEXTS = ["island", "sex"]

SCALERS = {
    "standard": StandardScaler(),
    "standard without mean": StandardScaler(with_mean=False),
    "standard without scale": StandardScaler(with_std=False),
    "standard without both": StandardScaler(with_mean=False, with_std=False),
    "min max": MinMaxScaler(),
    "min max clipped": MinMaxScaler((-1, 0.7), clip=True),
    "max abs": MaxAbsScaler(),
    "max abs clipped": MaxAbsScaler(clip=True),
    "robust": RobustScaler(),
    "robust without centre": RobustScaler(with_centering=False, unit_variance=True),
    "robust without scale": RobustScaler(with_scaling=False),
}
IMPUTERS = {
    "mean": SimpleImputer(),
    "median": SimpleImputer(strategy="median"),
    "most frequent": SimpleImputer(strategy="most_frequent"),
    "constant": SimpleImputer(strategy="constant", fill_value=-1.5),
    "zero": SimpleImputer(strategy="constant"),
}
ENCODERS = {
    "ignore": OneHotEncoder(handle_unknown="ignore"),
    "error": OneHotEncoder(),
    "dense": OneHotEncoder(handle_unknown="ignore", sparse_output=False),
    "drop first": OneHotEncoder(drop="first"),
    "drop if binary": OneHotEncoder(drop="if_binary", sparse_output=False),
    "drop named": OneHotEncoder(drop=["Dream", "male"]),
    "rare by frequency": OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=60),
    "rare by count, first dropped": OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=2, drop="first"),
    "rare ignored": OneHotEncoder(handle_unknown="ignore", max_categories=2),
    "none rare": OneHotEncoder(handle_unknown="infrequent_if_exist"),
    "given": OneHotEncoder(categories=[["Dream", "Biscoe", "Torgersen"], ["male", "female", np.nan]]),
    "ordinal": OrdinalEncoder(encoded_missing_value=2),
    "ordinal, rare": OrdinalEncoder(max_categories=2, encoded_missing_value=-1),
    "ordinal, rare and unknown": OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=9, min_frequency=100, encoded_missing_value=7
    ),
    "ordinal of whole numbers": OrdinalEncoder(
        dtype=np.int64, handle_unknown="use_encoded_value", unknown_value=-7, encoded_missing_value=-1
    ),
    "ordinal unknown": OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-7, encoded_missing_value=-3),
}


@pytest.mark.parametrize("name", SCALERS)
def test_scalers_are_exact(compare, data, name, show):
    X, y = data.diabetes
    pair = compare.exact(make_pipeline(SCALERS[name], Ridge()).fit(X, y), X)
    compare.probe(pair, X, examples=15)
    show(f"{name}: {dict(pair.counts)}")
    assert pair.counts["left to scikit-learn"] == 0
    assert pair.counts["answered"] > 8


@pytest.mark.parametrize("name", IMPUTERS)
def test_imputers_of_numbers_are_exact(compare, data, name, show):
    X, (_, species) = data.numbers, data.penguins
    pair = compare.exact(make_pipeline(IMPUTERS[name], StandardScaler(), LogisticRegression()).fit(X, species), X)
    whole = data.penguins[0][["year"]]
    compare.exact(make_pipeline(IMPUTERS["most frequent"], DecisionTreeClassifier()).fit(whole, species), whole)
    compare.probe(pair, X, examples=25)
    show(f"{name}: {dict(pair.counts)}")
    assert pair.counts["left to scikit-learn"] == 0
    assert pair.counts["answered"] > 20


@pytest.mark.parametrize("name", IMPUTERS)
def test_indicators_of_missing_numbers_are_exact(compare, data, name, show):
    X, (_, species) = data.numbers, data.penguins
    imputer = clone(IMPUTERS[name]).set_params(add_indicator=True)
    assert imputer.fit(X).transform(X).shape[1] > X.shape[1]
    for frame in (X, X.assign(year=data.penguins[0]["year"] * 1.0), X[["body_mass_g"]]):
        pair = compare.exact(make_pipeline(imputer, StandardScaler(), LogisticRegression()).fit(frame, species), frame)
        compare.probe(pair, frame, examples=10)
        assert pair.counts["left to scikit-learn"] == 0
    complete = X.dropna()
    compare.exact(make_pipeline(imputer, Ridge()).fit(complete, complete["body_mass_g"]), X)


FUNCTIONS = {
    "log1p": FunctionTransformer(np.log1p),
    "sqrt": FunctionTransformer(np.sqrt, feature_names_out="one-to-one"),
    "validated": FunctionTransformer(np.tanh, validate=True),
    "nothing, validated": FunctionTransformer(validate=True),
    "exp": FunctionTransformer(np.exp),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_numpy_are_exact_on_frames_and_on_arrays(compare, data, name, show):
    X, y = data.wine
    for steps in ([FUNCTIONS[name]], [MinMaxScaler(), FUNCTIONS[name]], [FUNCTIONS[name], StandardScaler()]):
        pair = compare.exact(make_pipeline(*steps, LogisticRegression(max_iter=5000)).fit(X, y), X)
        compare.probe(pair, X, examples=10)
        assert pair.counts["left to scikit-learn"] == 0
    mixed = data.numbers.fillna(3.0).assign(year=data.penguins[0]["year"])
    columns = ColumnTransformer([("f", FUNCTIONS[name], ["bill_depth_mm", "year"])], remainder="passthrough")
    scaled = mixed / mixed.max()
    compare.exact(make_pipeline(columns, Ridge()).fit(scaled, scaled["year"]), scaled, sizes=(1, 7, 64))


def test_functions_on_whole_numbers_give_floats_or_have_no_fast_form(compare, data):
    X = data.penguins[0][["year"]].assign(other=3)
    compare.exact(make_pipeline(FunctionTransformer(np.log1p), Ridge()).fit(X, X["year"]), X)
    with pytest.raises(NotSpecialised, match="func=square on whole numbers"):
        compare.specialised(make_pipeline(FunctionTransformer(np.square), Ridge()).fit(X, X["year"]), X)


ON_ARRAYS = {
    "places": ColumnTransformer([("a", StandardScaler(), [3, 1]), ("p", "passthrough", [0])]),
    "slices": ColumnTransformer([("a", StandardScaler(), slice(0, 4)), ("b", MinMaxScaler(), slice(4, 7))]),
    "masks": ColumnTransformer([("a", RobustScaler(), [True, False] * 5)]),
    "from the end": ColumnTransformer([("a", SimpleImputer(), [-1, -3]), ("n", StandardScaler(), [])]),
    "remainder": ColumnTransformer([("a", StandardScaler(), [0, 2])], remainder="passthrough"),
    "remainder transformed": ColumnTransformer([("a", "drop", [0])], remainder=StandardScaler()),
    "codes": ColumnTransformer([("a", OneHotEncoder(handle_unknown="ignore"), [1])], remainder=StandardScaler()),
}


@pytest.mark.parametrize("name", ON_ARRAYS)
def test_column_transformers_fitted_on_arrays_are_exact(compare, data, name):
    X, y = data.diabetes
    for steps in ([ON_ARRAYS[name]], [MinMaxScaler(), ON_ARRAYS[name]]):
        for model in (Ridge(), DecisionTreeRegressor(max_depth=5)):
            pair = compare.exact(make_pipeline(*steps, model).fit(X.to_numpy(), y), X)
            assert pair.counts == {"answered": 8}


def test_a_column_transformer_behind_a_step_that_gives_an_array_is_exact(compare, data):
    X, y = data.diabetes
    for name in ("places", "slices", "masks", "remainder"):
        compare.exact(make_pipeline(StandardScaler(), ON_ARRAYS[name], Ridge()).fit(X, y), X)


def test_feature_unions_are_exact(compare, data):
    X, y = data.diabetes
    inner = make_pipeline(MinMaxScaler(), FunctionTransformer(np.sqrt))
    for union in (
        FeatureUnion([("a", StandardScaler()), ("b", inner), ("c", "drop"), ("d", "passthrough")]),
        make_pipeline(RobustScaler(), FeatureUnion([("a", "passthrough"), ("b", MaxAbsScaler())])),
    ):
        assert compare.exact(make_pipeline(union, Ridge()).fit(X, y), X).counts == {"answered": 8}


@pytest.mark.parametrize("name", ["ignore", "rare by frequency", "ordinal unknown", "ordinal of whole numbers"])
def test_encoders_of_categories_are_exact(compare, data, name, show):
    X, species = data.penguins
    X = X[NUMBERS + TEXTS].astype(dict.fromkeys(TEXTS, "category"))
    for imputer in (None, SimpleImputer(strategy="most_frequent")):
        model = make_pipeline(with_texts(ENCODERS[name], imputer), LogisticRegression()).fit(X, species)
        pair = compare.probe(compare.exact(model, X, sizes=(1, 7, 200)), X, examples=10)
        show(f"{name}: {dict(pair.counts)}")
        assert pair.counts["left to scikit-learn"] == 0


def with_texts(encoder, imputer=None):
    texts = encoder if imputer is None else make_pipeline(imputer, encoder)
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    return ColumnTransformer([("numbers", numbers, NUMBERS), ("texts", texts, TEXTS)])


def quiet(act, *arguments, **named):
    """scikit-learn warns of unknown categories where some are dropped."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return act(*arguments, **named)


@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_of_strings_are_exact_with_missing_and_unknown_ones(compare, data, name, show):
    X, species = data.penguins
    X = X[NUMBERS + TEXTS]
    model = make_pipeline(with_texts(ENCODERS[name]), LogisticRegression()).fit(X, species)
    pair = compare.probe(compare.exact(model, X, sizes=(1, 7, 200)), X, examples=15)
    show(f"{name}: {dict(pair.counts)}")
    assert pair.counts["left to scikit-learn"] == 0
    assert pair.counts["answered"] > 5


def test_unknown_categories_are_not_answered_where_scikit_learn_refuses_them(compare, data):
    X, species = data.penguins
    X = X[TEXTS]
    for encoder in (OneHotEncoder(), OrdinalEncoder(), OneHotEncoder(drop="first")):
        pair = compare.pair(
            make_pipeline(encoder, DecisionTreeClassifier()).fit(X.dropna(), species[X.notna().all(axis=1)]), X
        )
        for cell in ("Atlantis", "", "biscoe", float("nan"), None):
            for rows in (1, 4):
                columns = compare.sample(X.dropna(), rows)
                columns["island"][-1] = cell
                assert pair.expected(columns) is None
                with pytest.raises(NotAnswered):
                    pair.fast.answer(compare.as_batch(columns))


@pytest.mark.parametrize("cell", [float("inf"), float("-inf")])
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize(
    "step",
    [
        *SCALERS.values(),
        *IMPUTERS.values(),
        OneHotEncoder(handle_unknown="ignore"),
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
        make_pipeline(StandardScaler(), OneHotEncoder(handle_unknown="ignore")),
    ],
    ids=str,
)
def test_an_infinity_is_not_answered_by_any_step_though_nothing_follows_that_minds(compare, data, step, rows, cell):
    X, y = data.diabetes
    pair = compare.pair(make_pipeline(step, DummyRegressor()).fit(X.iloc[:, :3], y), X.iloc[:, :3])
    columns = compare.sample(X.iloc[:, :3], rows)
    pair.compare(columns, answered=True)
    columns["sex"][-1] = cell
    assert pair.expected(columns) is None
    with pytest.raises(NotAnswered):
        pair.fast.answer(compare.as_batch(columns))


def test_the_memory_order_of_every_step_is_scikit_learns(compare, data):
    X, y = data.diabetes
    X = X.round(1)
    for step in (OrdinalEncoder(), OneHotEncoder(sparse_output=False), SimpleImputer(), StandardScaler()):
        for steps in (
            [step],
            [StandardScaler(), step],
            [ColumnTransformer([("a", step, list(X)[:6])], remainder="passthrough")],
        ):
            compare.exact(make_pipeline(*steps, Ridge()).fit(X, y), X, sizes=(2, 7, 100))


def test_encoders_of_numbers_and_bools_are_exact(compare, data, show):
    X, species = data.penguins
    X = X[["year", "heavy", "bill_depth_mm"]].assign(bill_depth_mm=X["bill_depth_mm"].round())
    for encoder in (
        OneHotEncoder(handle_unknown="ignore"),
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
    ):
        pair = compare.exact(make_pipeline(encoder, DecisionTreeClassifier()).fit(X, species), X)
        compare.probe(pair, X, special=[13.0, 21.0], examples=25)
        show(f"{type(encoder).__name__}: {dict(pair.counts)}")
        assert pair.counts["left to scikit-learn"] == 0
    matrix = X[["bill_depth_mm", "year"]].fillna(2.0)
    scaled = make_pipeline(MinMaxScaler((0, 2)), OneHotEncoder(handle_unknown="ignore"), LogisticRegression())
    compare.exact(scaled.fit(matrix, species), matrix)


@pytest.mark.parametrize("strategy", ["most_frequent", "constant"])
@pytest.mark.parametrize("name", ["ignore", "dense", "ordinal unknown", "rare by frequency"])
def test_imputers_of_strings_are_exact(compare, data, strategy, name, show):
    X, species = data.penguins
    X = X[NUMBERS + TEXTS]
    columns = with_texts(ENCODERS[name], SimpleImputer(strategy=strategy))
    pair = compare.exact(make_pipeline(columns, LogisticRegression()).fit(X, species), X, sizes=(1, 7, 200))
    compare.probe(pair, X, examples=8)
    assert pair.counts["left to scikit-learn"] == 0


LAYOUTS = {
    "remainder": ColumnTransformer([("t", OneHotEncoder(handle_unknown="ignore"), TEXTS)], remainder="passthrough"),
    "remainder transformed": ColumnTransformer(
        [("t", OneHotEncoder(handle_unknown="ignore"), TEXTS)],
        remainder=make_pipeline(SimpleImputer(), StandardScaler()),
    ),
    "dropped": ColumnTransformer([("n", StandardScaler(), NUMBERS), ("t", "drop", TEXTS)]),
    "by position": ColumnTransformer([("n", StandardScaler(), [3, 1]), ("p", "passthrough", [0])]),
    "by negative position": ColumnTransformer([("n", StandardScaler(), [-3, 0])]),
    "by slice": ColumnTransformer([("n", MinMaxScaler(), slice(0, 3)), ("none", StandardScaler(), [])]),
    "by mask": ColumnTransformer([("n", RobustScaler(), [True, False, True, False, False, False])]),
    "by dtype": ColumnTransformer([("n", SimpleImputer(), make_column_selector(dtype_include="float64"))]),
    "nested": ColumnTransformer(
        [("n", ColumnTransformer([("a", StandardScaler(), NUMBERS[:2])], remainder="passthrough"), NUMBERS)]
    ),
    "kept sparse": ColumnTransformer([("t", OneHotEncoder(), TEXTS)], remainder="passthrough", sparse_threshold=1.0),
    "one block": ColumnTransformer([("n", StandardScaler(), NUMBERS)]),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_column_transformers_are_exact(compare, data, name):
    X, species = data.penguins
    X, filled = X[NUMBERS + TEXTS], data.numbers.fillna(data.numbers.mean())
    X = X.assign(**{column: filled[column] / filled[column].max() for column in NUMBERS})
    y = data.penguins[0]["year"].to_numpy()
    compare.exact(make_pipeline(LAYOUTS[name], Ridge()).fit(X, y), X, sizes=(1, 2, 7, 300))
    compare.exact(make_pipeline(LAYOUTS[name], DecisionTreeClassifier(max_depth=4)).fit(X, species), X, sizes=(1, 64))


def test_columns_are_found_by_name_whatever_their_order_in_the_schema(compare, data):
    X, species = data.penguins
    model = make_pipeline(with_texts(ENCODERS["ignore"]), LogisticRegression()).fit(X[NUMBERS + TEXTS], species)
    compare.exact(model, X[["sex", *NUMBERS[::-1], "year", "island"]], sizes=(1, 7))


def test_pipelines_in_pipelines_with_steps_that_pass_through_are_exact(compare, data):
    X, y = data.cancer
    inner = Pipeline([("a", "passthrough"), ("b", StandardScaler()), ("c", None), ("d", MaxAbsScaler())])
    for model in (
        Pipeline([("p", "passthrough"), ("i", inner), ("m", LogisticRegression())]),
        Pipeline([("i", inner), ("m", Pipeline([("s", RobustScaler()), ("m", LogisticRegression())]))]),
        Pipeline([("f", FunctionTransformer()), ("m", LogisticRegression())]),
    ):
        compare.exact(model.fit(X, y), X)


def test_integers_and_bools_pass_through_a_column_transformer_exactly(compare, data):
    X, species = data.penguins
    X = X[["year", "heavy", "island"]]
    for columns in (["year"], ["heavy"]):
        parts = [("t", OneHotEncoder(), ["island"]), ("p", "passthrough", columns)]
        compare.exact(make_pipeline(ColumnTransformer(parts), RidgeClassifier()).fit(X, species), X)
    whole = ColumnTransformer([("y", "passthrough", ["year"])])
    compare.exact(make_pipeline(whole, Ridge()).fit(X, X["heavy"]), X)
    compare.exact(make_pipeline(whole, DecisionTreeRegressor()).fit(X, X["heavy"]), X)


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (PolynomialFeatures(), "PolynomialFeatures has no fast form"),
        (FunctionTransformer(np.cumsum), "cumsum is neither scikit-learn's nor plain data"),
        (FunctionTransformer(np.float64), "func="),
        (FunctionTransformer(np.round, kw_args={"decimals": 2}), "round is neither"),
        (FunctionTransformer(np.exp, kw_args={"where": True}), "kw_args"),
        (FunctionTransformer(check_array), "func=check_array"),
        (FunctionTransformer(partial(check_array, ensure_min_features=2)), "check_array of its own"),
        (StandardScaler(copy=False), "copy=False"),
        (MinMaxScaler(copy=False), "copy=False"),
        (StandardScaler().set_output(transform="pandas"), "set_output"),
        (SimpleImputer(missing_values=0.0), "missing_values=0.0"),
        (SimpleImputer(missing_values=-1), "missing_values=-1"),
        (SimpleImputer(copy=False), "copy=False"),
        (OneHotEncoder(dtype=np.float32, handle_unknown="ignore"), "dtype="),
        (OneHotEncoder(dtype=int, handle_unknown="ignore"), "dtype="),
        (OrdinalEncoder(dtype=np.int32), "dtype="),
        (make_pipeline(OneHotEncoder(), MaxAbsScaler()), "sparse matrix"),
        (make_pipeline(OneHotEncoder(), StandardScaler(with_mean=False)), "sparse matrix"),
        (make_pipeline(OneHotEncoder(), SimpleImputer()), "sparse matrix"),
        (ColumnTransformer([("a", StandardScaler(), [0])], transformer_weights={"a": 2}), "transformer_weights"),
        (make_pipeline(OneHotEncoder(), ColumnTransformer([("a", "passthrough", [0])])), "sparse matrix"),
        (FeatureUnion([("a", StandardScaler())], transformer_weights={"a": 2}), "transformer_weights"),
        (FeatureUnion([("a", OneHotEncoder(handle_unknown="ignore")), ("b", StandardScaler())]), "sparse matrices"),
    ],
    ids=lambda value: re.sub(r" at 0x[0-9a-f]+", "", str(value)),  # addresses differ from process to process
)
def test_steps_without_a_fast_form_are_named(compare, data, step, says):
    X, y = data.diabetes
    X = X.iloc[:, :3].round(2)
    with pytest.raises(NotSpecialised, match=says):
        compare.specialised(quiet(make_pipeline(step, DecisionTreeRegressor(max_depth=2)).fit, X, y), X)


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ([("p", "passthrough", ["island"]), ("n", StandardScaler(), NUMBERS)], "strings"),
        ([("p", "passthrough", ["heavy", "year"]), ("n", StandardScaler(), NUMBERS)], "bools beside numbers"),
        ([("i", SimpleImputer(strategy="most_frequent"), TEXTS)], "gives strings"),
        ([("i", SimpleImputer(strategy="most_frequent"), ["year", "heavy"])], "on bools"),
        ([("i", SimpleImputer(strategy="most_frequent"), ["year", "island"])], "on strings"),
    ],
)
def test_kinds_of_columns_without_a_fast_form_are_named(compare, data, parts, says):
    X, species = data.penguins
    columns = ColumnTransformer(parts).fit(X)
    model = make_pipeline(columns, DecisionTreeClassifier())
    model.steps[-1][1].fit(data.numbers, species)
    with pytest.raises(NotSpecialised, match=says):
        compare.specialised(model, X)


def test_a_column_transformer_that_leaves_nothing_has_no_fast_form(compare, data):
    X, y = data.diabetes
    model = make_pipeline(ColumnTransformer([("a", "drop", [0])]).fit(X), DummyRegressor()).fit(X, y)
    with pytest.raises(NotSpecialised, match="drops every column"):
        compare.specialised(model, X)


def test_a_single_column_that_is_not_in_a_list_has_no_fast_form(compare, data):
    X, y = data.diabetes
    columns = ColumnTransformer([("a", StandardScaler(), ["age"])])
    model = make_pipeline(columns, Ridge()).fit(X, y)
    columns.transformers_ = [(name, step, "age") for name, step, _ in columns.transformers_]
    with pytest.raises(NotSpecialised, match="not in a list"):
        compare.specialised(model, X)


def test_a_column_without_values_in_training_has_no_fast_form(compare, data):
    X = data.numbers.assign(body_mass_g=np.nan)
    with pytest.raises(NotSpecialised, match="had no value in training"):
        compare.specialised(quiet(make_pipeline(SimpleImputer(), LogisticRegression()).fit, X, data.penguins[1]), X)


def test_a_schema_that_is_not_what_the_model_was_fitted_on_has_no_fast_form(compare, data):
    X, species = data.penguins
    X = X[NUMBERS + TEXTS]
    model = make_pipeline(with_texts(ENCODERS["ignore"]), LogisticRegression()).fit(X, species)
    for frame, says in (
        (X.drop(columns="sex"), "columns that the schema lacks"),
        (X.assign(sex=1.0), "categories of another kind"),
        (X.assign(body_mass_g=X["body_mass_g"].astype("float32")), "columns of dtype float32"),
        (X.assign(body_mass_g=X["island"]), "on strings"),
    ):
        with pytest.raises(NotSpecialised, match=says):
            compare.specialised(model, frame)
