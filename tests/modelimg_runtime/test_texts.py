"""CSV fields as JSON values: a whole column gives what its fields would give one by one."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from modelimg_runtime.texts import value_of, values_of

PLAIN = st.one_of(st.floats(allow_nan=False).map(repr), st.integers(-(10**20), 10**20).map(str), st.just(""))
ODD = st.text(alphabet="0123456789.eE+-,_ \n\tnaift", max_size=8)


def same(kind, mine, other):
    if kind == "float" and type(other) is int and type(mine) is float:
        return mine == float(other)
    return type(mine) is type(other) and (mine == other or (mine != mine and other != other))


@settings(max_examples=1500, deadline=None)
@given(st.sampled_from(["float", "int", "bool", "str"]), st.lists(st.one_of(PLAIN, ODD), max_size=6))
@example("float", ["1", "", "-0.0", "1e5", "+2.50"])
@example("int", ["1", "", "-0", "+7"])
def test_a_column_gives_what_its_fields_give(kind, texts):
    mine, others = values_of(kind, texts), [value_of(kind, text) for text in texts]
    assert len(mine) == len(others)
    assert all(map(same, [kind] * len(mine), mine, others)), (mine, others)


@pytest.mark.parametrize(
    "text",
    [
        "1.",
        ".5",
        "1.e5",
        "-.5",
        "+.5",
        "nan",
        "inf",
        "Infinity",
        "1_000",
        " 1",
        "1 ",
        "1,5",
        "1e",
        "--1",
        "1e00005",
        "१",
    ],
)
@pytest.mark.parametrize("kind", ["float", "int"])
def test_what_float_takes_and_json_does_not_stays_text(kind, text):
    assert values_of(kind, ["1", text, "2"])[1] == text


@pytest.mark.parametrize("text", ["1e999", "-1e999", "9" * 310])
def test_numbers_out_of_range_are_left_to_the_contract(text):
    assert repr(values_of("float", ["1", text])) == repr([value_of("float", "1"), value_of("float", text)])


def test_a_tiny_exponent_of_too_many_digits_is_no_zero():
    assert values_of("float", ["1e-99999"]) == ["1e-99999"]


def test_missing_fields_are_missing_and_the_sign_of_zero_stays():
    assert values_of("float", ["", "-0.0"])[0] is None
    assert math.copysign(1, values_of("float", ["", "-0.0"])[1]) == -1
