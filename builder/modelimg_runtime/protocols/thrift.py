"""Structs in Thrift's compact protocol, as far as Parquet's footers and the headers of its pages need it.

Strict where readers differ: a field that comes twice is refused, since another reader may take the other one.
Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md.
"""

from __future__ import annotations

from typing import Any

_STOP, _TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _STRUCT = *range(10), 12
_DEEPEST = 8
_LONGEST = 10
"""Bytes of a number."""


class NotThrift(Exception):  # noqa: N818 - it says what is the case
    """The bytes are no such struct."""


def read_struct(data: bytes, at: int, depth: int = 0) -> tuple[dict[int, Any], int]:
    """A struct, and where it ends.

    Args:
        data: holds it.
        at: where it begins.
        depth: of structs and lists around it.

    Returns:
        Field number → bool, int, the length of a binary, None for a double, a list, or a struct.

    Raises:
        NotThrift: there is none.
    """
    if depth > _DEEPEST:
        raise NotThrift
    fields: dict[int, Any] = {}
    number = 0
    while True:
        head, at = _byte(data, at)
        if head == _STOP:
            return fields, at
        if head >> 4:
            number += head >> 4
        else:
            number, at = _number(data, at)
        if number in fields:
            raise NotThrift
        kind = head & 15
        # In a struct, the type of a bool is its value.
        fields[number], at = (kind == _TRUE, at) if kind in (_TRUE, _FALSE) else _value(data, at, kind, depth)


def _value(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in (_TRUE, _FALSE, _BYTE):
        return _byte(data, at)
    if kind in (_I16, _I32, _I64):
        return _number(data, at)
    if kind == _DOUBLE:
        return None, at + 8
    if kind == _BINARY:
        length, at = _unsigned(data, at)
        return length, at + length
    if kind == _LIST:
        return _list(data, at, depth + 1)
    if kind == _STRUCT:
        return read_struct(data, at, depth + 1)
    raise NotThrift


def _list(data: bytes, at: int, depth: int) -> tuple[list[Any], int]:
    head, at = _byte(data, at)
    size = head >> 4
    if size == 15:
        size, at = _unsigned(data, at)
    if size > len(data) - at:  # each takes a byte at least
        raise NotThrift
    values = []
    for _ in range(size):
        value, at = _value(data, at, head & 15, depth)
        values.append(value)
    return values, at


def _byte(data: bytes, at: int) -> tuple[int, int]:
    if not 0 <= at < len(data):
        raise NotThrift
    return data[at], at + 1


def _number(data: bytes, at: int) -> tuple[int, int]:
    value, at = _unsigned(data, at)
    return (value >> 1) ^ -(value & 1), at


def _unsigned(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(_LONGEST):
        part, at = _byte(data, at)
        value |= (part & 127) << (7 * place)
        if part < 128:
            return value, at
    raise NotThrift
