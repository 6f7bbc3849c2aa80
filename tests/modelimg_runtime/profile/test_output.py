"""output_profile.json: it comes back as it was, and is refused where it cannot be."""

from __future__ import annotations

import json

import numpy as np
import pytest

from modelimg_runtime.profile import CategoryBins, ColumnPlan
from modelimg_runtime.profile.calibration import CONFIDENCE_BINS, SCORE_BINS, Calibration
from modelimg_runtime.profile.output import Estimate, OutputProfile


def counted(name, kind, bins, values):
    plan = ColumnPlan(name, kind, bins)
    return plan.profile(plan.count(values))


@pytest.fixture
def profile():
    scores = np.array([0.0, 0.05, 0.4, 1.0])
    return OutputProfile(
        split="test",
        rows=4,
        predictions=(counted("prediction", "category", CategoryBins(("no", "yes")), ["no", "no", "no", "yes"]),),
        scores=(counted("probability_yes", "number", SCORE_BINS, scores),),
        confidence=counted("confidence", "number", CONFIDENCE_BINS, np.maximum(scores, 1 - scores)),
        calibration=Calibration((0.5, 1.0), (0.25, 0.75), tuple((i + 0.5) / 50 for i in range(50)), (1,) * 50),
        expected_accuracy=0.5,
        metrics={"accuracy": Estimate(0.9, 0.8, 0.95)},
        dataset_sha256="0" * 64,
        dataset_kind="file",
        schema_sha256="1" * 64,
    )


def test_it_comes_back_from_json(profile):
    text = profile.to_json()
    assert OutputProfile.from_json(text) == profile
    assert json.loads(text)["metrics"] == {"accuracy": {"value": 0.9, "low": 0.8, "high": 0.95}}


def test_a_profile_without_probabilities_comes_back_too(profile):
    bare = OutputProfile("train", 4, profile.predictions)
    assert OutputProfile.from_json(bare.to_json()) == bare
    assert [column.name for column in bare.columns] == ["prediction"]


def test_all_that_is_counted_live_is_listed(profile):
    assert [column.name for column in profile.columns] == ["prediction", "probability_yes", "confidence"]


def test_scores_from_0_to_1_are_inside_of_their_bins(profile):
    counts = profile.scores[0].counts
    assert (counts[0], counts[1], counts[8], counts[20], sum(counts[-2:])) == (0, 2, 1, 1, 0)


def test_a_calibration_is_a_line_between_its_knots_and_level_outside(profile):
    curve = profile.calibration
    np.testing.assert_allclose(curve.accuracy_at(np.array([0.0, 0.5, 0.75, 1.0, 2.0])), [0.25, 0.25, 0.5, 0.75, 0.75])
    assert len(curve.by_bin()) == 50
    assert curve.by_bin()[-1] == pytest.approx(0.74)


@pytest.mark.parametrize(("value", "low", "high"), [(0.5, 0.6, 0.4), (float("nan"), 0, 1), (0.5, 0.0, float("inf"))])
def test_what_is_no_interval_is_refused(value, low, high):
    with pytest.raises(ValueError, match="no interval"):
        Estimate(value, low, high)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(format_version=99),
        lambda d: d.update(rows=5),
        lambda d: d.pop("split"),
        lambda d: d.pop("metrics"),
        lambda d: d["metrics"]["accuracy"].pop("low"),
        lambda d: d["metrics"]["accuracy"].update(low=1.0),
        lambda d: d.update(metrics=[]),
        lambda d: d.update(predictions=None),
        lambda d: d["calibration"].pop("rows"),
        lambda d: d["calibration"].update(confidences=None),
        lambda d: d["calibration"]["accuracies"].reverse(),
        lambda d: d["confidence"].pop("kind"),
        lambda d: d.update(dataset=None),
    ],
)
def test_what_is_no_output_profile_is_refused(profile, change):
    document = json.loads(profile.to_json())
    change(document)
    with pytest.raises(ValueError, match=r"."):
        OutputProfile.from_json(json.dumps(document))
