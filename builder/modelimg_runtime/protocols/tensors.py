"""Tensors of the Open Inference Protocol: JSON or bytes ↔ flat lists of JSON values."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from modelimg_runtime.errors import PayloadError

DATATYPES: dict[str, str] = {
    "BOOL": "?",
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
"""numpy's name of each; ``BYTES``, of variable length, is apart."""
_BYTES = "BYTES"
_MOST_DIMENSIONS = 2


@dataclass(frozen=True)
class Tensor:
    """A tensor.

    Attributes:
        name: of the column or output.
        datatype: as the protocol names it.
        shape: of one or two dimensions.
        data: its values, row by row; None for a missing one.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: Sequence[Any]

    @classmethod
    def of(cls, name: str, values: Sequence[Any]) -> Tensor:
        """The tensor of predictions, one for each row, or a list of them for each row."""
        shape: tuple[int, ...] = (len(values),)
        if values and isinstance(values[0], list):
            shape = (len(values), len(values[0]))
            values = [cell for row in values for cell in row]
        return cls(name, _datatype(values), shape, values)


def tensor_of(description: Any, tail: bytes) -> tuple[Tensor, bytes]:
    """A tensor of a request, and the bytes that follow it.

    Args:
        description: its JSON object, with ``data``, or with ``binary_data_size`` among its parameters.
        tail: the bytes behind the JSON that no tensor has taken yet.

    Raises:
        PayloadError: it is not what the protocol says.
    """
    if not isinstance(description, dict) or not isinstance(description.get("name"), str):
        raise PayloadError("each of the inputs must be an object with a name")
    name, datatype = description["name"], description.get("datatype")
    what = f"the tensor {name[:100]!r}"
    if not isinstance(datatype, str) or datatype not in (*DATATYPES, _BYTES):
        raise PayloadError(
            f"{what} has the datatype {str(datatype)[:100]!r}; known are {', '.join((*DATATYPES, _BYTES))}"
        )
    shape = _shape(description.get("shape"), what)
    parameters = description.get("parameters", {})
    if not isinstance(parameters, dict):
        raise PayloadError(f"{what} has parameters that are no object")
    size = parameters.get("binary_data_size")
    if size is not None and "data" in description:
        raise PayloadError(f"{what} has data in JSON and as bytes")
    if size is None:
        return Tensor(name, datatype, shape, _from_json(description.get("data"), shape, what)), tail
    if type(size) is not int or not 0 <= size <= len(tail):
        raise PayloadError(f"{what} has {str(size)[:50]} bytes of data, and {len(tail)} are left in the body")
    return Tensor(name, datatype, shape, _from_bytes(tail[:size], datatype, shape, what)), tail[size:]


def values_of(tensor: Tensor) -> list[Any]:
    """The values as a protocol with JSON numbers has them: NaN, which JSON has not, is a missing value."""
    return [None if value != value else value for value in tensor.data]


def binary_of(tensor: Tensor) -> bytes:
    """The values as bytes: little-endian, or each text behind its length.

    Raises:
        PayloadError: a value is missing, for which a number's bytes have no place.
    """
    if tensor.datatype == _BYTES:
        texts = (str(value).encode() for value in tensor.data)
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    if None in tensor.data and not tensor.datatype.startswith("FP"):
        raise PayloadError(f"{tensor.name} has missing values, which only JSON can carry")
    return np.array(tensor.data, dtype=DATATYPES[tensor.datatype]).tobytes()


def _shape(value: Any, what: str) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(size) is int and 0 <= size < 2**31 for size in value):
        raise PayloadError(f"{what} must have a shape, an array of whole numbers")
    if not 1 <= len(value) <= _MOST_DIMENSIONS:
        raise PayloadError(f"{what} must have one or two dimensions")
    return tuple(value)


def _from_json(data: Any, shape: tuple[int, ...], what: str) -> list[Any]:
    """Flat, or nested as the shape is."""
    if not isinstance(data, list):
        raise PayloadError(f"{what} must have data, an array")
    if len(shape) == _MOST_DIMENSIONS and data and all(isinstance(row, list) for row in data):
        if len(data) != shape[0] or any(len(row) != shape[1] for row in data):
            raise PayloadError(f"{what} has data of another shape than {list(shape)}")
        data = [cell for row in data for cell in row]
    values: list[Any] = data
    if len(values) != prod(shape):
        raise PayloadError(f"{what} has {len(values)} values for the shape {list(shape)}")
    return values


def _from_bytes(data: bytes, datatype: str, shape: tuple[int, ...], what: str) -> list[Any]:
    if datatype == _BYTES:
        values: list[Any] = list(_texts(data, what))
        if len(values) != prod(shape):
            raise PayloadError(f"{what} has {len(values)} texts for the shape {list(shape)}")
        return values
    dtype = np.dtype(DATATYPES[datatype])
    if len(data) != prod(shape) * dtype.itemsize:
        raise PayloadError(f"{what} has {len(data)} bytes for the shape {list(shape)} of {datatype}")
    if datatype == "BOOL" and not set(data) <= {0, 1}:
        raise PayloadError(f"{what} has bytes that are neither 0 nor 1")
    numbers: list[Any] = np.frombuffer(data, dtype).tolist()
    return numbers


def _texts(data: bytes, what: str) -> Iterator[str]:
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        at += 4 + size
        if at > len(data):
            raise PayloadError(f"{what} ends in the middle of a text")
        try:
            yield data[at - size : at].decode()
        except UnicodeDecodeError as error:
            raise PayloadError(f"{what} holds a text that is not UTF-8") from error


def _datatype(values: Sequence[Any]) -> str:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return "BOOL"
    if kinds == {int} and all(-(2**63) <= value < 2**63 for value in values if value is not None):
        return "INT64"
    return "FP64" if kinds and kinds <= {int, float} else "BYTES"
