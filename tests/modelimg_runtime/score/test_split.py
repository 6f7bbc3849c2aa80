"""Bad rows do not spoil the good ones, whoever says no: the input contract, the model, or the output contract."""

from __future__ import annotations

import random

import pandas as pd
import pandera.pandas as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelimg_runtime.columns import Prediction
from modelimg_runtime.errors import InputRejected, ModelRefused, OutputRejected, ScoreFault, Violation
from modelimg_runtime.predict import Predictor
from modelimg_runtime.score.split import MOST_FAILURES, score_rows


class Doubling:
    """Doubles ``a``. Its contracts refuse negative numbers and answers above 100; 13 makes it crash."""

    def __init__(self):
        self.calls = 0

    def predict_columns(self, columns, *, text=False):
        self.calls += 1
        values = columns["a"]
        bad = [Violation(row, "a", "ge(0)", value) for row, value in enumerate(values) if value < 0]
        if bad:
            raise InputRejected(bad)
        if 13 in values:
            raise ZeroDivisionError("thirteen")
        large = [Violation(row, "prediction", "le(100)", 2 * v) for row, v in enumerate(values) if 2 * v > 100]
        if large:
            raise OutputRejected(large)
        return Prediction([2 * value for value in values], None)


def direction_of(value):
    return "input" if value < 0 else "model" if value == 13 else "output" if value > 50 else None


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.integers(-3, 60), st.just(13)), max_size=60))
def test_each_row_is_predicted_or_set_aside_for_its_own_reason(values):
    scored = score_rows(Doubling(), {"a": values}, len(values))
    good = [at for at, value in enumerate(values) if direction_of(value) is None]
    assert scored.positions == good
    assert scored.predictions == [2 * values[at] for at in good]
    assert {at: fault.direction for at, fault in scored.faults.items()} == {
        at: direction_of(value) for at, value in enumerate(values) if direction_of(value)
    }


def test_good_rows_cost_one_call_and_one_bad_row_one_more():
    model = Doubling()
    score_rows(model, {"a": [1] * 1000}, 1000)
    assert model.calls == 1
    score_rows(model, {"a": [1] * 500 + [-1] + [1] * 499}, 1000)
    assert model.calls == 3


def test_a_row_that_crashes_the_model_is_found_in_few_calls():
    model = Doubling()
    values = [1] * 1024
    values[random.Random(3).randrange(1024)] = 13
    scored = score_rows(model, {"a": values}, 1024)
    assert [fault.violations[0].check for fault in scored.faults.values()] == ["ZeroDivisionError"]
    assert len(scored.positions) == 1023
    assert model.calls <= 2 * 10 + 1


def test_a_model_that_crashes_at_row_after_row_stops_the_run():
    with pytest.raises(ScoreFault, match=f"more than {MOST_FAILURES} rows of a batch.*thirteen") as caught:
        score_rows(Doubling(), {"a": [13] * 1000}, 1000)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("error", [MemoryError(), ModelRefused("no"), KeyboardInterrupt()])
def test_what_no_row_is_to_blame_for_is_not_put_on_the_rows(error):
    class Failing:
        def predict_columns(self, columns, *, text=False):
            raise error

    with pytest.raises(type(error)):
        score_rows(Failing(), {"a": [1, 2]}, 2)


@pytest.mark.parametrize("check", ["column_in_dataframe", "column_in_schema", "column_ordered"])
def test_a_fault_of_the_table_stops_the_run(check):
    class Refusing:
        def predict_columns(self, columns, *, text=False):
            raise InputRejected([Violation(None, "b", check, None), Violation(1, "a", "ge(0)", -1)])

    with pytest.raises(ScoreFault, match="breaks the contract: column 'b'") as caught:
        score_rows(Refusing(), {"a": [1, 2]}, 2)
    assert caught.value.exit_code == 3


class Echo:
    def predict(self, X):
        return X["a"].to_numpy()


def predictor(**column):
    schema = pa.DataFrameSchema({"a": pa.Column("float64", **column)}, strict=True)
    return Predictor(Echo(), (), schema, pa.DataFrameSchema({"prediction": pa.Column("float64")}))


def test_duplicates_of_a_batch_are_all_rejected_and_the_others_predicted():
    scored = score_rows(predictor(unique=True), {"a": [1.0, 2.0, 1.0, 3.0]}, 4)
    assert scored.predictions == [2.0, 3.0]
    assert [fault.violations[0].check for fault in scored.faults.values()] == ["field_uniqueness"] * 2


def test_a_check_of_the_batch_that_names_no_row_rejects_all_rows():
    mean = pa.Check(lambda column: bool(column.mean() < 2), name="small_mean")
    model = predictor(checks=mean)
    assert score_rows(model, {"a": [1.0, 2.0]}, 2).predictions == [1.0, 2.0]
    scored = score_rows(model, {"a": [1.0, 1.0, 5.0]}, 3)
    assert scored.positions == []
    assert {fault.violations[0].check for fault in scored.faults.values()} == {"small_mean"}


def test_rows_that_are_named_go_first_and_a_check_of_the_batch_is_made_again_without_them():
    mean = pa.Check(lambda column: bool(column.mean() < 2), name="small_mean")
    scored = score_rows(predictor(checks=[mean, pa.Check.le(4)]), {"a": [1.0, 1.0, 50.0]}, 3)
    assert scored.positions == [0, 1]
    assert list(scored.faults) == [2]


def test_a_value_that_crashes_a_check_is_found_and_the_others_are_predicted():
    def crash(column: pd.Series) -> pd.Series:
        if (column == 13).any():
            raise RuntimeError("thirteen")
        return column > 0

    scored = score_rows(predictor(checks=pa.Check(crash, name="odd")), {"a": [1.0, 2.0, 13.0, 3.0, 4.0]}, 5)
    assert scored.predictions == [1.0, 2.0, 3.0, 4.0]
    assert scored.faults[2].violations[0].check == "odd could not be evaluated"
