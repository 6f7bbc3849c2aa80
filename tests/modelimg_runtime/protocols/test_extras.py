"""What is asked for beside the predictions."""

from __future__ import annotations

import pytest

from modelimg_runtime.columns import Prediction
from modelimg_runtime.errors import PayloadError
from modelimg_runtime.protocols.extras import NONE, Extras, objects, table

BINARY = Prediction(["x", "y"], [[0.25, 0.75], [1.0, 0.0]], [1.5, -0.5])
EVERYTHING = Extras(probabilities=True, scores=True)


@pytest.mark.parametrize("parameters", [None, {}, {"probabilities": False}, {"other": 1}])
def test_nothing_is_asked_for_where_nothing_of_ours_is_true(parameters):
    assert Extras.of(parameters, "params") == NONE
    assert not Extras.of(parameters, "params")


@pytest.mark.parametrize(
    "parameters", [[], 1, "scores", False, {"scores": 1}, {"scores": "true"}, {"probabilities": None}]
)
def test_what_is_neither_true_nor_false_is_refused(parameters):
    with pytest.raises(PayloadError, match=r"params must be an object|in params is true or false"):
        Extras.of(parameters, "params")


def test_query_and_body_may_each_ask():
    assert Extras(scores=True) | Extras(probabilities=True) == EVERYTHING
    assert Extras(scores=True) | NONE == Extras(scores=True)


def test_predictions_are_plain_until_something_else_is_asked_for():
    assert objects(BINARY, "xy", NONE) == ["x", "y"]
    assert objects(BINARY, "xy", EVERYTHING) == [
        {"prediction": "x", "probabilities": {"x": 0.25, "y": 0.75}, "scores": 1.5},
        {"prediction": "y", "probabilities": {"x": 1.0, "y": 0.0}, "scores": -0.5},
    ]


def test_a_table_has_a_column_for_each_value_of_a_row():
    assert table(BINARY, "xy", EVERYTHING) == {
        "prediction": ["x", "y"],
        "probability_x": [0.25, 1.0],
        "probability_y": [0.75, 0.0],
        "score": [1.5, -0.5],
    }
    assert table(Prediction([[1, 2], [3, 4]], None), (), NONE) == {"prediction_0": [1, 3], "prediction_1": [2, 4]}


def test_scores_are_named_by_class_where_there_is_one_for_each():
    three = Prediction(["x"], None, [[1.0, 2.0, 3.0]])
    assert list(table(three, "xyz", Extras(scores=True))) == ["prediction", "score_x", "score_y", "score_z"]
    # One for each pair of four classes.
    assert list(table(Prediction(["x"], None, [[1.0] * 6]), "wxyz", Extras(scores=True)))[1:] == [
        f"score_{i}" for i in range(6)
    ]


@pytest.mark.parametrize("extras", [Extras(probabilities=True), Extras(scores=True)])
def test_what_a_model_does_not_give_is_refused(extras):
    for answer in (objects, table):
        with pytest.raises(PayloadError, match="the model gives no"):
            answer(Prediction([1.0], None), (), extras)
