"""Labels that come later: each is counted once, by whichever process gets it, for the prediction that it is of."""

from __future__ import annotations

import json
import threading

import numpy as np
import pandas as pd
import pytest

from modelimg_runtime.columns import Batch, Prediction
from modelimg_runtime.errors import PayloadError
from modelimg_runtime.monitor import Limits, Monitor
from modelimg_runtime.monitor.feedback import MOST_NAMED, read_items
from modelimg_runtime.monitor.live import NoLabels
from modelimg_runtime.monitor.recent import Recent, key_of
from modelimg_runtime.monitor.routes import monitor_json

TSV = "application/x-ndjson"


@pytest.fixture
def classes(make):
    frame = pd.DataFrame({"x": np.arange(40.0)})
    return make.baseline(frame, "classification", make.classifier_output(["a", "b"] * 20))


def serve(live, identifier, answers):
    live.observe(Batch(("x",), ([1.0] * len(answers),), len(answers)), Prediction(answers, None), identifier)


def counts_of(outcome):
    return {name: count for name, count in outcome.counts.items() if count}


def test_a_label_is_counted_once_for_its_prediction(classes):
    monitor = Monitor(classes)
    live = monitor.live()
    serve(live, "one", ["a"])
    assert counts_of(live.feedback([{"prediction_id": "one", "label": "a"}])) == {"accepted": 1}
    assert counts_of(live.feedback([{"prediction_id": "one", "label": "b"}])) == {"duplicate": 1}
    assert counts_of(live.feedback([{"prediction_id": "two", "label": "b"}])) == {"unknown": 1}
    assert counts_of(live.feedback([{"prediction_id": "one", "label": "c"}])) == {"invalid": 1}
    counts = monitor.document().counts()
    assert (counts.rows, counts.labels) == (1, 1)
    assert counts.feedback == {"accepted": 1, "unknown": 1, "duplicate": 1, "invalid": 1}
    assert [metric.live.value for metric in monitor.report().metrics] == [1.0]


@pytest.mark.parametrize("rows", [4, 5, 30])
def test_rows_of_one_request_have_labels_of_their_own(classes, rows):
    monitor = Monitor(classes)
    live = monitor.live()
    answers = ["a" if row % 3 else "b" for row in range(rows)]
    serve(live, "many", answers)
    items = [{"prediction_id": "many", "row": row, "label": answers[row]} for row in range(rows)]
    assert counts_of(live.feedback([*items, {"prediction_id": "many", "row": rows, "label": "a"}])) == {
        "accepted": rows,
        "unknown": 1,
    }
    assert counts_of(live.feedback(items)) == {"duplicate": rows}
    assert monitor.report().metrics[0].live.value == 1.0


def test_a_label_twice_in_one_body_is_counted_once(classes):
    live = Monitor(classes).live()
    serve(live, "one", ["a"])
    item = {"prediction_id": "one", "label": "a"}
    assert counts_of(live.feedback([item, item])) == {"accepted": 1, "duplicate": 1}


def test_a_prediction_that_is_sent_back_needs_no_state(classes):
    monitor = Monitor(classes, Limits(recent_rows=0))
    live = monitor.live()
    serve(live, "one", ["a"])
    assert counts_of(live.feedback([{"prediction_id": "one", "label": "a"}])) == {"unknown": 1}
    assert counts_of(live.feedback([{"prediction_id": "one", "label": "a", "prediction": "b"}])) == {"accepted": 1}
    assert counts_of(live.feedback([{"label": "a", "prediction": "a"}])) == {"accepted": 1}
    assert monitor.report().metrics[0].live.value == 0.5


def test_what_this_server_answered_counts_whatever_the_caller_says(classes):
    monitor = Monitor(classes)
    live = monitor.live()
    serve(live, "one", ["a"])
    live.feedback([{"prediction_id": "one", "label": "b", "prediction": "b"}])
    assert monitor.report().metrics[0].live.value == 0.0


def test_a_label_counts_in_the_window_of_its_prediction(classes, clock, make):
    monitor = Monitor(classes, clock=clock)
    live = monitor.live()
    serve(live, "one", ["a"])
    clock.now += 3 * make.HOUR
    serve(live, "two", ["a"])
    live.feedback([{"prediction_id": "one", "label": "a"}])
    first, second = monitor.document().windows.values()
    assert (first.labels, second.labels) == (1, 0)
    assert (first.feedback["accepted"], second.feedback["accepted"]) == (0, 1)


def test_an_id_that_is_used_again_means_the_newest_prediction(classes, clock):
    monitor = Monitor(classes, clock=clock)
    live = monitor.live()
    serve(live, "one", ["a"])
    clock.now += 1
    serve(live, "one", ["b"])
    live.feedback([{"prediction_id": "one", "label": "b"}])
    assert monitor.report().metrics[0].live.value == 1.0


