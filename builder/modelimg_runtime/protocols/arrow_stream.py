"""A body in Arrow's IPC streaming format → a table.

Nothing of a stream is trusted: record batches are validated before anything is read from them, and what compressed
buffers claim to become is added up before any of them is.
Source: https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format, ``Message.fbs``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from modelimg_runtime.errors import PayloadError
from modelimg_runtime.protocols.arrow import names_of, refuse_unreadable
from modelimg_runtime.protocols.bodies import CELL_BYTES
from modelimg_runtime.protocols.encoding import too_long

if TYPE_CHECKING:
    import pyarrow as pa

_DICTIONARY, _RECORDS = 2, 3
"""Kinds of messages that have buffers."""
_HEADER_TYPE, _HEADER = 1, 2
_DATA = 1
_BUFFERS, _COMPRESSION = 2, 3
"""Places of fields in the flatbuffers' tables."""


class _NotFlat(Exception):  # noqa: N818 - never leaves this module
    """No flatbuffer of the form that the format has."""


def read_stream(body: bytes, limit: int) -> pa.Table:
    """The table of a stream.

    Args:
        body: the stream, which is not empty.
        limit: bytes of values that it may hold when decoded, each of ``CELL_BYTES`` at least.

    Raises:
        PayloadError: it is no such stream, damaged, of unreadable types, or holds more than the limit.
    """
    import pyarrow as pa
    from pyarrow import ipc

    try:
        _refuse_bombs(body, limit)
        with ipc.open_stream(pa.py_buffer(body)) as reader:
            schema = reader.schema
            names_of(schema)
            refuse_unreadable(schema)
            return pa.Table.from_batches(list(_batches(reader, limit)), schema).combine_chunks()
    except (pa.ArrowException, _NotFlat, OSError, ValueError) as error:
        raise PayloadError("not an Arrow stream, or a damaged one") from error


def _batches(reader: Any, limit: int) -> Iterator[pa.RecordBatch]:
    room = limit
    for batch in reader:
        batch.validate()  # the sizes of buffers, without which they cannot even be counted
        room -= max(batch.nbytes, CELL_BYTES * batch.num_rows * max(1, batch.num_columns), 1)
        if room < 0:
            raise too_long(limit)
        batch.validate(full=True)
        room -= sum(_viewed(column) for column in batch.columns)
        if room < 0:
            raise too_long(limit)
        yield batch


def _viewed(column: pa.Array) -> int:
    """Bytes of texts that are views, of which many may show the same piece of a buffer."""
    from pyarrow import types

    if types.is_dictionary(column.type):
        return _viewed(column.dictionary)
    if not types.is_string_view(column.type) or not len(column):
        return 0
    views = np.frombuffer(column.buffers()[1], dtype="<i4")[::4][column.offset : column.offset + len(column)]
    return int(views.sum(dtype=np.int64))


def _refuse_bombs(body: bytes, limit: int) -> None:
    """Add up what the compressed buffers of all messages say that they become.

    Raises:
        PayloadError: more than the limit.
        _NotFlat: a message is none.
    """
    import pyarrow as pa
    from pyarrow import ipc

    room = limit
    for message in ipc.MessageReader.open_stream(pa.BufferReader(pa.py_buffer(body))):
        for size in _claimed(message.metadata.to_pybytes(), memoryview(message.body or b"")):
            room -= size
            if room < 0:
                raise too_long(limit)


def _claimed(head: bytes, data: memoryview) -> Iterator[int]:
    """Bytes that each compressed buffer of a message becomes, which stand before its own bytes; -1 is as it is."""
    message = _at(head, 0, "<I")
    kind = _field(head, message, _HEADER_TYPE)
    records = _table(head, message, _HEADER)
    kind = None if kind is None else _at(head, kind, "<B")
    if kind == _DICTIONARY and records is not None:
        records = _table(head, records, _DATA)
    if kind not in (_DICTIONARY, _RECORDS) or records is None or _field(head, records, _COMPRESSION) is None:
        return
    buffers = _table(head, records, _BUFFERS)
    for number in range(0 if buffers is None else _at(head, buffers, "<I")):
        at, size = (_at(head, (buffers or 0) + 4 + 16 * number + part, "<q") for part in (0, 8))
        if size:
            yield max(0, _at(data, at, "<q"))


def _table(head: bytes, table: int, place: int) -> int | None:
    """Where the table or vector is that a field points to."""
    field = _field(head, table, place)
    return None if field is None else field + _at(head, field, "<I")


def _field(head: bytes, table: int, place: int) -> int | None:
    """Where a field of a table is; None where the table has none."""
    directory = table - _at(head, table, "<i")
    entry = 4 + 2 * place
    offset = _at(head, directory + entry, "<H") if entry < _at(head, directory, "<H") else 0
    return table + offset if offset else None


def _at(data: bytes | memoryview, at: int, form: str) -> int:
    if at < 0:
        raise _NotFlat
    try:
        return int(struct.unpack_from(form, data, at)[0])
    except struct.error as error:
        raise _NotFlat from error
