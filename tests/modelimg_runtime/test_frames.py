from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelimg_runtime.errors import ContractUnusable, PayloadError, Violation
from modelimg_runtime.frames import ABSENT, FrameReader, frame_from_columns, json_values
from modelimg_runtime.validation import validate

EVERY_DTYPE = {
    "f64": "float64",
    "f32": "float32",
    "F64": "Float64",
    "i64": "int64",
    "u8": "uint8",
    "I64": "Int64",
    "bool": "bool",
    "B": "boolean",
    "str": "str",
    "obj": "object",
    "cat": pd.CategoricalDtype(["a", "b"]),
    "cat_n": pd.CategoricalDtype([1.5, 2.0]),
    "dt": "datetime64[ns]",
    "dtz": "datetime64[us, Europe/Berlin]",
    "td": "timedelta64[ns]",
    "any": None,
}
SCHEMA = pa.DataFrameSchema(
    {name: pa.Column(dtype, nullable=True) for name, dtype in EVERY_DTYPE.items()}, strict=True, ordered=True
)
GOOD = {
    "f64": [1, -2.5, None],
    "f32": [1, 0.5, None],
    "F64": [1, 0.5, None],
    "i64": [1, -(2**63), 30.0],
    "u8": [0, 255, 7.0],
    "I64": [1, 2**63 - 1, None],
    "bool": [True, False, True],
    "B": [True, False, None],
    "str": ["a", "", None],
    "obj": ["x", 5, None],
    "cat": ["a", "b", None],
    "cat_n": [1.5, 2, None],
    "dt": ["2020-02-29", "1999-12-31T23:59:59.123456789", None],
    "dtz": ["2020-02-29T12:00Z", "2020-07-01 12:00:00.5+02:00", None],
    "td": ["P1DT2H", "-PT0.5S", None],
    "any": [1, 2.5, None],
}
SCALARS = (
    (
        st.none()
        | st.booleans()
        | st.integers()
        | st.integers(-300, 300)
        | st.floats()
        | st.floats(-2, 2).map(lambda x: x)
    )
    | st.text(st.characters(), max_size=8)
    | st.sampled_from(["a", "b", "2020-01-01", "2020-01-01T00:00Z", "P1D", "1"])
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner))


def one_column(dtype, values, **column):
    schema = pa.DataFrameSchema({"x": pa.Column(dtype, **{"nullable": True} | column)}, strict=True)
    return frame_from_columns({"x": values}, schema)


def test_every_dtype_is_read_in_the_schemas_order_and_satisfies_the_schema():
    frame, violations = frame_from_columns(dict(reversed(GOOD.items())), SCHEMA)
    assert violations == []
    assert list(frame.columns) == list(SCHEMA.columns)
    assert validate(SCHEMA, frame) == []
    expected = {name: "str" if dtype == "str" else dtype for name, dtype in EVERY_DTYPE.items() if dtype is not None}
    assert {name: frame[name].dtype for name in expected} == expected


