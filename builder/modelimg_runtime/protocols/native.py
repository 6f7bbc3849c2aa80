"""The native protocol's bodies: JSON rows, JSON columns or CSV → columns, and a prediction → JSON or CSV."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from modelimg_runtime import contract
from modelimg_runtime.columns import Prediction
from modelimg_runtime.errors import PayloadError
from modelimg_runtime.protocols.bodies import (
    CSV,
    Payload,
    columns_of_arrays,
    columns_of_records,
    columns_of_text,
    csv_lines,
    read_csv,
    read_json,
)


def parse(body: bytes, kind: str) -> Payload:
    """Turn a body into columns.

    Args:
        body: the whole body.
        kind: ``application/json`` or ``text/csv``.

    Raises:
        PayloadError: the body is empty, not UTF-8, or not what its type says (status 400).
    """
    if kind == CSV:
        header, *rows = read_csv(body) or [[]]
        return columns_of_text(header, rows)
    data = read_json(body)
    if not isinstance(data, dict) or len(data) != 1 or not data.keys() <= {"rows", "columns"}:
        raise PayloadError('send {"rows": [{column: value, …}, …]} or {"columns": {column: [value, …], …}}')
    if "rows" in data:
        return columns_of_records(data["rows"], '"rows"')
    return columns_of_arrays(data["columns"], '"columns"')


def answer(request_id: str, prediction: Prediction, classes: Sequence[Any], *, probabilities: bool) -> bytes:
    """The body of a 200.

    Raises:
        PayloadError: probabilities are asked of a model that gives none.
    """
    body: dict[str, Any] = {"id": request_id, "predictions": prediction.predictions}
    if probabilities:
        if prediction.probabilities is None:
            raise PayloadError("the model gives no probabilities")
        names = [str(label) for label in classes]
        body["probabilities"] = [dict(zip(names, row, strict=True)) for row in prediction.probabilities]
    return json.dumps(body, allow_nan=False, separators=(",", ":")).encode()


def csv_answer(prediction: Prediction, classes: Sequence[Any], *, probabilities: bool) -> bytes:
    """The same as CSV with a header: ``prediction`` (one column per output), then ``probability_<class>``.

    Raises:
        PayloadError: probabilities are asked of a model that gives none.
    """
    rows = [row if isinstance(row, list) else [row] for row in prediction.predictions]
    width = len(rows[0])
    header = [contract.PREDICTION] if width == 1 else [f"{contract.PREDICTION}_{i}" for i in range(width)]
    if probabilities:
        if prediction.probabilities is None:
            raise PayloadError("the model gives no probabilities")
        header += [f"{contract.PROBABILITY_PREFIX}{label}" for label in classes]
        rows = [row + more for row, more in zip(rows, prediction.probabilities, strict=True)]
    return csv_lines([header, *rows])
