from __future__ import annotations

import importlib
import json
import sys

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
from pandera.config import CONFIG, set_config

from modelimg_runtime import validation
from modelimg_runtime.errors import ContractUnusable, ContractWeakened, Violation
from modelimg_runtime.validation import load_schema, validate

PROBABILITIES = pa.DataFrameSchema(
    {"probability_a": pa.Column(float, nullable=True), "probability_b": pa.Column(float)},
    checks=[pa.Check.rows_sum_to_one(tol=1e-6)],
)


@pytest.fixture(params=["in memory", "from JSON"])
def probabilities(request, tmp_path):
    if request.param == "in memory":
        return PROBABILITIES
    (tmp_path / "output_schema.json").write_text(PROBABILITIES.to_json())
    return load_schema(tmp_path, "output_schema.json")


@pytest.mark.parametrize("pair", [(0.3, 0.7), (0.0, 1.0), (0.5, 0.5 + 9e-7)])
def test_rows_that_sum_to_one_hold(probabilities, pair):
    assert validate(probabilities, pd.DataFrame([pair], columns=["probability_a", "probability_b"])) == []


@pytest.mark.parametrize("pair", [(0.3, 0.6), (0.5, 0.5 + 2e-6), (np.nan, 1.0), (np.inf, -np.inf), (2.0, 0.0)])
def test_rows_that_do_not_sum_to_one_are_named(probabilities, pair):
    frame = pd.DataFrame([(0.5, 0.5), pair], columns=["probability_a", "probability_b"])
    assert validate(probabilities, frame) == [Violation(1, None, "rows_sum_to_one(tol=1e-06)", None)]


def test_rows_without_any_probability_do_not_sum_to_one():
    schema = pa.DataFrameSchema({"x": pa.Column(float)}, checks=[pa.Check.rows_sum_to_one(tol=1e-6)])
    assert [v.row for v in validate(schema, pd.DataFrame({"x": [1.0]}))] == [0]


def test_the_check_is_registered_once_however_often_the_module_is_loaded():
    importlib.reload(validation)
    assert pa.Check.rows_sum_to_one(tol=0.1).statistics == {"tol": 0.1}


def test_every_failing_cell_is_named_with_its_row_column_check_and_value():
    schema = pa.DataFrameSchema(
        {
            "i": pa.Column("int64", pa.Check.isin([1, 2])),
            "f": pa.Column("float64", [pa.Check.ge(0), pa.Check.le(1)]),
            "s": pa.Column("str", pa.Check.str_matches("^a")),
            "u": pa.Column("int64", unique=True),
        },
        strict=True,
        checks=pa.Check(lambda frame: frame["f"] < frame["u"], name="f_below_u"),
    )
    frame = pd.DataFrame(
        {"i": [1, 3, 4], "f": [0.5, -1.0, np.nan], "s": ["ab", "b", None], "u": [7, 7, 8]}, index=[9, 9, 4]
    )
    assert [(v.row, v.column, v.check, v.value) for v in validate(schema, frame)] == [
        (0, "u", "field_uniqueness", 7),
        (1, "i", "isin([1, 2])", 3),
        (1, "f", "greater_than_or_equal_to(0)", -1.0),
        (1, "s", "str_matches('^a')", "b"),
        (1, "u", "field_uniqueness", 7),
        (2, None, "f_below_u", None),
        (2, "i", "isin([1, 2])", 4),
        (2, "f", "not_nullable", None),
        (2, "s", "not_nullable", None),
    ]


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        ({"a": [1.5]}, Violation(None, "a", "dtype('int64')", "float64")),
        ({"b": [1]}, Violation(None, "a", "column_in_dataframe", None)),
        ({"a": [1], "b": [1]}, Violation(None, "b", "column_in_schema", None)),
    ],
)
def test_faults_of_whole_columns_have_no_row(frame, expected):
    schema = pa.DataFrameSchema({"a": pa.Column("int64")}, strict=True)
    assert expected in validate(schema, pd.DataFrame(frame))


def test_an_aggregate_that_does_not_hold_is_named_without_a_row():
    schema = pa.DataFrameSchema({"a": pa.Column("int64", pa.Check(lambda s: bool(s.mean() > 5), name="mean"))})
    assert validate(schema, pd.DataFrame({"a": [1, 2]})) == [Violation(None, "a", "mean", None)]


def test_a_crashing_check_is_a_violation_whose_message_goes_to_the_log_only(caplog):
    def crash(column):
        raise RuntimeError("secret")

    schema = pa.DataFrameSchema({"a": pa.Column("int64", pa.Check(crash))})
    [violation] = validate(schema, pd.DataFrame({"a": [1]}))
    assert violation == Violation(None, "a", "crash could not be evaluated", None)
    assert "secret" in caplog.text


def test_a_check_with_a_long_name_is_cut():
    schema = pa.DataFrameSchema({"a": pa.Column("int64", pa.Check.isin(list(range(10_000))))})
    [violation] = validate(schema, pd.DataFrame({"a": [-1]}))
    assert violation.check.startswith("isin([0, 1, 2")
    assert len(violation.check) == 200