def test_the_oldest_predictions_are_forgotten(classes):
    live = Monitor(classes, Limits(recent_rows=10)).live()
    for number in range(13):
        serve(live, f"r{number}", ["a"])
    serve(live, "many", ["a"] * 7)
    items = [{"prediction_id": f"r{number}", "label": "a"} for number in range(13)]
    assert counts_of(live.feedback(items)) == {"accepted": 3, "unknown": 10}
    serve(live, "more", ["a"] * 25)
    items = [{"prediction_id": "more", "row": row, "label": "a"} for row in range(25)]
    assert counts_of(live.feedback(items)) == {"accepted": 10, "unknown": 15}


def test_predictions_that_are_too_old_are_unknown(classes, clock):
    live = Monitor(classes, Limits(recent_seconds=60), clock=clock).live()
    serve(live, "one", ["a"])
    serve(live, "two", ["a"])
    clock.now += 59
    assert counts_of(live.feedback([{"prediction_id": "one", "label": "a"}])) == {"accepted": 1}
    clock.now += 2
    assert counts_of(live.feedback([{"prediction_id": "two", "label": "a"}])) == {"unknown": 1}


def test_another_process_finds_the_prediction(classes, forked):
    monitor = Monitor(classes, processes=3)

    def work(number):
        live = monitor.live(number)
        for repeat in range(50):
            serve(live, f"{number}-{repeat}", ["a"])

    forked(work, 2)
    items = [{"prediction_id": f"{number}-{repeat}", "label": "b"} for number in range(2) for repeat in range(50)]
    assert counts_of(monitor.live(2).feedback(items)) == {"accepted": 100}
    assert monitor.document().counts().labels == 100


def test_a_label_that_comes_to_several_processes_at_once_is_counted_once(classes, forked):
    monitor = Monitor(classes, processes=4)
    live = monitor.live(0)
    for number in range(200):
        serve(live, f"r{number}", ["a"])

    def work(number):
        mine = monitor.live(number)
        for repeat in range(200):
            mine.feedback([{"prediction_id": f"r{(repeat + 7 * number) % 200}", "label": "a"}])

    forked(work, 4)
    counts = monitor.document().counts()
    assert counts.labels == counts.feedback["accepted"] == 200
    assert counts.feedback["duplicate"] == 600


def test_a_label_that_comes_to_several_threads_at_once_is_counted_once(classes):
    monitor = Monitor(classes)
    live = monitor.live()
    for number in range(100):
        serve(live, f"r{number}", ["a"])
    items = [{"prediction_id": f"r{number}", "label": "a"} for number in range(100)]
    threads = [threading.Thread(target=lambda: [live.feedback([item]) for item in items]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert monitor.document().counts().labels == 100


def test_a_regression_is_judged_by_its_errors(diabetes):
    baseline, frame, said, y = diabetes
    monitor = Monitor(baseline)
    live = monitor.live()
    batch = Batch(tuple(frame), tuple(frame[name].tolist() for name in frame), len(frame))
    live.observe(batch, Prediction(said.tolist(), None), "all")
    live.feedback([{"prediction_id": "all", "row": row, "label": float(label)} for row, label in enumerate(y)])
    metrics = {metric.name: metric.live for metric in monitor.report().metrics}
    assert metrics["mae"].value == pytest.approx(np.abs(said - y).mean())
    assert metrics["r2"].low < 1 - ((said - y) ** 2).sum() / ((y - y.mean()) ** 2).sum() < metrics["r2"].high


@pytest.mark.parametrize("rows", [1, 40])
def test_an_answer_that_is_missing_is_counted_and_has_no_label(diabetes, rows):
    baseline, frame, _, truth = diabetes
    monitor, columns = Monitor(baseline), tuple(frame[name][:rows].tolist() for name in frame)
    live = monitor.live()
    answers = [None, *truth[1:rows].tolist()]
    live.observe(Batch(tuple(frame), columns, rows), Prediction(answers, None), "r")
    labels = [{"prediction_id": "r", "row": row, "label": 100.0} for row in range(rows)]
    outcome = live.feedback(labels)
    assert (outcome.counts["invalid"], outcome.counts["accepted"]) == (1, rows - 1)
    assert outcome.invalid == [(0, "the answer to this row was a missing value")]
    assert monitor.document().counts().outputs["prediction"][-1] == 1
    assert json.loads(monitor_json(monitor, "total"))["report"]["labels"] == rows - 1


def test_a_model_whose_answers_cannot_be_right_takes_no_labels(make):
    frame = pd.DataFrame({"x": np.arange(20.0)})
    live = Monitor(make.baseline(frame, "other", make.numbers_output(np.arange(20.0)))).live()
    serve(live, "one", [1.0])
    with pytest.raises(NoLabels):
        live.feedback([{"prediction_id": "one", "label": 1.0}])


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (3, "a label is an object"),
        (None, "a label is an object"),
        ([], "a label is an object"),
        ({}, "it lacks label"),
        ({"prediction_id": "one"}, "it lacks label"),
        ({"label": "a"}, "it lacks prediction_id"),
        ({"prediction_id": None, "label": "a"}, "it lacks prediction_id"),
        ({"prediction_id": 7, "label": "a"}, "prediction_id is a text"),
        ({"prediction_id": "", "label": "a"}, "prediction_id is a text"),
        ({"prediction_id": "x" * 257, "label": "a"}, "prediction_id is a text"),
        ({"prediction_id": "one", "label": "a", "row": -1}, "row is a whole number"),
        ({"prediction_id": "one", "label": "a", "row": 1.5}, "row is a whole number"),
        ({"prediction_id": "one", "label": "a", "row": True}, "row is a whole number"),
        ({"prediction_id": "one", "label": "a", "row": 2**80}, "row is a whole number"),
        ({"prediction_id": "one", "label": "a", "id": 1}, "there is no field 'id'"),
        ({"prediction_id": "one", "label": None}, "none of the model's classes"),
        ({"prediction_id": "one", "label": {"a": 1}}, "none of the model's classes"),
        ({"prediction": "z", "label": "a"}, "none of the model's classes"),
        ({"prediction": None, "label": "a"}, "none of the model's classes"),
        ({"prediction_id": "\ud800", "label": "z"}, "none of the model's classes"),
    ],
)
def test_what_is_no_label_is_invalid_with_its_number_and_reason(classes, item, reason):
    live = Monitor(classes).live()
    serve(live, "one", ["a"])
    outcome = live.feedback([{"prediction_id": "one", "label": "a"}, item])
    assert counts_of(outcome) == {"accepted": 1, "invalid": 1}
    (number, text) = outcome.invalid[0]
    assert number == 1
    assert reason in text


