"""The native protocol's bodies: JSON rows, JSON columns or CSV → columns, and a prediction → JSON.

It knows nothing of schemas: whether the columns are the model's is for ``predict`` to say.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from modelimg_runtime.batch import ABSENT, Prediction
from modelimg_runtime.errors import PayloadError

JSON = "application/json"
CSV = "text/csv"

_SPARSEST = 10
"""Cells that may be absent for each that is given, …"""
_SMALL_TABLE = 100_000
"""… and in all, whatever is given."""


@dataclass(frozen=True)
class Payload:
    """Columns of a request.

    Attributes:
        columns: name → values of all rows.
        text: whether the values are CSV fields rather than JSON values.
    """

    columns: Mapping[str, Sequence[Any]]
    text: bool = False


def media_type(header: str | None) -> str:
    """The media type of a ``Content-Type`` header, where it is one that is served.

    Raises:
        PayloadError: another type, or another charset than UTF-8 (status 415).
    """
    essence, *parameters = [part.strip().lower() for part in (header or "").split(";")]
    if essence not in (JSON, CSV):
        raise PayloadError(f"send {JSON} or {CSV}, not {essence[:100] or 'a body without a content type'}", status=415)
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "charset" and value.strip('"') not in ("utf-8", "utf8", "us-ascii"):
            raise PayloadError("send UTF-8, not another charset", status=415)
    return essence


def parse(body: bytes, kind: str) -> Payload:
    """Turn a body into columns.

    Args:
        body: the whole body.
        kind: ``application/json`` or ``text/csv``.

    Raises:
        PayloadError: the body is empty, not UTF-8, or not what its type says (status 400).
    """
    if not body:
        raise PayloadError("the body is empty")
    try:
        text = body.decode("utf-8-sig" if kind == CSV else "utf-8")
    except UnicodeDecodeError as error:
        raise PayloadError(f"the body is not UTF-8: byte {error.start} cannot be decoded") from error
    return Payload(_csv_columns(text), text=True) if kind == CSV else Payload(_json_columns(text))


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


def _json_columns(text: str) -> Mapping[str, Sequence[Any]]:
    try:
        data = json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise PayloadError(f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except RecursionError as error:
        raise PayloadError("the JSON is nested too deeply") from error
    except ValueError as error:  # Python's own limit on the digits of an integer
        raise PayloadError("the JSON holds a number of too many digits") from error
    if not isinstance(data, dict) or len(data) != 1 or not data.keys() <= {"rows", "columns"}:
        raise PayloadError('send {"rows": [{column: value, …}, …]} or {"columns": {column: [value, …], …}}')
    return _from_rows(data["rows"]) if "rows" in data else _from_columns(data["columns"])


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        raise PayloadError("a JSON object has the same key twice")
    return data


def _no_constant(name: str) -> NoReturn:
    raise PayloadError(f"JSON has no {name}; send null for a missing value")


def _from_rows(rows: Any) -> Mapping[str, Sequence[Any]]:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise PayloadError('"rows" must be an array of objects')
    names = dict.fromkeys(name for row in rows for name in row)
    # A million rows of one key each, all different, would make a million columns of a million absent cells.
    if len(names) * len(rows) > _SPARSEST * sum(map(len, rows)) + _SMALL_TABLE:
        raise PayloadError("the rows have too few columns in common to be one table")
    return {name: [row.get(name, ABSENT) for row in rows] for name in names}


def _from_columns(columns: Any) -> Mapping[str, Sequence[Any]]:
    if not isinstance(columns, dict) or not all(isinstance(values, list) for values in columns.values()):
        raise PayloadError('"columns" must be an object of arrays')
    return columns


def _csv_columns(text: str) -> Mapping[str, Sequence[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        if len(set(header)) != len(header) or not header:
            raise PayloadError("the CSV's first line must name each column once")
        rows = [_csv_row(row, header, reader.line_num) for row in reader if row]
    except csv.Error as error:
        raise PayloadError(f"not CSV: {error} at line {reader.line_num}") from error
    return dict(zip(header, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(header, ())


def _csv_row(row: list[str], header: Sequence[str], line: int) -> list[str]:
    if len(row) != len(header):
        raise PayloadError(f"line {line} of the CSV has {len(row)} fields, and its header {len(header)}")
    return row