def test_a_missing_value_is_what_pandas_and_scikit_learn_take_for_one():
    frame, _ = frame_from_columns(GOOD, SCHEMA)
    assert all(
        isinstance(frame[name][2], float) and math.isnan(frame[name][2]) for name in ("f64", "str", "obj", "cat")
    )
    assert frame["I64"][2] is pd.NA
    assert frame["dt"][2] is pd.NaT


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        *[("float64", bad) for bad in ("1001", "", True, [], {}, [1.0], math.nan, math.inf, -math.inf, 10**400)],
        *[("float32", bad) for bad in (1e39, -1e39, 10**39)],
        ("float16", 70000),
        *[("int64", bad) for bad in (30.5, "30", True, 2**63, -(2**63) - 1, 1e300, math.nan, 2.0**60)],
        *[("uint8", bad) for bad in (-1, 256, 1.5)],
        *[("Int64", bad) for bad in (1.5, False, "1", 2**64)],
        *[("bool", bad) for bad in (0, 1, 1.0, "true", [])],
        *[("boolean", bad) for bad in (0, "false")],
        *[("str", bad) for bad in (1, True, 1.5, ["a"], {"a": 1})],
        *[("object", bad) for bad in ([1], {}, math.inf, math.nan)],
        *[("datetime64[ns]", bad) for bad in ("now", "today", "2020", "2020-1-1", "01/02/2020", "2021-02-29", 0, True)],
        *[("datetime64[ns]", bad) for bad in ("2020-01-01T25:00", "2020-01-01T00:00Z", "1600-01-01", "9999-12-31")],
        *[("datetime64[ns, UTC]", bad) for bad in ("2020-01-01", "2020-01-01T00:00", "2020-01-01T00:00+99:00")],
        ("datetime64[s, UTC]", "2020-01-01T00:00:00.5Z"),
        *[("timedelta64[ns]", bad) for bad in ("1 day", "P", "PT", "P1Y", 5, "P999999999D", "00:10")],
        ("datetime64[ns]", "2020-01-01\n"),
        ("datetime64[ns]", "٢٠٢٠-01-01"),
    ],
)
def test_what_is_not_of_the_dtype_is_refused_with_the_dtype_as_the_check(dtype, value):
    _, [violation] = one_column(dtype, [value])
    assert (violation.row, violation.column) == (0, "x")
    assert violation.check == f"dtype('{dtype}')"


@pytest.mark.parametrize("value", ["c", "A", 1, True, None, "a "])
def test_what_is_no_category_is_refused(value):
    frame, violations = one_column(pd.CategoricalDtype(["a", "b"]), [value])
    assert (violations != []) is (value is not None)
    assert len(frame) == (value is None)


@pytest.mark.parametrize("value", [True, "1", 3])
def test_numeric_categories_are_not_met_by_what_equals_them_only_in_python(value):
    _, violations = one_column(pd.CategoricalDtype([1, 2]), [value])
    assert [v.check for v in violations] == ["isin([1, 2])"]


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
def test_null_has_no_place_in_a_plain_integer_or_bool(dtype):
    assert one_column(dtype, [None])[1] == [Violation(0, "x", "not_nullable", None)]


@pytest.mark.parametrize("dtype", ["complex128", "period[D]", "date"])
def test_a_dtype_that_no_json_value_fills_is_refused_when_the_reader_is_made(dtype):
    with pytest.raises(ContractUnusable, match="column 'x'"):
        FrameReader(pa.DataFrameSchema({"x": pa.Column(dtype)}))


@pytest.mark.parametrize("columns", [{"a": [1], "b": [1, 2]}, {"a": 5}, {"a": "xy"}, {"a": None}, {"a": {"0": 1}}])
def test_columns_that_are_no_table_are_a_payload_error(columns):
    with pytest.raises(PayloadError):
        frame_from_columns(columns, pa.DataFrameSchema({"a": pa.Column(), "b": pa.Column()}))


def test_extra_columns_are_refused_unless_the_schema_filters_them():
    for strict, expected in ((True, ["b"]), (False, ["b"]), ("filter", [])):
        schema = pa.DataFrameSchema({"a": pa.Column("int64")}, strict=strict)
        frame, violations = frame_from_columns({"b": [1], "a": [1]}, schema)
        assert [v.column for v in violations if v.check == "column_in_schema"] == expected
        assert list(frame.columns) == ["a"]


def test_a_column_that_is_not_required_may_be_missing_whole_or_in_some_rows():
    schema = pa.DataFrameSchema(
        {"a": pa.Column("int64"), "b": pa.Column("float64", required=False, nullable=True)}, strict=True
    )
    assert frame_from_columns({"a": [1]}, schema)[1] == []
    frame, violations = frame_from_columns({"a": [1, 2], "b": [ABSENT, 2]}, schema)
    assert (violations, frame["b"].isna().tolist()) == ([], [True, False])
    assert frame_from_columns({"a": [ABSENT, 2]}, schema)[1] == [Violation(0, "a", "column_in_dataframe", None)]


