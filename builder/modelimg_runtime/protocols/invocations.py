"""``/invocations``: the bodies that MLflow's scoring server and SageMaker's endpoints take.

MLflow: ``dataframe_split``, ``dataframe_records``, ``instances``, ``inputs``, or CSV with a header.
SageMaker: JSON as above, or CSV, of which its own containers send and take lines without a header.
Source: https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/ ("Scoring server") and
https://docs.aws.amazon.com/sagemaker/latest/dg/cdf-inference.html.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from modelimg_runtime.columns import Prediction
from modelimg_runtime.errors import PayloadError
from modelimg_runtime.protocols.bodies import (
    CSV,
    Payload,
    columns_of_arrays,
    columns_of_records,
    columns_of_rows,
    columns_of_text,
    csv_lines,
    read_csv,
    read_json,
)

_FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")


def parse(body: bytes, kind: str, names: Sequence[str]) -> Payload:
    """Turn a body into columns.

    Args:
        body: the whole body.
        kind: ``application/json`` or ``text/csv``.
        names: the model's columns in order, for forms that give values without names.

    Raises:
        PayloadError: the body is none of these forms.
    """
    if kind == CSV:
        return _csv(body, names)
    document = read_json(body)
    found = [form for form in _FORMS if isinstance(document, dict) and form in document]
    if len(found) != 1:
        raise PayloadError(f"send a JSON object with one of {', '.join(_FORMS)}")
    others = document.keys() - {found[0], "params"}
    if others or document.get("params"):
        raise PayloadError(f"the model takes no {min(others) if others else 'params'}"[:200])
    value = document[found[0]]
    if found[0] == "dataframe_split":
        return _split(value)
    if found[0] == "dataframe_records":
        return columns_of_records(value, "dataframe_records")
    return _tensor(value, found[0], names)


def answer(prediction: Prediction, *, csv: bool) -> bytes:
    """The body of a 200: ``{"predictions": […]}``, or one line per row for a caller who accepts CSV only."""
    if not csv:
        return json.dumps({"predictions": prediction.predictions}, allow_nan=False, separators=(",", ":")).encode()
    return csv_lines(row if isinstance(row, list) else [row] for row in prediction.predictions)


def _csv(body: bytes, names: Sequence[str]) -> Payload:
    """With a header where the first line has the model's own names, else without."""
    rows = read_csv(body)
    first = rows[0] if rows else []
    if set(first) & set(names) or not rows:
        return columns_of_text(first, rows[1:])
    if len(first) != len(names):
        raise PayloadError(
            f"the CSV has {len(first)} fields in a line and no header, and the model {len(names)} columns"
        )
    return columns_of_text(names, rows)


def _split(value: Any) -> Payload:
    """What ``DataFrame.to_dict(orient="split")`` gives: columns, data, and an index that says nothing."""
    if not isinstance(value, dict) or not {"columns", "data"} <= value.keys() <= {"columns", "data", "index"}:
        raise PayloadError('dataframe_split must be {"columns": […], "data": [[…], …]}')
    names = value["columns"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise PayloadError("dataframe_split must name each column once")
    return columns_of_rows(names, value["data"], "dataframe_split's data")


def _tensor(value: Any, what: str, names: Sequence[str]) -> Payload:
    """Records, columns by name, or values in the order of the model's columns."""
    if isinstance(value, dict):
        return columns_of_arrays(value, what)
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return columns_of_records(value, what)
    if isinstance(value, list) and len(names) == 1 and not any(isinstance(row, list) for row in value):
        return columns_of_rows(names, [[row] for row in value], what)
    return columns_of_rows(names, value, what)
