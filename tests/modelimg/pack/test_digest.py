"""frame-v1: the same table gives the same digest however it is stored, and no change goes unseen."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelimg.errors import DataError
from modelimg.pack.digest import frame_digest


def digest(frame, target=None):
    return frame_digest({"feature": frame} | ({} if target is None else {"target": target}))


def test_the_digest_is_the_documented_one():
    """docs/reference/frame-digest.md works this example."""
    column = hashlib.sha256(b"\x02" + np.array([1.5, 2.0]).astype("<f8").tobytes()).hexdigest()
    header = {"columns": [["feature", "a", "float", column]], "format": "frame-v1", "rows": 3}
    text = json.dumps(header, sort_keys=True, separators=(",", ":"))
    assert digest(pd.DataFrame({"a": [1.5, None, 2.0]})) == hashlib.sha256(text.encode()).hexdigest()


CELLS = {
    "float": st.floats(allow_nan=False, width=32),
    "int": st.integers(-100, 100),
    "bool": st.booleans(),
    "text": st.text(max_size=4),
}


@st.composite
def frames(draw):
    rows = draw(st.integers(1, 6))
    kinds = draw(st.lists(st.sampled_from(sorted(CELLS)), min_size=1, max_size=4))
    columns = {f"c{i}": draw(st.lists(CELLS[kind], min_size=rows, max_size=rows)) for i, kind in enumerate(kinds)}
    return pd.DataFrame(columns)


@settings(max_examples=60, deadline=None)
@given(frame=frames(), data=st.data())
def test_index_and_order_of_the_columns_do_not_matter(frame, data):
    columns = data.draw(st.permutations(list(frame.columns)))
    labels = data.draw(st.permutations(range(len(frame))))
    assert digest(frame[columns].set_axis(labels)) == digest(frame)


@settings(max_examples=60, deadline=None)
@given(frame=frames())
def test_width_and_storage_of_the_dtypes_do_not_matter(frame):
    other = {}
    for name in frame:
        kind = frame[name].dtype.kind if hasattr(frame[name].dtype, "kind") else "O"
        narrow = {"f": "float32", "i": "int8", "b": "boolean"}.get(kind, object)
        other[name] = frame[name].astype(narrow)
    assert digest(pd.DataFrame(other)) == digest(frame)


@settings(max_examples=120, deadline=None)
@given(frame=frames(), data=st.data())
def test_any_changed_cell_changes_the_digest(frame, data):
    name = data.draw(st.sampled_from(list(frame.columns)))
    row = data.draw(st.integers(0, len(frame) - 1))
    values = frame[name].tolist()
    kind = {bool: "bool", int: "int", float: "float"}.get(type(values[0]), "text")
    values[row] = data.draw(CELLS[kind].filter(lambda value: value != values[row]))
    assert digest(frame.assign(**{name: values})) != digest(frame)


@settings(max_examples=60, deadline=None)
@given(frame=frames(), data=st.data())
def test_a_cell_that_goes_missing_changes_the_digest(frame, data):
    name = data.draw(st.sampled_from(list(frame.columns)))
    row = data.draw(st.integers(0, len(frame) - 1))
    values = frame[name].astype(object).tolist()
    values[row] = None
    assert digest(frame.assign(**{name: pd.Series(values, dtype=object)})) != digest(frame)


def test_every_row_counts_and_so_does_their_order():
    frame = pd.DataFrame({"a": range(1000)})
    assert len({digest(frame), digest(frame[:-1]), digest(frame[::-1])}) == 3


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT, float("nan")])
def test_every_way_to_write_a_missing_value_is_the_same(missing):
    expected = digest(pd.DataFrame({"a": ["x", None]}))
    assert digest(pd.DataFrame({"a": pd.Series(["x", missing], dtype=object)})) == expected


def test_a_column_of_missing_values_is_the_same_in_every_dtype():
    digests = {
        digest(pd.DataFrame({"a": pd.Series([None, None], dtype=kind)})) for kind in (object, "float64", "Int64", "str")
    }
    assert len(digests) == 1


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_the_unit_of_a_timestamp_does_not_matter_and_its_moment_does(unit):
    moments = pd.Series(pd.to_datetime(["1969-12-31 23:59:59", "2020-01-01 00:00:00"]))
    assert digest(pd.DataFrame({"a": moments.astype(f"datetime64[{unit}]")})) == digest(pd.DataFrame({"a": moments}))
    assert digest(pd.DataFrame({"a": moments + pd.Timedelta(seconds=1)})) != digest(pd.DataFrame({"a": moments}))


def test_a_zone_does_not_matter_but_having_one_does():
    naive = pd.Series(pd.to_datetime(["2020-01-01"]))
    zones = {
        digest(pd.DataFrame({"a": naive.dt.tz_localize("UTC").dt.tz_convert(zone)})) for zone in ("UTC", "Asia/Tokyo")
    }
    assert len(zones) == 1
    assert digest(pd.DataFrame({"a": naive})) not in zones


def test_categories_are_their_values():
    values = pd.Series(["x", "y", "x"])
    assert digest(pd.DataFrame({"a": values.astype("category")})) == digest(pd.DataFrame({"a": values}))


@pytest.mark.parametrize(
    "other",
    [
        pd.DataFrame({"b": [1, 2]}),
        pd.DataFrame({"a": [1.0, 2.0]}),
        pd.DataFrame({"a": ["1", "2"]}),
        pd.DataFrame({"a": [1, 2], "b": [1, 2]}),
        pd.DataFrame({"a": pd.array([1, None], dtype="Int64")}),
        pd.DataFrame({"a": [True, False]}),
    ],
)
def test_another_name_kind_or_column_is_another_table(other):
    assert digest(other) != digest(pd.DataFrame({"a": [1, 2]}))


def test_features_and_target_are_told_apart():
    a, b = pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]})
    assert len({digest(a, b), digest(b, a), digest(pd.concat([a, b], axis=1))}) == 3


def test_negative_zero_is_zero_and_large_unsigned_numbers_are_told_apart():
    assert digest(pd.DataFrame({"a": [-0.0]})) == digest(pd.DataFrame({"a": [0.0]}))
    big = [np.array([2**64 - 1], dtype="u8"), np.array([2**64 - 2], dtype="u8")]
    assert len({digest(pd.DataFrame({"a": values})) for values in big}) == 2


@pytest.mark.parametrize("value", [[1], {"a": 1}, object(), 1j])
def test_objects_without_a_canonical_form_are_refused_by_column(value):
    with pytest.raises(DataError, match="column 'odd'"):
        digest(pd.DataFrame({"odd": pd.Series([value], dtype=complex if value == 1j else object)}))


def test_features_and_target_of_different_length_are_refused():
    with pytest.raises(DataError, match="different numbers of rows"):
        digest(pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1, 2]}))
