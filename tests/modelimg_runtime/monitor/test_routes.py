"""The bodies of ``/monitor.json`` and ``/feedback``, and what is said where there is none."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from modelimg_runtime.errors import PayloadError
from modelimg_runtime.monitor import Document, Monitor, report
from modelimg_runtime.monitor.routes import feedback, monitor_json

JSON = "application/json"


def test_the_document_is_complete_and_holds_the_report_of_the_window(mixed, answered):
    baseline, frame = mixed
    monitor = Monitor(baseline)
    monitor.live().observe(*answered(frame), "r")
    body = monitor_json(monitor, "24h")
    document, data = Document.from_json(body), json.loads(body)
    assert report(document, baseline).counts == monitor.report().counts
    assert (data["report"]["window"], data["report"]["rows"]) == ("24h", len(frame))
    assert data["report"]["inputs"]["status"] == "calm"


@pytest.mark.parametrize("window", ["", "1w", "x/y"])
def test_another_window_is_refused(mixed, window):
    with pytest.raises(PayloadError, match="the query parameter window: a window is total") as caught:
        monitor_json(Monitor(mixed[0]), window)
    assert caught.value.status == 400


def test_without_profiles_nothing_is_there():
    for call in (lambda: monitor_json(None, "total"), lambda: feedback(None, b"{}", JSON)):
        with pytest.raises(PayloadError, match="not monitored") as caught:
            call()
        assert caught.value.status == 404


def test_labels_are_answered_with_counts(mixed, answered):
    live = Monitor(mixed[0]).live()
    live.observe(*answered(mixed[1].iloc[:1]), "r")
    body = b'[{"prediction_id": "r", "label": "good"}, {"prediction_id": "s", "label": "good"}, {}]'
    assert json.loads(feedback(live, body, JSON)) == {
        "accepted": 1,
        "unknown": 1,
        "duplicate": 0,
        "invalid": [{"index": 2, "reason": "it lacks label"}],
    }


def test_labels_of_which_none_is_valid_are_a_fault_of_the_caller(mixed):
    live = Monitor(mixed[0]).live()
    with pytest.raises(PayloadError, match="none of 2 labels is valid: number 0: it lacks label") as caught:
        feedback(live, b"[{}, {}]", JSON)
    assert caught.value.status == 422


def test_a_model_that_is_neither_right_nor_wrong_has_no_feedback(make):
    frame = pd.DataFrame({"x": np.arange(20.0)})
    live = Monitor(make.baseline(frame, "other", make.numbers_output(np.arange(20.0)))).live()
    with pytest.raises(PayloadError, match="right or wrong") as caught:
        feedback(live, b'{"prediction": 1, "label": 1}', JSON)
    assert caught.value.status == 404
