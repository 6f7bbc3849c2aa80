"""Intervals of test metrics: around scikit-learn's values, and the same every time."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk
from sklearn.cluster import KMeans
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.svm import LinearSVC

from modelimg.pack import bootstrap
from modelimg.pack.allowlist import AllowList
from modelimg.pack.bootstrap import interval_estimates
from modelimg.pack.data import Reader
from modelimg.pack.metrics import compute
from modelimg.pack.model import read_model
from modelimg_runtime.predict import output_frame

RANDOM = np.random.RandomState(1)
X = pd.DataFrame(RANDOM.rand(150, 2), columns=["a", "b"])
TWO = np.where(X["a"] + RANDOM.rand(150) > 1, "yes", "no")
THREE = (3 * X["a"] + RANDOM.rand(150)).to_numpy().astype(int) % 3
WHOLE = RANDOM.randint(0, 3, 150)


@pytest.fixture
def estimates(tmp_path):
    def make(estimator, fitted, y=None, frame=X):
        model = read_model(estimator.fit(frame, fitted), AllowList(), tmp_path)
        split = Reader(tuple(frame.columns), None, None, tmp_path).read("test", (frame, fitted if y is None else y))
        answers = output_frame(model.estimator, split.X, model.classes)
        return interval_estimates(model, split.y, answers), compute(model, split)

    return make


@pytest.mark.parametrize(
    ("estimator", "y"),
    [
        (LogisticRegression(), TWO),
        (LogisticRegression(), THREE),
        (LogisticRegression(), THREE == 0),
        (LinearSVC(), TWO),
        (LinearRegression(), X["a"] + RANDOM.rand(150)),
        (LinearRegression(), np.column_stack([X["a"] + RANDOM.rand(150), X["b"] ** 2])),
        (MultiOutputClassifier(LogisticRegression()), np.column_stack([THREE, WHOLE])),
    ],
    ids=["two", "three", "booleans", "no probabilities", "numbers", "two numbers", "two classes at once"],
)
def test_values_are_those_of_the_metrics_and_inside_of_their_intervals(estimates, estimator, y):
    found, expected = estimates(estimator, y)
    numbers = {name: value for name, value in expected.items() if isinstance(value, float)}
    assert found.keys() == numbers.keys()
    for name, each in found.items():
        assert each.value == pytest.approx(numbers[name], rel=1e-12), name
        assert each.low < each.value < each.high, name


def test_intervals_are_the_same_every_time_and_at_any_size_of_a_block(estimates, monkeypatch):
    first, _ = estimates(LogisticRegression(), TWO)
    again, _ = estimates(LogisticRegression(), TWO)
    monkeypatch.setattr(bootstrap, "_AT_ONCE", 150 * 250)
    blocks, _ = estimates(LogisticRegression(), TWO)
    assert first == again == blocks


def test_resamples_are_weighed_as_scikit_learn_weighs_rows(estimates, tmp_path):
    model = read_model(LogisticRegression().fit(X, THREE), AllowList(), tmp_path)
    answers = output_frame(model.estimator, X, model.classes)
    predicted, scores = answers["prediction"].to_numpy(), answers.iloc[:, 1:].to_numpy()
    statistics = bootstrap._statistics(model, THREE, answers)
    weights = next(bootstrap._resamples(150))[:5]
    for row, weight in enumerate(weights):
        drawn = np.repeat(np.arange(150), weight.astype(int))
        expected = {
            "accuracy": sk.accuracy_score(THREE[drawn], predicted[drawn]),
            "f1_macro": sk.f1_score(THREE[drawn], predicted[drawn], average="macro"),
            "log_loss": sk.log_loss(THREE[drawn], scores[drawn]),
            "roc_auc": sk.roc_auc_score(THREE[drawn], scores[drawn], multi_class="ovr"),
        }
        for name, value in expected.items():
            assert statistics[name](weights)[row] == pytest.approx(value, rel=1e-10), name


def test_ties_in_scores_count_by_half():
    truth, scores = np.array([True, False, True, False]), np.array([0.5, 0.5, 0.5, 0.1])
    auc = bootstrap._auc(truth, scores)(np.ones((1, 4)))[0]
    assert auc == sk.roc_auc_score(truth, scores) == 0.75


def test_an_interval_covers_the_truth_as_often_as_it_says(show):
    random, covered = np.random.RandomState(0), 0
    for _ in range(200):
        right = random.rand(300) < 0.8
        drawn = [bootstrap._mean(right)(weights) for weights in bootstrap._resamples(300)]
        found = bootstrap._estimate(right.mean(), np.concatenate(drawn))
        covered += found.low <= 0.8 <= found.high
    show(f"the 95 % interval of an accuracy covers it {covered} of 200 times")
    assert 180 <= covered <= 198


@pytest.mark.parametrize("y", [np.full(150, "yes"), np.where(TWO == "no", "never seen", "yes")])
def test_what_is_not_defined_has_no_interval(estimates, y):
    found, expected = estimates(LogisticRegression(), TWO, y)
    assert len(found) < 4
    assert found.keys() == {name for name, value in expected.items() if isinstance(value, float)}


def test_other_models_have_no_metrics(estimates):
    assert estimates(KMeans(2, n_init=1), THREE)[0] == {}


def test_a_long_split_is_resampled_less_often():
    assert sum(len(weights) for weights in bootstrap._resamples(50)) == bootstrap.RESAMPLES
    first = next(bootstrap._resamples(5_000_000))
    assert first.shape == (1, 5_000_000)
    assert first.sum() == 5_000_000
