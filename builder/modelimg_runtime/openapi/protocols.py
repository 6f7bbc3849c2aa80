"""The routes of other protocols: MLflow and SageMaker, KServe's first, the Open Inference Protocol, Vertex AI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from modelimg_runtime.environment import Settings
from modelimg_runtime.openapi.examples import Shown
from modelimg_runtime.openapi.paths import CSV, alive, flags, operation, ready, table_bodies
from modelimg_runtime.openapi.responses import JSON, json_body, ok, protocol_errors, text_body
from modelimg_runtime.openapi.schemas import Contract, closed, extras_of, output_tensor_schema, parameters_of, ref
from modelimg_runtime.openapi.table import Schema
from modelimg_runtime.protocols.oip import BINARY, LENGTH_HEADER

SAGEMAKER, KSERVE, OIP, VERTEX = "MLflow and SageMaker", "KServe v1", "Open Inference Protocol", "Vertex AI"
_ERROR, _INVOCATIONS_ERROR = "Error", "InvocationsError"
_ASKED: Final = (400, 408, 413, 415, 500, 503)
_NAMED: Final = (404, 503)


def invocations(model: Contract, shown: Shown) -> dict[str, Schema]:
    """``/invocations`` and ``/ping``."""
    split = {"columns": {"const": list(model.names)}, "data": ref("ValueRows"), "index": {}}
    tensor = _tensor_forms(model)
    forms = {
        "dataframe_split": closed(split, optional=["index"], description="The columns may come in any order."),
        "dataframe_records": ref("Rows"),
        "instances": tensor,
        "inputs": tensor,
    }
    values: dict[str, Any] = {
        "dataframe_split": {"columns": list(shown.names), "data": shown.matrix},
        "dataframe_records": shown.records,
        "instances": shown.matrix,
        "inputs": shown.columns,
    }
    params = _or_null(parameters_of(model, others=True))
    one_of = [
        {"type": "object", "properties": {name: form, "params": params}, "required": [name]}
        for name, form in forms.items()
    ]
    body = {
        **json_body({"oneOf": one_of}, **{name: {name: value} for name, value in values.items()}),
        **text_body(CSV, "One line per row, with a header or in the model's order.", rows=shown.csv()),
        **table_bodies(),
    }
    given = {**_predictions(model, shown), **text_body(CSV, "One line per row."), **table_bodies()}
    invoke = operation(
        "invocations",
        SAGEMAKER,
        "Predict as MLflow's scoring server and SageMaker's endpoints do",
        {
            "200": ok("One prediction per row, in order.", given),
            **protocol_errors((406, *_ASKED), _INVOCATIONS_ERROR),
        },
        parameters=flags(model),
        body=body,
    )
    ping = operation("ping", SAGEMAKER, "SageMaker's health check", _pinged())
    return {"/invocations": {"post": invoke}, "/ping": {"get": ping}}


def _tensor_forms(model: Contract) -> Schema:
    scalars = [{"type": "array", "minItems": 1, "items": model.cell(model.names[0])}] if len(model.names) == 1 else []
    return {"anyOf": [ref("Rows"), ref("ValueRows"), ref("Columns"), *scalars]}


def _or_null(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


def _predictions(model: Contract, shown: Shown) -> dict[str, Schema]:
    more = extras_of(model)
    items = {"anyOf": [ref("Prediction"), ref("PredictionAndMore")]} if more else ref("Prediction")
    schema = closed({"predictions": {"type": "array", "minItems": 1, "items": items}})
    return json_body(schema, predictions={"predictions": list(shown.predictions)})


def _instances(
    identifier: str, tag: str, model: Contract, shown: Shown, path: Sequence[Schema], errors: Sequence[int]
) -> Schema:
    rows, parameters = {"anyOf": [ref("Rows"), ref("ValueRows")]}, _or_null(parameters_of(model, others=False))
    schema = closed({"instances": rows, "parameters": parameters}, optional=["parameters"])
    given = {"200": ok("One prediction per row, in order.", _predictions(model, shown))}
    return operation(
        identifier,
        tag,
        "Predict",
        {**given, **protocol_errors(errors, _ERROR)},
        parameters=path,
        body=json_body(schema, objects={"instances": shown.records}, arrays={"instances": shown.matrix}),
    )


def kserve(model: Contract, shown: Shown) -> dict[str, Schema]:
    """``/v1/models``."""
    named = [_path_parameter("name", model.name)]
    missing = protocol_errors(_NAMED, _ERROR)
    listed = closed({"models": {"type": "array", "items": {"const": model.name}}})
    state = closed({"name": {"const": model.name}, "ready": {"type": "boolean"}})
    return {
        "/v1/models": {
            "get": operation(
                "kserveModels",
                KSERVE,
                "The models that are served",
                {"200": ok("Its name.", json_body(listed)), **protocol_errors((503,), _ERROR)},
            )
        },
        "/v1/models/{name}": {
            "get": operation(
                "kserveModel",
                KSERVE,
                "Whether the model is ready",
                {"200": ok("It is.", json_body(state)), **missing},
                parameters=named,
            )
        },
        "/v1/models/{name}:predict": {"post": _instances("kservePredict", KSERVE, model, shown, named, (404, *_ASKED))},
    }


def vertex(settings: Settings, model: Contract, shown: Shown, taken: Mapping[str, Any]) -> dict[str, Schema]:
    """The routes that Vertex AI asked for, where they are not ours already."""
    found: dict[str, Schema] = {}
    predict, health = settings.vertex_predict, settings.vertex_health
    if predict and predict not in taken:
        found[predict] = {"post": _instances("vertexPredict", VERTEX, model, shown, (), _ASKED)}
    if health and health not in taken and health != predict:
        found[health] = {"get": operation("vertexHealth", VERTEX, "Vertex AI's health check", _pinged())}
    return found


def _pinged() -> dict[str, Schema]:
    return {"200": ok("The model is ready; the body is empty."), **protocol_errors((503,), _ERROR)}


def _path_parameter(name: str, value: str) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "enum": [value]}}


def oip(model: Contract, shown: Shown) -> dict[str, Schema]:
    """``/v2``."""
    extensions = {"type": "array", "items": {"type": "string"}}
    server = closed({"name": {"type": "string"}, "version": {"type": "string"}, "extensions": extensions})
    described = {"200": ok("Name, version and extensions.", json_body(server))}
    paths: dict[str, Schema] = {
        "/v2": {"get": operation("oipServer", OIP, "This server", described)},
        "/v2/": {"get": operation("oipServerSlash", OIP, "This server", described)},
        "/v2/health/live": {"get": alive("oipLive", OIP, "The process answers")},
        "/v2/health/ready": {
            "get": ready("oipReady", OIP, "The model is loaded and checked", protocol_errors((503,), _ERROR))
        },
    }
    named = [_path_parameter("name", model.name)]
    versioned = [*named, _path_parameter("version", model.version)]
    for prefix, suffix, parameters in (
        ("/v2/models/{name}", "", named),
        ("/v2/models/{name}/versions/{version}", "Version", versioned),
    ):
        paths[prefix] = {"get": _metadata(f"oipModel{suffix}", parameters)}
        paths[f"{prefix}/ready"] = {"get": _model_ready(f"oipModelReady{suffix}", parameters, model)}
        paths[f"{prefix}/infer"] = {"post": _infer(f"oipInfer{suffix}", parameters, model, shown)}
    return paths


def _metadata(identifier: str, parameters: Sequence[Schema]) -> Schema:
    answer = {"200": ok("Name, datatype and shape of each.", json_body(ref("ModelMetadata")))}
    return operation(
        identifier,
        OIP,
        "What goes in and what comes out",
        {**answer, **protocol_errors(_NAMED, _ERROR)},
        parameters=parameters,
    )


def _model_ready(identifier: str, parameters: Sequence[Schema], model: Contract) -> Schema:
    state = closed({"name": {"const": model.name}, "version": {"const": model.version}, "ready": {"const": True}})
    answer = {"200": ok("It is.", json_body(state)), **protocol_errors(_NAMED, _ERROR)}
    return operation(identifier, OIP, "Whether the model is ready", answer, parameters=parameters)


def _infer(identifier: str, parameters: Sequence[Schema], model: Contract, shown: Shown) -> Schema:
    length = {
        "description": "How much of the body is JSON, where tensors follow it as bytes.",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    }
    given = {
        **json_body(ref("InferResponse"), predictions=shown.inferred(model)),
        BINARY: {"schema": {"type": "string", "description": "JSON, and behind it the tensors asked for as bytes."}},
    }
    answer = ok("The predictions, and the probabilities where the model gives them.", given)
    answer["headers"] = {**answer["headers"], LENGTH_HEADER: length}
    return operation(
        identifier,
        OIP,
        "Predict",
        {"200": answer, **protocol_errors((404, *_ASKED), _ERROR)},
        description="Every tensor has the same number of rows, `shape` says how many, and `data` has that many values. "
        "Tensors may also follow the JSON as bytes (Triton's binary tensor data extension), with the length of the "
        f"JSON in `{LENGTH_HEADER}` and the content type `{BINARY}` or `{JSON}`.",
        parameters=parameters,
        body=json_body(ref("InferRequest"), tensors=shown.infer(model)),
    )


def oip_schemas(model: Contract, tensors: Sequence[str]) -> dict[str, Schema]:
    """Its requests and answers, by name.

    Args:
        model: what is asked.
        tensors: names of the schemas of the tensors that go in.
    """
    names = [name for name, _, _ in model.outputs]
    identifier = {"type": "string", "maxLength": 256}
    output = {"type": "object", "properties": {"name": {"enum": names}, "parameters": {"type": "object"}}}
    wanted = {
        "type": ["array", "null"],
        "maxItems": len(names),
        "items": {**output, "required": ["name"]},
        "uniqueItems": True,
    }
    request = {
        "id": _or_null(identifier),
        "parameters": parameters_of(model, others=True),
        "inputs": {"anyOf": [ref(name) for name in tensors]},
        "outputs": wanted,
    }
    answer = {
        "model_name": {"const": model.name},
        "model_version": {"const": model.version},
        "id": identifier,
        "outputs": {
            "type": "array",
            "minItems": 1,
            "items": {"anyOf": [output_tensor_schema(model, *each) for each in model.outputs]},
        },
    }
    tensor = closed(
        {
            "name": {"type": "string"},
            "datatype": {"type": "string"},
            "shape": {"type": "array", "items": {"type": "integer"}},
        }
    )
    metadata = {
        "name": {"const": model.name},
        "versions": {"type": "array", "items": {"const": model.version}},
        "platform": {"type": "string"},
        "inputs": {"type": "array", "items": tensor},
        "outputs": {"type": "array", "items": tensor},
    }
    return {
        "InferRequest": {"type": "object", "properties": request, "required": ["inputs"]},
        "InferResponse": closed(answer, optional=["id"]),
        "ModelMetadata": closed(metadata),
    }
