"""``fast_path.json``: does the runtime's fast path answer as scikit-learn does, bit for bit?

Found out here, in the training environment and on all data that the model was not fitted on; the image then has the
same versions of everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from modelimg.pack.data import Split
from modelimg.pack.model import PackedModel
from modelimg.pack.schemas import PackedSchema
from modelimg_runtime.contract import FastPath
from modelimg_runtime.frames import FrameReader
from modelimg_runtime.lane import FastLane, NoFastLane, make_lane, output_columns
from modelimg_runtime.predict import output_frame
from modelimg_runtime.validation import validated
from modelimg_runtime.values import json_values

_ROWS = 500
_ALONE = 20
"""Rows that are also asked for one by one, because BLAS adds up one row in another order than many."""


def prove_fast_path(model: PackedModel, contracts: Mapping[str, PackedSchema], split: Split) -> FastPath:
    """Compare the fast path with scikit-learn on every row of a split that the input contract accepts.

    Args:
        model: as it is packed.
        contracts: ``input`` and ``output``.
        split: rows to compare, best ones that the model was not fitted on.
    """
    if any(":" in each.reference for each in contracts.values()):
        return FastPath(False, reason="a schema is code, and only pandera can run it")
    try:
        lane = make_lane(
            model.data, model.file, {side: each.content for side, each in contracts.items()}, model.classes
        )
    except NoFastLane as error:
        return FastPath(False, reason=str(error))
    compared = 0
    for columns in _batches(split):
        rows = _compare(lane, model, contracts["input"], columns)
        if rows is None:
            return FastPath(
                False, compared, f"its answers differ from scikit-learn's on rows of the split {split.name}"
            )
        compared += rows
    if not compared:
        return FastPath(False, reason=f"it accepts no row of the split {split.name}")
    return FastPath(True, compared)


def _batches(split: Split) -> Iterator[dict[str, list[Any]]]:
    """All rows, in batches and then a few alone, as columns of JSON values."""
    frame = split.X
    alone = np.unique(np.linspace(0, len(frame) - 1, min(_ALONE, len(frame))).astype(int))
    for start in range(0, len(frame), _ROWS):
        yield _json(frame.iloc[start : start + _ROWS])
    for row in alone:
        yield _json(frame.iloc[row : row + 1])


def _json(frame: pd.DataFrame) -> dict[str, list[Any]]:
    """The rows that JSON can hold; infinities are none of its values."""
    numbers = frame.select_dtypes("number").to_numpy(dtype=float, na_value=np.nan)
    finite = frame[~np.isinf(numbers).any(axis=1)]
    return {str(name): json_values(finite[name]) for name in finite.columns}


def _compare(
    lane: FastLane, model: PackedModel, schema: PackedSchema, columns: Mapping[str, Sequence[Any]]
) -> int | None:
    """How many rows were compared; None where the answers differ."""
    accepted = lane.answer(columns)
    if accepted is None:
        rows = len(next(iter(columns.values()), ()))
        if rows <= 1:
            return 0  # not for this path to answer
        halves = (
            {name: values[a:b] for name, values in columns.items()} for a, b in ((0, rows // 2), (rows // 2, rows))
        )
        counts = [_compare(lane, model, schema, half) for half in halves]
        return None if None in counts else sum(filter(None, counts))
    frame, violations = FrameReader(schema.schema).read(columns)
    frame, broken = validated(schema.schema, frame)
    if violations or broken:
        return None
    expected = output_frame(model.estimator, frame, model.classes)
    return len(expected) if _equal(expected, output_columns(accepted, model.classes)) else None


def _equal(expected: pd.DataFrame, got: Mapping[str, np.ndarray[Any, Any]]) -> bool:
    """Equal columns, values and, of numbers, types and bits."""
    return list(expected.columns) == list(got) and all(
        _bits(expected[name].to_numpy()) == _bits(values) for name, values in got.items()
    )


def _bits(values: np.ndarray[Any, Any]) -> Any:
    return (values.dtype, values.tobytes()) if values.dtype.kind in "fiub" else list(values)
