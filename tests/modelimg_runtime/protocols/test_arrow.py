"""Arrow's columns as JSON-like values, and what is refused."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import math

import numpy as np
import pandas as pd
import pandera.pandas as pa_schema
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelimg_runtime.errors import PayloadError
from modelimg_runtime.frames import frame_from_columns
from modelimg_runtime.protocols.arrow import columns_of_table

NAN = math.nan


@pytest.mark.parametrize(
    ("array", "values"),
    [
        (pa.array([1, None, -3], pa.int8()), [1, None, -3]),
        (pa.array([2**64 - 1, None], pa.uint64()), [2**64 - 1, None]),
        (pa.array([-(2**63), 2**63 - 1]), [-(2**63), 2**63 - 1]),
        (pa.array([1.5, None, NAN, math.inf]), [1.5, None, None, math.inf]),
        (pa.array([0.1, None], pa.float32()), [0.10000000149011612, None]),
        (pa.array(np.array([0.5, 2], "f2")), [0.5, 2.0]),
        (pa.array([True, None, False]), [True, None, False]),
        (pa.array(["a", None, "", "é"]), ["a", None, "", "é"]),
        (pa.array(["a", None], pa.large_string()), ["a", None]),
        (pa.array(["a", None, "b" * 40], pa.string_view()), ["a", None, "b" * 40]),
        (pa.array(["x", None, "x", "y"]).dictionary_encode(), ["x", None, "x", "y"]),
        (pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.uint64()), pa.array(["x", None])), ["x", None]),
        (pa.DictionaryArray.from_arrays(pa.array([None, None], pa.int8()), pa.array([], pa.string())), [None, None]),
        (pa.array([7, None, 7]).dictionary_encode(), [7, None, 7]),
        (pa.nulls(2), [None, None]),
        (pa.array([dt.date(2024, 2, 29), None]), ["2024-02-29", None]),
        (pa.array([dt.date(2024, 2, 29), None], pa.date64()), ["2024-02-29T00:00:00.000", None]),
        (
            pa.array([0, None, -1], pa.timestamp("ns")),
            ["1970-01-01T00:00:00.000000000", None, "1969-12-31T23:59:59.999999999"],
        ),
        (pa.array([0, None], pa.timestamp("s", "Europe/Berlin")), ["1970-01-01T00:00:00Z", None]),
        (pa.array([dt.timedelta(2, 5), None], pa.duration("s")), ["P2DT5S", None]),
        (pa.array([-1], pa.duration("ns")), ["-P0DT0.000000001S"]),
    ],
    ids=lambda each: str(each.type) if isinstance(each, pa.Array) else "",
)
def test_each_type_becomes_its_json_value(array, values):
    batch = pa.record_batch({"a": array})
    whole, part = columns_of_table(batch)["a"], columns_of_table(batch.slice(1))["a"]
    assert (whole, part) == (values, values[1:])
    assert list(map(type, whole)) == list(map(type, values))
    chunks = pa.chunked_array([array, array.slice(0, 0), array.slice(1)])
    assert columns_of_table(pa.table({"a": chunks}))["a"] == values + values[1:]


@pytest.mark.parametrize(
    "array",
    [
        pa.array([decimal.Decimal("1.0")]),
        pa.array([dt.time(1)]),
        pa.array([b"x"]),
        pa.array([b"x"], pa.binary(1)),
        pa.array([[1]]),
        pa.array([{"a": 1}]),
        pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
        pa.array([b"x"]).dictionary_encode(),
        pa.RunEndEncodedArray.from_arrays([2], ["a"]),
        pa.ExtensionArray.from_storage(pa.json_(), pa.array(["{}"])),
    ],
    ids=lambda array: str(array.type),
)
def test_a_type_without_a_counterpart_is_refused_by_name(array):
    with pytest.raises(PayloadError, match="column 'a' is of Arrow's type"):
        columns_of_table(pa.table({"a": array}))


def test_names_that_are_not_utf8_are_refused():
    for text in ("a", "Europe/Berlin"):
        whole = pa.schema({"a": pa.timestamp("s", "Europe/Berlin")}).serialize().to_pybytes()
        schema = pa.ipc.read_schema(pa.py_buffer(whole.replace(text.encode(), b"\xff" * len(text), -1)))
        with pytest.raises(PayloadError, match="not UTF-8"):
            columns_of_table(schema.empty_table())


def test_a_name_that_comes_twice_is_refused():
    with pytest.raises(PayloadError, match="two columns of one name"):
        columns_of_table(pa.table([[1], [2]], names=["a", "a"]))


def test_the_columns_in_which_pandas_keeps_an_index_are_no_columns():
    frame = pd.DataFrame({"a": [1, 2]}, index=[7, 5])
    assert "__index_level_0__" in pa.Table.from_pandas(frame).schema.names
    assert columns_of_table(pa.Table.from_pandas(frame)) == {"a": [1, 2]}
    assert columns_of_table(pa.Table.from_pandas(frame.rename_axis("id"))) == {"a": [1, 2]}
    assert columns_of_table(pa.Table.from_pandas(frame.reset_index(drop=True))) == {"a": [1, 2]}


@pytest.mark.parametrize(
    "said",
    [b"", b"{", b"\xff", b"[]", b"[" * 10**6, b'{"index_columns": 5}', b'{"index_columns": [{"kind": "range"}, 3]}'],
)
def test_metadata_of_pandas_that_say_nothing_change_nothing(said):
    assert columns_of_table(pa.table({"a": [1]}).replace_schema_metadata({"pandas": said})) == {"a": [1]}


@pytest.mark.parametrize(
    "array",
    [
        pa.Array.from_buffers(pa.string(), 2, [None, pa.py_buffer(np.array([0, 9**9, 3], "i4")), pa.py_buffer(b"abc")]),
        pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(np.array([0, 2], "i4")), pa.py_buffer(b"\xff\xfe")]),
        pa.DictionaryArray.from_arrays(pa.array([0, 99], pa.int8()), pa.array(["x"]), safe=False),
    ],
    ids=["offsets", "UTF-8", "indices"],
)
def test_damaged_buffers_are_refused_before_they_are_read(array):
    with pytest.raises(PayloadError, match="damaged"):
        columns_of_table(pa.table({"a": array}))


SCHEMA = pa_schema.DataFrameSchema(
    {
        "f": pa_schema.Column("float64", nullable=True),
        "i": pa_schema.Column("int64"),
        "s": pa_schema.Column("str", nullable=True),
        "b": pa_schema.Column("bool"),
        "t": pa_schema.Column("datetime64[ns]", nullable=True),
        "z": pa_schema.Column("datetime64[us, Europe/Berlin]", nullable=True),
        "d": pa_schema.Column("timedelta64[ns]", nullable=True),
        "n": pa_schema.Column("Int64", nullable=True),
    },
    strict=True,
)
MOMENTS = st.datetimes(dt.datetime.fromisoformat("1700-01-01"), dt.datetime.fromisoformat("2200-01-01"))
IN_UTC = st.integers(0, 2**31).map(lambda seconds: dt.datetime.fromtimestamp(seconds, dt.timezone.utc))


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "f": st.none() | st.floats(allow_nan=False, allow_infinity=False),
                "i": st.integers(-(2**63), 2**63 - 1),
                "s": st.none() | st.text(max_size=5),
                "b": st.booleans(),
                "t": st.none() | MOMENTS,
                "z": st.none() | IN_UTC,
                "d": st.none() | st.timedeltas(dt.timedelta(-(10**4)), dt.timedelta(10**4)),
                "n": st.none() | st.integers(-(2**53), 2**53),
            }
        ),
        min_size=1,
        max_size=5,
    )
)
def test_a_frame_that_went_through_arrow_is_read_as_itself(rows):
    frame = pd.DataFrame({name: [row[name] for row in rows] for name in SCHEMA.columns}, dtype=object)
    frame = frame.astype({name: str(column.dtype) for name, column in SCHEMA.columns.items() if name != "s"})
    back, violations = frame_from_columns(columns_of_table(pa.Table.from_pandas(frame)), SCHEMA)
    assert not violations
    pd.testing.assert_frame_equal(back.drop(columns="s"), frame.drop(columns="s"))
    assert [None if text != text else text for text in back["s"]] == [row["s"] for row in rows]


def test_values_are_those_that_json_gives():
    table = pa.table({"i": [1, 2], "f": [1.5, None], "s": ["x", None], "b": [True, False]})
    assert columns_of_table(table) == json.loads(
        json.dumps({name: table[name].to_pylist() for name in table.column_names})
    )
