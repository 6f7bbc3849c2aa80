"""``examples.json``: a few rows of the data, and what the model answers to them through the runtime's own path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray

from modelimg.errors import DataError, ModelFileError, SchemaError
from modelimg.pack.data import Split
from modelimg.pack.model import PackedModel
from modelimg_runtime import contract
from modelimg_runtime.errors import ContractUnusable, InputRejected, OutputRejected, Violation
from modelimg_runtime.predict import Predictor
from modelimg_runtime.values import json_values

EXAMPLES = 10
_SHOWN = 5


def example_rows(split: Split) -> list[int]:
    """Row numbers spread over a split, with a missing value among them where the split has any.

    Raises:
        DataError: no row can be written as JSON.
    """
    finite = np.flatnonzero(~_infinite(split.X))
    if not len(finite):
        raise DataError(f"every row of the split {split.name} holds an infinity, which JSON cannot carry")
    chosen = finite[np.unique(np.linspace(0, len(finite) - 1, min(EXAMPLES, len(finite))).astype(int))]
    missing: NDArray[np.bool_] = np.atleast_1d(np.asarray(split.X.isna()).any(axis=1))
    with_missing = finite[missing[finite]]
    if len(with_missing) and not missing[chosen].any():
        chosen = np.unique([*chosen[:-1], with_missing[0]])
    return [int(row) for row in chosen]


def make_examples(
    model: PackedModel, input_schema: pa.DataFrameSchema, output_schema: pa.DataFrameSchema, split: Split
) -> contract.Examples:
    """The examples and the model's answers.

    Raises:
        SchemaError: rows break the input schema, or answers the output schema; each place is named.
        DataError: a column holds what JSON cannot carry.
        ModelFileError: the model fails on the rows.
    """
    rows = example_rows(split)
    columns = {str(name): _json(split, name, rows) for name in split.X.columns}
    try:
        answer = Predictor(model.estimator, model.classes, input_schema, output_schema).predict_columns(columns)
    except InputRejected as rejected:
        raise _broken("input", split, rows, rejected.violations) from rejected
    except OutputRejected as rejected:
        raise _broken("output", split, rows, rejected.violations) from rejected
    except ContractUnusable as error:
        raise SchemaError(f"the input schema cannot be used: {error}") from error
    except Exception as error:  # the model's own code may raise anything
        raise ModelFileError(
            f"the model cannot predict rows of the split {split.name}: {type(error).__name__}: {error}",
            hint="the model must accept a table with the columns and types of its training data",
        ) from error
    return contract.Examples(
        columns=tuple(columns),
        rows=tuple(list(row) for row in zip(*columns.values(), strict=True)),
        predictions=tuple(answer.predictions),
        probabilities=None if answer.probabilities is None else tuple(answer.probabilities),
    )


def _infinite(frame: pd.DataFrame) -> NDArray[np.bool_]:
    numbers = frame.select_dtypes("number")
    return np.atleast_1d(np.isinf(numbers.to_numpy(dtype=float, na_value=np.nan)).any(axis=1))


def _json(split: Split, name: Any, rows: Sequence[int]) -> list[Any]:
    try:
        return json_values(split.X[name].iloc[list(rows)])
    except (TypeError, ValueError) as error:
        raise DataError(f"column {str(name)!r} of the split {split.name} cannot be sent as JSON: {error}") from error


def _broken(side: str, split: Split, rows: Sequence[int], violations: Sequence[Violation]) -> SchemaError:
    """Violations are counted by example; people look for the row of their data."""
    named = [
        Violation(None if each.row is None else rows[each.row], each.column, each.check, each.value)
        for each in violations
    ]
    shown = "; ".join(map(str, named[:_SHOWN]))
    more = f"; and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
    what = "rows" if side == "input" else "the model's answers to rows"
    return SchemaError(
        f"{what} of the split {split.name} break the {side} schema: {shown}{more}",
        hint="correct the schema, or leave it out to have one drafted from the training data",
    )