def test_validation_is_whole_even_where_code_switched_pandera_off():
    set_config(validation_enabled=False, validation_depth="SCHEMA_ONLY")
    try:
        schema = pa.DataFrameSchema({"a": pa.Column("int64", pa.Check.ge(0))})
        assert [v.row for v in validate(schema, pd.DataFrame({"a": [-1]}))] == [0]
    finally:
        set_config(validation_enabled=True)
        CONFIG.validation_depth = None


@pytest.mark.parametrize("dtype", ["string[pyarrow]", "string[python]", "str"])
def test_a_string_column_means_str_however_pandas_stored_it(tmp_path, dtype):
    schema = {"schema_type": "dataframe", "columns": {"a": {"dtype": dtype}}}
    (tmp_path / "input_schema.json").write_text(json.dumps(schema))
    assert validate(load_schema(tmp_path, "input_schema.json"), pd.DataFrame({"a": ["x"]})) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"schema_type": "series"}',
        '{"schema_type": "dataframe", "columns": {"a": {"dtype": "int65"}}}',
        '{"schema_type": "dataframe", "columns": {"a": {"dtype": "int64", "no_such_check": 1}}}',
        '{"schema_type": "dataframe", "columns": {"a": {"dtype": "int64"}}, "drop_invalid_rows": true}',
        '{"schema_type": "dataframe", "columns": {"a": {"dtype": "int64", "drop_invalid_rows": true}}}',
    ],
)
def test_json_that_is_no_contract_is_refused(tmp_path, text):
    (tmp_path / "input_schema.json").write_text(text)
    with pytest.raises(ContractUnusable, match=r"^input_schema\.json"):
        load_schema(tmp_path, "input_schema.json")


@pytest.mark.parametrize("reference", ["Input", "Plain"])
def test_a_contract_may_be_code(coded, reference):
    before = list(sys.path)
    schema = load_schema(coded.folder, f"schemas.py:{reference}")
    assert [v.column for v in validate(schema, pd.DataFrame({"a": [1.0], "b": [-1.0]}))] == ["b"]
    assert sys.path == before
    assert not (coded.folder / "__pycache__").exists()


def test_a_contract_may_import_the_users_own_modules(tmp_path, monkeypatch):
    code = tmp_path / "code"
    code.mkdir()
    (code / "limits_of_ours.py").write_text("LOWEST = 3\n")
    (tmp_path / "schemas.py").write_text(
        "import pandera.pandas as pa\nfrom limits_of_ours import LOWEST\n"
        "Input = pa.DataFrameSchema({'a': pa.Column(int, pa.Check.ge(LOWEST))})\n"
    )
    monkeypatch.syspath_prepend(code)
    assert len(validate(load_schema(tmp_path, "schemas.py:Input"), pd.DataFrame({"a": [2]}))) == 1


@pytest.mark.parametrize(
    ("source", "reference"),
    [
        ("Input = 5\n", "schemas.py:Input"),
        ("import pandera.pandas as pa\n", "schemas.py:Input"),
        ("Input = (\n", "schemas.py:Input"),
        ("raise RuntimeError('no')\n", "schemas.py:Input"),
        ("import no_such_module\n", "schemas.py:Input"),
        ("Input = int\n", "schemas.py:Input"),
        ("", "missing.py:Input"),
        ("", "../schemas.py:Input"),
        ("", "/etc/passwd:Input"),
        ("", "sub/schemas.py:Input"),
        ("", ":Input"),
        ("", ""),
    ],
)
def test_code_that_holds_no_contract_is_refused_and_leaves_no_module_behind(tmp_path, source, reference):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "schemas.py").write_text(source)
    with pytest.raises(ContractUnusable):
        load_schema(tmp_path / "model", reference)


def test_a_module_that_fails_is_not_left_in_sys_modules(tmp_path):
    (tmp_path / "half.py").write_text("raise RuntimeError('no')\n")
    with pytest.raises(ContractUnusable, match="RuntimeError: no"):
        load_schema(tmp_path, "half.py:Input")
    assert "modelimg_package_half" not in sys.modules


def test_a_contract_that_switches_validation_off_is_refused(tmp_path):
    source = "from pandera.config import set_config\nset_config(validation_enabled=False)\n"
    (tmp_path / "schemas.py").write_text(
        source + "import pandera.pandas as pa\nInput = pa.DataFrameSchema({'a': pa.Column(int)})\n"
    )
    try:
        with pytest.raises(ContractWeakened):
            load_schema(tmp_path, "schemas.py:Input")
    finally:
        set_config(validation_enabled=True)


def test_the_environment_is_asked_before_a_contract_is_read(tmp_path, monkeypatch):
    monkeypatch.setenv("PANDERA_VALIDATION_ENABLED", "False")
    with pytest.raises(ContractWeakened):
        load_schema(tmp_path, "input_schema.json")


def test_two_missing_values_in_a_unique_column_are_refused_although_pandera_lists_none():
    schema = pa.DataFrameSchema({"a": pa.Column("float64", nullable=True, unique=True)})
    frame = pd.DataFrame({"a": [1.0, np.nan, np.nan]})
    (violation,) = validation.validate(schema, frame)
    assert (violation.row, violation.column, violation.check) == (None, "a", "field_uniqueness")
    assert validation.validate(schema, frame.iloc[:2]) == []
