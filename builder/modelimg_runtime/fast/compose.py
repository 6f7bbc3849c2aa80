"""Pipelines, column transformers and the table of all transformers that have a fast form."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from modelimg_runtime.columns import Batch
from modelimg_runtime.fast import encode, impute, scale
from modelimg_runtime.fast.errors import NotSpecialised
from modelimg_runtime.fast.inputs import Array, Matrix, Table, Value, check_input, plain_array
from modelimg_runtime.fast.parts import Part

PIPELINE = "sklearn.pipeline.Pipeline"


def transformed(part: Part, value: Value) -> Value:
    """What a transformer makes of a value.

    Raises:
        NotSpecialised: a class or parameter without a fast form.
    """
    transformer = TRANSFORMERS.get(part.cls)
    if transformer is None:
        raise NotSpecialised(f"{part.name} has no fast form")
    return transformer(part, value)


def steps_of(part: Part) -> list[Part]:
    """A pipeline's steps without those that pass their input through.

    Raises:
        NotSpecialised: a step is something else than an estimator.
    """
    part.check_plain()
    steps = [step for _, step in part["steps"] if step is not None and step != "passthrough"]
    if not all(isinstance(step, Part) for step in steps):
        raise NotSpecialised("a Pipeline with steps that are no estimators")
    return steps


def _pipeline(part: Part, value: Value) -> Value:
    for step in steps_of(part):
        value = transformed(step, value)
    return value


def _passed_through(part: Part, value: Value) -> Value:
    """``FunctionTransformer`` without functions: how a fitted column transformer keeps ``passthrough``."""
    for parameter in ("func", "inverse_func", "kw_args"):
        part.expect(parameter, None)
    part.expect("validate", False)
    check_input(part, value)
    return value


def _column_transformer(part: Part, value: Value) -> Matrix:
    """``ColumnTransformer`` fitted on a frame: its parts side by side.

    Raises:
        NotSpecialised: fitted on an array, weights, a single column by its bare name, or nothing left.
    """
    part.check_plain()
    if not isinstance(value, Table) or "feature_names_in_" not in part:
        raise NotSpecialised(f"{part.name} on or fitted on arrays")
    if part.get("transformer_weights"):
        raise NotSpecialised(f"{part.name} with transformer_weights")
    blocks = [_block(transformer, selected) for transformer, selected in _selections(part, value)]
    if not blocks:
        raise NotSpecialised(f"{part.name} that drops every column")
    return _side_by_side(blocks, sparse=bool(part["sparse_output_"]))


def _selections(part: Part, table: Table) -> Iterator[tuple[Any, Table]]:
    """Each transformer with its columns, found by name as scikit-learn does where it is given a frame."""
    known = {column.name: column for column in table.columns}
    names = part["feature_names_in_"].tolist()
    for name, transformer, columns in part["transformers_"]:
        selected = [names[index] for index in part["_transformer_to_input_indices"][name]]
        if not selected or (isinstance(transformer, str) and transformer == "drop"):
            continue
        if isinstance(columns, (str, int, np.integer)):
            raise NotSpecialised(f"{part.name} with a single column that is not in a list")
        if not known.keys() >= set(selected):
            raise NotSpecialised(f"{part.name} with columns that the schema lacks")
        yield transformer, Table(tuple(known[each] for each in selected))


def _block(transformer: Any, table: Table) -> Matrix:
    value = table if isinstance(transformer, str) and transformer == "passthrough" else transformed(transformer, table)
    if isinstance(value, Table):
        return plain_array(value)
    if not isinstance(value, Matrix):
        raise NotSpecialised("a ColumnTransformer that gives strings")
    return value


def _side_by_side(blocks: list[Matrix], *, sparse: bool) -> Matrix:
    readers = tuple(block.read for block in blocks)
    kinds = {block.kind for block in blocks}
    kind = "f" if "f" in kinds else "i" if "i" in kinds else "b"

    def read(batch: Batch) -> Array:
        return np.hstack([read(batch) for read in readers])

    return Matrix(sum(block.width for block in blocks), kind, read, sparse)


TRANSFORMERS: Mapping[str, Callable[[Part, Any], Value]] = {
    PIPELINE: _pipeline,
    "sklearn.compose._column_transformer.ColumnTransformer": _column_transformer,
    "sklearn.preprocessing._function_transformer.FunctionTransformer": _passed_through,
    "sklearn.preprocessing._data.StandardScaler": scale.standard,
    "sklearn.preprocessing._data.MinMaxScaler": scale.min_max,
    "sklearn.preprocessing._data.MaxAbsScaler": scale.max_abs,
    "sklearn.preprocessing._data.RobustScaler": scale.robust,
    "sklearn.impute._base.SimpleImputer": impute.simple,
    "sklearn.preprocessing._encoders.OneHotEncoder": encode.one_hot,
    "sklearn.preprocessing._encoders.OrdinalEncoder": encode.ordinal,
}
"""By the class's dotted name; ``predict`` of everything else is left to scikit-learn."""
