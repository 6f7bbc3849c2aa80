from __future__ import annotations

import copy
import json
import math
import subprocess
import sys

import numpy as np
import pandera.pandas as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import array as arrow_array

import lanes
from modelimg_runtime import accept
from modelimg_runtime.accept import InputTest, NotCompiled, OutputTest, rules_of
from modelimg_runtime.accept.patterns import shared_pattern
from modelimg_runtime.accept.rows import row_source

C = pa.Check
PROBABILITY = {"dtype": "float64", "in_range": {"min_value": 0, "max_value": 1}}


def document(**column):
    return {"schema_type": "dataframe", "api": "pandas", "columns": {"x": {"dtype": "float64", **column}}}


def whole(**keys):
    return {**document(), **keys}


def test_the_package_needs_neither_pandas_nor_pandera():
    code = (
        "import sys, modelimg_runtime.accept as accept\n"
        "rules = accept.rules_of({'schema_type': 'dataframe', 'columns': {'x': {'dtype': 'str', 'str_length': 1},"
        " 'y': {'dtype': 'string[python]', 'isin': ['a']}, 'z': {'dtype': 'float32', 'greater_than': 0}}})\n"
        "assert accept.InputTest(rules).columns({'x': ['a'] * 99, 'y': ['a'] * 99, 'z': [1] * 99}).rows == 99\n"
        "assert not {'pandas', 'pandera', 'sklearn', 'pyarrow'} & sys.modules.keys(), sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)


def test_a_schema_folds_into_one_interval_and_one_set():
    checks = [C.gt(0), C.ge(-5), C.lt(10), C.in_range(-1, 20), C.ne(3), C.notin([3, 4])]
    schema = pa.DataFrameSchema({"x": pa.Column(int, checks), "y": pa.Column(float, [C.isin([1, 5, 7]), C.lt(6)])})
    x, y = rules_of(json.loads(schema.to_json())).columns
    assert (x.lowest, x.highest, x.allowed, x.forbidden) == (1, 9, None, frozenset({3, 4}))
    assert y.allowed == frozenset({1.0, 5.0})
    assert rules_of(json.loads(pa.DataFrameSchema({"x": pa.Column(float, C.gt(0))}).to_json())).columns[0].lowest > 0


def test_categories_are_strings_of_a_check():
    schema = pa.DataFrameSchema(
        {"x": pa.Column("category", [C.isin(["a", "b", "c"]), C.isin(["c", "b"])], nullable=True)}
    )
    rules = rules_of(json.loads(schema.to_json()))
    assert rules.columns[0].allowed == frozenset({"b", "c"})
    test = InputTest(rules)
    assert test.columns({"x": ["b", None, "c"]}).columns[0][0] == "b"
    for cell in ("a", "", 1, True, 1.0, "B"):
        assert test.columns({"x": [cell]}) is None
    with pytest.raises(NotCompiled, match="the dtype category, and an answer"):
        OutputTest(rules)


@pytest.mark.parametrize(
    "checks", [[], [C.isin([1, 2])], [C.isin(["a"]), C.ne("b")], [C.str_startswith("a")], [C.eq("a")]], ids=str
)
def test_other_categories_are_not_compiled(checks):
    schema = pa.DataFrameSchema({"x": pa.Column("category", checks)})
    with pytest.raises(NotCompiled, match="'x'"):
        rules_of(json.loads(schema.to_json()))


def test_nothing_of_the_schema_is_in_the_generated_source():
    names = ["'); import os; ('", "\\", "{0}", "{v0}", "values", "ä\n", ""]
    checks = [C.isin(["'''", '"; x', "\\'"]), C.str_startswith("'")]
    schema = pa.DataFrameSchema({name: pa.Column("str", checks, nullable=True) for name in names})
    rules = rules_of(json.loads(schema.to_json()))
    source, constants = row_source(rules.columns)
    assert set(source) <= set("abcdefghijklmnopqrstuvwxyz_0123456789 \n(),:=<N")
    assert len(constants) < 10
    row = dict.fromkeys(names, "'''") | {"": None}
    assert InputTest(rules).row(row).names == tuple(names)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"schema_type": "dataframe"},
        {"schema_type": "dataframe", "columns": {}},
        {"schema_type": "dataframe", "columns": None},
        {"schema_type": "dataframe", "columns": [{"name": "x", "dtype": "float64"}]},
        {"schema_type": "series", "columns": {"x": {"dtype": "float64"}}},
        {"columns": {"x": {"dtype": "float64"}}},
        *(whole(**{key: True}) for key in ("coerce", "add_missing_columns", "drop_invalid_rows", "frobnicate")),
        *(whole(**{key: None}) for key in ("frobnicate", "parsers", "schema_type")),
        *(whole(api=api) for api in ("polars", "dask", None)),
        *(whole(strict=strict) for strict in ("filter", 1, "true", None)),
        *(whole(**{key: "x"}) for key in ("unique", "dtype", "ordered", "index", "columns")),
        *(whole(**{key: ["x"]}) for key in ("unique", "index", "checks", "name")),
        *(whole(**{key: {}}) for key in ("index", "multiindex", "metadata", "checks", "title")),
        whole(index=[{"dtype": "int64"}]),
        whole(dtype="float64"),
        whole(report_duplicates="all of them"),
        whole(checks=[{"value": 1, "options": {"check_name": "equal_to"}}]),
        whole(checks=[{"tol": 1e-6, "options": {"check_name": "sums_to_one"}}]),
        *(whole(checks=[{"tol": tol, "options": {"check_name": "rows_sum_to_one"}}]) for tol in (0, 1, "x", None, -1e-6)),
        whole(checks=[{"tol": math.nan, "options": {"check_name": "rows_sum_to_one"}}]),
        whole(checks=[{"options": {"check_name": "rows_sum_to_one"}}]),
        {**document(), "columns": {"x": None}},
        {**document(), "columns": {"x": "float64"}},
        {**document(), "columns": {"\ud800": {"dtype": "float64"}}},
        *(document(**{key: True}) for key in ("coerce", "regex", "drop_invalid_rows", "frobnicate", "default", "name")),
        *(document(**{key: None}) for key in ("frobnicate", "parsers", "nullable", "isin", "in_range")),
        *(document(**{key: 1}) for key in ("nullable", "unique", "required", "title", "default", "checks")),
        document(required=False),
        document(name="y"),
        document(report_duplicates="none"),
        *(document(dtype=dtype) for dtype in (None, "Float64", "Int64", "boolean", "object", "category", "float16", 5)),
        *(document(dtype=dtype) for dtype in ("datetime64[ns]", "timedelta64[ns]", "string", "complex128", ["float64"])),
        *(document(**{check: 1}) for check in ("ge", "gt", "eq", "between", "unique_values_eq", "is_even", "greater")),
        document(rows_sum_to_one=1e-6),
        document(checks=[]) | {"columns": {"x": {"dtype": "float64", "checks": [], "greater_than": 5}}},
        document(checks={"greater_than": 5}),
        document(checks=[5]),
        document(checks=[{"min_value": 5}]),
        document(checks=[{"min_value": 5, "options": {}}]),
        document(checks=[{"min_value": 5, "options": None}]),
        document(checks=[{"min_value": 5, "options": {"check_name": ["greater_than"]}}]),
    ],
)  # fmt: skip
def test_what_is_not_known_to_the_last_key_is_not_compiled(document):
    with pytest.raises(NotCompiled) as refused:
        rules_of(document)
    assert refused.value.reason == str(refused.value)
    assert refused.value.reason.startswith(("the schema", "column 'x'", "column '\\ud800'"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("ignore_na", value) for value in (False, None, 1)),
        *(("raise_warning", value) for value in (True, None, 0)),
        *((key, None) for key in ("groupby", "groups", "element_wise", "_check_fn", "options")),
        ("groupby", ["y"]),
        ("error", 5),
        *(("name", value) for value in (["a"], "less_than", "unique_values_eq", "rows_sum_to_one")),
        ("n_failure_cases", "1"),
        ("title", "of the check"),
    ],
)
def test_options_of_a_check_that_change_its_meaning_are_not_compiled(key, value):
    with pytest.raises(NotCompiled):
        rules_of(document(greater_than={"min_value": 0, key: value}))
    with pytest.raises(NotCompiled):
        rules_of(document(checks=[{"min_value": 0, "options": {"check_name": "greater_than", key: value}}]))


