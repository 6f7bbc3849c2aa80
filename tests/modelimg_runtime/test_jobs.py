from __future__ import annotations

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    BaggingRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
)
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import PowerTransformer, StandardScaler
from sklearn.tree import DecisionTreeRegressor

from modelimg_runtime.jobs import unset_jobs

RANDOM = np.random.default_rng(5)
X = RANDOM.normal(size=(120, 4))
LABELS = (X[:, 0] + X[:, 1] ** 2 > 0.5).astype(int)
VALUES = X[:, 0] * 3 + np.sin(X[:, 1])


def forest(jobs):
    return RandomForestClassifier(15, random_state=0, n_jobs=jobs)


NESTED = {
    "forest": (lambda jobs: forest(jobs), LABELS),
    "extra trees": (lambda jobs: ExtraTreesClassifier(15, random_state=0, n_jobs=jobs), LABELS),
    "regressors": (lambda jobs: RandomForestRegressor(15, random_state=0, n_jobs=jobs), VALUES),
    "extra regressors": (lambda jobs: ExtraTreesRegressor(15, random_state=0, n_jobs=jobs), VALUES),
    "in a pipeline": (lambda jobs: make_pipeline(StandardScaler(), forest(jobs)), LABELS),
    "in a search": (lambda jobs: GridSearchCV(forest(jobs), {"max_depth": [2, 3]}, cv=2), LABELS),
    "in a vote": (lambda jobs: VotingClassifier([("f", forest(jobs)), ("l", LogisticRegression())]), LABELS),
    "columns": (
        lambda jobs: make_pipeline(
            ColumnTransformer([("s", StandardScaler(), [0, 1]), ("p", PowerTransformer(), [2, 3])], n_jobs=jobs),
            LinearRegression(),
        ),
        VALUES,
    ),
    "union": (
        lambda jobs: make_pipeline(
            FeatureUnion([("s", StandardScaler()), ("p", PowerTransformer())], n_jobs=jobs), LinearRegression()
        ),
        VALUES,
    ),
    "outputs": (
        lambda jobs: MultiOutputRegressor(DecisionTreeRegressor(random_state=0), n_jobs=jobs),
        np.column_stack([VALUES, LABELS]),
    ),
}


def answers(model):
    found = [model.predict(X), model.predict(X[:1])]
    return found + ([model.predict_proba(X)] if hasattr(model, "predict_proba") else [])


@pytest.fixture(autouse=True)
def _threads_rather_than_processes():
    with joblib.parallel_config(backend="threading"):
        yield


@pytest.mark.parametrize("name", NESTED)
def test_answers_are_those_of_the_same_model_fitted_without_jobs_bit_for_bit(name):
    make, y = NESTED[name]
    plain = make(None).fit(X, y)
    parallel = unset_jobs(make(2).fit(X, y))
    for expected, got in zip(answers(plain), answers(parallel), strict=True):
        assert expected.tobytes() == got.tobytes()
    assert {value for key, value in parallel.get_params(deep=True).items() if key.endswith("n_jobs")} <= {None, 2}


@pytest.mark.parametrize("name", ["forest", "in a pipeline", "in a search", "in a vote", "columns", "union", "outputs"])
def test_no_jobs_are_left_in_what_predicts(name):
    make, y = NESTED[name]
    model = unset_jobs(make(2).fit(X, y))
    parts = [model, *getattr(model, "estimators_", []), getattr(model, "best_estimator_", None)]
    parts += [step for _, step in getattr(model, "steps", [])]
    assert all(getattr(part, "n_jobs", None) is None for part in parts)


def test_fitted_members_count_not_only_what_they_were_cloned_from():
    model = VotingClassifier([("f", forest(2))]).fit(X, LABELS)
    assert unset_jobs(model).estimators_[0].n_jobs is None
    assert clone(model).estimators[0][1].n_jobs is None


@pytest.mark.parametrize(
    "model",
    [
        BaggingRegressor(LinearRegression(), 4, n_jobs=2, random_state=0),
        KNeighborsClassifier(n_jobs=2),
        LinearRegression(n_jobs=2),
    ],
)
def test_where_jobs_may_change_an_answer_or_nothing_they_are_left(model):
    fitted = model.fit(X, LABELS if isinstance(model, KNeighborsClassifier) else VALUES)
    before = fitted.predict(X).tobytes()
    assert unset_jobs(fitted).n_jobs == 2
    assert fitted.predict(X).tobytes() == before


class RandomForestLookalike:
    """Somebody else's class may mean something else by the name."""

    def __init__(self):
        self.n_jobs = 2

    def get_params(self, deep=True):
        return {"n_jobs": self.n_jobs}


@pytest.mark.parametrize("value", [RandomForestLookalike(), {"n_jobs": 2}, None, [1, "a"], np.array([1.0])])
def test_what_is_not_scikit_learns_is_left(value):
    assert unset_jobs(value) is value
    assert not isinstance(value, RandomForestLookalike) or value.n_jobs == 2


def test_a_model_that_contains_itself_is_walked_once():
    model = forest(2).fit(X, LABELS)
    pipeline = make_pipeline(model)
    pipeline.myself = [pipeline]
    assert unset_jobs(pipeline).steps[0][1].n_jobs is None
