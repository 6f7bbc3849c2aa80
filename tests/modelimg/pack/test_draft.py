"""Drafted contracts: certain facts of the training data, and no bounds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier

from modelimg.pack.allowlist import AllowList
from modelimg.pack.draft import draft_input, draft_output
from modelimg.pack.model import read_model
from modelimg_runtime.frames import frame_from_columns
from modelimg_runtime.predict import output_frame
from modelimg_runtime.validation import load_schema, validate


def packed_and_read(packed, folder):
    (folder / packed.file).write_bytes(packed.content)
    return load_schema(folder, packed.reference)


def test_names_order_dtypes_and_missing_values_are_drafted(X, tmp_path):
    schema = packed_and_read(draft_input(X), tmp_path)
    assert list(schema.columns) == ["size", "count", "colour"]
    assert schema.strict
    assert schema.ordered
    assert not schema.coerce
    assert [column.nullable for column in schema.columns.values()] == [True, False, False]
    assert [str(schema.columns[name].dtype) for name in ("size", "count")] == ["float64", "int64"]
    assert validate(schema, X) == []


def test_smallest_and_largest_values_are_no_bounds(X, tmp_path):
    schema = packed_and_read(draft_input(X), tmp_path)
    assert validate(schema, X.assign(size=1e9, count=-5)) == []


@pytest.mark.parametrize(
    ("values", "enumerated"),
    [
        (["x", "y"] * 30, ["x", "y"]),
        (["x", None] * 30, ["x"]),
        ([f"id{i}" for i in range(60)], None),
        ([f"v{i % 13}" for i in range(60)], None),
        ([f"v{i % 12}" for i in range(60)], sorted(f"v{i}" for i in range(12))),
        ([f"v{i % 51}" for i in range(600)], None),
        ([f"v{i % 50}" for i in range(600)], sorted(f"v{i}" for i in range(50))),
        ([None] * 60, None),
    ],
)
def test_strings_are_enumerated_where_they_are_few(values, enumerated):
    checks = draft_input(pd.DataFrame({"a": pd.Series(values, dtype="str")})).schema.columns["a"].checks
    assert [list(check.statistics["allowed_values"]) for check in checks] == ([enumerated] if enumerated else [])


def test_strings_of_an_object_column_are_strings_and_mixed_ones_are_objects():
    frame = pd.DataFrame({"s": pd.Series(["x", None], dtype=object), "m": pd.Series(["x", 1], dtype=object)})
    content = draft_input(frame).content.decode()
    assert content.count('"dtype": "str"') == 1
    assert content.count('"dtype": "object"') == 1


STRINGS = [["x", "y"], ["it's", 'a "quote"', "new\nline", "ä"]]


@pytest.mark.parametrize("categories", STRINGS, ids=str)
def test_unordered_categories_of_strings_are_a_check_of_which_the_server_makes_the_dtype_again(tmp_path, categories):
    values = pd.Categorical([categories[1], None], categories=categories)
    packed = draft_input(pd.DataFrame({"c": values}))
    assert packed.reference == "input_schema.json"
    schema = packed_and_read(packed, tmp_path)
    assert validate(schema, pd.DataFrame({"c": values})) == []
    frame, violations = frame_from_columns({"c": [categories[1], None]}, schema)
    assert not violations
    assert frame["c"].dtype == values.dtype


@pytest.mark.parametrize(
    ("categories", "ordered"),
    [*((each, True) for each in STRINGS), *(([1, 2], each) for each in (True, False)), ([True, False], False)],
    ids=str,
)
def test_other_categories_are_kept_in_a_module_that_people_can_read(tmp_path, categories, ordered):
    values = pd.Categorical([categories[0], None], categories=categories, ordered=ordered)
    packed = draft_input(pd.DataFrame({"c": values, "n": [1.0, 2.0]}))
    assert packed.reference == "schemas.py:Input"
    dtype = packed_and_read(packed, tmp_path).columns["c"].dtype.type
    assert dtype == values.dtype
    assert dtype.ordered is ordered
    assert validate(packed_and_read(packed, tmp_path), pd.DataFrame({"c": values, "n": [1.0, 2.0]})) == []


def test_unknown_categories_break_the_draft(tmp_path):
    schema = packed_and_read(draft_input(pd.DataFrame({"c": pd.Categorical(["x", "y"])})), tmp_path)
    assert [found.column for found in validate(schema, pd.DataFrame({"c": pd.Categorical(["x", "z"])}))] == ["c"]
    assert {found.column for found in validate(schema, pd.DataFrame({"c": ["x", "y"]}))} == {"c"}


DATA = pd.DataFrame({"a": np.arange(12.0), "b": np.arange(12.0) % 5})


@pytest.mark.parametrize(
    ("estimator", "y", "columns"),
    [
        (LogisticRegression(), ["p", "q", "r"] * 4, ["prediction", "probability_p", "probability_q", "probability_r"]),
        (LogisticRegression(), [0, 1] * 6, ["prediction", "probability_0", "probability_1"]),
        (LogisticRegression(), [True, False] * 6, ["prediction", "probability_False", "probability_True"]),
        (LinearRegression(), range(12), ["prediction"]),
        (LinearRegression(), np.arange(24).reshape(12, 2), ["prediction_0", "prediction_1"]),
        (MultiOutputClassifier(LogisticRegression()), [[0, 5], [1, 6]] * 6, ["prediction_0", "prediction_1"]),
        (KMeans(2, n_init=1), None, ["prediction"]),
    ],
)
def test_the_output_draft_holds_for_the_models_answers(tmp_path, estimator, y, columns):
    model = read_model(estimator.fit(DATA, y), AllowList(), tmp_path)
    schema = packed_and_read(draft_output(model, DATA[:3]), tmp_path)
    answers = output_frame(model.estimator, DATA, model.classes)
    assert list(schema.columns) == columns
    assert validate(schema, answers) == []


@pytest.mark.parametrize(
    ("changes", "column"),
    [
        ({"prediction": "other"}, "prediction"),
        ({"probability_p": 1.5, "probability_q": -0.5}, "probability_p"),
        ({"probability_p": None}, "probability_p"),
        ({"probability_p": 0.5, "probability_q": 0.4}, None),
    ],
)
def test_answers_outside_of_the_classes_or_of_probability_break_the_output_draft(tmp_path, changes, column):
    model = read_model(LogisticRegression().fit(DATA, ["p", "q"] * 6), AllowList(), tmp_path)
    schema = packed_and_read(draft_output(model, DATA[:3]), tmp_path)
    answers = output_frame(model.estimator, DATA[:1], model.classes).assign(**changes)
    answers = answers.astype({"probability_p": float})
    assert column in [violation.column for violation in validate(schema, answers)]


def test_a_label_that_was_never_seen_breaks_the_draft_of_each_output(tmp_path):
    estimator = MultiOutputClassifier(LogisticRegression()).fit(DATA, [[0, 5], [1, 6]] * 6)
    model = read_model(estimator, AllowList(), tmp_path)
    schema = packed_and_read(draft_output(model, DATA[:3]), tmp_path)
    broken = validate(schema, pd.DataFrame({"prediction_0": [5], "prediction_1": [5]}))
    assert [violation.column for violation in broken] == ["prediction_0"]
