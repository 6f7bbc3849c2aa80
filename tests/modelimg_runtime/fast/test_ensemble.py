"""Trees, forests and boosting give scikit-learn's bits, at thresholds and at the edges of 32-bit floats too."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

from modelimg_runtime.fast import NotAnswered, NotSpecialised, parts_of, read_parts, specialise
from modelimg_runtime.fast import trees as trees_module

CLASSIFIERS = {
    "tree": DecisionTreeClassifier(random_state=0),
    "stump": DecisionTreeClassifier(max_depth=1),
    "entropy": DecisionTreeClassifier(criterion="entropy", ccp_alpha=0.01),
    "weights": DecisionTreeClassifier(class_weight="balanced", min_samples_leaf=7),
    "extra tree": ExtraTreeClassifier(random_state=0),
    "forest": RandomForestClassifier(12, random_state=0),
    "forest with weights": RandomForestClassifier(7, class_weight="balanced_subsample", max_depth=3, random_state=0),
    "extra trees": ExtraTreesClassifier(9, random_state=0),
}
REGRESSORS = {
    "tree": DecisionTreeRegressor(random_state=0),
    "absolute error": DecisionTreeRegressor(criterion="absolute_error", max_depth=3),
    "extra tree": ExtraTreeRegressor(random_state=0),
    "forest": RandomForestRegressor(12, random_state=0),
    "extra trees": ExtraTreesRegressor(9, max_depth=4, random_state=0),
    "boosting": GradientBoostingRegressor(n_estimators=30, random_state=0),
    "boosting of the median": GradientBoostingRegressor(loss="absolute_error", n_estimators=10, learning_rate=0.3),
    "boosting of a quantile": GradientBoostingRegressor(loss="quantile", n_estimators=10, subsample=0.7),
}


def thresholds(model):
    """Where the model's trees split: a cell exactly there goes left."""
    trees = np.ravel(getattr(model, "estimators_", [model])).tolist()
    return [float(each) for tree in trees for each in tree.tree_.threshold[tree.tree_.feature >= 0][:20]]


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_are_exact(compare, data, name):
    for X, y in (data.cancer, data.iris, data.wine):
        pair = compare.exact(CLASSIFIERS[name].fit(X, y), X, sizes=(1, 3, 64))
        assert pair.counts == {"answered": 5}


@pytest.mark.parametrize("name", REGRESSORS)
def test_regressors_are_exact(compare, data, name):
    X, y = data.diabetes
    assert compare.exact(REGRESSORS[name].fit(X, y), X).counts == {"answered": 8}


def test_boosting_for_two_classes_is_exact(compare, data):
    X, y = data.cancer
    for model in (
        GradientBoostingClassifier(n_estimators=20, random_state=0),
        GradientBoostingClassifier(n_estimators=5, max_depth=5, learning_rate=0.7, subsample=0.5, random_state=0),
    ):
        assert compare.exact(model.fit(X, np.where(y, "ill", "well").astype(object)), X).counts == {"answered": 8}


@pytest.mark.parametrize(
    "model",
    [
        GradientBoostingClassifier(n_estimators=8, random_state=0),
        GradientBoostingClassifier(n_estimators=4, init="zero", learning_rate=0.4, subsample=0.6, random_state=0),
        GradientBoostingClassifier(n_estimators=9, loss="exponential", random_state=0),
        GradientBoostingClassifier(n_estimators=9, loss="exponential", init="zero", random_state=0),
    ],
    ids=str,
)
@pytest.mark.parametrize("count", [2, 3, 10])
def test_boosting_for_any_number_of_classes_is_exact(compare, data, model, count):
    X, y = data.diabetes
    if model.loss != "exponential" or count == 2:
        target = pd.qcut(y, count, labels=[f"part {each}" for each in range(count)]).astype(object)
        assert compare.exact(model.fit(X, target), X).counts == {"answered": 8}


