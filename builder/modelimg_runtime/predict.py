"""Validate → predict → validate: nothing reaches the model unchecked, and nothing leaves it unchecked.

This is the path that decides: pandera validates, and scikit-learn predicts. `lane` is the fast one, which may only
answer as this one would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

from modelimg_runtime import contract
from modelimg_runtime.columns import Answer, Batch, Prediction
from modelimg_runtime.errors import InputRejected, OutputRejected, PayloadError, Violation
from modelimg_runtime.frames import FrameReader
from modelimg_runtime.validation import bounded, validated
from modelimg_runtime.values import json_values, shown


def answer_of(estimator: Any, X: pd.DataFrame, classes: Sequence[Any]) -> Answer:
    """What the model says of each row, as arrays.

    Args:
        estimator: a fitted estimator with ``predict``.
        X: shape (n_rows, n_columns).
        classes: the classifier's classes in the order of ``predict_proba``'s columns; empty where it has none.

    Returns:
        With probabilities where there are classes and a single-output estimator has ``predict_proba``.

    Raises:
        OutputRejected: the model gives another number of rows or of probabilities than it should.
    """
    data = _as_fitted(estimator, X)
    predictions = np.asarray(estimator.predict(data))
    _expect("rows", len(predictions), len(X))
    if predictions.ndim > 1 or not len(classes) or not hasattr(estimator, "predict_proba"):
        return Answer(predictions, None)
    probabilities = np.asarray(estimator.predict_proba(data))
    _expect("probabilities", probabilities.shape[1], len(classes))
    return Answer(predictions, probabilities)


def output_frame(estimator: Any, X: pd.DataFrame, classes: Sequence[Any]) -> pd.DataFrame:
    """What the model says of each row, as the frame that the output schema describes.

    Args:
        estimator: a fitted estimator with ``predict``.
        X: shape (n_rows, n_columns).
        classes: the classifier's classes in the order of ``predict_proba``'s columns; empty where it has none.

    Returns:
        Shape (n_rows, …): ``prediction``, or ``prediction_0``, ``prediction_1``, … of a two-dimensional result; then
        ``probability_<class>`` for each class where a single-output estimator has ``predict_proba``.

    Raises:
        OutputRejected: the model gives another number of rows or of probabilities than it should.
    """
    answer = answer_of(estimator, X, classes)
    return pd.DataFrame(dict(answer.columns(classes, contract.PREDICTION, contract.PROBABILITY_PREFIX)))


def decision_scores(estimator: Any, X: pd.DataFrame) -> np.ndarray[Any, Any]:
    """What ``decision_function`` says of each row: the confidence from which a classifier chooses.

    It is no part of the output schema, so that all that is checked is that it is finite, one or several for each row.

    Args:
        estimator: a fitted estimator.
        X: shape (n_rows, n_columns).

    Returns:
        Shape (n_rows,), positive for the second of two classes, or (n_rows, n_classes).

    Raises:
        PayloadError: the estimator has no such method.
        OutputRejected: the scores are infinite or missing, or of another number of rows.
    """
    if not hasattr(estimator, "decision_function"):
        raise PayloadError("the model gives no decision scores")
    scores = np.asarray(estimator.decision_function(_as_fitted(estimator, X)), dtype=np.float64)
    _expect("dimensions of decision scores at most", min(max(scores.ndim, 1), 2), scores.ndim)
    _expect("rows", len(scores), len(X))
    wrong = np.argwhere(~np.isfinite(scores))
    if len(wrong):
        raise OutputRejected([Violation(int(row), "score", "finite", None) for row, *_ in wrong])
    return scores


class Predictor:
    """A model between its two contracts. Holds no state between calls, so threads may share one.

    Args:
        estimator: the fitted estimator.
        classes: the classifier's classes, in the order of its probabilities.
        input_schema: what a batch must be.
        output_schema: what an answer must be.
        most: how many violations of one request are named at most; the others are counted.

    Raises:
        ContractUnusable: a column of the input schema has a dtype that no request can fill.
    """

    def __init__(
        self,
        estimator: Any,
        classes: Sequence[Any],
        input_schema: pa.DataFrameSchema,
        output_schema: pa.DataFrameSchema,
        most: int | None = None,
    ) -> None:
        self._estimator = estimator
        self._classes = tuple(classes)
        self._input_schema = bounded(input_schema, most)
        self._output_schema = bounded(output_schema, most)
        self._most = most
        self._reader = FrameReader(self._input_schema, most)

    @property
    def kinds(self) -> Mapping[str, str]:
        """Column → kind of its values, as ``cells`` has them."""
        return self._reader.kinds

    def predict_columns(
        self, columns: Mapping[str, Sequence[Any]], *, text: bool = False, scores: bool = False
    ) -> Prediction:
        """Predict from columns of JSON values, or of CSV fields where ``text``; with decision scores where asked for.

        Raises:
            PayloadError: the columns are not sequences of one length, or the model gives no decision scores.
            InputRejected: the input breaks the contract, with every failing cell.
            OutputRejected: the answer would break the contract.
        """
        frame, violations = self._reader.read(self._reader.from_text(columns) if text else columns)
        if violations:
            raise InputRejected(violations, violations.more)
        return self.predict(frame, scores=scores)

    def predict(self, frame: pd.DataFrame, *, scores: bool = False) -> Prediction:
        """Predict from a frame of the input schema's dtypes; with decision scores where asked for.

        Raises:
            PayloadError: the model gives no decision scores.
            InputRejected: the input breaks the contract, with every failing cell.
            OutputRejected: the answer would break the contract.
        """
        frame, violations = validated(self._input_schema, frame, most=self._most)
        if violations:
            raise InputRejected(violations, violations.more)
        output = output_frame(self._estimator, frame, self._classes)
        answer, violations = validated(self._output_schema, output, most=self._most)
        if violations:
            raise OutputRejected(violations, violations.more)
        if infinite := _infinite(answer):
            raise OutputRejected(infinite)
        columns: list[Any] = [column for _, column in frame.items()]
        accepted = Batch(tuple(map(str, frame)), tuple(columns), len(frame))
        found = decision_scores(self._estimator, frame).tolist() if scores else None
        return replace(_prediction(answer), scores=found, accepted=accepted)


def _as_fitted(estimator: Any, X: pd.DataFrame) -> Any:
    """An array for what was fitted on arrays: scikit-learn warns of names that it did not see in training."""
    fitted_on_array = hasattr(estimator, "n_features_in_") and not hasattr(estimator, "feature_names_in_")
    return X.to_numpy() if fitted_on_array else X


def _expect(what: str, got: int, expected: int) -> None:
    if got != expected:
        raise OutputRejected([Violation(None, None, f"{expected} {what}", got)])


def _infinite(output: pd.DataFrame) -> list[Violation]:
    """JSON has no infinity, so an answer that holds one cannot be given whatever the schema says of it."""
    numbers = output.select_dtypes("number")
    rows, columns = np.nonzero(np.isinf(numbers.to_numpy(dtype=float, na_value=np.nan)))
    return [
        Violation(row, str(numbers.columns[column]), "finite", shown(numbers.iat[row, column]))
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
    ]


def _prediction(output: pd.DataFrame) -> Prediction:
    probabilities = [name for name in output.columns if name.startswith(contract.PROBABILITY_PREFIX)]
    predictions = [name for name in output.columns if name not in probabilities]
    single = predictions == [contract.PREDICTION]
    return Prediction(
        json_values(output[contract.PREDICTION]) if single else _rows(output[predictions]),
        _rows(output[probabilities]) if probabilities else None,
    )


def _rows(frame: pd.DataFrame) -> list[list[Any]]:
    return [list(row) for row in zip(*(json_values(frame[name]) for name in frame.columns), strict=True)]
