"""Dummy estimators give scikit-learn's bits, or have no fast form."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelimg_runtime.fast import NotSpecialised


@pytest.mark.parametrize("strategy", ["prior", "most_frequent"])
def test_dummy_classifiers_are_exact(compare, data, strategy):
    for X, y in (data.cancer, data.iris, data.wine):
        compare.exact(DummyClassifier(strategy=strategy).fit(X, y), X)
        compare.exact(make_pipeline(StandardScaler(), DummyClassifier(strategy=strategy)).fit(X, y), X, sizes=(1, 3))
    X, species = data.penguins
    compare.exact(DummyClassifier(strategy=strategy).fit(X, species.astype("U")), X)


@pytest.mark.parametrize(
    "model", [DummyRegressor(), DummyRegressor(strategy="median"), DummyRegressor(strategy="constant", constant=3)]
)
def test_dummy_regressors_are_exact(compare, data, model):
    X, y = data.diabetes
    compare.exact(model.fit(X, y), X)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (DummyClassifier(strategy="stratified"), "strategy=stratified"),
        (DummyClassifier(strategy="uniform"), "strategy=uniform"),
        (DummyClassifier(strategy="constant", constant=1), "strategy=constant"),
        (DummyClassifier(), "several outputs"),
        (DummyRegressor(), "several outputs"),
    ],
    ids=str,
)
def test_draws_constants_and_several_outputs_have_no_fast_form(compare, data, model, says):
    X, y = data.cancer
    model.fit(X, np.column_stack([y, y]) if says == "several outputs" else y)
    with pytest.raises(NotSpecialised, match=says):
        compare.specialised(model, X, ())
