"""Pipelines, column transformers and the table of all transformers that have a fast form."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from modelimg_runtime.columns import Batch
from modelimg_runtime.fast import encode, functions, impute, scale
from modelimg_runtime.fast.errors import NotSpecialised
from modelimg_runtime.fast.inputs import Array, Matrix, Read, Table, Texts, Value, plain_array
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


def _column_transformer(part: Part, value: Value) -> Matrix:
    """``ColumnTransformer``: its parts side by side, on a frame by their columns' names, on an array by their places.

    Raises:
        NotSpecialised: weights, a single column that is not in a list, or nothing left; given a frame where it was
            fitted on an array, or the other way round.
    """
    part.check_plain()
    if isinstance(value, Table) != ("feature_names_in_" in part) or isinstance(value, Texts):
        raise NotSpecialised(f"{part.name} on a frame or an array where it was fitted on the other")
    if part.get("transformer_weights"):
        raise NotSpecialised(f"{part.name} with transformer_weights")
    selections = _named(part, value) if isinstance(value, Table) else _placed(part, value)
    blocks = [_block(transformer, selected) for transformer, selected in selections]
    if not blocks:
        raise NotSpecialised(f"{part.name} that drops every column")
    return _side_by_side(blocks, sparse=bool(part["sparse_output_"]))


def _chosen(part: Part) -> Iterator[tuple[Any, Any, list[int]]]:
    """Each transformer that is not dropped, its columns as they were given, and their places.

    Raises:
        NotSpecialised: a column that is not in a list, which scikit-learn hands on without its second dimension.
    """
    for name, transformer, columns in part["transformers_"]:
        places = [int(index) for index in part["_transformer_to_input_indices"][name]]
        if not places or (isinstance(transformer, str) and transformer == "drop"):
            continue
        if isinstance(columns, (str, int, np.integer)):
            raise NotSpecialised(f"{part.name} with a single column that is not in a list")
        yield transformer, columns, places


def _named(part: Part, table: Table) -> Iterator[tuple[Any, Table]]:
    """Each transformer with its columns, found by name as scikit-learn does where it is given a frame."""
    known = {column.name: column for column in table.columns}
    names = part["feature_names_in_"].tolist()
    for transformer, _, places in _chosen(part):
        selected = [names[index] for index in places]
        if not known.keys() >= set(selected):
            raise NotSpecialised(f"{part.name} with columns that the schema lacks")
        yield transformer, Table(tuple(known[each] for each in selected))


def _placed(part: Part, matrix: Matrix) -> Iterator[tuple[Any, Matrix]]:
    """Each transformer with its columns of an array, taken as scikit-learn takes them: a slice keeps the memory order.

    Source: ``_array_indexing`` of ``sklearn/utils/_indexing.py``.
    """
    if part.get("n_features_in_") != matrix.width or matrix.sparse:
        raise NotSpecialised(f"{part.name} on a sparse matrix or on another number of columns")
    for transformer, columns, places in _chosen(part):
        key = columns if isinstance(columns, slice) else np.asarray(columns)
        if np.arange(matrix.width)[key].tolist() != places:
            raise NotSpecialised(f"{part.name} with columns by name on an array")
        yield transformer, Matrix(len(places), matrix.kind, _taking(matrix.read, key))


def _taking(read: Read, key: Any) -> Read:
    return lambda batch: read(batch)[:, key]


def _block(transformer: Any, given: Value) -> Matrix:
    value = given if isinstance(transformer, str) and transformer == "passthrough" else transformed(transformer, given)
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


def _feature_union(part: Part, value: Value) -> Matrix:
    """``FeatureUnion``: what several transformers make of the same, side by side.

    Raises:
        NotSpecialised: weights, or one of them sparse, which makes the whole sparse.
    """
    part.check_plain()
    if part.get("transformer_weights"):
        raise NotSpecialised(f"{part.name} with transformer_weights")
    blocks = [_block(step, value) for _, step in part["transformer_list"] if step != "drop"]
    if not blocks or any(block.sparse for block in blocks):
        raise NotSpecialised(f"{part.name} of sparse matrices, or that drops every column")
    return _side_by_side(blocks, sparse=False)


TRANSFORMERS: Mapping[str, Callable[[Part, Any], Value]] = {
    PIPELINE: _pipeline,
    "sklearn.compose._column_transformer.ColumnTransformer": _column_transformer,
    "sklearn.pipeline.FeatureUnion": _feature_union,
    functions.FUNCTION: functions.function,
    "sklearn.preprocessing._data.StandardScaler": scale.standard,
    "sklearn.preprocessing._data.MinMaxScaler": scale.min_max,
    "sklearn.preprocessing._data.MaxAbsScaler": scale.max_abs,
    "sklearn.preprocessing._data.RobustScaler": scale.robust,
    "sklearn.impute._base.SimpleImputer": impute.simple,
    "sklearn.preprocessing._encoders.OneHotEncoder": encode.one_hot,
    "sklearn.preprocessing._encoders.OrdinalEncoder": encode.ordinal,
}
"""By the class's dotted name; ``predict`` of everything else is left to scikit-learn."""
