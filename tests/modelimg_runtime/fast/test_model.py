"""When there is a fast form at all, what it says of itself, and that threads may share it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import sklearn
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from modelimg_runtime.columns import Batch
from modelimg_runtime.fast import NotAnswered, NotSpecialised, read_parts, specialise


def parts(compare, model):
    file = compare.saved(model)
    return read_parts(file, "joblib", frozenset(compare.recorded(file).globals))


@pytest.mark.parametrize(
    ("model", "apart"),
    [
        (make_pipeline(StandardScaler(), RandomForestClassifier(3)), True),
        (HistGradientBoostingClassifier(max_iter=2), True),
        (GridSearchCV(make_pipeline(SimpleImputer(), DecisionTreeClassifier()), {}, cv=2), True),
        (VotingClassifier([("a", DecisionTreeClassifier()), ("b", RandomForestClassifier(2))], voting="soft"), True),
        (make_pipeline(StandardScaler(), LogisticRegression()), False),
        (GridSearchCV(LogisticRegression(max_iter=1000), {}, cv=2), False),
        (VotingClassifier([("a", DecisionTreeClassifier()), ("b", LogisticRegression(max_iter=1000))]), False),
        (CalibratedClassifierCV(LinearSVC(), cv=2), False),
        (MLPClassifier(5, max_iter=5000), False),
    ],
    ids=str,
)
def test_only_models_without_products_of_matrices_are_known_to_keep_their_rows_apart(compare, data, model, apart):
    X, y = data.iris
    fast = compare.specialised(model.fit(X, y), X)
    assert fast.version == sklearn.__version__
    assert fast.rows_apart is apart
    if apart:
        columns = compare.sample(X, 40)
        together = fast.answer(compare.as_batch(columns)).probabilities
        for row in range(40):
            alone = fast.answer(compare.as_batch({name: [cells[row]] for name, cells in columns.items()}))
            assert alone.probabilities.tobytes() == together[row].tobytes()


def test_many_classes_of_histogram_boosting_are_not_known_to_keep_their_rows_apart(compare, data):
    X, y = data.diabetes
    model = HistGradientBoostingClassifier(max_iter=2).fit(X, np.digitize(y, np.quantile(y, np.arange(0.1, 1, 0.1))))
    assert compare.specialised(model, X).rows_apart is False


@pytest.mark.parametrize(
    "version", ["1.1.3", "1.0.2", "1.10.0", "2.0", "1.90.1", "0.24.2", "1", "", "1.9.1.dev0", None]
)
def test_only_known_versions_and_one_version_have_a_fast_form(compare, data, version):
    X, y = data.iris
    model = parts(compare, make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y))
    columns = list(compare.dtypes_of(X).items())
    for step in (model, *(step for _, step in model["steps"])):
        step.state["_sklearn_version"] = version
    if version == "1.9.1.dev0":
        version = "1.7.0"
        model["steps"][1][1].state["_sklearn_version"] = version
        with pytest.raises(NotSpecialised, match="2 versions"):
            specialise(model, columns, ("a", "b", "c"))
        return
    with pytest.raises(NotSpecialised, match="scikit-learn"):
        specialise(model, columns, ("a", "b", "c"))
    for step in (model, *(step for _, step in model["steps"])):
        del step.state["_sklearn_version"]
    with pytest.raises(NotSpecialised, match="0 versions"):
        specialise(model, columns, ("a", "b", "c"))


class Louder(LogisticRegression):
    """A user's subclass, which may do anything."""


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (GaussianNB(), "GaussianNB has no fast form"),
        (SVC(), "SVC has no fast form"),
        (KMeans(2, n_init=1), "KMeans has no fast form"),
        (KNeighborsClassifier(), "KNeighborsClassifier has no fast form"),
        (VotingClassifier([("a", SVC())]), "SVC has no fast form"),
        (GridSearchCV(SVC(), {"C": [1]}, cv=2), "SVC has no fast form"),
        (Pipeline([("a", StandardScaler())]), "StandardScaler has no fast form"),
        (Pipeline([("a", LogisticRegression()), ("b", "passthrough")]), "without an estimator at its end"),
        (Pipeline([("a", FeatureUnion([("s", KMeans(2, n_init=1))])), ("b", LogisticRegression())]), "KMeans"),
        (Pipeline([("a", FeatureUnion([("s", "drop")])), ("b", DummyClassifier())]), "drops every column"),
        (Louder(), "neither scikit-learn's nor plain data"),
        (make_pipeline(StandardScaler(), Louder()), "neither scikit-learn's nor plain data"),
    ],
    ids=str,
)
def test_estimators_without_a_fast_form_are_named(compare, data, model, says):
    X, y = data.cancer
    if str(model).startswith("Pipeline") and "'passthrough'" in str(model):
        model.steps[0][1].fit(X, y)
    else:
        model.fit(X, y)
    with pytest.raises(NotSpecialised, match=says):
        compare.specialised(model, X, (0, 1))


