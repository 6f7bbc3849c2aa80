"""Small neural networks give scikit-learn's bits, whatever the batch's size."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from modelimg_runtime.fast import NotAnswered, NotSpecialised, read_parts, specialise


def fitted(model, X, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y)


@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
@pytest.mark.parametrize("layers", [(5,), (17, 6, 3)])
def test_classifiers_are_exact_for_two_classes_and_for_many(compare, data, activation, layers):
    for X, y in (data.cancer, data.wine):
        network = MLPClassifier(layers, activation=activation, max_iter=15, random_state=0)
        assert compare.exact(fitted(network, X, y), X).counts == {"answered": 8}
        assert compare.exact(fitted(make_pipeline(StandardScaler(), network), X, y), X).counts == {"answered": 8}


@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic"])
def test_regressors_are_exact_for_one_output_and_for_two(compare, data, activation):
    X, y = data.diabetes
    for target in (y, np.column_stack([y, -y])):
        network = MLPRegressor(hidden_layer_sizes=(9, 4), activation=activation, max_iter=15, random_state=0)
        assert compare.exact(fitted(network, X, target), X).counts == {"answered": 8}


def test_missing_and_infinite_cells_are_refused_by_both(compare, data, show):
    X, y = data.iris
    pair = compare.probe(compare.pair(fitted(MLPClassifier(4, max_iter=5), X, y), X), X, examples=30)
    show(f"{dict(pair.counts)}")
    assert pair.counts["left to scikit-learn"] == 0
    for cell in (None, float("inf")):
        columns = compare.sample(X, 3)
        next(iter(columns.values()))[1] = cell
        with pytest.raises(NotAnswered):
            pair.fast.answer(compare.as_batch(columns))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"activation": "sine"}, "the activation sine"),
        ({"n_layers_": 4}, "layers that do not fit"),
        ({"n_outputs_": 3}, "several labels at once"),
        ({"coefs_": [np.zeros((30, 4), dtype=np.float32), np.zeros((4, 1))]}, "not 64-bit floats"),
        ({"coefs_": [np.zeros((29, 4)), np.zeros((4, 1))]}, "layers that do not fit"),
    ],
    ids=str,
)
def test_networks_of_another_form_are_refused(compare, data, change, says):
    X, y = data.cancer
    file = compare.saved(fitted(MLPClassifier(4, max_iter=3), X, y))
    part = read_parts(file, "joblib", frozenset(compare.recorded(file).globals))
    part.state.update(change)
    with pytest.raises(NotSpecialised, match=says):
        specialise(part, list(compare.dtypes_of(X).items()), (0, 1))


def test_sparse_input_and_several_labels_have_no_fast_form(compare, data):
    X, y = data.cancer
    several = fitted(MLPClassifier(3, max_iter=3), X, np.column_stack([y, 1 - y]))
    with pytest.raises(NotSpecialised, match=r"several labels|y_type_=multilabel"):
        compare.specialised(several, X, ())
    island = data.texts[["island"]]
    sparse = fitted(make_pipeline(OneHotEncoder(), MLPClassifier(3, max_iter=3)), island, data.penguins[1])
    with pytest.raises(NotSpecialised, match="sparse matrix"):
        compare.specialised(sparse, island)
