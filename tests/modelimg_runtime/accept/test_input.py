from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

import pandera.pandas as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer

import lanes
from modelimg_runtime.accept import InputTest, NotCompiled, rules_of
from modelimg_runtime.columns import ABSENT
from modelimg_runtime.validation import load_schema

C = pa.Check
ROOT = Path(__file__).parents[3]
NUMBERS = st.integers(-3, 12) | st.integers(-6, 24).map(lambda n: n / 2) | st.sampled_from([0.1, -0.0, 2**53 - 1, 1e15])
WORDS = st.text("ab1é", max_size=3)
FOREIGN = st.sampled_from([None, True, False, math.nan, math.inf, "", "1", 10**400, 2**64, -1, 1e300, ABSENT, [], {}])
FOREIGN |= st.integers() | st.floats() | st.text(st.characters(), max_size=2)


@cache
def number_checks(dtype: str) -> st.SearchStrategy[pa.Check]:
    bound = NUMBERS.filter(lambda n: dtype != "float32" or n not in (0.1, 2**53 - 1, 1e15))
    ends = st.tuples(bound, bound).filter(lambda pair: pair[0] != pair[1]).map(sorted)
    return st.one_of(
        st.builds(C.gt, bound) | st.builds(C.ge, bound) | st.builds(C.lt, bound) | st.builds(C.le, bound),
        st.builds(lambda pair, low, high: C.in_range(*pair, low, high), ends, st.booleans(), st.booleans()),
        st.builds(C.isin, st.lists(bound, max_size=8)) | st.builds(C.notin, st.lists(bound, max_size=3)),
        st.builds(C.ne, bound),
    )


TEXT_CHECKS = st.one_of(
    st.builds(C.isin, st.lists(WORDS, max_size=8)) | st.builds(C.notin, st.lists(WORDS, max_size=3)),
    st.builds(C.ne, WORDS) | st.builds(C.eq, WORDS),
    st.builds(lambda low, more: C.str_length(low, low + more), st.integers(0, 2), st.integers(0, 3)),
    st.builds(C.str_startswith, WORDS.map(lambda word: word[:1]))
    | st.builds(C.str_endswith, WORDS.map(lambda w: w[:1])),
    st.sampled_from(["^[a-z]", "a|b", r"\d?$", "", ".{1,2}$", "b", r"(?=a)"]).map(C.str_matches),
    st.sampled_from(["^[a-z]", "a|b", r"\d", "b$"]).map(C.str_contains),
)
BOOL_CHECKS = st.builds(C.isin, st.lists(st.booleans(), max_size=3)) | st.builds(C.ne, st.booleans())


@st.composite
def columns(draw, rows: int):
    """A column and values, most of them near what it accepts."""
    dtype = draw(st.sampled_from(["float64", "float64", "float32", "int64", "uint8", "str", "str", "bool"]))
    checks = TEXT_CHECKS if dtype == "str" else BOOL_CHECKS if dtype == "bool" else number_checks(dtype)
    column = pa.Column(
        dtype,
        draw(st.lists(checks, max_size=2)),
        nullable=draw(st.booleans()),
        unique=draw(st.sampled_from([False, False, False, True])),
    )
    usual = {"str": WORDS, "bool": st.booleans()}.get(dtype, NUMBERS)
    missing = [st.none()] if column.nullable and dtype[0] in "fs" else []
    pool = draw(st.lists(st.one_of(usual, usual, usual, usual, usual, *missing), min_size=1, max_size=3))
    if draw(st.integers(0, 9)) == 0:
        pool.append(draw(FOREIGN))
    values = (draw(st.lists(st.sampled_from(pool), min_size=1, max_size=6)) * rows)[:rows]
    if column.unique and dtype[0] in "iu" and draw(st.booleans()):
        values = [*range(1, rows + 1)]
    return column, values


@st.composite
def cases(draw):
    rows = draw(st.sampled_from([1, 1, 2, 3, 17, 40]))
    drawn = draw(st.lists(columns(rows), min_size=1, max_size=3))
    names = [f"column {number}" for number in range(len(drawn))]
    options = {option: draw(st.booleans()) for option in ("strict", "ordered")}
    schema = pa.DataFrameSchema({name: column for name, (column, _) in zip(names, drawn, strict=True)}, **options)
    request = {name: values for name, (_, values) in zip(names, drawn, strict=True)}
    return schema, {name: request[name] for name in draw(st.permutations(names))}, draw(st.booleans())


