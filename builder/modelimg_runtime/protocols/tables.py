"""Bodies that are tables: an Arrow stream or a Parquet file, where the image has pyarrow.

The limit of a body holds for the values that come out, too, of which each counts for eight bytes at least: neither
compression nor a column without data makes a small body a large table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from modelimg_runtime.errors import PayloadError
from modelimg_runtime.protocols.bodies import Payload

ARROW = "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"
TABLES = (ARROW, PARQUET)


def check_tables(kind: str, status: int) -> None:
    """Refuse a table where the image cannot read or write any; other media types pass.

    Args:
        kind: the media type.
        status: 415 of a request, 406 of an answer.

    Raises:
        PayloadError: pyarrow is not installed.
    """
    if kind in TABLES and find_spec("pyarrow") is None:
        raise PayloadError(
            "this image reads no Arrow and no Parquet; parquet = true in the [image] table of modelimg.toml adds them",
            status=status,
        )


def read_table(body: bytes, kind: str, limit: int) -> Payload:
    """Columns of a body.

    Args:
        body: the whole body.
        kind: one of ``TABLES``.
        limit: bytes of decoded values, each of ``CELL_BYTES`` at least.

    Raises:
        PayloadError: the body is empty, damaged, or has a column that JSON has no values for (status 400), or holds
            more than the limit (status 413).
    """
    from modelimg_runtime.protocols.arrow import columns_of_table
    from modelimg_runtime.protocols.arrow_stream import read_stream
    from modelimg_runtime.protocols.parquet import read_parquet

    if not body:
        raise PayloadError("the body is empty")
    return Payload(columns_of_table(read_stream(body, limit) if kind == ARROW else read_parquet(body, limit)))


def write_table(columns: Mapping[str, Sequence[Any]], kind: str) -> bytes:
    """Columns of JSON values as a body.

    Raises:
        PayloadError: the values of a column are of several types (status 406).
    """
    import pyarrow as pa
    from pyarrow import ipc, parquet

    try:
        table = pa.table({name: pa.array(values) for name, values in columns.items()})
    except pa.ArrowException as error:
        raise PayloadError("the answer has values of several types in a column; ask for JSON", status=406) from error
    out = pa.BufferOutputStream()
    if kind == PARQUET:
        parquet.write_table(table, out)
    else:
        with ipc.new_stream(out, table.schema) as writer:
            writer.write_table(table)
    return bytes(out.getvalue())
