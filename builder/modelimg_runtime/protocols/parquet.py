"""A body that is a Parquet file → a table.

What a file may become is known before pyarrow sees it, from its footer and from the headers of its pages; both are read
here, because pyarrow's own way to them ends the process where a footer is damaged. Texts stay dictionaries, so that a
long one that comes a million times is there once.
Source: https://github.com/apache/parquet-format (``parquet.thrift``, ``Encodings.md``) and, for where a column's pages
begin, ``parquet/file_reader.cc`` of Arrow.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from modelimg_runtime.errors import PayloadError
from modelimg_runtime.protocols.arrow import is_text, names_of, refuse_unreadable
from modelimg_runtime.protocols.bodies import CELL_BYTES
from modelimg_runtime.protocols.encoding import too_long
from modelimg_runtime.protocols.thrift import NotThrift, read_struct

if TYPE_CHECKING:
    import pyarrow as pa

_MOST_PAGES = 20_000
_LONGEST_FOOTER = 1_000_000
_MAGIC = b"PAR1"

# Fields of the footer, of its row groups, and of their columns.
_ROWS, _GROUPS = 3, 4
_COLUMNS, _METADATA = 1, 3
_COLUMN_VALUES = 5
_SIZE, _DATA_PAGE, _DICTIONARY_PAGE = 7, 9, 11

# Fields of a page's header, and those that describe the page (data, dictionary, data of version 2) with the place in
# which they name its encoding.
_UNCOMPRESSED, _COMPRESSED = 2, 3
_DETAILS = {5: 2, 7: 2, 8: 4}
_VALUES = 1
_DELTAS = {6: "DELTA_LENGTH_BYTE_ARRAY", 7: "DELTA_BYTE_ARRAY"}
"""Encodings of texts that cannot be read into a dictionary; the second hides how long they become."""


def read_parquet(body: bytes, limit: int) -> pa.Table:
    """The table of a file.

    Args:
        body: the file, which is not empty.
        limit: bytes of values that it may hold when decoded, each of ``CELL_BYTES`` at least.

    Raises:
        PayloadError: it is no such file, damaged, of unreadable types, or holds more than the limit.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        _check_size(body, limit)
        source = pa.py_buffer(body)
        schema = parquet.ParquetFile(pa.BufferReader(source)).schema_arrow
        names_of(schema)
        refuse_unreadable(schema)
        texts = [field.name for field in schema if is_text(field.type)]
        return parquet.ParquetFile(pa.BufferReader(source), read_dictionary=texts).read(use_threads=False)
    except (pa.ArrowException, NotThrift, OSError, ValueError) as error:
        raise PayloadError("not a Parquet file, or a damaged one") from error


def _check_size(body: bytes, limit: int) -> None:
    """Refuse what would become more than the limit, or take too long to find out.

    Raises:
        PayloadError: it does.
        NotThrift: the footer or a page's header is none.
    """
    footer = _footer(body)
    columns = [column for group in _structs(footer, _GROUPS) for column in _structs(group, _COLUMNS)]
    groups = [_size(group, _ROWS) * max(1, len(_structs(group, _COLUMNS))) for group in _structs(footer, _GROUPS)]
    most, size = max(sum(groups), _size(footer, _ROWS)), 0
    for pages, header in enumerate(_pages(body, columns)):
        size += _size(header, _UNCOMPRESSED)
        for field, encoding in _DETAILS.items():
            details = _struct(header, field) if field in header else {_VALUES: 0}
            most = max(most, _size(details, _VALUES))
            for delta in [name for number, name in _DELTAS.items() if details.get(encoding) == number]:
                raise PayloadError(f"the Parquet file has texts as {delta}; write them PLAIN")
        if max(CELL_BYTES * most, size) > limit:
            raise too_long(limit)
        if pages >= _MOST_PAGES:
            raise PayloadError(f"the Parquet file has more than {_MOST_PAGES} pages")
    if CELL_BYTES * most > limit:
        raise too_long(limit)


def _footer(body: bytes) -> dict[int, Any]:
    length = int.from_bytes(body[-8:-4], "little")
    if not (body.startswith(_MAGIC) and body.endswith(_MAGIC) and len(body) >= length + 12):
        raise NotThrift
    if length > _LONGEST_FOOTER:
        raise PayloadError(f"the Parquet file has a footer of more than {_LONGEST_FOOTER} bytes")
    return read_struct(body[-8 - length : -8], 0)[0]


def _pages(body: bytes, columns: list[dict[int, Any]]) -> Iterator[dict[int, Any]]:
    """The header of each page of each column."""
    for column in columns:
        metadata = _struct(column, _METADATA)
        if not _size(metadata, _COLUMN_VALUES):  # no page is read then, and none may be there
            continue
        at = _size(metadata, _DATA_PAGE)
        # 0 stands for none, too.
        at = min(at, _size(metadata, _DICTIONARY_PAGE) or at) if _DICTIONARY_PAGE in metadata else at
        end = at + _size(metadata, _SIZE)
        while at < end:
            header, at = read_struct(body, at)
            yield header
            at += _size(header, _COMPRESSED)
        if at > end:
            raise NotThrift


def _size(fields: dict[int, Any], number: int) -> int:
    value = fields.get(number)
    if type(value) is not int or value < 0:
        raise NotThrift
    return value


def _struct(fields: dict[int, Any], number: int) -> dict[int, Any]:
    value = fields.get(number)
    if not isinstance(value, dict):
        raise NotThrift
    return value


def _structs(fields: dict[int, Any], number: int) -> list[dict[int, Any]]:
    values = fields.get(number)
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise NotThrift
    return values