def test_a_pattern_stands_for_every_column_that_it_matches():
    schema = pa.DataFrameSchema({"V[0-9]+": pa.Column("int64", pa.Check.ge(0), regex=True), "y": pa.Column("str")})
    frame, violations = frame_from_columns({"y": ["a"], "V2": [2], "V1": [1]}, schema)
    assert (violations, list(frame.columns)) == ([], ["V2", "V1", "y"])
    _, violations = frame_from_columns({"y": [5], "V2": [-2], "V1": ["1"]}, schema)
    assert {(v.column, v.check) for v in violations} == {
        ("V2", "greater_than_or_equal_to(0)"),
        ("V1", "dtype('int64')"),
        ("y", "dtype('str')"),
    }


def test_an_empty_batch_is_a_violation_beside_its_missing_columns():
    schema = pa.DataFrameSchema({"a": pa.Column("int64")})
    assert frame_from_columns({"a": []}, schema)[1] == [Violation(None, None, "not_empty", None)]
    assert {v.check for v in frame_from_columns({}, schema)[1]} == {"not_empty", "column_in_dataframe"}


def test_checks_over_whole_rows_and_duplicates_are_reported_beside_unreadable_cells():
    schema = pa.DataFrameSchema(
        {"a": pa.Column("int64", unique=True), "b": pa.Column("int64")},
        checks=pa.Check(lambda frame: frame["a"] < frame["b"], name="a_below_b"),
        strict=True,
    )
    _, violations = frame_from_columns({"a": [7, 7, 3, "x"], "b": [8, "y", 1, 2]}, schema)
    assert [(v.row, v.column, v.check) for v in violations] == [
        (0, "a", "field_uniqueness"),
        (1, "a", "field_uniqueness"),
        (1, "b", "dtype('int64')"),
        (2, None, "a_below_b"),
        (3, "a", "dtype('int64')"),
    ]


def test_a_check_grouped_by_another_column_does_not_crash_beside_unreadable_cells():
    check = pa.Check(lambda groups: groups["m"] > 0, groupby="g", name="by_group")
    schema = pa.DataFrameSchema({"a": pa.Column("int64", check), "g": pa.Column("str")})
    _, violations = frame_from_columns({"a": [1, "x"], "g": ["m", "m"]}, schema)
    assert [(v.row, v.check) for v in violations] == [(1, "dtype('int64')")]


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_exactly_the_bad_cells_are_reported_each_with_its_own_row(data):
    rows = data.draw(st.integers(1, 6))
    good = {"f": 1.5, "i": 3, "s": "a", "b": True}
    bad = {"f": ["x", -1, True], "i": [1.5, None, 99], "s": [1, "zz"], "b": [0, "true", None]}
    schema = pa.DataFrameSchema(
        {
            "f": pa.Column("float64", pa.Check.ge(0)),
            "i": pa.Column("int64", pa.Check.le(10)),
            "s": pa.Column("str", pa.Check.isin(["a"])),
            "b": pa.Column("bool"),
        },
        strict=True,
    )
    cells = st.tuples(st.integers(0, rows - 1), st.sampled_from(sorted(good)))
    planted = data.draw(st.sets(cells, max_size=5))
    columns = {name: [value] * rows for name, value in good.items()}
    for row, name in planted:
        columns[name][row] = data.draw(st.sampled_from(bad[name]))
    frame, violations = frame_from_columns(columns, schema)
    violations = violations or validate(schema, frame)
    assert {(v.row, v.column) for v in violations} == planted


@given(st.dictionaries(st.sampled_from(sorted(EVERY_DTYPE)), st.lists(VALUES, min_size=2, max_size=2)))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_json_value_raises(columns):
    frame, violations = frame_from_columns(columns, SCHEMA)
    assert violations or list(frame.columns) == list(SCHEMA.columns)


@given(st.sampled_from(sorted(EVERY_DTYPE)), SCALARS)
@settings(max_examples=300, deadline=None)
def test_an_accepted_cell_round_trips(name, value):
    schema = pa.DataFrameSchema({name: SCHEMA.columns[name]}, strict=True)
    frame, violations = frame_from_columns({name: [value]}, schema)
    if violations:
        assert all(v.row == 0 and v.column == name for v in violations)
        return
    [back] = json_values(frame[name])
    if name in ("dt", "dtz"):
        assert value is None or pd.Timestamp(back) == pd.Timestamp(value)
    elif name == "td":
        assert value is None or pd.Timedelta(back) == pd.Timedelta(value)
    elif name == "f32":
        assert value is None or back == float(np.float32(value))
    elif name in ("f64", "F64") and value is not None:
        assert back == float(value)
    else:
        assert back == value
        assert name not in ("bool", "B") or type(back) is type(value)