@pytest.mark.parametrize("minimal", [True, False])
def test_options_that_only_change_the_report_are_compiled(minimal):
    checks = [C.gt(0, error="too small", name="positive", n_failure_cases=1), C.gt(1), C.lt(9, ignore_na=True)]
    column = pa.Column(float, checks, title="X", description="An x.", report_duplicates="exclude_first", unique=True)
    schema = pa.DataFrameSchema({"x": column}, name="n", title="t", description="d", unique_column_names=True)
    rules = rules_of(lanes.document_of(schema, minimal=minimal))
    assert InputTest(rules).columns({"x": [2.0, 3.0]})
    assert not InputTest(rules).columns({"x": [1.0]})


@pytest.mark.parametrize(
    ("dtype", "check"),
    [
        *(("float64", {check: value}) for check in ("greater_than", "equal_to", "isin") for value in ("1", True, None)),
        *(("float64", {"greater_than": value}) for value in (math.nan, math.inf, 2**53 + 1, 10**400, [1], {"min": 1})),
        *(("float64", {"isin": value}) for value in ([math.nan], [2**53], ["a"], [None], [True], "ab", {}, 1)),
        *(("float64", {"not_equal_to": value}) for value in (1e16, math.inf)),
        *(("float32", {check: 0.1}) for check in ("greater_than", "less_than_or_equal_to", "equal_to", "not_equal_to")),
        *(("float32", {"isin": [0.5, value]}) for value in (0.1, 16777217, 1e39)),
        *(("int64", {"less_than": value}) for value in (2**63, 1e16, float(2**53), math.nan, "5", True)),
        *(("int8", {"less_than": value}) for value in (2**53, -(2**60))),
        *(("int64", {"isin": [value]}) for value in (2**53, 2.0**60, None, "1", False)),
        *(("bool", {check: True}) for check in ("greater_than", "in_range", "str_length", "str_matches")),
        *(("bool", {"isin": [value]}) for value in (1, 0.0, None, "true")),
        *(("str", {check: "a"}) for check in ("greater_than", "less_than", "in_range", "isin", "str_length")),
        *(("str", {"isin": [value]}) for value in (1, None, math.nan, "\ud800", ["a"])),
        *(("str", {check: 5}) for check in ("str_matches", "str_startswith", "str_endswith", "str_contains")),
        *(("str", {"str_startswith": value}) for value in (["a"], None, "\udfff")),
        *(("str", {"str_length": value}) for value in (1.0, True, "1", None, {}, {"min_value": None})),
        ("str", {"str_length": {"min_value": 3, "max_value": 2}}),
        ("str", {"str_length": {"min_value": 3, "exact_value": 3}}),
        *(("float64", {"in_range": value}) for value in (1, [0, 1], {"min_value": 1}, {"min_value": 2, "max_value": 1})),
        *(("float64", {"in_range": {"min_value": 0, "max_value": 1, "include_min": x}}) for x in (None, 1, "false")),
        ("float64", {"in_range": {"min_value": 1, "max_value": 1, "include_max": False}}),
        ("float64", {"in_range": {"min_value": 0, "max_value": 1, "inclusive": True}}),
        ("float64", {"str_matches": "a"}),
        ("int64", {"str_length": 1}),
    ],
)  # fmt: skip
def test_arguments_that_pandas_may_see_otherwise_are_not_compiled(dtype, check):
    with pytest.raises(NotCompiled, match="column 'x'"):
        rules_of(document(dtype=dtype, **check))


