"""The Open Inference Protocol, version 2, over REST: tensors ↔ columns.

One tensor per column, of shape [n] or [n, 1]; or one tensor of shape [n, k] with all of the model's columns in order.
The first output is ``predictions``, then ``probabilities``; ``scores`` where it is asked for, by name or by the
parameter of that name. With the binary tensor data extension, as Triton's HTTP
client sends it. Source: https://github.com/kserve/open-inference-protocol (``inference_rest.yaml``) and
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelimg_runtime.columns import Prediction
from modelimg_runtime.contract import Examples
from modelimg_runtime.errors import PayloadError
from modelimg_runtime.protocols.bodies import Payload, read_json
from modelimg_runtime.protocols.extras import NONE, Extras, probabilities_of
from modelimg_runtime.protocols.tensors import Tensor, binary_of, tensor_of, values_of

EXTENSIONS = ("binary_tensor_data",)
PREDICTIONS, PROBABILITIES, SCORES = "predictions", "probabilities", "scores"
LENGTH_HEADER = "inference-header-content-length"
"""How much of a body is JSON, where tensors follow it as bytes."""
BINARY = "application/octet-stream"

DATATYPE_OF_KIND: Mapping[str, str] = {"float": "FP64", "int": "INT64", "bool": "BOOL"}
"""Of a column, by the kind of its values; every other kind is sent as text, BYTES."""


@dataclass(frozen=True)
class Output:
    """An output that the caller asked for."""

    name: str
    binary: bool = False


@dataclass(frozen=True)
class InferRequest:
    """What a request says.

    Attributes:
        payload: its columns.
        id: the caller's own, which the answer repeats; None where there is none.
        outputs: those asked for; None for all that the model has.
        binary: all outputs as bytes, where none is named.
        extras: what the parameters ask for.
    """

    payload: Payload
    id: str | None
    outputs: tuple[Output, ...] | None
    binary: bool = False
    extras: Extras = NONE

    @property
    def scores(self) -> bool:
        """Whether decision scores are asked for."""
        return self.extras.scores or any(output.name == SCORES for output in self.outputs or ())


def parse(body: bytes, json_length: str | None, names: Sequence[str]) -> InferRequest:
    """Read an inference request.

    Args:
        body: JSON, and behind it the bytes of binary tensors.
        json_length: the value of the header that says how long the JSON is; None where it is all.
        names: the model's columns in order.

    Raises:
        PayloadError: the body is not what the protocol says, or a parameter is not supported.
    """
    document, tail = _split(body, json_length)
    if not isinstance(document, dict):  # the protocol's own description lets there be other keys
        raise PayloadError('send {"inputs": [{"name", "shape", "datatype", "data"}, …]}')
    parameters = _object(document.get("parameters", {}), "parameters")
    identifier = document.get("id")
    if identifier is not None and (not isinstance(identifier, str) or len(identifier) > 256):
        raise PayloadError("id must be a string of at most 256 characters")
    inputs = document.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise PayloadError("inputs must be an array of tensors")
    tensors = []
    for each in inputs:
        tensor, tail = tensor_of(each, tail)
        tensors.append(tensor)
    if tail:
        raise PayloadError(f"{len(tail)} bytes follow the last tensor")
    return InferRequest(
        Payload(_columns(tensors, names)),
        identifier,
        _outputs(document.get("outputs")),
        parameters.get("binary_data_output") is True,
        Extras.of(parameters, "parameters"),
    )


def answer(request: InferRequest, prediction: Prediction, model: tuple[str, str]) -> tuple[bytes, int | None]:
    """The body of a 200, and how much of it is JSON where tensors follow it as bytes.

    Args:
        request: what was asked.
        prediction: what the model says.
        model: name and version.

    Raises:
        PayloadError: an output is asked for that the model does not have.
    """
    tensors = _tensors(prediction, request.extras)
    wanted = request.outputs or tuple(Output(name, request.binary) for name in tensors)
    unknown = [output.name for output in wanted if output.name not in tensors]
    if unknown:
        raise PayloadError(f"the model has no output {unknown[0][:100]!r}; it has {', '.join(tensors)}")
    outputs, tails = [], []
    for output in wanted:
        tensor = tensors[output.name]
        described: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
        if output.binary:
            tails.append(binary_of(tensor))
            described["parameters"] = {"binary_data_size": len(tails[-1])}
        else:
            described["data"] = list(tensor.data)
        outputs.append(described)
    document = {"model_name": model[0], "model_version": model[1], "outputs": outputs}
    if request.id is not None:
        document["id"] = request.id
    head = json.dumps(document, allow_nan=False, separators=(",", ":")).encode()
    return b"".join([head, *tails]), len(head) if tails else None


def _tensors(prediction: Prediction, extras: Extras) -> dict[str, Tensor]:
    """All outputs that there are, by name."""
    values = {PREDICTIONS: prediction.predictions}
    if extras.probabilities or prediction.probabilities is not None:
        values[PROBABILITIES] = probabilities_of(prediction)
    if prediction.scores is not None:
        values[SCORES] = prediction.scores
    return {name: Tensor.of(name, given) for name, given in values.items()}


def server_metadata(name: str, version: str) -> dict[str, Any]:
    """``GET /v2``."""
    return {"name": name, "version": version, "extensions": list(EXTENSIONS)}


def model_metadata(
    model: tuple[str, str], columns: Sequence[tuple[str, str]], outputs: Sequence[tuple[str, str, int | None]]
) -> dict[str, Any]:
    """``GET /v2/models/{name}``.

    Args:
        model: name and version.
        columns: name and kind of each column.
        outputs: name and datatype of each output, and its second dimension where it has one.
    """
    return {
        "name": model[0],
        "versions": [model[1]],
        "platform": "modelimg",
        "inputs": [
            {"name": name, "datatype": DATATYPE_OF_KIND.get(kind, "BYTES"), "shape": [-1, 1]} for name, kind in columns
        ],
        "outputs": [
            {"name": name, "datatype": datatype, "shape": [-1] if width is None else [-1, width]}
            for name, datatype, width in outputs
        ],
    }


def _split(body: bytes, json_length: str | None) -> tuple[Any, bytes]:
    if json_length is None:
        return read_json(body), b""
    if not (json_length.isascii() and json_length.isdigit() and len(json_length) < 12) or int(json_length) > len(body):
        raise PayloadError(f"{LENGTH_HEADER} is no length within the body")
    return read_json(body[: int(json_length)]), body[int(json_length) :]


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise PayloadError(f"{what} must be an object")
    return value


def _outputs(value: Any) -> tuple[Output, ...] | None:
    if value is None or value == []:
        return None
    if not isinstance(value, list) or not all(
        isinstance(one, dict) and isinstance(one.get("name"), str) for one in value
    ):
        raise PayloadError('outputs must be an array of {"name"} objects')
    outputs = []
    for one in value:
        parameters = _object(one.get("parameters", {}), "parameters of an output")
        if parameters.get("classification"):
            raise PayloadError("the classification extension is not supported")
        outputs.append(Output(one["name"], parameters.get("binary_data") is True))
    if len({output.name for output in outputs}) < len(outputs):
        raise PayloadError("an output is asked for twice")
    return tuple(outputs)


def _columns(tensors: Sequence[Tensor], names: Sequence[str]) -> dict[str, list[Any]]:
    """Columns by name; the columns of a single matrix are the model's, in order."""
    first = tensors[0]
    if len(tensors) == 1 and len(first.shape) == 2 and (first.shape[1] != 1 or len(names) == 1):
        if first.shape[1] != len(names):
            raise PayloadError(f"the tensor has {first.shape[1]} columns, and the model {len(names)}")
        values = values_of(first)
        return {name: values[place :: len(names)] for place, name in enumerate(names)}
    columns: dict[str, list[Any]] = {}
    for tensor in tensors:
        if tensor.name in columns:
            raise PayloadError(f"the tensor {tensor.name[:100]!r} comes twice")
        if tensor.shape[1:] not in ((), (1,)):
            raise PayloadError(f"the tensor {tensor.name[:100]!r} has shape {list(tensor.shape)}, not [n] or [n, 1]")
        columns[tensor.name] = values_of(tensor)
    return columns


def described_outputs(examples: Examples) -> list[tuple[str, str, int | None]]:
    """Name, datatype and second dimension of each output, as the packed examples show them."""
    outputs = [Tensor.of(PREDICTIONS, list(examples.predictions))]
    if examples.probabilities is not None:
        outputs.append(Tensor.of(PROBABILITIES, [list(row) for row in examples.probabilities]))
    return [(one.name, one.datatype, one.shape[1] if len(one.shape) > 1 else None) for one in outputs]
