"""What the protocols share: bodies → JSON or CSV → columns, and nothing of any one protocol's own words.

It knows nothing of schemas: whether the columns are the model's is for ``predict`` to say.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from modelimg_runtime.columns import ABSENT
from modelimg_runtime.errors import PayloadError
from modelimg_runtime.protocols import quick_json

JSON = "application/json"
CSV = "text/csv"

CELL_BYTES = 8
"""What a value of a table counts for at least, whatever it is stored as: as a value of Python it takes more."""

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
        record: the only row as it came, where it came as an object: a single row is looked at in less time so.
    """

    columns: Mapping[str, Sequence[Any]]
    text: bool = False
    record: Mapping[str, Any] | None = None


def media_type(header: str | None, served: Collection[str]) -> str:
    """The media type of a ``Content-Type`` header, where it is one that is served.

    Args:
        header: its value; None where there is none.
        served: media types.

    Raises:
        PayloadError: another type, or another charset than UTF-8 (status 415).
    """
    if header is not None and header in served:
        return header
    essence, *parameters = [part.strip().lower() for part in (header or "").split(";")]
    if essence not in served:
        sent = essence[:100] or "a body without a content type"
        raise PayloadError(f"send {', '.join(served)}, not {sent}", status=415)
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "charset" and value.strip('"') not in ("utf-8", "utf8", "us-ascii"):
            raise PayloadError("send UTF-8, not another charset", status=415)
    return essence


def read_text(body: bytes, encoding: str = "utf-8") -> str:
    """A body that is not empty, as text.

    Raises:
        PayloadError: it is empty, or not UTF-8.
    """
    if not body:
        raise PayloadError("the body is empty")
    try:
        return body.decode(encoding)
    except UnicodeDecodeError as error:
        raise PayloadError(f"the body is not UTF-8: byte {error.start} cannot be decoded") from error


def read_json(body: bytes) -> Any:
    """The one JSON value of a body; keys that come twice and numbers that JSON has not are refused.

    Raises:
        PayloadError: it is empty, not UTF-8, or no JSON.
    """
    value = quick_json.loads(body)
    if value is not quick_json.UNSURE:
        return value
    try:
        return json.loads(read_text(body), object_pairs_hook=_object, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise PayloadError(f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except RecursionError as error:
        raise PayloadError("the JSON is nested too deeply") from error
    except ValueError as error:  # Python's own limit on the digits of an integer
        raise PayloadError("the JSON holds a number of too many digits") from error


def read_csv(body: bytes) -> list[list[str]]:
    """The lines of a CSV body that are not empty, all of one length.

    Raises:
        PayloadError: it is empty, not UTF-8, or no CSV.
    """
    reader = csv.reader(io.StringIO(read_text(body, "utf-8-sig"), newline=""), strict=True)
    rows: list[list[str]] = []
    try:
        for row in reader:
            if not row and not rows:
                raise PayloadError("the CSV's first line is empty, and must name each column once")
            if row and rows and len(row) != len(rows[0]):
                raise PayloadError(
                    f"line {reader.line_num} of the CSV has {len(row)} fields, and its first line {len(rows[0])}"
                )
            rows += [row] if row else []
    except csv.Error as error:
        raise PayloadError(f"not CSV: {error} at line {reader.line_num}") from error
    return rows


def csv_lines(rows: Iterable[Sequence[Any]]) -> bytes:
    """Rows as CSV; a missing value is an empty field."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode()


def columns_of_text(names: Sequence[str], rows: Sequence[Sequence[str]]) -> Payload:
    """Fields of a CSV under their names.

    Raises:
        PayloadError: a name comes twice, or there is none.
    """
    if len(set(names)) != len(names) or not names:
        raise PayloadError("the CSV's first line must name each column once")
    if not rows:
        return Payload(dict.fromkeys(names, ()), text=True)
    return Payload(dict(zip(names, zip(*rows, strict=True), strict=True)), text=True)


def columns_of_records(records: Any, what: str) -> Payload:
    """``[{column: value, …}, …]`` as columns; a key that a record lacks is absent, which is not null.

    Args:
        records: of a JSON document.
        what: how messages name them.

    Raises:
        PayloadError: they are something else.
    """
    if not isinstance(records, list) or not {*map(type, records)} <= {dict}:
        raise PayloadError(f"{what} must be an array of objects")
    if len(records) == 1:
        return Payload({name: [value] for name, value in records[0].items()}, record=records[0])
    first = list(records[0]) if records else []
    if first and [*map(list, records)].count(first) == len(records):
        return Payload(dict(zip(first, map(list, zip(*map(dict.values, records), strict=True)), strict=True)))
    names = dict.fromkeys(name for record in records for name in record)
    # A million rows of one key each, all different, would make a million columns of a million absent cells.
    if len(names) * len(records) > _SPARSEST * sum(map(len, records)) + _SMALL_TABLE:
        raise PayloadError("the rows have too few columns in common to be one table")
    return Payload({name: [record.get(name, ABSENT) for record in records] for name in names})


def columns_of_arrays(columns: Any, what: str) -> Payload:
    """``{column: [value, …], …}`` as columns.

    Raises:
        PayloadError: they are something else.
    """
    if not isinstance(columns, dict) or not all(isinstance(values, list) for values in columns.values()):
        raise PayloadError(f"{what} must be an object of arrays")
    return Payload(columns)


def columns_of_rows(names: Sequence[str], rows: Any, what: str) -> Payload:
    """``[[value, …], …]`` under the names.

    Raises:
        PayloadError: they are something else, or a row has another length than there are names.
    """
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise PayloadError(f"{what} must be an array of arrays")
    for number, row in enumerate(rows):
        if len(row) != len(names):
            raise PayloadError(f"row {number} of {what} has {len(row)} values for {len(names)} columns")
    if not rows:
        return Payload({name: [] for name in names})
    return Payload({name: list(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)})


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        raise PayloadError("a JSON object has the same key twice")
    return data


def _no_constant(name: str) -> NoReturn:
    raise PayloadError(f"JSON has no {name}; send null for a missing value")
