"""KServe's first protocol."""

from __future__ import annotations

import json

import pytest

from modelimg_runtime.columns import Prediction
from modelimg_runtime.errors import PayloadError
from modelimg_runtime.protocols.extras import NONE, Extras
from modelimg_runtime.protocols.kserve import answer, parse


@pytest.mark.parametrize("instances", [[[1, "x"], [2, "y"]], [{"a": 1, "b": "x"}, {"b": "y", "a": 2}]])
def test_instances_are_rows_by_position_or_by_name(instances):
    payload, extras = parse(json.dumps({"instances": instances}).encode(), ("a", "b"))
    assert payload.columns == {"a": [1, 2], "b": ["x", "y"]}
    assert extras == NONE


@pytest.mark.parametrize(
    ("parameters", "extras"),
    [
        ({}, NONE),
        (None, NONE),
        ({"probabilities": True}, Extras(probabilities=True)),
        ({"scores": True, "probabilities": False}, Extras(scores=True)),
    ],
)
def test_parameters_ask_for_more_than_predictions(parameters, extras):
    assert parse(json.dumps({"instances": [[1, 2]], "parameters": parameters}).encode(), ("a", "b"))[1] == extras


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "send"),
        ([], "send"),
        ({"instances": [], "more": 1}, "send"),
        ({"instances": [], "parameters": {"x": 1}}, "no parameter 'x'"),
        ({"instances": [], "parameters": {"scores": 1}}, "true or false"),
        ({"instances": [], "parameters": {"scores": None}}, "true or false"),
        ({"instances": [], "parameters": [1]}, "must be an object"),
        ({"instances": [], "parameters": False}, "must be an object"),
        ({"inputs": [[1, 2]]}, "send"),
        ({"instances": {"a": [1]}}, "array of arrays"),
        ({"instances": [1, 2]}, "array of arrays"),
        ({"instances": [[1]]}, "1 values for 2 columns"),
        ({"instances": [{"a": 1}, 5]}, "array of objects"),
    ],
)
def test_other_documents_are_refused(document, message):
    with pytest.raises(PayloadError, match=message):
        parse(json.dumps(document).encode(), ("a", "b"))


def test_the_answer_holds_the_predictions():
    body = answer(Prediction(["x", 2.5, None], [[1.0]]), ("x",), NONE)
    assert json.loads(body) == {"predictions": ["x", 2.5, None]}


def test_what_else_is_asked_for_stands_in_each_prediction():
    prediction = Prediction(["x"], [[0.25, 0.75]], [1.5])
    body = json.loads(answer(prediction, ("x", "y"), Extras(probabilities=True, scores=True)))
    assert body == {"predictions": [{"prediction": "x", "probabilities": {"x": 0.25, "y": 0.75}, "scores": 1.5}]}
