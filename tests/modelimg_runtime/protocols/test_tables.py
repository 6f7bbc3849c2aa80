"""Bodies in Arrow's streaming format and in Parquet: round trips, bombs, damage."""

from __future__ import annotations

import io
import random
import struct
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import ipc

from modelimg_runtime.errors import PayloadError
from modelimg_runtime.protocols.tables import ARROW, PARQUET, TABLES, check_tables, read_table, write_table

LIMIT = 1_000_000
TABLE = pa.table({"a": [1.5, None, 2.5], "s": ["x", "y", None], "b": [True, None, False], "i": [1, 2, 3]})
COLUMNS = {name: TABLE[name].to_pylist() for name in TABLE.column_names}


def stream(table: pa.Table, **options: Any) -> bytes:
    out = io.BytesIO()
    with ipc.new_stream(out, table.schema, options=ipc.IpcWriteOptions(**options)) as writer:
        for batch in table.to_batches():
            writer.write_batch(batch)
    return out.getvalue()


def parquet(table: pa.Table, **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


def reads(body: bytes, kind: str) -> bool:
    try:
        return bool(read_table(body, kind, LIMIT).columns is not None)
    except PayloadError as error:
        if error.status not in (400, 413):
            raise
        return False


def refused(body: bytes, kind: str, limit: int = LIMIT) -> tuple[int, str]:
    with pytest.raises(PayloadError) as error:
        read_table(body, kind, limit)
    return error.value.status, str(error.value)


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_an_arrow_stream_is_read_whatever_its_compression(compression):
    assert read_table(stream(TABLE, compression=compression), ARROW, LIMIT).columns == COLUMNS
    encoded = TABLE.set_column(1, "s", TABLE["s"].dictionary_encode())
    assert read_table(stream(encoded, compression=compression), ARROW, LIMIT).columns == COLUMNS


@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd", "lz4", "brotli"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("dictionary", [True, False])
def test_a_parquet_file_is_read_whatever_its_compression(compression, version, dictionary):
    body = parquet(
        TABLE, compression=compression, data_page_version=version, use_dictionary=dictionary, row_group_size=2
    )
    assert read_table(body, PARQUET, LIMIT).columns == COLUMNS


@pytest.mark.parametrize("kind", TABLES)
def test_an_answer_is_read_as_what_it_was(kind):
    columns = {"prediction": ["x", None], "probability_x": [0.25, 0.75], "n": [1, 2], "b": [True, False]}
    assert read_table(write_table(columns, kind), kind, LIMIT).columns == columns


def test_values_of_several_types_are_406():
    with pytest.raises(PayloadError) as error:
        write_table({"prediction": [1, "x"]}, ARROW)
    assert error.value.status == 406


def test_a_stream_of_many_batches_and_one_of_none_are_tables():
    rows = pa.table({"a": list(range(1000))})
    many = pa.Table.from_batches([rows.slice(at, 1).to_batches()[0] for at in range(1000)])
    assert read_table(stream(many), ARROW, LIMIT).columns == {"a": list(range(1000))}
    assert read_table(stream(rows.slice(0, 0)), ARROW, LIMIT).columns == {"a": []}
    assert read_table(parquet(rows.slice(0, 0)), PARQUET, LIMIT).columns == {"a": []}


def views(count: int) -> pa.Table:
    """Texts of 1000 bytes that all show the same piece of a buffer."""
    view = struct.pack("<i4sii", 1000, b"xxxx", 0, 0)
    buffers = [None, pa.py_buffer(view * count), pa.py_buffer(b"x" * 1000)]
    return pa.table({"a": pa.Array.from_buffers(pa.string_view(), count, buffers)})


def shared_dictionary(batches: int) -> pa.Table:
    """A dictionary of 100 kB beside a single row, over and over."""
    values = pa.array([f"{i:0100d}" for i in range(1000)])
    batch = pa.record_batch({"a": pa.DictionaryArray.from_arrays(pa.array([0], pa.int16()), values)})
    return pa.Table.from_batches([batch] * batches)


BOMBS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "zstd in Arrow": (ARROW, lambda: stream(pa.table({"a": np.zeros(LIMIT)}), compression="zstd")),
    "lz4 in a dictionary": (
        ARROW,
        lambda: stream(pa.table({"a": pa.array(["x" * 2 * LIMIT]).dictionary_encode()}), compression="lz4"),
    ),
    "rows without buffers": (ARROW, lambda: stream(pa.table({"a": pa.nulls(10**8)}))),
    "rows without columns": (ARROW, lambda: stream(pa.table({"a": pa.nulls(2 * LIMIT)}).select([]))),
    "bits": (ARROW, lambda: stream(pa.table({str(i): np.zeros(LIMIT // 8, bool) for i in range(9)}))),
    "views of one text": (ARROW, lambda: stream(views(2000))),
    "a dictionary for each row": (ARROW, lambda: stream(shared_dictionary(50))),
    "zeros in Parquet": (PARQUET, lambda: parquet(pa.table({"a": np.zeros(2 * LIMIT)}))),
    "one plain page": (
        PARQUET,
        lambda: parquet(pa.table({"a": np.zeros(LIMIT // 2)}), use_dictionary=False, compression="zstd"),
    ),
    "nulls in Parquet": (PARQUET, lambda: parquet(pa.table({"a": pa.nulls(10 * LIMIT)}))),
    "a long text in Parquet": (PARQUET, lambda: parquet(pa.table({"a": ["x" * 2 * LIMIT]}), compression="gzip")),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_small_body_that_would_become_a_large_table_is_413(bomb):
    kind, make = BOMBS[bomb]
    body = make()
    before = pa.total_allocated_bytes()
    assert refused(body, kind) == (413, f"the body is longer than {LIMIT} bytes once it is decoded")
    assert pa.total_allocated_bytes() - before < LIMIT


def test_a_footer_that_lies_about_its_pages_does_not_help():
    body = parquet(pa.table({"a": ["x" * LIMIT] * 3}), use_dictionary=False, compression="zstd")
    footer = len(body) - 8 - int.from_bytes(body[-8:-4], "little")
    honest = varint(size_of(body))
    lying = body[:footer] + body[footer:].replace(honest, varint(100, len(honest)))
    assert (size_of(body) > LIMIT, size_of(lying)) == (True, 100)
    assert refused(lying, PARQUET)[0] == 413


def size_of(body: bytes) -> int:
    """What the footer says that the first column becomes."""
    return int(pq.read_metadata(io.BytesIO(body)).row_group(0).column(0).total_uncompressed_size)


def varint(number: int, length: int = 0) -> bytes:
    """A number as Thrift has it, in at least so many bytes."""
    out, number = bytearray(), number << 1
    while number > 127 or len(out) + 1 < length:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def test_a_long_text_that_comes_often_is_there_once():
    body = parquet(pa.table({"a": ["x" * 10_000] * 5000}))
    values = read_table(body, PARQUET, LIMIT).columns["a"]
    assert (len(values), len({id(value) for value in values})) == (5000, 1)


@pytest.mark.parametrize("encoding", ["DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"])
def test_texts_in_an_encoding_that_hides_their_length_are_refused(encoding):
    body = parquet(pa.table({"a": ["x" * 50 + "y"] * 9}), use_dictionary=False, column_encoding=encoding)
    assert refused(body, PARQUET) == (400, f"the Parquet file has texts as {encoding}; write them PLAIN")


@pytest.mark.parametrize("encoding", ["PLAIN", "DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT"])
def test_numbers_may_have_any_encoding(encoding):
    body = parquet(pa.table({"a": [1, 2, None]}), use_dictionary=False, column_encoding=encoding)
    assert read_table(body, PARQUET, LIMIT).columns == {"a": [1, 2, None]}


def test_pages_without_end_are_refused():
    body = parquet(pa.table({"a": np.arange(21_000)}), data_page_size=1, write_batch_size=1, use_dictionary=False)
    assert refused(body, PARQUET) == (400, "the Parquet file has more than 20000 pages")


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize(
    "body", [b"\x00", b"{}", b"PAR1", b"PAR1PAR1", b"ARROW1\x00\x00", b"\xff\xff\xff\xff" + b"\xff" * 40, b"\xff" * 500]
)
def test_what_is_none_is_400(kind, body):
    status, message = refused(body, kind)
    assert (status, message.split(",")[0]) == (400, f"not {'an Arrow stream' if kind == ARROW else 'a Parquet file'}")


@pytest.mark.parametrize("kind", TABLES)
def test_an_empty_body_is_400(kind):
    assert refused(b"", kind) == (400, "the body is empty")


@pytest.mark.parametrize("kind", TABLES)
def test_a_type_without_a_counterpart_is_refused_before_it_is_read(kind):
    table = pa.table({"a": [[1, 2]]})
    assert "Arrow's type list" in refused(stream(table) if kind == ARROW else parquet(table), kind)[1]


@pytest.mark.parametrize("kind", TABLES)
def test_damaged_bodies_are_tables_or_refused_and_never_the_end(kind, show):
    """Whoever changes bytes may change values; what may not come is another error, or the end of the process."""
    chance = random.Random(7)
    whole = stream(TABLE, compression="lz4") if kind == ARROW else parquet(TABLE)
    plain = stream(TABLE) if kind == ARROW else parquet(TABLE, compression="none", use_dictionary=False)
    seen = {"read": 0, "refused": 0}
    for _ in range(1500):
        body = bytearray(chance.choice([whole, plain]))
        for _ in range(chance.randrange(1, 4)):
            body[chance.randrange(len(body))] = chance.randrange(256)
        body = body[: chance.randrange(len(body))] if chance.random() < 0.1 else body
        seen["read" if reads(bytes(body) or b"?", kind) else "refused"] += 1
    show(f"{kind}: of 1500 damaged bodies {seen['refused']} refused, {seen['read']} read")
    assert seen["refused"] > 300


@pytest.mark.parametrize(("status", "kind"), [(415, ARROW), (406, PARQUET)])
def test_an_image_without_pyarrow_says_what_to_do(monkeypatch, status, kind):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(PayloadError, match=r"parquet = true in the \[image\] table of modelimg.toml") as error:
        check_tables(kind, status)
    assert error.value.status == status
    check_tables("application/json", status)
