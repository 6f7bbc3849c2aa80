"""Estimators that ask other estimators: voting, calibration, and a target that was transformed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from modelimg_runtime.columns import Answer, Batch
from modelimg_runtime.fast.errors import NotSpecialised
from modelimg_runtime.fast.functions import inverse
from modelimg_runtime.fast.inputs import Array, Read, Value
from modelimg_runtime.fast.linear import Reply, class_labels, expits
from modelimg_runtime.fast.parts import Part
from modelimg_runtime.fast.scale import inverse_of_scaler

ReplyOf = Callable[[Part, Value, Sequence[Any]], Reply]
"""Puts together the reply of any estimator."""
DecisionOf = Callable[[Part, Value], Read]
"""Puts together what calibration asks of a classifier: its scores, or else its probabilities."""
_FROZEN = "sklearn.frozen._frozen.FrozenEstimator"


def voting_classifier(part: Part, value: Value, classes: Sequence[Any], reply_of: ReplyOf) -> Reply:
    """``VotingClassifier``, hard and soft."""
    part.check_plain()
    part.expect("voting", "hard", "soft")
    labels, soft = part["le_"]["classes_"], part["voting"] == "soft"
    weights = _weights(part)
    places = range(len(labels)) if soft else ()
    replies = [reply_of(each, value, tuple(places)) for each in part["estimators_"]]
    if len(classes) not in (0, len(labels)):
        raise NotSpecialised(f"{part.name} with {len(labels)} classes where the package has {len(classes)}")

    def softly(batch: Batch) -> Answer:
        shares = np.average(np.asarray([reply(batch).probabilities for reply in replies]), axis=0, weights=weights)
        return Answer(labels.take(np.argmax(shares, axis=1), axis=0), shares if classes else None)

    def hard(batch: Batch) -> Answer:
        votes = np.asarray([reply(batch).predictions for reply in replies]).T
        most = [np.argmax(np.bincount(row, weights=weights)) for row in votes]
        return Answer(labels.take(np.array(most), axis=0), None)

    return softly if soft else hard


def voting_regressor(part: Part, value: Value, _classes: Sequence[Any], reply_of: ReplyOf) -> Reply:
    """``VotingRegressor``: the mean of its regressors."""
    part.check_plain()
    weights = _weights(part)
    replies = [reply_of(each, value, ()) for each in part["estimators_"]]

    def answer(batch: Batch) -> Answer:
        each = np.asarray([reply(batch).predictions for reply in replies]).T
        return Answer(np.average(each, axis=1, weights=weights), None)

    return answer


def transformed_target(part: Part, value: Value, _classes: Sequence[Any], reply_of: ReplyOf) -> Reply:
    """``TransformedTargetRegressor`` of one output, with a function of NumPy's or a scaler."""
    part.check_plain()
    part.expect("_training_dim", 1)
    reply, transformer = reply_of(part["regressor_"], value, ()), part["transformer_"]
    scaler = inverse_of_scaler(transformer)
    back = inverse(transformer) if scaler is None else scaler

    def answer(batch: Batch) -> Answer:
        column = reply(batch).predictions.reshape(-1, 1)
        return Answer(back(column).squeeze(axis=1), None)

    return answer


def calibrated_classifier(part: Part, value: Value, classes: Sequence[Any], decision_of: DecisionOf) -> Reply:
    """``CalibratedClassifierCV`` by sigmoids or isotonic regression: the mean over its folds."""
    part.check_plain()
    labels = class_labels(part, classes)
    folds = [_calibrated(each, labels, value, decision_of) for each in part["calibrated_classifiers_"]]

    def answer(batch: Batch) -> Answer:
        mean = np.zeros((batch.rows, len(labels)))
        for fold in folds:
            mean += fold(batch)
        mean /= len(folds)
        return Answer(labels[np.argmax(mean, axis=1)], mean if classes else None)

    return answer


def _weights(part: Part) -> list[Any] | None:
    if part.get("weights") is None:
        return None
    named = zip(part["estimators"], part["weights"], strict=True)
    return [weight for (_, estimator), weight in named if estimator != "drop"]


def _calibrated(part: Part, labels: Array, value: Value, decision_of: DecisionOf) -> Read:
    """One fold's probabilities. Source: ``_CalibratedClassifier.predict_proba`` of ``sklearn/calibration.py``."""
    part.expect("method", "sigmoid", "isotonic")
    estimator = part["estimator"]
    if estimator.cls == _FROZEN:
        estimator = estimator["estimator"]
    decide, curves = decision_of(estimator, value), [_curve(each) for each in part["calibrators"]]
    binary = len(labels) == 2
    if part["classes"].tolist() != labels.tolist() or len(curves) != (1 if binary else len(labels)):
        raise NotSpecialised(f"{part.name} with another number of classes")

    def read(batch: Batch) -> Array:
        scores, shares = decide(batch), np.zeros((batch.rows, len(labels)))
        for at, curve in enumerate(curves, 1 if binary else 0):
            shares[:, at] = curve(scores[:, 0 if binary else at])
        if binary:
            shares[:, 0] = 1.0 - shares[:, 1]
        else:
            total, uniform = np.sum(shares, axis=1)[:, np.newaxis], np.full_like(shares, 1 / len(labels))
            shares = np.divide(shares, total, out=uniform, where=total != 0)
        shares[(shares > 1.0) & (shares <= 1.0 + 1e-5)] = 1.0
        return shares

    return read


def _curve(part: Part) -> Callable[[Array], Array]:
    """What a calibrator makes of scores, shape (rows,)."""
    if part.name == "_SigmoidCalibration":
        a, b = part["a_"], part["b_"]
        return lambda scores: expits(-(a * scores + b))
    if part.cls != "sklearn.isotonic.IsotonicRegression":
        raise NotSpecialised(f"calibration by {part.name}")
    part.expect("out_of_bounds", "clip")
    x, y = part.array("X_thresholds_"), part.array("y_thresholds_")
    lowest, highest = part["X_min_"], part["X_max_"]
    if len(y) == 1:
        return lambda scores: y.repeat(len(scores))
    return lambda scores: np.interp(np.clip(scores, lowest, highest), x, y)
