"""Contracts as data that people and other programs can read."""

from __future__ import annotations

import json
from typing import Any

import pandera.pandas as pa

from modelimg_runtime.cells import cell_type
from modelimg_runtime.errors import ContractUnusable
from modelimg_runtime.model import LoadedModel
from modelimg_runtime.values import shortened

_JSON_TYPES = {
    "float": "number",
    "int": "integer",
    "bool": "boolean",
    "str": "string",
    "datetime": "string, ISO 8601",
    "timedelta": "string, ISO 8601 duration",
}


def schema_view(model: LoadedModel) -> dict[str, Any]:
    """Both contracts: ``{"input": {"columns": […], "checks": […], "pandera": {…} or null}, "output": …}``.

    ``pandera`` is the serialised schema; null where the contract is code, which pandera cannot write down whole.
    """
    sides = {"input": model.input_schema, "output": model.output_schema}
    return {side: {**_readable(schema), "pandera": _serialised(model, side)} for side, schema in sides.items()}


def _readable(schema: pa.DataFrameSchema) -> dict[str, Any]:
    return {
        "columns": [_column(str(name), column, schema.dtype) for name, column in schema.columns.items()],
        "checks": [_check(check) for check in schema.checks],
    }


def _column(name: str, column: pa.Column, default: Any) -> dict[str, Any]:
    try:
        kind = cell_type(column, default)
        dtype, json_type = (
            kind.check.removeprefix("dtype('").removesuffix("')"),
            _JSON_TYPES.get(kind.kind, "any scalar"),
        )
    except ContractUnusable:  # an output column may have any dtype; only input columns are read from JSON
        dtype, json_type = str(column.dtype), "any scalar"
    return {
        "name": name,
        "dtype": dtype,
        "type": json_type,
        "nullable": column.nullable,
        "required": column.required,
        "unique": column.unique,
        "checks": [_check(check) for check in column.checks],
        **({"title": column.title} if column.title else {}),
        **({"description": column.description} if column.description else {}),
    }


def _check(check: pa.Check) -> str:
    return shortened(str(check.error or check.name))


def _serialised(model: LoadedModel, side: str) -> Any:
    reference = model.manifest.schemas[side]
    return None if ":" in reference else json.loads(model.package.read(reference))
