"""The table of bad input: what is sent, and what each protocol has to say to it. Data for a test and for the docs."""

from __future__ import annotations

import decimal
import gzip
import http.client
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import ipc

from modelimg_runtime.protocols.tables import ARROW, PARQUET

Row = Mapping[str, str]
"""Column → JSON text of its value, so that a value may be what no JSON library writes."""

GOOD: Row = {"age": "41", "income": "1200.5", "city": '"Ulm"', "member": "true"}
LIMIT = 10_000_000
PREDICT, INVOCATIONS, V1, V2 = "/predict", "/invocations", "/v1/models/demo:predict", "/v2/models/demo/infer"
DATATYPES = {"age": "INT64", "income": "FP64", "city": "BYTES", "member": "BOOL"}


def records(rows: Sequence[Row]) -> str:
    objects = ("{" + ", ".join(f'"{name}": {value}' for name, value in row.items()) + "}" for row in rows)
    return f"[{', '.join(objects)}]"


def tensors(rows: Sequence[Row], names: Sequence[str]) -> str:
    """One for each column; what a row lacks is null, since a tensor has no place for nothing."""
    given = [name for name in names if not rows or any(name in row for row in rows)]
    data = {name: ", ".join(row.get(name, "null") for row in rows) for name in given}
    described = (
        f'{{"name": "{name}", "shape": [{len(rows)}], "datatype": "{DATATYPES.get(name, "BYTES")}", "data": [{data[name]}]}}'
        for name in given
    )
    return f"[{', '.join(described)}]"


WRAP: Mapping[str, Callable[[Sequence[Row]], str]] = {
    PREDICT: lambda rows: f'{{"rows": {records(rows)}}}',
    INVOCATIONS: lambda rows: f'{{"dataframe_records": {records(rows)}}}',
    V1: lambda rows: f'{{"instances": {records(rows)}}}',
    V2: lambda rows: f'{{"inputs": {tensors(rows, list(rows[0]) if rows else list(GOOD))}}}',
}
PATHS = tuple(WRAP)
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Case:
    """One line of the table.

    Attributes:
        sent: what is sent, in the words of the docs.
        bodies: path → body.
        status: of ``/predict``; the others say 400 where that is 422.
        says: a part of every answer.
        headers: of the request.
        elsewhere: other statuses, by path.
    """

    sent: str
    bodies: Mapping[str, bytes]
    status: int
    says: str
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)
    elsewhere: Mapping[str, int] = field(default_factory=dict)

    def status_at(self, path: str) -> int:
        default = 400 if self.status == 422 and path != PREDICT else self.status
        return self.elsewhere.get(path, default)

    def says_at(self, path: str) -> str:
        return self.says if path not in self.elsewhere else "send application/json"


def rows(sent: str, rows: Sequence[Row], status: int, says: str = "", **more: Any) -> Case:
    return Case(sent, {path: wrap(rows).encode() for path, wrap in WRAP.items()}, status, says, **more)


def cell(sent: str, column: str, value: str, check: str, **more: Any) -> Case:
    return rows(sent, [{**GOOD, column: value}], 422, f"'{column}': {check}", **more)


def raw(sent: str, body: bytes, status: int, says: str, **more: Any) -> Case:
    return Case(sent, dict.fromkeys(PATHS, body), status, says, **more)


def literal(sent: str, column: str, value: str, says: str) -> Case:
    return rows(sent, [{**GOOD, column: value}], 400, says)


def good(sent: str, change: Callable[[bytes], bytes], status: int, says: str, **more: Any) -> Case:
    """A good body that something is done to."""
    return Case(sent, {path: change(wrap([GOOD]).encode()) for path, wrap in WRAP.items()}, status, says, **more)


def without(column: str) -> Row:
    return {name: value for name, value in GOOD.items() if name != column}


def padded(body: bytes) -> bytes:
    return body + b" " * (LIMIT - len(body))


def table(sent: str, kind: str, body: bytes, status: int, says: str = "") -> Case:
    """A body in Arrow's streaming format or in Parquet, which only two of the protocols take."""
    return Case(sent, dict.fromkeys(PATHS, body), status, says, {"Content-Type": kind}, {V1: 415, V2: 415})