def test_boosting_that_starts_from_zero_is_exact(compare, data):
    X, y = data.diabetes
    model = GradientBoostingRegressor(init="zero", n_estimators=9, random_state=0)
    assert compare.exact(model.fit(X, y), X).counts == {"answered": 8}


def test_a_score_of_exactly_zero_is_the_second_class_of_boosting(compare, data):
    X, _ = data.cancer
    still, halves = X.iloc[:10, :2] * 0, np.arange(10) % 2
    pair = compare.exact(GradientBoostingClassifier(n_estimators=3).fit(still, halves), still, sizes=(1, 5))
    assert pair.fast.answer(compare.as_batch(compare.sample(still, 1))).predictions.tolist() == [1]


@pytest.mark.parametrize("rows", [40, 41])
def test_the_start_of_boosting_is_exact_whatever_the_share_of_a_class(compare, data, rows):
    X, y = data.cancer
    for first in range(0, 120, 40):
        part = slice(first, first + rows)
        compare.exact(GradientBoostingClassifier(n_estimators=2).fit(X[part], y[part]), X, sizes=(1, 9))


@pytest.mark.parametrize("kind", ["forest", "extra trees", "tree"])
def test_rows_at_thresholds_and_at_the_edges_of_32_bits_are_exact(compare, data, kind, show):
    X, y = data.iris
    model = CLASSIFIERS[kind].fit(X, y)
    pair = compare.probe(compare.pair(model, X), X, special=thresholds(model), examples=80)
    show(f"{kind}: {dict(pair.counts)}")
    assert pair.counts["answered"] > 40
    assert pair.counts["refused by both"] > 3
    assert pair.counts["left to scikit-learn"] == 0


def test_missing_cells_go_where_the_training_sent_them(compare, data, show):
    X, y = data.penguins
    X = X.select_dtypes("number").astype("float64")
    for model in (
        DecisionTreeClassifier(random_state=0),
        RandomForestClassifier(10, random_state=0),
        ExtraTreesClassifier(10, random_state=0),
        RandomForestRegressor(5, random_state=0),
    ):
        target = X["year"].to_numpy() if isinstance(model, RandomForestRegressor) else y
        for rows in (X["year"] > 0, X.notna().all(axis=1)):
            model.fit(X[rows], target[rows])
            pair = compare.probe(compare.exact(model, X, sizes=(1, 3, 300)), X, examples=15)
            assert pair.counts["left to scikit-learn"] == 0


def test_missing_cells_in_a_sparse_matrix_are_not_answered_as_scikit_learn_refuses_them(compare, data):
    X, species = data.penguins
    X = X[["island", "body_mass_g"]]
    columns = ColumnTransformer([("t", OneHotEncoder(), ["island"])], remainder="passthrough", sparse_threshold=1.0)
    known = X["body_mass_g"].notna()
    pair = compare.pair(make_pipeline(columns, RandomForestClassifier(3)).fit(X[known], species[known]), X)
    for cells, refused in (([4000.0, 3000.0], False), ([4000.0, None], True)):
        request = {"island": ["Dream", "Biscoe"], "body_mass_g": cells}
        pair.compare(request, answered=True)
        assert (pair.expected(request) is None) == refused
    assert pair.counts == {"answered": 1, "refused by both": 1}


@pytest.mark.parametrize(
    "model",
    [DecisionTreeRegressor(criterion="absolute_error", max_depth=2), ExtraTreeRegressor(splitter="best", max_depth=2)],
)
def test_trees_that_may_not_take_missing_cells_leave_them_to_scikit_learn(compare, data, model):
    X, y = data.diabetes
    fast = compare.specialised(model.fit(X, y), X)
    columns = compare.sample(X, 2)
    columns["bmi"][0] = float("nan")
    with pytest.raises(NotAnswered):
        fast.answer(compare.as_batch(columns))


