"""NVIDIA's own HTTP client for the Open Inference Protocol, against a served package."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from modelimg_runtime import contract


@pytest.fixture(scope="module")
def cancer_server(tools, cancer):
    with tools.server_of(cancer.folder) as server:
        server.wait_for("/readyz")
        yield server


@pytest.fixture(scope="module")
def mixed_server(tools, mixed):
    with tools.server_of(mixed.folder) as server:
        server.wait_for("/readyz")
        yield server


@pytest.fixture
def triton(cancer_server) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(f"127.0.0.1:{cancer_server.port}") as client:
        yield client


@pytest.fixture
def mixed_triton(mixed_server) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(f"127.0.0.1:{mixed_server.port}") as client:
        yield client


def tensor(name: str, values: np.ndarray, *, binary: bool = True) -> InferInput:
    one = InferInput(name, list(values.shape), np_to_triton_dtype(values.dtype))
    one.set_data_from_numpy(values, binary_data=binary)
    return one


def matrix(made) -> list[InferInput]:
    return [tensor("input-0", np.array([list(row.values()) for row in made.rows]))]


def columns(made, *, binary: bool = True, wide: bool = False) -> list[InferInput]:
    """A tensor for each column; what has missing values as floats or as text, which is how this client can send them."""
    tensors = []
    for name, cells in made.columns.items():
        texts = any(isinstance(cell, str) for cell in cells)
        if texts:
            array = np.array(["" if cell is None else cell for cell in cells], dtype=object)
        elif None in cells:
            array = np.array([np.nan if cell is None else cell for cell in cells])
        else:
            array = np.array(cells)
        tensors.append(tensor(name, array.reshape(-1, 1) if wide else array, binary=binary))
    return tensors


def packed(made) -> contract.Examples:
    return contract.Examples.from_json(made.files[contract.EXAMPLES])


def test_the_server_and_the_model_are_live_and_ready(triton):
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("demo")
    assert triton.is_model_ready("demo", "1.2.3")
    assert not triton.is_model_ready("other")
    assert not triton.is_model_ready("demo", "9")


def test_metadata_name_the_server_and_the_models_tensors(triton, mixed_triton, cancer):
    assert triton.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    metadata = triton.get_model_metadata("demo", "1.2.3")
    assert [(one["name"], one["datatype"], one["shape"]) for one in metadata["inputs"]] == [
        (name, "FP64", [-1, 1]) for name in cancer.columns
    ]
    assert [(one["name"], one["datatype"]) for one in metadata["outputs"]] == [
        ("predictions", "INT64"),
        ("probabilities", "FP64"),
    ]
    kinds = {one["name"]: one["datatype"] for one in mixed_triton.get_model_metadata("demo")["inputs"]}
    assert (kinds["age"], kinds["city"], kinds["member"], kinds["joined"]) == ("INT64", "BYTES", "BOOL", "BYTES")


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
@pytest.mark.parametrize("form", ["matrix", "columns", "columns of width 1"])
@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_tensors_go_in_and_come_out_as_json_and_as_bytes(triton, cancer, binary_in, binary_out, form, compression):
    rows = np.array([list(row.values()) for row in cancer.rows])
    inputs = (
        [tensor("any", rows, binary=binary_in)]
        if form == "matrix"
        else columns(cancer, binary=binary_in, wide=form != "columns")
    )
    outputs = [InferRequestedOutput(name, binary_data=binary_out) for name in ("probabilities", "predictions")]
    result = triton.infer("demo", inputs, outputs=outputs, request_id="r-1", request_compression_algorithm=compression)
    examples = packed(cancer)
    assert result.as_numpy("predictions").tolist() == list(examples.predictions)
    assert result.as_numpy("probabilities") == pytest.approx(np.array(examples.probabilities), rel=1e-12)
    assert result.get_response()["id"] == "r-1"
    assert [one["name"] for one in result.get_response()["outputs"]] == ["probabilities", "predictions"]


@pytest.mark.parametrize("compression", ["gzip", "deflate"])
def test_an_answer_may_be_asked_for_compressed_and_is_right_as_it_is(triton, cancer, compression):
    result = triton.infer("demo", matrix(cancer), response_compression_algorithm=compression)
    assert result.as_numpy("predictions").tolist() == list(packed(cancer).predictions)


def test_single_floats_are_widened_and_taken_for_what_they_are(triton, cancer):
    rows = np.array([list(row.values()) for row in cancer.rows], dtype=np.float32)
    [narrow, wide] = (triton.infer("demo", [tensor("x", array)]) for array in (rows, rows.astype(np.float64)))
    assert np.array_equal(narrow.as_numpy("probabilities"), wide.as_numpy("probabilities"))


@pytest.mark.parametrize("binary", [True, False])
def test_texts_bools_whole_numbers_and_missing_ones_travel_together(mixed_triton, mixed, binary):
    whole = [row for row in range(6) if all(cells[row] is not None for cells in mixed.columns.values())]
    made = type(mixed)(mixed.folder, {name: [cells[row] for row in whole] for name, cells in mixed.columns.items()})
    outputs = [InferRequestedOutput("predictions", binary_data=binary)]
    result = mixed_triton.infer("demo", columns(made, binary=binary), outputs=outputs)
    said = [each.decode() if isinstance(each, bytes) else each for each in result.as_numpy("predictions")]
    assert said == [packed(mixed).predictions[row] for row in whole]
    assert len(whole) >= 2


def test_scores_come_by_name_and_by_parameter(triton, cancer):
    named = triton.infer("demo", matrix(cancer), outputs=[InferRequestedOutput("scores")])
    beside = triton.infer("demo", matrix(cancer), parameters={"scores": True})
    assert [one["name"] for one in named.get_response()["outputs"]] == ["scores"]
    assert [one["name"] for one in beside.get_response()["outputs"]] == ["predictions", "probabilities", "scores"]
    scores = named.as_numpy("scores")
    assert np.array_equal(scores, beside.as_numpy("scores"))
    assert np.array_equal(scores > 0, beside.as_numpy("predictions") == 1)


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        (lambda inputs: inputs[:-1], "400", "column 'worst fractal dimension': column_in_dataframe"),
        (lambda inputs: [*inputs, tensor("colour", np.ones(5))], "400", "column 'colour': column_in_schema"),
        (
            lambda inputs: [*inputs[1:], tensor("mean radius", np.full(5, -1.0))],
            "400",
            "row 0, column 'mean radius': greater_than",
        ),
        (
            lambda inputs: [*inputs[1:], tensor("mean radius", np.full(5, np.inf))],
            "400",
            "dtype('float64'), got 'Infinity'",
        ),
        (lambda inputs: [*inputs[1:], tensor("mean radius", np.full(5, np.nan))], "400", "not_nullable"),
        (lambda inputs: [*inputs[1:], tensor("mean radius", np.array(["a"] * 5, dtype=object))], "400", "got 'a'"),
        (lambda inputs: [*inputs[1:], tensor("mean radius", np.ones(4))], "400", "different lengths: 4 to 5"),
        (lambda inputs: [tensor("x", np.ones((5, 7)))], "400", "7 columns, and the model 30"),
        (lambda inputs: [tensor("x", np.ones((5, 6, 1)))], "400", "one or two dimensions"),
        (lambda inputs: [inputs[0], inputs[0]], "400", "comes twice"),
    ],
)
def test_wrong_inputs_raise_with_our_reason(triton, cancer, change, status, message):
    with pytest.raises(InferenceServerException) as error:
        triton.infer("demo", change(columns(cancer)))
    assert error.value.status() == status
    assert message in error.value.message()


@pytest.mark.parametrize(
    ("asked", "status", "message"),
    [
        ({"model_name": "other"}, "404", "there is no such model"),
        ({"model_version": "9"}, "404", "there is no such model"),
        ({"outputs": [InferRequestedOutput("logits")]}, "400", "no output 'logits'; it has predictions, probabilities"),
        ({"outputs": [InferRequestedOutput("predictions", class_count=2)]}, "400", "classification extension"),
        ({"parameters": {"scores": "yes"}}, "400", "scores in parameters is true or false"),
    ],
)
def test_wrong_requests_raise_with_our_reason(triton, cancer, asked, status, message):
    with pytest.raises(InferenceServerException) as error:
        triton.infer(**{"model_name": "demo", "inputs": matrix(cancer), **asked})
    assert (error.value.status(), message in error.value.message()) == (status, True), error.value.message()


def test_a_large_batch_comes_back_in_order(triton, cancer):
    rows = np.array([list(row.values()) for row in cancer.rows] * 2000)
    result = triton.infer("demo", [tensor("x", rows)], request_compression_algorithm="gzip")
    assert result.as_numpy("predictions").tolist() == list(packed(cancer).predictions) * 2000
    assert result.get_response()["outputs"][0]["shape"] == [10_000]
