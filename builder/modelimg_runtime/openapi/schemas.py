"""The contract as the named schemas of an OpenAPI document: rows, columns, tensors and answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from modelimg_runtime import contract
from modelimg_runtime.openapi.cells import NULL, cell_schema
from modelimg_runtime.openapi.table import Column, Schema, Table
from modelimg_runtime.protocols.oip import DATATYPE_OF_KIND, PREDICTIONS, PROBABILITIES
from modelimg_runtime.protocols.tensors import DATATYPES

_NUMERIC: Final = [name for name in DATATYPES if name != "BOOL"]
_BYTES: Final = "BYTES"


@dataclass(frozen=True)
class Contract:
    """Both sides, as far as bodies need them.

    Attributes:
        name: of the model.
        version: of the model.
        input: columns that go in.
        output: columns of the answer.
        names: the model's columns in order.
        classes: names of its probabilities.
        probabilities: whether it gives any.
        scores: schema of one row's decision scores; None where it gives none, or where only asking would tell.
        outputs: name, datatype and second dimension of each output tensor.
    """

    name: str
    version: str
    input: Table
    output: Table
    names: tuple[str, ...]
    classes: tuple[str, ...]
    probabilities: bool
    scores: Schema | None
    outputs: tuple[tuple[str, str, int | None], ...]

    def cell(self, name: str) -> Schema:
        """Schema of a value of one of the model's columns."""
        column = self.input.column(name)
        return cell_schema(column) if column else {}


def ref(name: str) -> Schema:
    """A reference to a named schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def closed(properties: Mapping[str, Any], *, optional: Sequence[str] = (), **more: Any) -> Schema:
    """An object of these properties and no others."""
    required = [name for name in properties if name not in optional]
    schema: Schema = {"type": "object", "properties": dict(properties), "additionalProperties": False, **more}
    return {**schema, "required": required} if required else schema


def input_schemas(model: Contract) -> dict[str, Schema]:
    """What may be sent, by name."""
    rows = {"type": "array", "minItems": 1}
    return {
        "Row": _table(model.input, {}, "One row: a value for each column."),
        "Rows": {**rows, "items": ref("Row"), **_said_of_rows(model.input)},
        "Columns": _table(model.input, rows, "All values of each column; every column is of the same length."),
        "ValueRow": {**_tuple([model.cell(name) for name in model.names]), "description": _IN_ORDER},
        "ValueRows": {**rows, "items": ref("ValueRow"), **_said_of_rows(model.input)},
    }


_IN_ORDER: Final = "The values of one row, in the order of the model's columns."


def _table(table: Table, many: Schema, description: str) -> Schema:
    """An object with a property for each column: a value, or an array of them where ``many`` says of what kind."""

    def of(column: Column) -> Schema:
        cell = cell_schema(column)
        return {**many, "items": cell, **({"uniqueItems": True} if column.unique else {})} if many else cell

    patterns = {f"^(?:{each.name})": of(each) for each in table.columns if each.regex}
    exact = [each for each in table.columns if not each.regex]
    return {
        **closed({each.name: of(each) for each in exact}, optional=[each.name for each in exact if not each.required]),
        **({"patternProperties": patterns} if patterns else {}),
        "additionalProperties": table.filters,
        "description": description,
    }


def _said_of_rows(table: Table) -> Schema:
    """What only whole batches can break, which JSON Schema has no words for."""
    unique = [f"{column.name!r} has no value twice" for column in table.columns if column.unique]
    said = "; ".join([*unique, *table.checks])
    return {"description": f"Also checked: {said}."} if said else {}


def _tuple(items: Sequence[Schema]) -> Schema:
    alike = all(each == items[0] for each in items)
    each_item = {"items": items[0]} if alike else {"prefixItems": list(items), "items": False}
    return {"type": "array", **each_item, "minItems": len(items), "maxItems": len(items)}


# ---- answers -------------------------------------------------------------------------------------------------------


def output_schemas(model: Contract) -> dict[str, Schema]:
    """What is answered, by name."""
    found = {"Prediction": prediction_schema(model)}
    if model.probabilities:
        found["Probabilities"] = closed(
            {label: _probability(model, label) for label in model.classes},
            description="The probability of each class; they sum to 1.",
        )
    if model.scores:
        found["Scores"] = {**model.scores, "description": "What the model's decision_function gives for one row."}
    if extras_of(model):
        more = {"prediction": ref("Prediction"), **extras_of(model)}
        found["PredictionAndMore"] = closed(
            more, optional=list(extras_of(model)), description="A prediction with what was asked for beside it."
        )
    return found


def extras_of(model: Contract) -> dict[str, Schema]:
    """What may be asked for beside a prediction, with what is given then."""
    return {
        **({"probabilities": ref("Probabilities")} if model.probabilities else {}),
        **({"scores": ref("Scores")} if model.scores else {}),
    }


def parameters_of(model: Contract, *, others: bool) -> Schema:
    """The JSON object in which other protocols ask for it.

    Args:
        model: who is asked.
        others: whether there may be other parameters, of which nobody takes notice.
    """
    flags = {name: {"type": "boolean"} for name in extras_of(model)}
    return {"type": "object", "properties": flags, **({} if others else {"additionalProperties": False})}


def prediction_schema(model: Contract) -> Schema:
    """One row's prediction: a value, or a list of them where the model has many outputs."""
    single = model.output.column(contract.PREDICTION)
    if single is not None:
        return cell_schema(single)
    width = len(model.output.columns)
    many = [model.output.column(f"{contract.PREDICTION}_{number}") for number in range(width)]
    cells = [cell_schema(column) if column else {} for column in many]
    items = cells[0] if cells.count(cells[0]) == width else {"anyOf": cells}
    return {"type": "array", "items": items, "minItems": width, "maxItems": width}


