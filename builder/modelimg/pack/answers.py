"""Profiles of what a model answers, and how far its confidence can be believed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from modelimg.errors import DataError
from modelimg.pack.bootstrap import interval_estimates
from modelimg.pack.data import Split
from modelimg.pack.metrics import TRAIN
from modelimg.pack.model import PackedModel
from modelimg_runtime import contract
from modelimg_runtime.errors import OutputRejected
from modelimg_runtime.predict import output_frame
from modelimg_runtime.profile import CategoryBins, ColumnPlan, ColumnProfile
from modelimg_runtime.profile.bins import Bins
from modelimg_runtime.profile.calibration import CONFIDENCE_BINS, SCORE_BINS, Calibration
from modelimg_runtime.profile.output import CONFIDENCE, OutputProfile
from modelimg_runtime.profile.plan import plan_column
from modelimg_runtime.profile.survey import ColumnSurvey
from modelimg_runtime.profile.values import CATEGORY, NUMBER, name_of


def output_profile(
    model: PackedModel, split: Split, schema_sha256: str, settings: contract.ProfileSettings
) -> OutputProfile:
    """The profile of the model's answers to a split, with metrics and calibration unless it is the training data.

    Raises:
        DataError: the model cannot predict the split, or its target cannot be compared.
    """
    try:
        answers = output_frame(model.estimator, split.X, model.classes)
    except (ValueError, TypeError, OutputRejected) as error:
        raise DataError(f"the model cannot predict the split {split.name}: {error}") from error
    scores = [name for name in answers if str(name).startswith(contract.PROBABILITY_PREFIX)]
    confidence = answers[scores].to_numpy(dtype=np.float64).max(axis=1) if scores else None
    target = None if split.name == TRAIN or split.y is None else split.y
    calibration = None
    if confidence is not None and target is not None:
        right = answers[contract.PREDICTION].to_numpy() == target.to_numpy()[:, 0]
        calibration = fit_calibration(confidence, np.asarray(right, dtype=bool))
    return OutputProfile(
        split=split.name,
        rows=len(answers),
        predictions=tuple(
            _answers(str(name), answers[name], model, settings) for name in answers if name not in scores
        ),
        scores=tuple(_in_bins(str(name), NUMBER, answers[name], SCORE_BINS) for name in scores),
        confidence=None if confidence is None else _in_bins(CONFIDENCE, NUMBER, confidence, CONFIDENCE_BINS),
        calibration=calibration,
        expected_accuracy=None if calibration is None else _expected(calibration),
        metrics={} if target is None else interval_estimates(model, target, answers),
        dataset_sha256=split.facts.sha256,
        dataset_kind=split.facts.kind,
        schema_sha256=schema_sha256,
    )


def fit_calibration(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> Calibration:
    """The monotone curve that fits best, through the mean confidence and accuracy of each bin.

    Args:
        confidence: probability of the top class. Shape (n,), n ≥ 1.
        right: whether it was the true one. Shape (n,).
    """
    bins = len(CONFIDENCE_BINS.edges) - 1
    places = CONFIDENCE_BINS.binner(NUMBER).many(confidence) - 1
    rows = np.bincount(places, minlength=bins)[:bins]
    sums = np.bincount(places, weights=confidence, minlength=bins)[:bins]
    hits = np.bincount(places, weights=right, minlength=bins)[:bins]
    middles = (np.array(CONFIDENCE_BINS.edges[:-1]) + np.array(CONFIDENCE_BINS.edges[1:])) / 2
    there = rows > 0
    centres = np.where(there, sums / np.maximum(rows, 1), middles)
    curve = IsotonicRegression(y_min=0, y_max=1)
    curve.fit(centres[there], hits[there] / rows[there], sample_weight=rows[there])
    knots, accuracies = np.clip(curve.X_thresholds_, 0, 1), np.clip(curve.y_thresholds_, 0, 1)
    return Calibration(tuple(knots.tolist()), tuple(accuracies.tolist()), tuple(centres.tolist()), tuple(rows.tolist()))


def _expected(calibration: Calibration) -> float:
    rows = np.array(calibration.rows)
    return float((calibration.by_bin() * rows).sum() / rows.sum())


def _answers(name: str, values: Any, model: PackedModel, settings: contract.ProfileSettings) -> ColumnProfile:
    """A column of predictions; a classifier's classes are known, so none is too rare to be named."""
    if model.classes and name == contract.PREDICTION:
        named = tuple(str(name_of(label)) for label in model.classes)
        return _in_bins(name, CATEGORY, values, CategoryBins(tuple(dict.fromkeys(named))))
    if model.task == "classification":
        values = pd.Series(values).astype("category")
    plan = plan_column(name, ColumnSurvey.of(values), settings)
    return plan.profile(plan.count(values))


def _in_bins(name: str, kind: str, values: Any, bins: Bins) -> ColumnProfile:
    plan = ColumnPlan(name, kind, bins)
    return plan.profile(plan.count(values))
