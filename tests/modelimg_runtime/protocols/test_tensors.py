"""Tensors: JSON or bytes and back."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from modelimg_runtime.errors import PayloadError
from modelimg_runtime.protocols.tensors import DATATYPES, Tensor, binary_of, tensor_of, values_of


def described(**changes):
    return {"name": "x", "shape": [2], "datatype": "FP64", "data": [1.0, 2.5]} | changes


def read(description, tail=b""):
    tensor, rest = tensor_of(description, tail)
    assert rest == b""
    return list(tensor.data)


@pytest.mark.parametrize(
    ("changes", "data"),
    [
        ({}, [1.0, 2.5]),
        ({"shape": [2, 1], "data": [[1], [None]]}, [1, None]),
        ({"shape": [2, 1], "data": [1, 2]}, [1, 2]),
        ({"shape": [2, 2], "data": [[1, 2], [3, 4]]}, [1, 2, 3, 4]),
        ({"shape": [0], "data": []}, []),
        ({"datatype": "BYTES", "data": ["a", "é"]}, ["a", "é"]),
        ({"datatype": "BOOL", "data": [True, False]}, [True, False]),
    ],
)
def test_json_data_are_read_flat_and_nested(changes, data):
    assert read(described(**changes)) == data


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ("x", "object with a name"),
        ({"shape": [1]}, "object with a name"),
        (described(datatype="FLOAT"), "known are BOOL"),
        (described(datatype=None), "known are BOOL"),
        (described(shape=None), "must have a shape"),
        (described(shape=[-1]), "must have a shape"),
        (described(shape=[True]), "must have a shape"),
        (described(shape=[2**40]), "must have a shape"),
        (described(shape=[]), "one or two dimensions"),
        (described(shape=[1, 2, 1]), "one or two dimensions"),
        (described(data=None), "must have data"),
        (described(data="12"), "must have data"),
        (described(data=[1]), "1 values for the shape"),
        (described(shape=[2, 2], data=[[1, 2], [3]]), "another shape"),
        (described(shape=[1, 2], data=[[1], [2]]), "another shape"),
        (described(parameters={"binary_data_size": 8}), "in JSON and as bytes"),
    ],
)
def test_what_is_no_tensor_is_refused_by_name(description, message):
    with pytest.raises(PayloadError, match=message):
        tensor_of(description, b"")


def binary(datatype, shape, size):
    return {"name": "x", "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}


@pytest.mark.parametrize("datatype", DATATYPES)
def test_numbers_come_back_from_their_bytes(datatype):
    dtype = np.dtype(DATATYPES[datatype])
    values = np.array([0, 1, 1, 0], dtype=dtype)
    data = values.tobytes()
    assert read(binary(datatype, [4], len(data)), data) == values.tolist()
    assert binary_of(Tensor("x", datatype, (4,), values.tolist())) == data


@given(nps.arrays("<f8", st.integers(0, 20)))
def test_floats_keep_every_bit_and_nan_is_a_missing_value(values):
    tensor, rest = tensor_of(binary("FP64", list(values.shape), values.nbytes), values.tobytes() + b"more")
    assert rest == b"more"
    assert [None if value != value else value for value in values.tolist()] == values_of(tensor)


@given(st.lists(st.text(max_size=10)))
def test_texts_come_back_from_their_bytes(texts):
    data = b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in texts)
    assert read(binary("BYTES", [len(texts)], len(data)), data) == texts
    assert binary_of(Tensor("x", "BYTES", (len(texts),), texts)) == data


@pytest.mark.parametrize(
    ("description", "tail", "message"),
    [
        (binary("FP64", [2], 16), bytes(15), "15 are left"),
        (binary("FP64", [2], -1), bytes(16), "16 are left"),
        (binary("FP64", [2], True), bytes(16), "16 are left"),
        (binary("FP64", [2], "16"), bytes(16), "16 are left"),
        (binary("FP64", [3], 16), bytes(16), "16 bytes for the shape"),
        (binary("BOOL", [2], 2), b"\x00\x02", "neither 0 nor 1"),
        (binary("BYTES", [1], 5), b"\x02\x00\x00\x00a", "in the middle of a text"),
        (binary("BYTES", [1], 2), b"\x02\x00", "in the middle of a text"),
        (binary("BYTES", [2], 5), b"\x01\x00\x00\x00a", "1 texts for the shape"),
        (binary("BYTES", [1], 5), b"\x01\x00\x00\x00\xff", "not UTF-8"),
    ],
)
def test_bytes_that_are_no_tensor_are_refused(description, tail, message):
    with pytest.raises(PayloadError, match=message):
        tensor_of(description, tail)


@given(st.binary(max_size=60), st.sampled_from([*DATATYPES, "BYTES"]), st.lists(st.integers(0, 9), max_size=3))
def test_no_bytes_raise_anything_but_a_payload_error(data, datatype, shape):
    try:
        tensor, rest = tensor_of(binary(datatype, shape, len(data)), data)
    except PayloadError:
        return
    assert rest == b""
    assert len(tensor.data) == int(np.prod(shape))


@pytest.mark.parametrize(
    ("values", "datatype", "shape"),
    [
        ([1, 2], "INT64", (2,)),
        ([1, 2.5], "FP64", (2,)),
        ([True, False], "BOOL", (2,)),
        (["a"], "BYTES", (1,)),
        ([[0.25, 0.75]], "FP64", (1, 2)),
        ([1, None], "INT64", (2,)),
        ([2**70], "FP64", (1,)),
        ([], "BYTES", (0,)),
        ([None], "BYTES", (1,)),
        ([True, 1], "BYTES", (2,)),
    ],
)
def test_predictions_have_the_datatype_of_their_values(values, datatype, shape):
    tensor = Tensor.of("predictions", values)
    assert (tensor.datatype, tensor.shape) == (datatype, shape)


def test_a_missing_prediction_has_no_place_in_the_bytes_of_whole_numbers():
    with pytest.raises(PayloadError, match="only JSON can carry"):
        binary_of(Tensor.of("predictions", [1, None]))
    assert np.isnan(np.frombuffer(binary_of(Tensor.of("predictions", [1.5, None])))[1])