def _probability(model: Contract, label: str) -> Schema:
    column = model.output.column(f"{contract.PROBABILITY_PREFIX}{label}")
    return cell_schema(column) if column else {"type": "number"}


# ---- tensors of the Open Inference Protocol ------------------------------------------------------------------------


def tensor_schemas(model: Contract) -> dict[str, Schema]:
    """Tensors that go in, by name: one per column, or one of all columns."""
    by_column = _tuple([_column_tensor(name, model) for name in model.names])
    kinds = {_datatype(model.input.column(name)) for name in model.names}
    schemas = {"TensorPerColumn": {**by_column, "description": "A tensor for each column, in any order."}}
    if len(kinds) == 1:
        schemas["TensorOfRows"] = {
            **_tuple([_matrix_tensor(model, kinds.pop())]),
            "description": "One tensor with the columns in the model's order; its data may be flat, too.",
        }
    return schemas


def _datatype(column: Column | None) -> str:
    return DATATYPE_OF_KIND.get(column.kind if column else "", _BYTES)


def _datatypes(datatype: str) -> Schema:
    numeric = datatype in _NUMERIC
    return {"enum": [datatype, *(name for name in _NUMERIC if name != datatype)] if numeric else [datatype]}


def _column_tensor(name: str, model: Contract) -> Schema:
    column = model.input.column(name)
    unique = {"uniqueItems": True} if column and column.unique else {}
    return _tensor(
        {"const": name},
        _datatypes(_datatype(column)),
        {"type": "array", "prefixItems": [_COUNT, {"const": 1}], "items": False, "minItems": 1, "maxItems": 2},
        {"type": "array", "minItems": 1, "items": model.cell(name), **unique},
    )


def _matrix_tensor(model: Contract, datatype: str) -> Schema:
    shape = _tuple([_COUNT, {"const": len(model.names)}])
    return _tensor({"type": "string"}, _datatypes(datatype), shape, ref("ValueRows"))


_COUNT: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": 2**31 - 1, "description": "Rows."}
_PARAMETERS: Final[Schema] = {"type": "object"}


def _tensor(name: Schema, datatype: Schema, shape: Schema, data: Schema) -> Schema:
    properties = {"name": name, "datatype": datatype, "shape": shape, "data": data}
    required = list(properties)
    return {"type": "object", "properties": {**properties, "parameters": _PARAMETERS}, "required": required}


def output_tensor_schema(model: Contract, name: str, datatype: str, width: int | None) -> Schema:
    """A tensor of the answer; its data are flat, row by row.

    Args:
        model: whose answer.
        name: of the output.
        datatype: that the examples have.
        width: values per row; None for one.
    """
    dimensions = 1 if width is None else 2
    shape = {"type": "array", "items": {"type": "integer"}, "minItems": dimensions, "maxItems": dimensions}
    types = {"BOOL": ["boolean"], _BYTES: ["string"]}.get(datatype, ["number"])
    items: Schema = {"type": [*types, NULL]}
    if name == PROBABILITIES:
        items = _probability(model, model.classes[0]) if model.classes else items
    elif name == PREDICTIONS and width is None:
        items = prediction_schema(model)
    known = {"name": {"const": name}, "datatype": {"type": "string"}, "shape": shape}
    return closed(
        {**known, "data": {"type": "array", "items": items}, "parameters": _PARAMETERS},
        optional=["data", "parameters"],
    )
