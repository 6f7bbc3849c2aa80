"""The Open Inference Protocol: requests, answers, metadata; answers hold against the published description."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import yaml

from modelimg_runtime.columns import Prediction
from modelimg_runtime.contract import Examples
from modelimg_runtime.errors import PayloadError
from modelimg_runtime.protocols import oip

NAMES = ("a", "b")
MODEL = ("m", "1.0")
PREDICTION = Prediction(["x", "y"], [[0.25, 0.75], [0.5, 0.5]])
DESCRIPTION = yaml.safe_load(
    (Path(__file__).parents[2] / "data/open-inference-protocol/open_inference_rest.yaml").read_text()
)


def holds(document: Any, name: str) -> None:
    schema = {"$ref": f"#/components/schemas/{name}", "components": DESCRIPTION["components"]}
    jsonschema.Draft7Validator(schema).validate(document)


def tensor(name: str, data: list[Any], datatype: str = "FP64", **more: Any) -> dict[str, Any]:
    return {"name": name, "shape": [len(data)], "datatype": datatype, "data": data} | more


def read(document: Any, names: tuple[str, ...] = NAMES) -> oip.InferRequest:
    return oip.parse(json.dumps(document).encode(), None, names)


def test_a_tensor_for_each_column_is_a_table_in_any_order():
    request = read({"id": "7", "inputs": [tensor("b", ["x", "y"], "BYTES"), tensor("a", [1, 2], shape=[2, 1])]})
    assert request.payload.columns == {"b": ["x", "y"], "a": [1, 2]}
    assert request.id == "7"


def test_one_matrix_has_the_models_columns_in_order():
    request = read({"inputs": [tensor("whatever", [[1, 2], [3, 4], [5, 6]], shape=[3, 2])]})
    assert request.payload.columns == {"a": [1, 3, 5], "b": [2, 4, 6]}
    assert read({"inputs": [tensor("any", [1, 2], shape=[2, 1])]}, ("a",)).payload.columns == {"a": [1, 2]}


def test_binary_tensors_follow_the_json():
    numbers, texts = np.array([1.5, np.nan]), b"".join(struct.pack("<I", len(t)) + t for t in (b"x", b"yz"))
    head = json.dumps(
        {
            "inputs": [
                {"name": "a", "shape": [2], "datatype": "FP64", "parameters": {"binary_data_size": numbers.nbytes}},
                {"name": "b", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": len(texts)}},
            ]
        }
    ).encode()
    request = oip.parse(head + numbers.tobytes() + texts, str(len(head)), NAMES)
    assert request.payload.columns == {"a": [1.5, None], "b": ["x", "yz"]}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "send"),
        ({"instances": []}, "array of tensors"),
        ({}, "array of tensors"),
        ({"inputs": []}, "array of tensors"),
        ({"inputs": {}}, "array of tensors"),
        ({"inputs": [tensor("a", [1])], "id": 7}, "id must be a string"),
        ({"inputs": [tensor("a", [1])], "id": "7" * 300}, "id must be a string"),
        ({"inputs": [tensor("a", [1])], "parameters": []}, "must be an object"),
        ({"inputs": [tensor("a", [1])], "parameters": {"scores": 1}}, "true or false"),
        ({"inputs": [tensor("a", [1]), tensor("a", [2])]}, "comes twice"),
        ({"inputs": [tensor("a", [1, 2, 3], shape=[1, 3])]}, "3 columns, and the model 2"),
        ({"inputs": [tensor("a", [1, 2], shape=[1, 2]), tensor("b", [1])]}, r"not \[n\] or \[n, 1\]"),
        ({"inputs": [tensor("a", [1])], "outputs": ["predictions"]}, "array of"),
        ({"inputs": [tensor("a", [1])], "outputs": [{"name": 1}]}, "array of"),
        ({"inputs": [tensor("a", [1])], "outputs": [{"name": "x"}, {"name": "x"}]}, "asked for twice"),
        (
            {"inputs": [tensor("a", [1])], "outputs": [{"name": "x", "parameters": {"classification": 2}}]},
            "classification",
        ),
    ],
)
def test_what_the_protocol_does_not_say_is_refused(document, message):
    with pytest.raises(PayloadError, match=message):
        read(document)


@pytest.mark.parametrize("length", ["", "x", "-1", "9" * 20, "1000", "٣"])
def test_a_length_that_is_none_is_refused(length):
    with pytest.raises(PayloadError, match="no length within the body"):
        oip.parse(b'{"inputs": []}', length, NAMES)


def test_bytes_that_no_tensor_takes_are_refused():
    head = json.dumps({"inputs": [tensor("a", [1])]}).encode()
    with pytest.raises(PayloadError, match="3 bytes follow"):
        oip.parse(head + b"abc", str(len(head)), NAMES)


def test_the_answer_is_what_the_published_description_says():
    request = read({"id": "7", "inputs": [tensor("a", [1, 2]), tensor("b", [1, 2])]})
    body, head = oip.answer(request, PREDICTION, MODEL)
    document = json.loads(body)
    holds(document, "inference_response")
    assert head is None
    assert document == {
        "model_name": "m",
        "model_version": "1.0",
        "id": "7",
        "outputs": [
            {"name": "predictions", "datatype": "BYTES", "shape": [2], "data": ["x", "y"]},
            {"name": "probabilities", "datatype": "FP64", "shape": [2, 2], "data": [0.25, 0.75, 0.5, 0.5]},
        ],
    }


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({}, ["predictions", "probabilities"]),
        ({"parameters": {"scores": True}}, ["predictions", "probabilities", "scores"]),
        ({"outputs": [{"name": "scores"}]}, ["scores"]),
        ({"outputs": [{"name": "predictions"}], "parameters": {"scores": True}}, ["predictions"]),
    ],
)
def test_scores_are_given_where_a_parameter_or_an_output_asks_for_them(asked, names):
    request = read({"inputs": [tensor("a", [1, 2])], **asked})
    assert request.scores is ("scores" in json.dumps(asked))
    prediction = Prediction(["x", "y"], [[0.25, 0.75], [0.5, 0.5]], [0.5, -0.5] if request.scores else None)
    document = json.loads(oip.answer(request, prediction, MODEL)[0])
    assert [output["name"] for output in document["outputs"]] == names
    holds(document, "inference_response")


def test_probabilities_that_a_model_does_not_give_are_refused_by_parameter_and_by_name():
    for asked in ({"parameters": {"probabilities": True}}, {"outputs": [{"name": "probabilities"}]}):
        with pytest.raises(PayloadError, match=r"no probabilities|no output 'probabilities'; it has predictions"):
            oip.answer(read({"inputs": [tensor("a", [1])], **asked}), Prediction([1], None), MODEL)


def test_outputs_are_those_asked_for_as_bytes_where_that_is_asked_for():
    outputs = [{"name": "probabilities", "parameters": {"binary_data": True}}, {"name": "predictions"}]
    request = read({"inputs": [tensor("a", [1, 2])], "outputs": outputs})
    body, head = oip.answer(request, PREDICTION, MODEL)
    assert head is not None
    document = json.loads(body[:head])
    assert [output["name"] for output in document["outputs"]] == ["probabilities", "predictions"]
    assert document["outputs"][0]["parameters"] == {"binary_data_size": 32}
    assert "data" not in document["outputs"][0]
    assert np.frombuffer(body[head:]).tolist() == [0.25, 0.75, 0.5, 0.5]
    everything = read({"inputs": [tensor("a", [1, 2])], "parameters": {"binary_data_output": True}})
    body, head = oip.answer(everything, PREDICTION, MODEL)
    assert head is not None
    assert [output["parameters"]["binary_data_size"] for output in json.loads(body[:head])["outputs"]] == [10, 32]


def test_an_output_that_the_model_has_not_is_refused_by_name():
    request = read({"inputs": [tensor("a", [1])], "outputs": [{"name": "scores"}]})
    with pytest.raises(PayloadError, match="no output 'scores'; it has predictions, probabilities"):
        oip.answer(request, PREDICTION, MODEL)
    wanted = read({"inputs": [tensor("a", [1])], "outputs": [{"name": "probabilities"}]})
    with pytest.raises(PayloadError, match="it has predictions"):
        oip.answer(wanted, Prediction([1.0], None), MODEL)


def test_metadata_are_what_the_published_description_says():
    examples = Examples(("a", "b"), ((1, "x"),), ("yes",), ((0.5, 0.5),))
    metadata = oip.model_metadata(MODEL, [("a", "int"), ("b", "str")], oip.described_outputs(examples))
    holds(metadata, "metadata_model_response")
    holds(oip.server_metadata("modelimg", "1"), "metadata_server_response")
    assert metadata["inputs"] == [
        {"name": "a", "datatype": "INT64", "shape": [-1, 1]},
        {"name": "b", "datatype": "BYTES", "shape": [-1, 1]},
    ]
    assert metadata["outputs"] == [
        {"name": "predictions", "datatype": "BYTES", "shape": [-1]},
        {"name": "probabilities", "datatype": "FP64", "shape": [-1, 2]},
    ]