@pytest.mark.parametrize("dtype", ["float32", "int32", "Int64", "object", "datetime64[ns]", ""])
def test_columns_of_other_dtypes_have_no_fast_form(compare, data, dtype):
    X, _ = data.iris
    model = parts(compare, Ridge().fit(X, X.iloc[:, 0]))
    columns = list(compare.dtypes_of(X).items())
    columns[1] = (columns[1][0], dtype)
    with pytest.raises(NotSpecialised, match="columns of dtype"):
        specialise(model, columns, ())


def test_a_model_fitted_on_an_array_takes_columns_of_numbers_only(compare, data):
    X, species = data.penguins
    model = RandomForestClassifier(2).fit(data.numbers.to_numpy(), species)
    with pytest.raises(NotSpecialised, match="strings, or bools"):
        compare.specialised(model, X)
    with pytest.raises(NotSpecialised, match="fitted on 4 columns, not on 3"):
        compare.specialised(model, data.numbers.iloc[:, :3])
    compare.exact(model, data.numbers, sizes=(1, 7))
    whole = data.numbers.fillna(0).astype("int64")
    compare.exact(model, whole.assign(bill_depth_mm=data.numbers["bill_depth_mm"]), sizes=(1, 7))
    compare.exact(model, whole, sizes=(1, 7))


@pytest.mark.parametrize("cell", ["a", [1.0], {}, 10**400, object()])
def test_cells_that_no_contract_accepts_are_not_answered(compare, data, cell):
    X, y = data.iris
    fast = compare.specialised(LogisticRegression().fit(X, y), X)
    columns = compare.sample(X, 2)
    columns[X.columns[0]][0] = cell
    with pytest.raises(NotAnswered, match="values of another kind"):
        fast.answer(compare.as_batch(columns))


def test_no_rows_are_not_answered(compare, data):
    X, y = data.iris
    fast = compare.specialised(LogisticRegression().fit(X, y), X)
    with pytest.raises(NotAnswered, match="no rows"):
        fast.answer(Batch(tuple(X), tuple([] for _ in X), 0))


def test_answers_are_the_callers_own(compare, data):
    X, y = data.iris
    for model in (LogisticRegression(), RandomForestClassifier(3, random_state=0)):
        fast, batch = compare.specialised(model.fit(X, y), X), compare.as_batch(compare.sample(X, 1))
        first = fast.answer(batch)
        kept = first.predictions.copy(), first.probabilities.copy()
        first.predictions[:], first.probabilities[:] = "changed", -1
        again = fast.answer(batch)
        assert again.predictions.tolist() == kept[0].tolist()
        assert again.probabilities.tobytes() == kept[1].tobytes()


@pytest.mark.parametrize(
    "model",
    [make_pipeline(StandardScaler(), LogisticRegression()), RandomForestClassifier(20, random_state=0)],
    ids=["linear", "forest"],
)
def test_eight_threads_get_the_answers_of_one(compare, data, show, model):
    X, y = data.cancer
    fast = compare.specialised(model.fit(X, y), X)
    batches = [compare.as_batch(compare.sample(X, rows, seed)) for seed in range(10) for rows in (1, 2, 50)]

    def answer(at):
        return fast.answer(batches[at]).probabilities.tobytes()

    alone = [answer(at) for at in range(len(batches))]
    order = np.random.RandomState(0).permutation(np.repeat(np.arange(len(batches)), 20)).tolist()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(answer, order))
    assert found == [alone[at] for at in order]
    show(f"answers of eight threads compared: {len(order)}")
