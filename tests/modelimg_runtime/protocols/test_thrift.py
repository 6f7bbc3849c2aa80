"""Thrift's compact structs."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelimg_runtime.protocols.thrift import NotThrift, read_struct


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        (b"\x00", {}),
        (b"\x15\x06\x00", {1: 3}),
        (b"\x15\x05\x15\x80\x01\x00", {1: -3, 2: 64}),
        (b"\x11\x12\x00", {1: True, 2: False}),
        (b"\x05\x64\x02\x00", {50: 1}),
        (b"\x18\x03abc\x16\x02\x00", {1: 3, 2: 1}),
        (b"\x13\x09\x17" + bytes(8) + b"\x00", {1: 9, 2: None}),
        (b"\x19\x25\x02\x04\x00", {1: [1, 2]}),
        (b"\x19\x00\x00", {1: []}),
        (b"\x19\x1c\x15\x02\x00\x00", {1: [{1: 1}]}),
        (b"\x5c\x15\x02\x15\x10\x00\x00", {5: {1: 1, 2: 8}}),
    ],
)
def test_fields_are_read_by_number(data, fields):
    assert read_struct(b"?" + data + b"?", 1) == (fields, 1 + len(data))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x15",
        b"\x15\x80",
        b"\x15" + b"\xff" * 11,
        b"\x18\x7fabc",
        b"\x18" + b"\xff" * 9 + b"\x01",
        b"\x19\xff\x0f\x00",
        b"\x19\x2d\x00\x00",
        b"\x15\x02\x05\x02\x02\x00",
        b"\x1a\x00\x00",
        b"\x1b\x00\x00",
        b"\x1f\x00",
        b"\x1c" * 10,
    ],
)
def test_what_is_no_struct_is_refused(data):
    with pytest.raises(NotThrift):
        read_struct(data, 0)


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_else_and_none_are_read_behind_the_end(data):
    with suppress(NotThrift):
        assert 0 < read_struct(data, 0)[1] <= len(data)
