"""``fast_path.json``: does the runtime's fast path answer as scikit-learn does, bit for bit?

Found out here, in the training environment and on all data that the model was not fitted on; the image then has the
same versions of everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from modelimg.pack.data import Split
from modelimg.pack.model import PackedModel
from modelimg.pack.schemas import PackedSchema
from modelimg_runtime.contract import FastPath
from modelimg_runtime.frames import FrameReader
from modelimg_runtime.lane import FastLane, NoFastLane, make_lane, output_columns
from modelimg_runtime.predict import decision_scores, output_frame
from modelimg_runtime.validation import validated
from modelimg_runtime.values import json_values

_ROWS = 500
_TOGETHER = (2, 3, 7, 16, 64)
"""Rows of the batches in which rows are compared with themselves alone."""
_BATCHES = 8
"""Batches of each size at most."""
_ALONE = 20
"""Rows that are also asked for one by one, because BLAS adds up one row in another order than many."""


def prove_fast_path(model: PackedModel, contracts: Mapping[str, PackedSchema], split: Split) -> FastPath:
    """Compare the fast path with scikit-learn on every row of a split that the input contract accepts.

    And compare scikit-learn with itself: are rows in batches answered as they are alone, so that requests may be
    predicted together?

    Args:
        model: as it is packed.
        contracts: ``input`` and ``output``.
        split: rows to compare, best ones that the model was not fitted on.
    """
    if any(":" in each.reference for each in contracts.values()):
        return FastPath(False, reason="a schema is code, and only pandera can run it")
    proof = _prove_lane(model, contracts, split)
    answers = _Answers(model, contracts["input"], split)
    difference = answers.difference()
    return replace(proof, batches_equal=difference == 0, batch_rows=answers.rows, batch_difference=difference)


class _Answers:
    """What scikit-learn itself says of some rows of a split, asked as the server asks it.

    Attributes:
        rows: how many rows are compared.
    """

    def __init__(self, model: PackedModel, schema: PackedSchema, split: Split) -> None:
        self._model, self._reader = model, FrameReader(schema.schema)
        frame = split.X.iloc[np.unique(np.linspace(0, len(split.X) - 1, min(_TOGETHER[-1], len(split.X))).astype(int))]
        columns = _json(frame)
        _, violations = self._reader.read(columns)
        refused = {violation.row for violation in violations}
        rows = len(next(iter(columns.values()), ()))
        kept = [] if None in refused else [row for row in range(rows) if row not in refused]
        self._columns = {name: [values[row] for row in kept] for name, values in columns.items()}
        self.rows = len(kept)

    def difference(self) -> float | None:
        """By how much a number of an answer differs at most between a row alone and in a batch; 0 for equal bits.

        Returns:
            None where something else than a number differs, or scikit-learn refuses a row.
        """
        try:
            alone = [self._answer(row, row + 1) for row in range(self.rows)]
            found = [
                _difference(pd.concat(alone[start : start + size]), self._answer(start, start + size))
                for size in _TOGETHER
                for start in range(0, min(self.rows, size * _BATCHES), size)
            ]
        except ValueError:
            return None
        known = [each for each in found if each is not None]
        return max(known) if known and len(known) == len(found) else None

    def _answer(self, start: int, stop: int) -> pd.DataFrame:
        frame, _ = self._reader.read({name: values[start:stop] for name, values in self._columns.items()})
        return output_frame(self._model.estimator, frame, self._model.classes)


def _difference(alone: pd.DataFrame, together: pd.DataFrame) -> float | None:
    """The largest one of numbers; None where columns, types or something else differ."""
    if list(alone.columns) != list(together.columns) or list(alone.dtypes) != list(together.dtypes):
        return None
    largest = 0.0
    for name in alone.columns:
        one, other = alone[name].to_numpy(), together[name].to_numpy()
        if _bits(one) == _bits(other):
            continue
        distance = np.max(np.abs(one - other)) if one.dtype.kind == "f" else np.nan
        # Zeros of two signs differ by nothing, and are not the same.
        largest = max(largest, float(distance) or float(np.finfo(np.float64).tiny))
        if not np.isfinite(distance):
            return None
    return largest


def _prove_lane(model: PackedModel, contracts: Mapping[str, PackedSchema], split: Split) -> FastPath:
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
    equal = _equal(expected, output_columns(accepted, model.classes))
    if accepted.scores is not None and np.isfinite(accepted.scores).all():  # they are no part of the output schema
        equal = equal and _bits(decision_scores(model.estimator, frame)) == _bits(accepted.scores)
    return len(expected) if equal else None


def _equal(expected: pd.DataFrame, got: Mapping[str, np.ndarray[Any, Any]]) -> bool:
    """Equal columns, values and, of numbers, types and bits."""
    return list(expected.columns) == list(got) and all(
        _bits(expected[name].to_numpy()) == _bits(values) for name, values in got.items()
    )


def _bits(values: np.ndarray[Any, Any]) -> Any:
    return (values.dtype, values.tobytes()) if values.dtype.kind in "fiub" else list(values)