def test_what_is_accepted_is_accepted_by_pandera_with_the_same_values(show):
    counts = Counter()

    @settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    @given(cases())
    def one_sided(case):
        schema, request, minimal = case
        document = lanes.document_of(schema, minimal=minimal)
        try:
            test = InputTest(rules_of(document))
        except NotCompiled:
            counts["not compiled"] += 1
            return
        batch = test.columns(request)
        counts["accepted" if batch else "not accepted"] += 1
        if batch is not None:
            frame = lanes.frame_of(lanes.loaded(document), request)
            assert frame is not None
            assert lanes.same_values(batch, frame, document)
        rows = [dict(zip(request, row, strict=True)) for row in zip(*request.values(), strict=True)]
        if not any(column.unique for column in schema.columns.values()):
            singles = [test.row(row) for row in rows]
            assert all(singles) is (batch is not None)
            assert batch is None or [*zip(*batch.columns, strict=True)] == [
                tuple(cells[0] for cells in one.columns) for one in singles
            ]

    one_sided()
    show(f"random schemas and requests: {dict(counts)}")
    assert min(counts["accepted"], counts["not accepted"]) > 60


def penguins_document() -> dict:
    return json.loads(load_schema(ROOT / "examples/penguins", "schemas.py:Input").to_json())


PENGUIN = {
    "island": "Biscoe",
    "bill_length_mm": 39,
    "bill_depth_mm": 18.7,
    "flipper_length_mm": None,
    "body_mass_g": 3750.0,
    "sex": None,
}


def test_the_penguins_contract_is_compiled():
    document = penguins_document()
    test = InputTest(rules_of(document))
    for row in (PENGUIN, {**PENGUIN, "sex": "female"}, dict(reversed(PENGUIN.items()))):
        frame = lanes.frame_of(lanes.loaded(document), {name: [value] for name, value in row.items()})
        assert lanes.same_values(test.row(row), frame, document)
    many = {name: [value] * 30 for name, value in PENGUIN.items()}
    assert lanes.same_values(test.columns(many), lanes.frame_of(lanes.loaded(document), many), document)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("island", value) for value in ("biscoe", "", None, 1, True, "Biscoe ", ABSENT)),
        *(("bill_length_mm", value) for value in (0, 0.0, 100, -1, "39", True, math.nan, math.inf, [39], 10**400)),
        *(("sex", value) for value in ("Male", "", 0, math.nan, False)),
    ],
)
def test_a_penguin_with_one_bad_value_is_left_to_pandera_which_refuses_it(name, value):
    document = penguins_document()
    test, row = InputTest(rules_of(document)), {**PENGUIN, name: value}
    assert test.row(row) is None
    assert test.columns({key: [cell] for key, cell in row.items()}) is None
    assert test.columns({key: [PENGUIN[key]] * 30 + [cell] for key, cell in row.items()}) is None
    assert lanes.frame_of(lanes.loaded(document), {key: [cell] for key, cell in row.items()}) is None


def test_thirty_floats_are_accepted_as_the_data_set_has_them():
    data = load_breast_cancer(as_frame=True).data
    schema = pa.DataFrameSchema(
        {name: pa.Column("float64", C.ge(0)) for name in data.columns}, strict=True, ordered=True
    )
    document = lanes.document_of(schema)
    test = InputTest(rules_of(document))
    request = {name: data[name].tolist() for name in data.columns}
    assert lanes.same_values(test.columns(request), data, document)
    row = {name: values[0] for name, values in request.items()}
    assert test.row(row).floats(range(30)).tobytes() == data.iloc[0].to_numpy().tobytes()
    assert test.row({**row, "mean area": -1e-300}) is None
    assert test.columns({**request, "mean area": [*request["mean area"][:-1], -5e-324]}) is None


def test_requests_that_are_no_columns_or_no_row_are_not_accepted():
    test = InputTest(rules_of(lanes.document_of(pa.DataFrameSchema({"x": pa.Column(float)}))))
    for columns in ({}, [], [1.0], "x", {"y": [1.0]}, {"x": 1.0}, {"x": "1"}, {"x": {}}, {"x": []}, {"x": None}):
        assert test.columns(columns) is None
    for row in ({}, [], [1.0], "x", {"y": 1.0}, {"x": [1.0]}, {"x": 1.0, "y": 1.0}, defaultdict(float), None):
        assert test.row(row) is None
    assert test.row({"x": 1.0}).rows == test.columns({"x": [1.0]}).rows == 1