def arrow(table: pa.Table, **options: Any) -> bytes:
    out = pa.BufferOutputStream()
    with ipc.new_stream(out, table.schema, options=ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return out.getvalue().to_pybytes()


def parquet(table: pa.Table, **options: Any) -> bytes:
    out = pa.BufferOutputStream()
    pq.write_table(table, out, **options)
    return out.getvalue().to_pybytes()


GOOD_TABLE = pa.table({name: [json.loads(value)] for name, value in GOOD.items()})
TEXT_AGE = GOOD_TABLE.set_column(0, "age", pa.array(["abc"]))
DECIMAL = GOOD_TABLE.set_column(1, "income", pa.array([decimal.Decimal("1200.5")]))
ZEROS = pa.table({"income": np.zeros(2 * LIMIT)})

CASES: tuple[Case, ...] = (
    rows("columns in another order", [dict(reversed(GOOD.items()))], 200),
    rows("a missing column", [without("age")], 422, "column 'age': column_in_dataframe"),
    rows("an extra column", [{**GOOD, "colour": '"red"'}], 422, "column 'colour': column_in_schema"),
    cell('text for a number: `"abc"`', "age", '"abc"', "dtype('int64'), got 'abc'"),
    cell('a number as text: `"1001"`', "income", '"1001"', "dtype('float64'), got '1001'"),
    cell("`30.5` for a whole number", "age", "30.5", "dtype('int64'), got 30.5"),
    rows("`30.0` for a whole number", [{**GOOD, "age": "30.0"}], 200),
    cell("`true` for a number", "age", "true", "dtype('int64'), got True"),
    cell("`1` for a bool", "member", "1", "dtype('bool'), got 1"),
    cell("a number for text", "city", "5", "dtype('str'), got 5"),
    cell("an array in a cell", "age", "[41]", "dtype('int64'), got 'an array'", elsewhere={}),
    cell("null where none is allowed", "age", "null", "not_nullable, got None"),
    rows("null where it is a missing value", [{**GOOD, "income": "null"}], 200),
    cell("null for a category", "city", "null", "not_nullable, got None"),
    cell("an unknown category", "city", '"Atlantis"', "isin(['Ulm', 'Jena', 'Trier']), got 'Atlantis'"),
    literal("`NaN`", "income", "NaN", "JSON has no NaN; send null for a missing value"),
    literal("`Infinity`", "income", "Infinity", "JSON has no Infinity"),
    literal("`-Infinity`", "income", "-Infinity", "JSON has no -Infinity"),
    cell("`1e999`", "income", "1e999", "dtype('float64'), got 'Infinity'"),
    cell("out of range: `-1e12`", "income", "-1e12", "greater_than_or_equal_to(0), got -1000000000000.0"),
    cell("a whole number of 401 digits", "age", str(10**400), "dtype('int64'), got 'a whole number of 1329 bits'"),
    literal("a whole number of 5000 digits", "age", "9" * 5000, "too many digits"),
    cell("a lone surrogate", "city", '"\\ud800"', "unicode"),
    rows("zero rows", [], 422, "not_empty"),
    raw("an empty body", b"", 400, "the body is empty"),
    good("broken JSON", lambda body: body[:-1], 400, "not JSON"),
    good("something behind the JSON", lambda body: body + b"]", 400, "not JSON: Extra data"),
    raw("JSON of another form", b"[1, 2]", 400, "send"),
    good("a key twice", lambda body: body[:-1] + b", " + body[1:], 400, "the same key twice"),
    good("invalid UTF-8", lambda body: body.replace(b"U", b"\xff").replace(b"age", b"\xffge"), 400, "not UTF-8"),
    good("UTF-16", lambda body: body.decode().encode("utf-16"), 400, "not UTF-8"),
    raw("100 000 brackets", b"[" * 100_000, 400, "nested too deeply"),
    good("10 MB that are good, most of it spaces", padded, 200, ""),
    raw("10 MB of garbage", b"\x00garbage\n" * (LIMIT // 9), 400, "not JSON"),
    raw("more than the limit", b" " * (LIMIT + 1), 413, "longer than 10000000 bytes"),
    good("gzip", gzip.compress, 200, "", headers={**JSON, "Content-Encoding": "gzip"}),
    raw(
        "a gzip bomb",
        gzip.compress(b" " * (20 * LIMIT)),
        413,
        "longer than 10000000 bytes once it is decoded",
        headers={**JSON, "Content-Encoding": "gzip"},
    ),
    good(
        "no gzip, but said to be",
        bytes,
        400,
        "not what its content encoding says",
        headers={**JSON, "Content-Encoding": "gzip"},
    ),
    good(
        "half a gzip",
        lambda b: gzip.compress(b)[:-9],
        400,
        "ends in the middle",
        headers={**JSON, "Content-Encoding": "gzip"},
    ),
    good(
        "another content encoding: `br`", bytes, 415, "send gzip or deflate", headers={**JSON, "Content-Encoding": "br"}
    ),
    good("another content type", bytes, 415, "send application/json", headers={"Content-Type": "text/html"}),
    good(
        "no content type",
        bytes,
        415,
        "",
        headers={},
        elsewhere={V1: 200, V2: 200},
    ),
    good(
        "another charset: `latin-1`",
        bytes,
        415,
        "send UTF-8, not another charset",
        headers={"Content-Type": "application/json; charset=latin-1"},
    ),
    table("an Arrow stream", ARROW, arrow(GOOD_TABLE), 200),
    table("Arrow: text for a number", ARROW, arrow(TEXT_AGE), 422, "dtype('int64'), got 'abc'"),
    table("Arrow: a decimal", ARROW, arrow(DECIMAL), 400, "column 'income' is of Arrow's type decimal128(5, 1)"),
    table("Arrow: half a stream", ARROW, arrow(GOOD_TABLE)[:-40], 400, "not an Arrow stream, or a damaged one"),
    table("Arrow: a zstd bomb", ARROW, arrow(ZEROS, compression="zstd"), 413, "10000000 bytes once it is decoded"),
    table("a Parquet file", PARQUET, parquet(GOOD_TABLE), 200),
    table("Parquet: text for a number", PARQUET, parquet(TEXT_AGE), 422, "dtype('int64'), got 'abc'"),
    table("Parquet: no footer", PARQUET, parquet(GOOD_TABLE)[:-8], 400, "not a Parquet file, or a damaged one"),
    table("Parquet: a bomb", PARQUET, parquet(ZEROS), 413, "10000000 bytes once it is decoded"),
)


@dataclass(frozen=True)
class Seen:
    """An answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    port: int, path: str, body: bytes | Iterator[bytes] | None, headers: Mapping[str, str], method: str = "POST"
) -> Seen:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, dict(headers), encode_chunked=not isinstance(body, (bytes, type(None))))
        response = connection.getresponse()
        return Seen(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


def message_of(path: str, seen: Seen) -> str:
    """The text of an error, in whichever shape the protocol has it."""
    document = seen.json
    if path in (V1, V2):
        assert document.keys() == {"error"}
        return str(document["error"])
    if path == INVOCATIONS:
        assert document.keys() == {"error_code", "message"}
        return str(document["message"])
    assert seen.headers["content-type"] == "application/problem+json"
    assert document["status"] == seen.status
    assert document["id"] == seen.headers["x-request-id"]
    cells = [_cell(**error) for error in document.get("errors", ())]
    return "; ".join([document["detail"], *cells])


def _cell(row: Any, column: Any, check: str, value: Any) -> str:
    where = [f"row {row}"] if row is not None else []
    where += [f"column {column!r}"] if column is not None else []
    return f"{', '.join(where) or 'the whole batch'}: {check}, got {value!r}"


def as_markdown(lines: Sequence[tuple[Case, Mapping[str, int], str]]) -> str:
    """The table of the docs: for each case the statuses, and what ``/predict`` says."""
    head = (
        "| sent | `/predict` | `/invocations` | `/v1/…:predict` | `/v2/…/infer` | says |\n|---|---|---|---|---|---|\n"
    )
    return head + "".join(
        f"| {case.sent} | {' | '.join(str(statuses[path]) for path in PATHS)} | {_escaped(says)} |\n"
        for case, statuses, says in lines
    )


def _escaped(text: str) -> str:
    shown = text if len(text) < 160 else f"{text[:159]}…"
    return shown.replace("|", "\\|").replace("<", "&lt;")
