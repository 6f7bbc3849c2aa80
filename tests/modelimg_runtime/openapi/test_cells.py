"""A column's JSON Schema against the server's own reading of the same column: what one refuses, the other refuses."""

from __future__ import annotations

import json
import re
import warnings

import jsonschema
import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelimg_runtime import cells
from modelimg_runtime.accept.checks import Check
from modelimg_runtime.cells import CellRefused, cell_type
from modelimg_runtime.frames import FrameReader
from modelimg_runtime.openapi import loaded, serialised
from modelimg_runtime.openapi.cells import cell_schema, portable_pattern
from modelimg_runtime.openapi.table import Column
from modelimg_runtime.openapi.times import datetime_pattern, duration_pattern
from modelimg_runtime.validation import validated

C = pa.Check
COLUMNS = {
    "any float": pa.Column("float64"),
    "float32": pa.Column("float32", nullable=True),
    "positive": pa.Column("float64", C.gt(0)),
    "half open": pa.Column("float64", C.in_range(0, 1, include_max=False), nullable=True),
    "two bounds": pa.Column("float64", [C.ge(-1), C.ge(0), C.lt(5), C.le(9)]),
    "int8": pa.Column("int8"),
    "uint8 from -5": pa.Column("uint8", C.ge(-5)),
    "int64 above": pa.Column("int64", C.gt(2)),
    "few ints": pa.Column("int64", C.isin([1, 2, 3])),
    "not these": pa.Column("int64", C.notin([0, 7])),
    "Int64": pa.Column("Int64", C.le(5), nullable=True),
    "bool": pa.Column("bool"),
    "only true": pa.Column("bool", C.eq(True)),
    "boolean": pa.Column("boolean", nullable=True),
    "text": pa.Column("str"),
    "one of": pa.Column("str", C.isin(["a", "", "ü"]), nullable=True),
    "not a": pa.Column("str", C.ne("a")),
    "short": pa.Column("str", C.str_length(1, 3)),
    "three": pa.Column("str", C.str_length(exact_value=3)),
    "code": pa.Column("str", C.str_matches(r"[A-Z]{2}-\d+")),
    "either": pa.Column("str", C.str_matches("a|b")),
    "contains": pa.Column("str", C.str_contains("[0-9]")),
    "starts": pa.Column("str", C.str_startswith("a.")),
    "ends and starts": pa.Column("str", [C.str_startswith("a"), C.str_endswith("z$")]),
    "category": pa.Column("category", C.isin(["S", "M"]), nullable=True),
    "object": pa.Column(object, nullable=True),
    "no dtype": pa.Column(nullable=False),
    "date": pa.Column("datetime64[ns]", nullable=True),
    "date with zone": pa.Column("datetime64[ns, UTC]"),
    "duration": pa.Column("timedelta64[ns]"),
}
VALUES = [
    *(None, True, False, 0, 1, 2, 3, 5, 7, -1, -6, 127, 128, 256, 2**31, 2**63, 2**70, -(2**63)),
    *(0.0, -0.0, 0.5, 1.0, 5.0, 1.5, 1e-300, 3.5e38, -1e300, 30.0),
    *("", "a", "b", "ab", "abc", "abcd", "ü", "a.", "a.z$", "az$", "AB-1", "AB-12", "AB-", "xAB-1", "1", "S", "M", "L"),
    *("2024-02-29", "2023-02-29", "2024-02-29T12:00", "2024-02-29T12:00:00.5", "2024-02-29 23:59:59", "2024-13-01"),
    *("2024-02-29T12:00Z", "2024-02-29T12:00+01:00", "2024-02-29T24:00", "1600-01-01", "2300-01-01", "yesterday"),
    *("P1D", "PT1H", "P1DT2H3M4.5S", "P", "PT", "-P1D", "P1Y", "P999999999D"),
    *([], {}, [1], {"a": 1}),
]


def accepted(column, values):
    """Of each value, whether the path that decides accepts it."""
    schema = pa.DataFrameSchema({"x": column})
    frame, violations = FrameReader(schema).read({"x": values})
    rows = {each.row for each in violations or validated(schema, frame)[1]}
    assert None not in rows
    return [row not in rows for row in range(len(values))]


@pytest.mark.parametrize("name", COLUMNS)
def test_the_schema_and_the_server_agree_on_every_edge_value(name):
    column = COLUMNS[name]
    described = cell_schema(loaded.table_of(pa.DataFrameSchema({"x": column})).columns[0])
    jsonschema.Draft202012Validator.check_schema(described)
    validator = jsonschema.Draft202012Validator(described)
    pairs = zip(map(validator.is_valid, VALUES), accepted(column, VALUES), strict=True)
    said = {json.dumps(value): pair for value, pair in zip(VALUES, pairs, strict=True)}
    assert {value: pair for value, pair in said.items() if pair[0] != pair[1]} == {}
    assert {pair[0] for pair in said.values()} == {True, False}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_serialised_contract_is_described_as_the_loaded_one(name):
    schema = pa.DataFrameSchema({"x": COLUMNS[name]}, strict=True)
    back = json.loads(schema.to_json())
    one, other = serialised.table_of(back), loaded.table_of(schema)
    described = [cell_schema(table.columns[0]) for table in (one, other)]
    assert described[0] == described[1]