PATTERNS = [
    "a",
    "^a$",
    "a|b",
    r"^\d{3}-\d+$",
    "(?:ab){2,3}?",
    "[^a-c]*",
    r"\.",
    r"a\b",
    "(a|(b))+",
    "[-a]",
    r"[\w.-]+@",
]
UNSHARED = [
    *(r"a\Z", r"\Aa", r"(?=a)", r"(?!a)b", r"(?<=a)b", r"(a)\1", "a{,3}", "[[:alpha:]]", "a{2000}", "(a{40}){40}"),
    *("(?i)a", "(?P<n>a)", "a++", "a*+", "(?>a)", "é", "[é]", "a\n", r"\n", r"\x41", r"\u0041", r"\N{DIGIT ONE}"),
    *("[a-", "(", "a)", "*a", "a**", "[z-a]", "{", "a{1", "]", "[]a]", "[a&&b]", "[a||b]", "[+--]", r"\p{L}", r"\_"),
    *("^*", "$+", r"\b+", "|*", "(?#c)a", r"\pN", "x" * 501, "a{2,1}", r"\Q.\E", r"[\b]", r"\07", "(?x) a"),
]  # fmt: skip


@pytest.mark.parametrize("pattern", UNSHARED)
def test_patterns_outside_of_what_both_engines_have_are_not_compiled(pattern):
    assert shared_pattern(pattern) is None
    with pytest.raises(NotCompiled, match="column 'x'"):
        rules_of(document(dtype="str", str_matches=pattern))