@pytest.mark.parametrize("version", ["1.4.2", "1.5.2"])
def test_versions_that_partly_take_missing_cells_leave_them_to_scikit_learn(compare, data, version):
    X, y = data.diabetes
    file = compare.saved(RandomForestRegressor(2).fit(X, y))
    model = read_parts(file, "joblib", frozenset(compare.recorded(file).globals))
    for part in parts_of(model):
        if "_sklearn_version" in part:
            part.state["_sklearn_version"] = version
    fast = specialise(model, list(compare.dtypes_of(X).items()), ())
    columns = compare.sample(X, 2)
    assert len(fast.answer(compare.as_batch(columns)).predictions) == 2
    columns["bmi"][0] = None
    with pytest.raises(NotAnswered):
        fast.answer(compare.as_batch(columns))


@pytest.mark.parametrize("version", ["1.2.2", "1.3.2"])
@pytest.mark.parametrize("name", ["tree", "weights", "forest", "extra trees"])
def test_up_to_version_1_3_leaves_hold_weights_that_are_made_fractions(compare, data, version, name):
    X, y = data.iris
    model = CLASSIFIERS[name].fit(X, y)
    file = compare.saved(model)
    part = read_parts(file, "joblib", frozenset(compare.recorded(file).globals))
    for each in parts_of(part):
        if "_sklearn_version" in each:
            each.state["_sklearn_version"] = version
        if each.cls.endswith("._tree.Tree"):
            each.state["values"] = each["values"] * 64  # exactly, whatever the rounding of the fractions
    fast = specialise(part, list(compare.dtypes_of(X).items()), tuple(model.classes_))
    columns = compare.sample(X, 50)
    found = fast.answer(compare.as_batch(columns))
    expected = model.predict_proba(pd.DataFrame(columns))
    assert np.abs(found.probabilities - expected).max() < 1e-15
    assert found.predictions.tolist() == model.predict(pd.DataFrame(columns)).tolist()


def test_boosting_leaves_missing_cells_to_scikit_learn(compare, data):
    X, y = data.diabetes
    pair = compare.pair(REGRESSORS["boosting"].fit(X, y), X)
    columns = compare.sample(X, 3)
    columns["bmi"][1] = None
    assert pair.expected(columns) is None
    with pytest.raises(NotAnswered):
        pair.fast.answer(compare.as_batch(columns))


def test_forests_on_integers_bools_and_their_mixtures_round_as_scikit_learn_does(compare, data, show):
    X, species = data.penguins
    filled = X[["year", "heavy"]].assign(mass=data.numbers["body_mass_g"].fillna(0), big=np.arange(len(X)) * 7**17)
    for columns in (
        ["year", "big"],
        ["year", "mass", "big"],
        ["year", "heavy", "mass", "big"],
        ["heavy"],
        ["heavy", "mass"],
    ):
        frame = filled[columns]
        model = RandomForestClassifier(5, random_state=0).fit(frame, species)
        pair = compare.probe(compare.exact(model, frame, sizes=(1, 30)), frame, examples=40)
        show(f"{columns}: {dict(pair.counts)}")
        assert pair.counts["left to scikit-learn"] == 0


@pytest.mark.parametrize("beside", [{}, {"other": 0.5}, {"other": True}, {"other": 0.5, "third": True}], ids=str)
def test_integers_are_rounded_to_32_bits_in_as_many_steps_as_in_scikit_learn(compare, beside):
    low, high = 2**60, 2**60 + 2**37
    frame = pd.DataFrame({"big": [low, high] * 5}).assign(**beside)
    pair = compare.pair(DecisionTreeClassifier().fit(frame, ["low", "high"] * 5), frame)
    for big in (low, low + 2**36 - 1, low + 2**36, low + 2**36 + 1, high):
        pair.compare({"big": [big], **{name: [cell] for name, cell in beside.items()}}, answered=True)
        pair.compare({"big": [big] * 2, **{name: [cell] * 2 for name, cell in beside.items()}}, answered=True)


