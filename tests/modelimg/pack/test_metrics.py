"""Metrics: scikit-learn's values on every split but the training data, the user's own on top."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.svm import LinearSVC

from modelimg.errors import DataError, UsageError
from modelimg.pack.allowlist import AllowList
from modelimg.pack.data import Reader
from modelimg.pack.metrics import all_metrics, compute
from modelimg.pack.model import read_model

RANDOM = np.random.RandomState(1)
X = pd.DataFrame(RANDOM.rand(40, 2), columns=["a", "b"])
TWO = np.where(X["a"] + RANDOM.rand(40) > 1, "yes", "no")
THREE = np.arange(40) % 3


@pytest.fixture
def split(tmp_path):
    def make(y, frame=X, name="test"):
        return Reader(tuple(frame.columns), None, None, tmp_path).read(name, (frame, y))

    return make


@pytest.fixture
def model(tmp_path):
    return lambda estimator, y: read_model(estimator.fit(X, y), AllowList(), tmp_path)


@pytest.mark.parametrize("y", [TWO, THREE], ids=["two classes", "three classes"])
def test_a_classifiers_metrics_are_scikit_learns(model, split, y):
    packed = model(LogisticRegression(), y)
    found = compute(packed, split(y))
    predicted, probabilities = packed.estimator.predict(X), packed.estimator.predict_proba(X)
    assert found["accuracy"] == sk.accuracy_score(y, predicted)
    assert found["f1_macro"] == sk.f1_score(y, predicted, average="macro", zero_division=0)
    assert found["log_loss"] == sk.log_loss(y, probabilities)
    scores = probabilities[:, 1] if len(packed.classes) == 2 else probabilities
    assert found["roc_auc"] == sk.roc_auc_score(y, scores, multi_class="ovr")
    assert found["confusion_matrix"]["counts"] == sk.confusion_matrix(y, predicted).tolist()
    assert found["confusion_matrix"]["classes"] == list(packed.classes)
    assert "omitted" not in found


def test_a_regressors_metrics_are_scikit_learns(regressor, tmp_path, split):
    packed = read_model(regressor, AllowList(), tmp_path)
    y = np.arange(40.0)
    frame = pd.DataFrame({"count": RANDOM.rand(40)})
    predicted = regressor.predict(frame)
    assert compute(packed, split(y, frame)) == {
        "r2": sk.r2_score(y, predicted),
        "mae": sk.mean_absolute_error(y, predicted),
        "rmse": math.sqrt(sk.mean_squared_error(y, predicted)),
    }


def test_what_cannot_be_computed_is_left_out_with_the_reason(model, split):
    one_class = compute(model(LogisticRegression(), TWO), split(np.full(40, "yes")))
    assert "roc_auc" not in one_class
    assert "one class" in one_class["omitted"]["roc_auc"].lower()
    assert "log_loss" in one_class
    no_probabilities = compute(model(LinearSVC(), TWO), split(TWO))
    assert no_probabilities["omitted"] == dict.fromkeys(["roc_auc", "log_loss"], "the model gives no probabilities")


def test_many_outputs_have_an_accuracy_of_whole_rows(model, split):
    y = np.column_stack([THREE, TWO == "yes"]).astype(int)
    packed = model(MultiOutputClassifier(LogisticRegression()), y)
    expected = (packed.estimator.predict(X) == y).all(axis=1).mean()
    assert compute(packed, split(y)) == {"accuracy": expected}


def test_other_models_and_splits_without_a_target_have_no_metrics(model, split, tmp_path):
    clusters = read_model(KMeans(2, n_init=1).fit(X), AllowList(), tmp_path)
    assert compute(clusters, split(THREE)) == {}
    assert all_metrics(model(LogisticRegression(), TWO), {"test": split(None)}, None) == {}


def test_every_split_but_the_training_data_is_measured(model, split):
    splits = {name: split(TWO, name=name) for name in ("train", "test", "holdout")}
    assert list(all_metrics(model(LogisticRegression(), TWO), splits, None)) == ["test", "holdout"]


def test_own_metrics_lie_over_the_computed_ones(model, split):
    given = {"test": {"accuracy": 0.5, "lift": np.float64(2.5)}, "train": {"cost": 3}}
    found = all_metrics(model(LogisticRegression(), TWO), {"test": split(TWO)}, given)
    assert (found["test"]["accuracy"], found["test"]["lift"], found["train"]) == (0.5, 2.5, {"cost": 3})
    assert "f1_macro" in found["test"]


def test_a_flat_table_is_of_the_test_split(model):
    assert all_metrics(model(LogisticRegression(), TWO), {}, {"lift": 2}) == {"test": {"lift": 2}}


@pytest.mark.parametrize(
    "given",
    [
        {"test": {"accuracy": float("nan")}},
        {"test": {"accuracy": float("inf")}},
        {"test": {"accuracy": "high"}},
        {"test": {"accuracy": True}},
        {"test": {"my metric": 1.0}},
        {"my split": {"accuracy": 1.0}},
        {"test": [1.0]},
    ],
)
def test_own_metrics_must_be_finite_numbers_with_names_that_a_label_can_hold(model, given):
    with pytest.raises(UsageError):
        all_metrics(model(LogisticRegression(), TWO), {}, given)


def test_a_target_of_another_kind_is_refused_by_split(model, split):
    with pytest.raises(DataError, match="split test"):
        compute(model(LogisticRegression(), TWO), split(np.arange(40) / 7))
