from __future__ import annotations

import tracemalloc
from collections import Counter

import pandas as pd
import pandera.pandas as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelimg_runtime.errors import InputRejected
from modelimg_runtime.frames import FrameReader
from modelimg_runtime.predict import Predictor
from modelimg_runtime.problems import problem_of
from modelimg_runtime.validation import bounded, validated
from modelimg_runtime.violations import Violations

COLUMNS = ("a", "b", "c")
SOURCES = st.tuples(st.sampled_from(COLUMNS), st.sampled_from(["dtype", "ge(0)"]), st.sets(st.integers(0, 40)))


@given(st.lists(SOURCES, max_size=8, unique_by=lambda source: source[:2]), st.integers(0, 30), st.integers(1, 12))
def test_those_that_are_named_are_the_first_and_no_other_is_forgotten(sources, extra, most):
    everything, bound = Violations(COLUMNS), Violations(COLUMNS, most)
    for collection in (everything, bound):
        for number in range(extra):
            collection.note(None, f"x{number}", "column_in_schema", None)
        for column, check, rows in sources:
            for row in sorted(rows):
                collection.note(row, column, check, row)
        collection.settle()
    assert list(bound) == everything[:most]
    left = Counter((each.column if each.row is not None else None, each.check) for each in everything[most:])
    assert bound.more == left


class OutOfTen:
    """A predictor of a schema with checks of cells, columns, and whole rows."""

    schema = pa.DataFrameSchema(
        {
            "a": pa.Column("float64", [pa.Check.ge(0), pa.Check.le(5, n_failure_cases=2)], unique=True),
            "b": pa.Column("int64", pa.Check.isin([1, 2, 3])),
            "c": pa.Column("str", pa.Check(lambda column: column != "no", name="not_no"), nullable=True),
        },
        checks=pa.Check(lambda frame: frame["a"] != frame["b"], name="differ"),
        strict=True,
    )


VALUES = st.one_of(st.integers(-3, 9), st.sampled_from([None, "no", "yes", "1", True, 2.5, [1]]))
TABLES = st.integers(1, 60).flatmap(
    lambda rows: st.fixed_dictionaries({name: st.lists(VALUES, min_size=rows, max_size=rows) for name in COLUMNS})
)


def rejection(columns, most):
    frame, found = FrameReader(bounded(OutOfTen.schema, most), most).read(columns)
    return found if found else validated(bounded(OutOfTen.schema, most), frame, most=most)[1]


@settings(max_examples=25, deadline=None)
@given(TABLES)
def test_a_bound_refuses_the_same_requests_names_the_first_violations_and_counts_all(columns):
    everything, bound = rejection(columns, None), rejection(columns, 7)
    assert list(bound) == list(everything)[:7]
    assert len(bound) + bound.more.total() == len(everything)


def test_a_hostile_body_is_reported_in_bounded_memory(show):
    """Every one of 200,000 cells fails, and a thousand are named."""
    rows = 100_000
    columns = {"a": [-1] * rows, "b": [""] * rows}
    schema = pa.DataFrameSchema({"a": pa.Column("float64", pa.Check.ge(0)), "b": pa.Column("int64")}, strict=True)
    frame = pd.DataFrame({"prediction": [1.0]})
    predictor = Predictor(None, (), schema, pa.infer_schema(frame), 1000)
    tracemalloc.start()
    with pytest.raises(InputRejected) as caught:
        predictor.predict_columns(columns)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(caught.value) == "the input breaks the contract in 200000 places"
    assert len(caught.value.violations) == 1000
    assert b'"errors_truncated": 199000' in problem_of(caught.value).body("x")
    assert peak < 30_000_000
    show(f"a report of {2 * rows} violations took {peak / 1e6:.0f} MB at most")
