"""MLflow's and SageMaker's bodies."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelimg_runtime.columns import ABSENT, Prediction
from modelimg_runtime.errors import PayloadError
from modelimg_runtime.protocols.bodies import CSV, JSON
from modelimg_runtime.protocols.extras import NONE, Extras
from modelimg_runtime.protocols.invocations import answer, may_repeat, parse

NAMES = ("a", "b")


def columns(document, names=NAMES):
    return dict(parse(json.dumps(document).encode(), JSON, names)[0].columns)


@pytest.mark.parametrize(
    "document",
    [
        {"dataframe_split": {"columns": ["a", "b"], "data": [[1, "x"], [2, "y"]]}},
        {"dataframe_split": {"columns": ["a", "b"], "data": [[1, "x"], [2, "y"]], "index": [5, 6]}},
        {"dataframe_records": [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]},
        {"instances": [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]},
        {"instances": [[1, "x"], [2, "y"]]},
        {"inputs": {"a": [1, 2], "b": ["x", "y"]}},
        {"inputs": [[1, "x"], [2, "y"]]},
        {"inputs": [[1, "x"], [2, "y"]], "params": {}},
        {"inputs": [[1, "x"], [2, "y"]], "params": {"max_tokens": 5}, "client_request_id": "7"},
        {"inputs": {"a": [[1], [2]], "b": [["x"], ["y"]]}},
        {"instances": [{"features": [1, "x"]}, {"features": [2, "y"]}]},
    ],
)
def test_every_form_gives_the_same_columns(document):
    assert columns(document) == {"a": [1, 2], "b": ["x", "y"]}


def test_a_model_of_one_column_takes_bare_values():
    assert columns({"instances": [1, 2]}, ("a",)) == {"a": [1, 2]}
    assert columns({"inputs": [[1], [2]]}, ("a",)) == {"a": [1, 2]}


def test_a_record_without_a_column_has_an_absent_cell():
    assert columns({"dataframe_records": [{"a": 1}, {"a": 2, "b": None}]}) == {"a": [1, 2], "b": [ABSENT, None]}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "one of dataframe_split"),
        ([], "one of dataframe_split"),
        ({"rows": []}, "one of dataframe_split"),
        ({"inputs": [], "instances": []}, "one of dataframe_split"),
        ({"inputs": [[1, 2]], "params": [1]}, "params must be an object"),
        ({"inputs": [[1, 2]], "params": {"scores": "yes"}}, "true or false"),
        ({"dataframe_split": {"data": []}}, "must be"),
        ({"dataframe_split": {"columns": ["a"], "data": [], "x": 1}}, "must be"),
        ({"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2]]}}, "each column once"),
        ({"dataframe_split": {"columns": [True], "data": [[1]]}}, "each column once"),
        ({"dataframe_split": {"columns": [1, "1"], "data": [[1, 2]]}}, "each column once"),
        ({"dataframe_split": {"columns": "ab", "data": [[1, 2]]}}, "each column once"),
        ({"dataframe_split": [{"a": 1}]}, "must be"),
        ({"dataframe_split": {"index": [1, 2], "data": [[1], [2], [3]]}}, "must be"),
        ({"dataframe_records": {"index": [0], "columns": ["a"], "data": [[1]]}}, "array of objects"),
        ({"instances": [{"features": [1]}]}, "1 values for 2 columns"),
        ({"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}, "2 values for 1 columns"),
        ({"dataframe_split": {"columns": ["a"], "data": {"a": 1}}}, "array of arrays"),
        ({"dataframe_records": {"a": [1]}}, "array of objects"),
        ({"instances": [[1]]}, "1 values for 2 columns"),
        ({"instances": [1, 2]}, "array of arrays"),
        ({"instances": "x"}, "array of arrays"),
        ({"instances": [{"a": 1}, [1, 2]]}, "array of objects"),
        ({"inputs": {"a": 1}}, "object of arrays"),
    ],
)
def test_what_is_none_of_the_forms_is_refused(document, message):
    with pytest.raises(PayloadError, match=message):
        columns(document)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"a,b\n1,x\n2,y\n", {"a": ("1", "2"), "b": ("x", "y")}),
        (b"b,a\nx,1\ny,2\n", {"b": ("x", "y"), "a": ("1", "2")}),
        (b"1,x\n2,y", {"a": ("1", "2"), "b": ("x", "y")}),
        (b"a,c\n1,x\n", {"a": ("1",), "c": ("x",)}),  # a header with a wrong name, which the contract refuses
    ],
)
def test_csv_has_a_header_where_its_first_line_has_names_of_the_model(body, expected):
    payload, extras = parse(body, CSV, NAMES)
    assert extras == NONE
    assert payload.text
    assert dict(payload.columns) == expected


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"1,2,3\n", "3 fields in a line and no header"),
        (b"a,a\n1,2\n", "each column once"),
        (b"a,b\n1\n", "line 2 of the CSV has 1 fields"),
        (b"\n\n", "each column once"),
        (b"", "empty"),
        (b'"a', "not CSV"),
    ],
)
def test_csv_that_is_no_table_is_refused(body, message):
    with pytest.raises(PayloadError, match=message):
        parse(body, CSV, NAMES)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["dataframe_split", "dataframe_records", "instances", "inputs", "columns", "data", "a", "b"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(JSON_VALUES)
def test_no_json_raises_anything_but_a_payload_error(document):
    with suppress(PayloadError):
        assert columns(document) is not None


@given(st.binary(max_size=80), st.sampled_from([JSON, CSV]))
def test_no_body_raises_anything_but_a_payload_error(body, kind):
    with suppress(PayloadError):
        assert parse(body, kind, NAMES)[0].columns is not None


def test_answers_are_json_or_lines():
    assert json.loads(answer(Prediction(["x", None], None), (), NONE, JSON)) == {"predictions": ["x", None]}
    assert answer(Prediction(["x", None, 'a"b'], None), (), NONE, CSV) == b'x\n""\n"a""b"\n'
    assert answer(Prediction([[1, 2.5]], None), (), NONE, CSV) == b"1,2.5\n"


def test_what_params_ask_for_stands_in_each_record():
    _, extras = parse(b'{"inputs": [[1, 2]], "params": {"probabilities": true, "t": 1}}', JSON, NAMES)
    assert extras == Extras(probabilities=True)
    prediction = Prediction(["x"], [[0.25, 0.75]])
    assert json.loads(answer(prediction, ("x", "y"), extras, JSON)) == {
        "predictions": [{"prediction": "x", "probabilities": {"x": 0.25, "y": 0.75}}]
    }
    assert answer(prediction, ("x", "y"), extras, CSV) == b"x,0.25,0.75\n"


def test_numbers_are_names_too_because_a_frame_of_an_array_has_them():
    assert columns({"dataframe_split": {"columns": [0, 1], "data": [[5, 6]]}}, ("0", "1")) == {"0": [5], "1": [6]}


@pytest.mark.parametrize(
    ("given", "repeated"),
    [("trace=7", True), ("a b", True), ("", False), ("x" * 1025, False), ("é", False), ("a\t", False)],
)
def test_only_visible_attributes_of_sagemaker_are_repeated(given, repeated):
    assert may_repeat(given) is repeated