def test_what_a_schema_cannot_say_stands_in_its_description():
    schema = pa.DataFrameSchema(
        {
            "a": pa.Column(
                "float64", [C(lambda x: x > 0, name="my_own"), C.ge(0, ignore_na=False)], description="Age."
            ),
            "b": pa.Column("str", C.str_matches(r"(?=x)\w")),
            "c": pa.Column("datetime64[ns]", C.ge(pd.Timestamp("2020-01-01"))),
            "d": pa.Column("str", C.gt("m")),
        },
        checks=[C.rows_sum_to_one(tol=1e-3)],
        unique=["a", "b"],
    )
    table = loaded.table_of(schema)
    said = [cell_schema(column) for column in table.columns]
    assert said[0] == {
        "type": "number",
        "description": "Age. Also checked: my_own; greater_than_or_equal_to(0).",
        "x-dtype": "float64",
    }
    assert [each["description"] for each in said[1:]] == [
        r"Also checked: str_matches('(?=x)\\w').",
        "Also checked: greater_than_or_equal_to('2020-01-01T00:00:00').",
        "Also checked: greater_than('m').",
    ]
    assert table.checks == ("rows_sum_to_one(tol=0.001)", "unique(['a', 'b'])")


def test_a_check_that_no_version_knows_is_passed_on_as_text():
    document = {
        "columns": {
            "a": {"dtype": "float64", "from_the_future": {"x": 1}},
            "b": {"dtype": "int64", "checks": [{"x": 2, "options": {"check_name": "unheard_of"}}], "required": False},
        },
        "checks": [{"options": {"check_name": "mine", "error": "mine, too"}}],
    }
    table = serialised.table_of(document)
    assert [column.others for column in table.columns] == [("from_the_future(x=1)",), ("unheard_of(x=2)",)]
    assert [column.required for column in table.columns] == [True, False]
    assert table.checks == ("mine, too",)


@pytest.mark.parametrize(
    ("check", "kind"),
    [
        (Check("in_range", {"min_value": float("-inf"), "max_value": 1}), "float"),
        (Check("greater_than", {"min_value": True}), "int"),
        (Check("greater_than", {}), "int"),
        (Check("isin", {"allowed_values": ["a"]}), "float"),
        (Check("isin", {"allowed_values": []}), "str"),
        (Check("isin", {"allowed_values": [1]}), "bool"),
        (Check("isin", {"allowed_values": [float("inf")]}), "float"),
        (Check("str_length", {"min_value": 1.5}), "str"),
        (Check("str_length", {}), "str"),
        (Check("str_matches", {"pattern": "a"}), "float"),
        (Check("str_matches", {"pattern": r"\bx"}), "str"),
        (Check("rows_sum_to_one", {"tol": 0.1}), "float"),
    ],
)
def test_an_argument_that_json_schema_may_read_otherwise_is_left_out(check, kind):
    dtype = {"float": "float64", "int": "int64"}.get(kind, kind)
    bare = cell_schema(Column("x", kind, dtype))
    found = cell_schema(Column("x", kind, dtype, checks=(check,)))
    assert found.pop("description").startswith(f"Also checked: {check.name}(")
    assert found == bare


@pytest.mark.parametrize(
    ("pattern", "portable"),
    [
        (r"^\d+$", "^[0-9]+$"),
        (r"[\d_]\w", "[0-9_][A-Za-z0-9_]"),
        (r"[^\w]x", "[^A-Za-z0-9_]x"),
        (r"a\-b\ c", "a-b c"),
        (r"[a\-z]", r"[a\-z]"),
        (r"\[\d", r"\[[0-9]"),
        (r"\\d", r"\\d"),
        (r"\D", None),
        (r"\s", None),
        (r"(?P<x>a)", None),
        ("(?i)a", None),
    ],
)
def test_a_pattern_is_written_for_ecmascript_or_left_out(pattern, portable):
    assert portable_pattern(pattern) == portable


@settings(max_examples=400, deadline=None)
@given(data=st.data(), unit=st.sampled_from(["s", "ms", "us", "ns"]), zone=st.booleans())
def test_every_date_that_matches_is_one_that_the_server_takes(data, unit, zone):
    text = data.draw(st.from_regex(datetime_pattern(unit, zone=zone), fullmatch=True)).rstrip("\n")
    assert cells._datetime(unit, "UTC" if zone else None)(text) is not None


@settings(max_examples=600, deadline=None)
@given(day=st.dates(), clock=st.times())
def test_every_date_within_the_years_of_nanoseconds_matches(day, clock):
    text = f"{day.isoformat()}T{clock.isoformat()}"
    matches = re.search(datetime_pattern("ns", zone=False), text) is not None
    assert matches is (1678 <= day.year <= 2261)


@settings(max_examples=300, deadline=None)
@given(data=st.data(), unit=st.sampled_from(["s", "ms", "us", "ns"]))
def test_every_duration_that_matches_is_one_that_the_server_takes(data, unit):
    text = data.draw(st.from_regex(duration_pattern(unit), fullmatch=True)).rstrip("\n")
    assert cells._duration(unit)(text) is not None


def test_dates_that_do_not_match_are_refused_by_the_server_too(show):
    kind, refused = cell_type(pa.Column("datetime64[ns]")), 0
    pattern = jsonschema.Draft202012Validator({"pattern": datetime_pattern("ns", zone=False)})
    rng = np.random.default_rng(1)
    for _ in range(4000):
        y, m, d, h = rng.integers([1500, 0, 0, 0], [2400, 14, 33, 26])
        text = f"{y}-{m:02}-{d:02}" + (f"T{h:02}:00" if h % 2 else "")
        if not pattern.is_valid(text) and y not in (1677, 2262):
            with pytest.raises(CellRefused), warnings.catch_warnings():
                warnings.simplefilter("error")
                kind.convert(text)
            refused += 1
    assert refused > 500
    show(f"dates: {refused} of 4000 do not match, and the server takes none of them")
