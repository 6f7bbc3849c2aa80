"""Accuracy without labels: near the truth while the meaning of the inputs stays, with an interval that covers it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from modelimg.pack.answers import fit_calibration
from modelimg_runtime.drift.estimate import ROWS, estimated_accuracy
from modelimg_runtime.profile.calibration import CONFIDENCE_BINS

BINNER = CONFIDENCE_BINS.binner("number")
REPEATS = 60


def world(random, n, shift=0.0, flipped=0.0):
    X = random.randn(n, 3) + shift
    p = 1 / (1 + np.exp(-(X @ [1.5, -1.0, 0.5])))
    y = random.rand(n) < p
    return X, y ^ (random.rand(n) < flipped)


def answers(model, X):
    probabilities = model.predict_proba(X)
    return probabilities.max(axis=1), model.classes_[probabilities.argmax(axis=1)]


@pytest.fixture(scope="module")
def model():
    """Twice as sure as it should be."""
    fitted = LogisticRegression(C=100).fit(*world(np.random.RandomState(99), 2000))
    fitted.coef_ = fitted.coef_ * 2
    return fitted


def calibrated(model, random, tests=1500):
    X, y = world(random, tests)
    confidence, predicted = answers(model, X)
    return fit_calibration(confidence, predicted == y), (predicted == y).mean()


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.0, 2.0])
def test_the_estimate_follows_the_accuracy_when_inputs_move(model, shift, show):
    random, covered, errors = np.random.RandomState(int(10 * shift)), 0, []
    for _ in range(REPEATS):
        calibration, _ = calibrated(model, random)
        X, y = world(random, 1000, shift)
        confidence, predicted = answers(model, X)
        found = estimated_accuracy(calibration, BINNER.counts(confidence))
        true = (predicted == y).mean()
        covered += found.low <= true <= found.high
        errors.append(found.value - true)
    raw = np.mean(confidence) - true
    show(
        f"moved by {shift} σ: mean error {np.mean(errors):+.3f} (uncalibrated {raw:+.3f}), covers {covered} of {REPEATS}"
    )
    assert abs(np.mean(errors)) < 0.02
    assert covered >= 0.85 * REPEATS


def test_it_cannot_see_that_labels_changed_their_meaning(model):
    random = np.random.RandomState(0)
    calibration, _ = calibrated(model, random)
    X, y = world(random, 5000, flipped=0.3)
    confidence, predicted = answers(model, X)
    found = estimated_accuracy(calibration, BINNER.counts(confidence))
    assert found.low > (predicted == y).mean() + 0.1


def test_on_the_reference_itself_it_is_the_accuracy(model):
    calibration, accuracy = calibrated(model, np.random.RandomState(1))
    counts = [0, *calibration.rows, 0, 0]
    assert estimated_accuracy(calibration, counts).value == pytest.approx(accuracy, abs=1e-9)


def test_a_calibration_that_was_never_wrong_is_not_sure():
    calibration = fit_calibration(np.full(50, 0.99), np.full(50, True))
    found = estimated_accuracy(calibration, BINNER.counts(np.full(10_000, 0.99)))
    assert found.value == found.high == 1.0
    assert found.low < 0.99


def test_few_rows_are_not_estimated():
    calibration = fit_calibration(np.linspace(0.5, 1, 100), np.arange(100) > 30)
    assert estimated_accuracy(calibration, BINNER.counts(np.full(ROWS - 1, 0.9))) is None
    assert estimated_accuracy(calibration, BINNER.counts(np.full(ROWS, 0.9))) is not None
    with pytest.raises(ValueError, match="53 places"):
        estimated_accuracy(calibration, [1, 2, 3])


@pytest.mark.parametrize(
    "change",
    [
        {"confidences": ()},
        {"confidences": (0.5,)},
        {"confidences": (0.9, 0.5)},
        {"accuracies": (0.9, 0.5)},
        {"accuracies": (0.5, 1.5)},
        {"centres": (0.5,)},
        {"rows": (-1,) * 50},
    ],
)
def test_what_is_no_calibration_is_refused(change):
    sound = fit_calibration(np.array([0.6, 0.9]), np.array([False, True]))
    with pytest.raises(ValueError, match=r"calibration|confidences"):
        replace(sound, **change)
