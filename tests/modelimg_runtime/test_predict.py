from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression

from modelimg_runtime.errors import InputRejected, OutputRejected, PayloadError
from modelimg_runtime.model import load_model
from modelimg_runtime.predict import Predictor, output_frame

X = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0]})
INPUT = pa.DataFrameSchema({"a": pa.Column("float64", pa.Check.ge(0))}, strict=True)
OUTPUT = pa.DataFrameSchema({"prediction": pa.Column("float64", nullable=True)}, strict=True)


class Says(BaseEstimator):
    """Predicts what it was told to, whatever it is asked."""

    def __init__(self, answer, probabilities=None):
        self.answer = answer
        self.probabilities = probabilities

    def predict(self, X):
        return np.asarray(self.answer)


class SaysProbabilities(Says):
    def predict_proba(self, X):
        return np.asarray(self.probabilities)


def test_a_classifier_gives_a_prediction_and_a_probability_per_class():
    model = LogisticRegression().fit(X, ["no", "no", "yes", "yes"])
    frame = output_frame(model, X, ["no", "yes"])
    assert list(frame.columns) == ["prediction", "probability_no", "probability_yes"]
    assert np.array_equal(frame[["probability_no", "probability_yes"]], model.predict_proba(X))


def test_a_regressor_gives_a_prediction_and_many_outputs_a_column_each():
    assert list(output_frame(LinearRegression().fit(X, X["a"]), X, []).columns) == ["prediction"]
    both = LinearRegression().fit(X, np.column_stack([X["a"], -X["a"]]))
    assert list(output_frame(both, X, []).columns) == ["prediction_0", "prediction_1"]


def test_a_model_fitted_on_arrays_gets_an_array_so_that_scikit_learn_does_not_warn():
    model = LinearRegression().fit(X.to_numpy(), X["a"])
    assert output_frame(model, X, [])["prediction"].tolist() == pytest.approx(X["a"].tolist())


def test_an_answer_that_holds_is_given_as_json_values():
    predictor = Predictor(Says([1.5, math.nan]), (), INPUT, OUTPUT)
    answer = predictor.predict_columns({"a": [1, 2]})
    assert (answer.predictions, answer.probabilities) == ([1.5, None], None)


@pytest.mark.parametrize(
    ("answer", "check"),
    [
        ([1.0], "2 rows"),
        ([1.0, 2.0, 3.0], "2 rows"),
        ([1.0, math.inf], "finite"),
        ([1.0, -math.inf], "finite"),
        ([1, 2], "dtype('float64')"),
        (["a", "b"], "dtype('float64')"),
        ([[1.0], [2.0]], "column_in_schema"),
    ],
)
def test_an_answer_that_breaks_its_contract_is_never_given(answer, check):
    with pytest.raises(OutputRejected) as rejected:
        Predictor(Says(answer), (), INPUT, OUTPUT).predict_columns({"a": [1, 2]})
    assert check in {violation.check for violation in rejected.value.violations}


@pytest.mark.parametrize(
    "probabilities",
    [[[0.5, 0.6]], [[1.5, -0.5]], [[math.nan, 1.0]], [[0.2, 0.3, 0.5]], [[1.0]]],
)
def test_probabilities_that_are_none_are_never_given(probabilities):
    column = pa.Column("float64", pa.Check.in_range(0, 1))
    output = pa.DataFrameSchema(
        {"prediction": pa.Column("str"), "probability_a": column, "probability_b": column},
        checks=pa.Check.rows_sum_to_one(tol=1e-6),
    )
    predictor = Predictor(SaysProbabilities(["a"], probabilities), ("a", "b"), INPUT, output)
    with pytest.raises(OutputRejected):
        predictor.predict_columns({"a": [1]})


def test_a_frame_that_breaks_the_input_contract_does_not_reach_the_model():
    class Untouchable(Says):
        def predict(self, X):
            raise AssertionError("the model was asked")

    with pytest.raises(InputRejected):
        Predictor(Untouchable([1.0]), (), INPUT, OUTPUT).predict(pd.DataFrame({"a": [-1.0]}))


def test_the_model_gets_what_the_contracts_parsers_and_defaults_make_of_the_input():
    schema = pa.DataFrameSchema(
        {"a": pa.Column("float64", default=7.0, parsers=pa.Parser(lambda column: column.clip(upper=5)))}, strict=True
    )
    seen = []

    class Sees(Says):
        def predict(self, X):
            seen.extend(X["a"])
            return np.asarray(self.answer)

    Predictor(Sees([0.0, 0.0]), (), schema, OUTPUT).predict_columns({"a": [9, None]})
    assert max(seen) <= 7
    assert not any(map(math.isnan, seen))


def test_threads_that_share_a_predictor_get_their_own_answers(mixed):
    predictor = load_model(mixed.folder).predictor()
    alone = [predictor.predict_columns({name: [values[i]] for name, values in mixed.columns.items()}) for i in range(6)]

    def ask(i):
        columns = {name: [values[i % 6]] for name, values in mixed.columns.items()}
        if i % 5:
            return predictor.predict_columns(columns) == alone[i % 6]
        with pytest.raises(InputRejected) as rejected:
            predictor.predict_columns({**columns, "age": [-i - 1]})
        return [violation.value for violation in rejected.value.violations] == [-i - 1]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(120)))


# ---- decision scores ---------------------------------------------------------------------------------------


class SaysScores(SaysProbabilities):
    def decision_function(self, X):
        return np.asarray(self.probabilities)


@pytest.mark.parametrize("labels", [["no", "yes"], ["no", "maybe", "yes"]])
def test_decision_scores_are_scikit_learns_one_for_each_row_or_class(labels):
    y = (labels * 2)[:4]
    model = LogisticRegression().fit(X, y)
    predictor = Predictor(model, labels, INPUT, pa.DataFrameSchema({"prediction": pa.Column("str")}))
    answer = predictor.predict_columns({"a": [0, 1, 2, 3]}, scores=True)
    assert answer.scores == model.decision_function(X).tolist()
    assert predictor.predict_columns({"a": [0, 1, 2, 3]}) == replace(answer, scores=None)


def test_a_model_without_decision_scores_has_none_to_ask_for():
    predictor = Predictor(Says([1.0]), (), INPUT, OUTPUT)
    with pytest.raises(PayloadError, match="gives no decision scores"):
        predictor.predict_columns({"a": [1]}, scores=True)


@pytest.mark.parametrize(
    ("scores", "check"),
    [
        ([math.nan, 1.0], "finite"),
        ([1.0, math.inf], "finite"),
        ([[1.0, 2.0], [3.0, -math.inf]], "finite"),
        ([1.0], "2 rows"),
        (1.0, "dimensions"),
        ([[[1.0]], [[2.0]]], "dimensions"),
    ],
)
def test_decision_scores_that_json_cannot_hold_or_that_are_not_one_a_row_are_never_served(scores, check):
    predictor = Predictor(SaysScores([1.0, 2.0], scores), (), INPUT, OUTPUT)
    with pytest.raises(OutputRejected) as error:
        predictor.predict_columns({"a": [1, 2]}, scores=True)
    assert check in error.value.violations[0].check
