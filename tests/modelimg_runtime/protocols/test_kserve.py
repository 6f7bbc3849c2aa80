"""KServe's first protocol."""

from __future__ import annotations

import json

import pytest

from modelimg_runtime.columns import Prediction
from modelimg_runtime.errors import PayloadError
from modelimg_runtime.protocols.kserve import answer, parse


@pytest.mark.parametrize("instances", [[[1, "x"], [2, "y"]], [{"a": 1, "b": "x"}, {"b": "y", "a": 2}]])
def test_instances_are_rows_by_position_or_by_name(instances):
    columns = parse(json.dumps({"instances": instances}).encode(), ("a", "b")).columns
    assert columns == {"a": [1, 2], "b": ["x", "y"]}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "nothing else"),
        ([], "nothing else"),
        ({"instances": [], "parameters": {"x": 1}}, "nothing else"),
        ({"inputs": [[1, 2]]}, "nothing else"),
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
    assert json.loads(answer(Prediction(["x", 2.5, None], [[1.0]]))) == {"predictions": ["x", 2.5, None]}
