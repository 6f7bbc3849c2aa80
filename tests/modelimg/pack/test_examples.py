"""Examples: spread over the split, one with a missing value, answered through the runtime's own path."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
from sklearn.base import BaseEstimator, RegressorMixin

from modelimg.errors import DataError, ModelFileError, SchemaError
from modelimg.pack.data import Reader
from modelimg.pack.draft import draft_input, draft_output
from modelimg.pack.examples import example_rows, make_examples
from modelimg.pack.model import PackedModel


@pytest.fixture
def split(tmp_path, X, y):
    def make(frame=X):
        return Reader(tuple(frame.columns), None, None, tmp_path).read("test", (frame, y[: len(frame)]))

    return make


def contracts(packed, X):
    return draft_input(X).schema, draft_output(packed, X[:3]).schema


def test_ten_rows_are_spread_over_the_split_with_a_missing_value_among_them(split, X):
    rows = example_rows(split())
    assert len(rows) == 10
    assert rows[0] == 0
    assert 7 in rows
    assert X.iloc[rows].isna().any(axis=None)
    assert rows == sorted(rows) == example_rows(split())


@pytest.mark.parametrize("count", [1, 2, 9, 10, 11])
def test_a_small_split_gives_the_rows_that_it_has(split, X, count):
    assert len(example_rows(split(X[:count]))) == min(count, 10)


def test_rows_with_an_infinity_are_left_out(split, X):
    frame = X.assign(size=X["size"].where(X.index != 0, np.inf))
    assert 0 not in example_rows(split(frame))
    with pytest.raises(DataError, match="every row of the split test holds an infinity"):
        example_rows(split(X.assign(size=np.inf)))


def test_the_answers_are_the_models(packed, split, X):
    examples = make_examples(packed, *contracts(packed, X), split())
    rows = example_rows(split())
    assert examples.columns == ("size", "count", "colour")
    assert [row[2] for row in examples.rows] == X["colour"].iloc[rows].tolist()
    assert None in [row[0] for row in examples.rows]
    assert list(examples.predictions) == packed.estimator.predict(X.iloc[rows]).tolist()
    np.testing.assert_array_equal(np.array(examples.probabilities), packed.estimator.predict_proba(X.iloc[rows]))


def test_rows_that_break_the_input_schema_are_named_with_row_column_check_and_value(packed, split, X):
    schema = pa.DataFrameSchema(
        {
            "size": pa.Column(float, nullable=False),
            "count": pa.Column(int, pa.Check.ge(100)),
            "colour": pa.Column(str),
        }
    )
    with pytest.raises(SchemaError) as error:
        make_examples(packed, schema, contracts(packed, X)[1], split())
    message = error.value.message
    assert "rows of the split test break the input schema" in message
    assert "row 7, column 'size'" in message or "column 'count'" in message
    assert f"row 0, column 'count': greater_than_or_equal_to(100), got {X['count'][0]}" in message
    assert message.endswith("more")


def test_answers_that_break_the_output_schema_are_named_too(packed, split, X):
    schema = pa.DataFrameSchema({"prediction": pa.Column(str, pa.Check.isin(["other"]))})
    with pytest.raises(SchemaError, match=r"answers to rows of the split test break the output schema: row 0, column"):
        make_examples(packed, contracts(packed, X)[0], schema, split())


def test_a_schema_without_one_of_the_models_columns_is_refused(packed, split, X):
    with pytest.raises(SchemaError, match="break the input schema"):
        make_examples(packed, pa.DataFrameSchema({"size": pa.Column(float)}), contracts(packed, X)[1], split())


def test_a_column_that_json_cannot_carry_is_named(packed, split, X):
    frame = X.assign(colour=pd.Series([b"red"] * len(X), dtype=object))
    with pytest.raises(DataError, match="column 'colour' of the split test cannot be sent as JSON"):
        make_examples(packed, *contracts(packed, X), split(frame))


class Failing(RegressorMixin, BaseEstimator):
    def predict(self, X):
        raise RuntimeError("out of luck")


def test_a_model_that_fails_on_the_rows_is_told(packed, split, X):
    broken = PackedModel(b"", packed.file, Failing(), "regression", ())
    with pytest.raises(ModelFileError, match="cannot predict rows of the split test: RuntimeError: out of luck"):
        make_examples(broken, *contracts(packed, X), split())
