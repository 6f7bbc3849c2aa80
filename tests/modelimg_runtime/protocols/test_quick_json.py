"""The quick reader of JSON: the same value as Python's own, or none."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelimg_runtime.errors import PayloadError
from modelimg_runtime.protocols import quick_json
from modelimg_runtime.protocols.bodies import columns_of_records, read_json
from modelimg_runtime.protocols.quick_json import UNSURE, loads


def same(one: Any, other: Any) -> bool:
    """Equal, types and signs of zeros included."""
    return type(one) is type(other) and repr(one) == repr(other)


@pytest.mark.parametrize(
    "text",
    [
        '{"rows": [{"a": 1, "b": "x"}, {"a": 2.5, "b": null}]}',
        '{"columns":{"a":[1,2,3],"b":[true,false,null]}}',
        '{"instances": [[1, 2], [3, 4]]}',
        '{"inputs": [{"name": "a", "data": [1e5, -0.0, -0, 5e-324]}], "parameters": {}}',
        "[]",
        "{}",
        "17",
        '"a string with a brace { and no colon"',
        '{"a": 18446744073, "b": 999999999999999999}',
        '{"rows" :\n[{"a" : 1}, {"a": 2}]}',
        '{"rows": [{"at": "2024-02-29T12:00:00"}, {"at": "a:b"}]}',
    ],
)
def test_what_requests_look_like_is_read_quickly(text: str) -> None:
    assert same(loads(text.encode()), json.loads(text))


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 2}',
        '{"rows": [{"a": 1}, {"b": 1, "b": 2}]}',
        '{"a": [[[{"b": {"c": 1, "c": 1}}]]]}',
        '{"a": 1, "a" : 2}',
        '{"a": 1, "a"\t: 2}',
        '{"a": 1, "a"\n: 2}',
        '{"a": 1, "a"\r: 2}',
        '{"a": 1, "\\u0061": 2}',
        '{"a": "\\":", "b": 1, "b": 2}',
        '{"a": "12:00", "b" : 1, "b": 2}',
        '{"a" : "12:00", "b": 1}',
        '{"a": 18446744073709551616}',
        '{"a": -9223372036854775809}',
        '{"a": [1, 100000000000000000000000000]}',
        '{"a": 1e999}',
        '{"a": NaN}',
        '{"a": "\\ud800"}',
        '{"a": 1,}',
        "{'a': 1}",
        '\ufeff{"a": 1}',
        '{"a": 1} 2',
        "",
        "[" * 100_000,
        "1" * 5000,
    ],
)
def test_what_it_might_read_otherwise_is_left_to_the_other(text: str) -> None:
    assert loads(text.encode("utf-8", "surrogatepass")) is UNSURE


def test_bytes_that_are_not_utf8_are_left_to_the_other() -> None:
    assert loads(b'{"a": "\xff"}') is UNSURE


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text()
    | st.sampled_from(['":', "{", '\\":{', "\ud800"])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3) | st.just('":'), inner, max_size=4),
    max_leaves=20,
)


@given(values, st.sampled_from([None, 1]), st.sampled_from([(",", ":"), (", ", ": "), (" ,", " :")]), st.booleans())
@example([2**64, -(2**63) - 1], None, (",", ":"), False)
@example({'":': {'":': 1}}, None, (",", ":"), False)
def test_a_value_that_it_reads_is_the_value_that_the_other_reads(
    value: Any, indent: int | None, separators: tuple[str, str], ascii_only: bool
) -> None:
    text = json.dumps(value, indent=indent, separators=separators, ensure_ascii=ascii_only)
    read = loads(text.encode("utf-8", "surrogatepass"))
    assert read is UNSURE or same(read, json.loads(text))


pairs = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), max_size=4)


@given(st.lists(pairs, max_size=4), st.sampled_from([":", ": ", " :", "\t:"]))
def test_no_key_comes_twice_in_what_it_reads(objects: list[list[tuple[str, int]]], colon: str) -> None:
    written = ["{" + ",".join(f'"{name}"{colon}{number}' for name, number in each) + "}" for each in objects]
    read = loads(f'{{"rows":[{",".join(written)}]}}'.encode())
    twice = any(len(dict(each)) != len(each) for each in objects)
    assert not twice or read is UNSURE


def test_both_ways_refuse_in_the_same_words(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ['{"a": 1, "a": 2}', '{"a": NaN}', '{"a": 1,}', "", "[" * 100_000, "\ufeff{}", '{"a": 1e9', '{"a" : 1']

    def refusals() -> list[str]:
        found = []
        for text in texts:
            with pytest.raises(PayloadError) as refused:
                read_json(text.encode())
            found.append(str(refused.value))
        return found

    with_both = refusals()
    monkeypatch.setattr(quick_json, "loads", lambda _body: UNSURE)
    assert refusals() == with_both


@pytest.mark.parametrize(
    ("records", "columns"),
    [
        ([{"a": 1, "b": 2}, {"a": 3, "b": 4}], {"a": [1, 3], "b": [2, 4]}),
        ([{"a": 1, "b": 2}, {"b": 4, "a": 3}], {"a": [1, 3], "b": [2, 4]}),
        ([{"a": 1}], {"a": [1]}),
        ([], {}),
        ([{}, {}], {}),
    ],
)
def test_records_become_columns_in_whatever_order_their_keys_are(records: list[Any], columns: dict[str, Any]) -> None:
    assert {name: list(found) for name, found in columns_of_records(records, "rows").columns.items()} == columns


def test_infinity_is_no_value_that_either_reads_quickly() -> None:
    assert math.isinf(json.loads("1e999"))
    assert loads(b"1e999") is UNSURE