@given(st.lists(SCALARS | st.just("1e5"), min_size=1, max_size=4))
@settings(max_examples=100, deadline=None)
def test_csv_fields_written_from_values_read_back_as_them(values):
    values = [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
    values = [float(value) for value in values if abs(value) < 1e300]
    schema = pa.DataFrameSchema({"x": pa.Column("float64")})
    read = FrameReader(schema).from_text({"x": [repr(value) for value in values]})
    assert [float(value) for value in read["x"]] == values


@pytest.mark.parametrize(
    "text", ["nan", "inf", "-inf", "1,5", "0x1", "1_0", " 1", "1 ", "1.", ".5", "--1", "", "٣", "1e", "9" * 500]
)
def test_a_csv_field_that_is_no_number_does_not_become_one(text):
    schema = pa.DataFrameSchema({"x": pa.Column("int64")})
    reader = FrameReader(schema)
    _, violations = reader.read(reader.from_text({"x": [text]}))
    assert [v.row for v in violations] == [0]


def test_json_values_writes_every_kind_of_missing_as_null_and_times_as_iso():
    frame, _ = frame_from_columns(GOOD, SCHEMA)
    assert all(json_values(frame[name])[2] is None for name in GOOD if GOOD[name][2] is None)
    assert json_values(frame["dt"])[:2] == ["2020-02-29T00:00:00", "1999-12-31T23:59:59.123456789"]
    assert json_values(np.array([[1, 2], [3, 4]])) == [[1, 2], [3, 4]]
    assert json_values([np.bool_(True), np.float32(0.5), np.datetime64("2020-01-01")]) == [
        True,
        0.5,
        "2020-01-01T00:00:00",
    ]


@pytest.mark.parametrize("values", [[math.inf], np.array([1.0, -math.inf]), [[math.inf]]])
def test_json_values_refuses_infinities(values):
    with pytest.raises(ValueError, match="infinity"):
        json_values(values)


@pytest.mark.parametrize("values", [[object()], [b"x"], [1j], [{1: 2}]])
def test_json_values_refuses_what_json_does_not_know(values):
    with pytest.raises(TypeError):
        json_values(values)


def test_a_pattern_holds_after_a_request_that_it_refused():
    schema = pa.DataFrameSchema({"x_.": pa.Column("float64", pa.Check.ge(0), regex=True)}, strict=True)
    reader = FrameReader(schema)
    good = {"x_1": [1.0], "x_2": [2.0]}
    assert [str(each) for each in reader.read({"x_1": [-1.0], "x_2": ["2"]})[1]] != []
    frame, violations = reader.read(good)
    assert (list(violations), list(frame.columns)) == ([], ["x_1", "x_2"])
    assert list(schema.columns["x_."].get_regex_columns(frame)) == ["x_1", "x_2"]


@pytest.mark.parametrize(("required", "checks"), [(True, ["column_in_dataframe"]), (False, [])])
def test_a_pattern_that_no_column_is_of_is_a_missing_column(required, checks):
    schema = pa.DataFrameSchema(
        {"a": pa.Column("float64"), "x_.": pa.Column("float64", regex=True, required=required)}, strict=True
    )
    frame, violations = FrameReader(schema).read({"a": [1.0]})
    assert [(each.column, each.check) for each in violations] == [("x_.", check) for check in checks]
    assert list(frame.columns) == ["a"]


def test_a_name_that_begins_as_another_is_judged_once():
    schema = pa.DataFrameSchema({"x_.+": pa.Column("float64", pa.Check.ge(0), regex=True)}, strict=True)
    violations = FrameReader(schema).read({"x_1": ["no"], "x_10": [-1.0], "x_11": [-1.0]})[1]
    assert [each.column for each in violations] == ["x_1", "x_10", "x_11"]