def test_of_many_invalid_labels_the_first_are_named(classes):
    body = Monitor(classes).live().feedback([0] * (MOST_NAMED + 5)).to_dict()
    assert len(body["invalid"]) == MOST_NAMED
    assert body["invalid_truncated"] == 5


@pytest.mark.parametrize(
    ("body", "kind", "count"),
    [
        (b'{"label": 1}', "application/json", 1),
        (b'[{"label": 1}, 3]', "application/json", 2),
        (b'{"label": 1}\n\n{"label": 2}\r\n', TSV, 2),
        (b"[1, 2]\n[3]", TSV, 2),
    ],
)
def test_bodies_are_read(body, kind, count):
    assert len(read_items(body, kind)) == count


@pytest.mark.parametrize(
    ("body", "kind", "reason"),
    [
        (b"", "application/json", "the body is empty"),
        (b"[]", "application/json", "holds no label"),
        (b"\n \n", TSV, "holds no label"),
        (b"", TSV, "holds no label"),
        (b"{", "application/json", "not JSON"),
        (b'{"a": 1, "a": 2}', "application/json", "the same key twice"),
        (b'{"label": NaN}', "application/json", "JSON has no NaN"),
        (b'{"label": 1}\n{', TSV, "line 1 of the body: not JSON"),
        (b"\xff", "application/json", "not UTF-8"),
        (b"[" * 100_000, "application/json", "nested too deeply"),
    ],
)
def test_bodies_without_labels_are_refused(body, kind, reason):
    with pytest.raises(PayloadError, match=reason):
        read_items(body, kind)


def test_rows_have_keys_of_their_own():
    keys = {key_of(identifier, row) for identifier in ("a", "b", "a/1", "a\ud800") for row in range(100)}
    assert len(keys) == 400


def test_a_ring_finds_what_it_was_given_last(show):
    random, recent, known = np.random.RandomState(0), Recent(2, 50, 2, 1000.0), {0: [], 1: []}
    for step in range(400):
        slot, count = random.randint(2), int(random.choice([1, 2, 7, 30]))
        numbers = random.randn(count, 2)
        if count < 5:
            recent.remember(slot, f"r{step}", [tuple(row) for row in numbers.tolist()], step)
        else:
            recent.remember_all(slot, [f"r{step}"], [count], numbers, step)
        known[slot] += [(key_of(f"r{step}", row), tuple(numbers[row].tolist())) for row in range(count)]
    every = {key: numbers for slot in known for key, numbers in known[slot]}
    held = {key: numbers for slot in known for key, numbers in known[slot][-50:]}
    found = recent.find(list(every), 400.0)
    assert {key: each.numbers for key, each in found.items()} == held
    show(f"{len(found)} of {len(every)} predictions are still known")


def test_json_answers_hold_counts_and_reasons(classes):
    live = Monitor(classes).live()
    serve(live, "one", ["a"])
    body = live.feedback([{"prediction_id": "one", "label": "a"}, {"label": 2}]).to_dict()
    assert json.loads(json.dumps(body)) == {
        "accepted": 1,
        "unknown": 0,
        "duplicate": 0,
        "invalid": [{"index": 1, "reason": "it lacks prediction_id, or prediction as it was answered"}],
    }
