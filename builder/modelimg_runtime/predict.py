"""Validate → predict → validate: nothing reaches the model unchecked, and nothing leaves it unchecked.

This is the path that decides: pandera validates, and scikit-learn predicts. `lane` is the fast one, which may only
answer as this one would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

from modelimg_runtime import contract
from modelimg_runtime.columns import Prediction
from modelimg_runtime.errors import InputRejected, OutputRejected, Violation
from modelimg_runtime.frames import FrameReader
from modelimg_runtime.validation import validated
from modelimg_runtime.values import json_values, shown


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
    data = _as_fitted(estimator, X)
    predictions = np.asarray(estimator.predict(data))
    _expect("rows", len(predictions), len(X))
    if predictions.ndim > 1:
        return pd.DataFrame({f"{contract.PREDICTION}_{i}": predictions[:, i] for i in range(predictions.shape[1])})
    columns = {contract.PREDICTION: predictions}
    if len(classes) and hasattr(estimator, "predict_proba"):
        probabilities = np.asarray(estimator.predict_proba(data))
        _expect("probabilities", probabilities.shape[1], len(classes))
        columns |= {probability_column(label): probabilities[:, i] for i, label in enumerate(classes)}
    return pd.DataFrame(columns)


def probability_column(label: Any) -> str:
    """The output frame's column for a class: ``probability_setosa``."""
    return f"{contract.PROBABILITY_PREFIX}{label}"


class Predictor:
    """A model between its two contracts. Holds no state between calls, so threads may share one.

    Args:
        estimator: the fitted estimator.
        classes: the classifier's classes, in the order of its probabilities.
        input_schema: what a batch must be.
        output_schema: what an answer must be.

    Raises:
        ContractUnusable: a column of the input schema has a dtype that no request can fill.
    """

    def __init__(
        self,
        estimator: Any,
        classes: Sequence[Any],
        input_schema: pa.DataFrameSchema,
        output_schema: pa.DataFrameSchema,
    ) -> None:
        self._estimator = estimator
        self._classes = tuple(classes)
        self._input_schema = input_schema
        self._output_schema = output_schema
        self._reader = FrameReader(input_schema)

    @property
    def kinds(self) -> Mapping[str, str]:
        """Column → kind of its values, as ``cells`` has them."""
        return self._reader.kinds

    def predict_columns(self, columns: Mapping[str, Sequence[Any]], *, text: bool = False) -> Prediction:
        """Predict from columns of JSON values, or of CSV fields where ``text``.

        Raises:
            PayloadError: the columns are not sequences of one length.
            InputRejected: the input breaks the contract, with every failing cell.
            OutputRejected: the answer would break the contract.
        """
        frame, violations = self._reader.read(self._reader.from_text(columns) if text else columns)
        if violations:
            raise InputRejected(violations)
        return self.predict(frame)

    def predict(self, frame: pd.DataFrame) -> Prediction:
        """Predict from a frame of the input schema's dtypes.

        Raises:
            InputRejected: the input breaks the contract, with every failing cell.
            OutputRejected: the answer would break the contract.
        """
        frame, violations = validated(self._input_schema, frame)
        if violations:
            raise InputRejected(violations)
        output = output_frame(self._estimator, frame, self._classes)
        answer, violations = validated(self._output_schema, output)
        violations = violations or _infinite(answer)
        if violations:
            raise OutputRejected(violations)
        return _prediction(answer)


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