def test_shared_patterns_say_the_same_in_both_engines(show):
    asked = []
    pieces = ["a", "b", "c", ".", "^", "$", "|", "(?:", "(", ")", "*", "+?", "?", "{2}", "{1,}", "{0,2}"]
    pieces += [
        r"\d",
        r"\W",
        r"\s",
        r"\S",
        r"\w",
        "[ab]",
        "[^a-z]",
        "[b-]",
        r"[\d.]",
        r"\.",
        r"\b",
        "-",
        "1",
        "(?:a|b)",
        "a+",
    ]

    @settings(max_examples=1500, deadline=None)
    @given(
        st.lists(st.sampled_from(pieces), max_size=7).map("".join) | st.sampled_from(PATTERNS),
        st.lists(st.text("abc1.- _", max_size=6), min_size=1, max_size=6),
    )
    def alike(pattern, texts):
        compiled = shared_pattern(pattern)
        if compiled is None:
            return
        array = arrow_array(texts)
        matched = pc.match_substring_regex(array, f"^({pattern.removeprefix('^')})")  # as pandas writes a match
        assert [bool(compiled.match(text)) for text in texts] == matched.to_pylist()
        assert [bool(compiled.search(text)) for text in texts] == pc.match_substring_regex(array, pattern).to_pylist()
        asked.append(pattern)

    alike()
    show(f"{len(asked)} patterns, {len(set(asked))} of them different, alike in re and RE2")
    assert len(set(asked)) > 100


@pytest.mark.parametrize(
    ("columns", "tolerance"),
    [
        ({"prediction": {"dtype": "float64"}}, 1e-6),
        ({"probability_a": {"dtype": "float64"}}, 1e-6),
        ({"probability_a": {"dtype": "float64", "less_than": 5}}, 1e-6),
        ({"probability_a": PROBABILITY, "probability_b": {**PROBABILITY, "dtype": "float32"}}, 1e-6),
        ({"probability_a": PROBABILITY, "probability_b": {"dtype": "int64"}}, 1e-6),
        ({"probability_a": PROBABILITY, "probability_b": {"dtype": "str"}}, 1e-6),
        ({"probability_a": PROBABILITY, "probability_b": PROBABILITY}, 1e-15),
    ],
)
def test_a_sum_that_rounding_could_decide_is_not_compiled(columns, tolerance):
    checks = [{"tol": tolerance, "options": {"check_name": "rows_sum_to_one"}}]
    rules = rules_of({"schema_type": "dataframe", "columns": columns, "checks": checks})
    with pytest.raises(NotCompiled, match="the output schema"):
        OutputTest(rules)


def test_a_sum_is_compiled_for_outputs_only():
    checks = [{"tol": 1e-6, "options": {"check_name": "rows_sum_to_one"}}]
    rules = rules_of({"schema_type": "dataframe", "columns": {"probability_a": PROBABILITY}, "checks": checks * 2})
    assert OutputTest(rules).accepts({"probability_a": np.ones(2)})
    with pytest.raises(NotCompiled, match="the input schema"):
        InputTest(rules)


def test_a_key_that_pandera_may_come_to_know_is_not_compiled_wherever_it_stands():
    column = pa.Column(float, [C.gt(0), C.in_range(0, 5, error="e")], nullable=True)
    twice = pa.Column("str", [C.str_length(1, 5), C.str_length(2, 3)])
    schema = pa.DataFrameSchema({"x": column, "y": twice}, checks=[C.rows_sum_to_one(tol=1e-6)], strict=True)
    known = lanes.document_of(schema, minimal=False)
    rules_of(known)
    places = [path for path in _objects(known) if path != ("columns",)]
    for path in places:
        changed = copy.deepcopy(known)
        part = changed
        for key in path:
            part = part[key]
        part["frobnicate"] = None
        with pytest.raises(NotCompiled):
            rules_of(changed)
    assert len(places) == 10


def _objects(part, path=()):
    if isinstance(part, dict):
        yield path
    items = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for key, inner in items:
        yield from _objects(inner, (*path, key))


def test_strings_as_pandas_3_stores_them_are_compiled_from_pandas_3_on(monkeypatch):
    asked = document(dtype="string[pyarrow]")
    monkeypatch.setattr("importlib.metadata.version", lambda name: "3.0.0")
    assert rules_of(asked).columns[0].dtype == "str"
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.3.3")
    with pytest.raises(NotCompiled, match="dtype"):
        rules_of(asked)


def test_the_public_names_are_those_that_the_lane_uses():
    assert {"InputTest", "OutputTest", "NotCompiled", "TableRules", "ColumnRule", "rules_of"} == {*accept.__all__}
