"""The native protocol's bodies: JSON rows, JSON columns or CSV → columns, and a prediction → JSON, CSV or a table."""

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
    columns_of_text,
    csv_lines,
    read_csv,
    read_json,
)
from modelimg_runtime.protocols.extras import Extras, named, scores_of, table
from modelimg_runtime.protocols.tables import TABLES, write_table


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


def answer(request_id: str, prediction: Prediction, classes: Sequence[Any], extras: Extras, kind: str) -> bytes:
    """The body of a 200.

    Args:
        request_id: of the request.
        prediction: what the model says.
        classes: names for its probabilities.
        extras: what is asked for beside the predictions.
        kind: JSON, CSV with a header, or one of ``TABLES``.

    Raises:
        PayloadError: something is asked for that the model does not give, or that the media type cannot hold.
    """
    if kind == CSV:
        columns = table(prediction, classes, extras)
        return csv_lines([list(columns), *zip(*columns.values(), strict=True)])
    if kind in TABLES:
        return write_table(table(prediction, classes, extras), kind)
    body: dict[str, Any] = {"id": request_id, "predictions": prediction.predictions}
    if extras.probabilities:
        body["probabilities"] = named(prediction, classes)
    if extras.scores:
        body["scores"] = scores_of(prediction)
    return json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
