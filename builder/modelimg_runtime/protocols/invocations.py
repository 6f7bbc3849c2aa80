"""``/invocations``: the bodies that MLflow's scoring server and SageMaker's endpoints take.

MLflow: ``dataframe_split``, ``dataframe_records``, ``instances``, ``inputs``, or CSV with a header.
SageMaker: JSON as above, or CSV, of which its own containers send and take lines without a header.
Source: https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/ ("Scoring server") and
https://docs.aws.amazon.com/sagemaker/latest/dg/cdf-inference.html.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from modelimg_runtime.columns import Prediction
from modelimg_runtime.errors import PayloadError
from modelimg_runtime.protocols.bodies import (
    CSV,
    JSON,
    Payload,
    columns_of_arrays,
    columns_of_records,
    columns_of_rows,
    columns_of_text,
    csv_lines,
    read_csv,
    read_json,
)
from modelimg_runtime.protocols.extras import NONE, Extras, objects, table
from modelimg_runtime.protocols.tables import write_table

_FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
CUSTOM_ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
_VISIBLE = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,1022}[\x21-\x7e])?", re.ASCII)


def may_repeat(attributes: str) -> bool:
    """Whether SageMaker's header is one: at most 1024 visible characters."""
    return _VISIBLE.fullmatch(attributes) is not None


def parse(body: bytes, kind: str, names: Sequence[str]) -> tuple[Payload, Extras]:
    """Turn a body into columns, and what its ``params`` ask for beside the predictions.

    As MLflow does, this takes no notice of other keys, nor of other parameters than the model has.

    Args:
        body: the whole body.
        kind: ``application/json`` or ``text/csv``.
        names: the model's columns in order, for forms that give values without names.

    Raises:
        PayloadError: the body is none of these forms.
    """
    if kind == CSV:
        return _csv(body, names), NONE
    document = read_json(body)
    found = [form for form in _FORMS if isinstance(document, dict) and form in document]
    if len(found) != 1:
        raise PayloadError(f"send a JSON object with one of {', '.join(_FORMS)}")
    form, value = found[0], document[found[0]]
    extras = Extras.of(document.get("params"), "params")
    if form == "dataframe_split":
        return _split(value), extras
    if form == "dataframe_records":
        return columns_of_records(value, "dataframe_records"), extras
    return _tensor(value, form, names), extras


def answer(prediction: Prediction, classes: Sequence[Any], extras: Extras, kind: str) -> bytes:
    """The body of a 200: ``{"predictions": […]}``, lines without a header for who accepts CSV, or a table.

    Raises:
        PayloadError: something is asked for that the model does not give, or that the media type cannot hold.
    """
    if kind == JSON:
        rows = objects(prediction, classes, extras)
        return json.dumps({"predictions": rows}, allow_nan=False, separators=(",", ":")).encode()
    columns = table(prediction, classes, extras)
    return csv_lines(zip(*columns.values(), strict=True)) if kind == CSV else write_table(columns, kind)


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
    """What ``DataFrame.to_dict(orient="split")`` gives: columns, data, and an index that says nothing.

    A frame that was made of an array has numbers for names.
    """
    if not isinstance(value, dict) or not {"columns", "data"} <= value.keys() <= {"columns", "data", "index"}:
        raise PayloadError('dataframe_split must be {"columns": […], "data": [[…], …]}')
    given = value["columns"]
    if not isinstance(given, list) or not all(type(name) in (str, int) for name in given):
        raise PayloadError("dataframe_split must name each column once")
    names = list(map(str, given))
    if len(set(names)) < len(names):
        raise PayloadError("dataframe_split must name each column once")
    return columns_of_rows(names, value["data"], "dataframe_split's data")


def _tensor(value: Any, what: str, names: Sequence[str]) -> Payload:
    """Records, columns by name, or values in the order of the model's columns."""
    if isinstance(value, dict):
        return columns_of_arrays({name: _flat(column) for name, column in value.items()}, what)
    if isinstance(value, list) and value and isinstance(value[0], dict):
        if "features" not in names and all(isinstance(row, dict) and row.keys() == {"features"} for row in value):
            return columns_of_rows(names, [row["features"] for row in value], what)  # SageMaker's dense form
        return columns_of_records(value, what)
    if isinstance(value, list) and len(names) == 1 and not any(isinstance(row, list) for row in value):
        return columns_of_rows(names, [[row] for row in value], what)
    return columns_of_rows(names, value, what)


def _flat(column: Any) -> Any:
    """A tensor of shape (n, 1) as one of shape (n,)."""
    if isinstance(column, list) and column and all(isinstance(row, list) and len(row) == 1 for row in column):
        return [row[0] for row in column]
    return column