def test_a_forest_behind_a_mixed_pipeline_is_exact_dense_and_sparse(compare, data, show):
    X, species = data.penguins
    numbers, texts = ["bill_length_mm", "body_mass_g", "year"], ["island", "sex"]
    for encoder, threshold in (
        (OneHotEncoder(handle_unknown="ignore"), 0.3),
        (OneHotEncoder(), 1.0),
        (OrdinalEncoder(), 0),
    ):
        columns = ColumnTransformer(
            [("n", make_pipeline(SimpleImputer(), StandardScaler()), numbers), ("t", encoder, texts)],
            sparse_threshold=threshold,
        )
        model = make_pipeline(columns, RandomForestClassifier(10, random_state=0)).fit(X, species)
        pair = compare.probe(compare.exact(model, X), X, examples=20)
        show(f"{type(encoder).__name__}: {dict(pair.counts)}")
        # Ordinal codes of missing strings are NaN, and NaN in a sparse matrix is refused.
        assert pair.counts["left to scikit-learn"] == 0


def test_large_batches_are_walked_in_chunks_with_the_same_bits(compare, data, monkeypatch):
    X, y = data.diabetes
    monkeypatch.setattr(trees_module, "_CELLS", 100)
    monkeypatch.setattr(trees_module, "_WALKERS", 30)
    for name in ("forest", "boosting", "tree"):
        compare.exact(REGRESSORS[name].fit(X, y), X, sizes=(1, 7, 8, 9, 50))


def test_a_forest_of_many_jobs_gives_the_sum_in_the_order_of_its_trees(compare, data):
    X, y = data.diabetes
    forest = RandomForestRegressor(9, random_state=0).fit(X, y)
    columns = compare.sample(X, 20)
    of_one_job = compare.pair(forest, X).expected(columns)["prediction"].to_numpy()
    forest.n_jobs = 2
    found = compare.specialised(forest, X).answer(compare.as_batch(columns)).predictions
    assert found.tobytes() == of_one_job.tobytes()


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (GradientBoostingRegressor(init=DecisionTreeRegressor(), n_estimators=2), "init=DecisionTreeRegressor"),
        (GradientBoostingClassifier(init=DecisionTreeClassifier(), n_estimators=2), "init=DecisionTreeClassifier"),
        (DecisionTreeClassifier(), "several outputs"),
        (DecisionTreeRegressor(), "several outputs"),
        (RandomForestClassifier(2), "several outputs"),
        (RandomForestRegressor(2), "several outputs"),
    ],
    ids=str,
)
def test_models_without_a_fast_form_are_named(compare, data, model, says):
    X, y = data.diabetes
    target = np.digitize(y, [100, 200])
    model.fit(X, np.column_stack([target, target]) if says == "several outputs" else target)
    with pytest.raises(NotSpecialised, match=says):
        compare.specialised(model, X, () if says == "several outputs" else None)


def nodes_of(part):
    nodes = part["tree_"].state["nodes"] = part["tree_"]["nodes"].copy()
    return nodes


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("left_child", 9999, "point to nowhere"),
        ("right_child", -5, "point to nowhere"),
        ("feature", 10, "point to nowhere"),
        ("feature", -2, "point to nowhere"),
        ("left_child", 0, "round in a circle"),
        ("right_child", 0, "round in a circle"),
    ],
)
def test_nodes_that_are_no_tree_are_refused_instead_of_walked(compare, data, field, value, says):
    X, y = data.diabetes
    file = compare.saved(DecisionTreeRegressor(max_depth=3).fit(X, y))
    part = read_parts(file, "joblib", frozenset(compare.recorded(file).globals))
    nodes_of(part)[field][1] = value
    with pytest.raises(NotSpecialised, match=says):
        specialise(part, list(compare.dtypes_of(X).items()), ())
