"""Rows that wait are counted as they would have been at once, soon, and by whoever asks."""

from __future__ import annotations

import asyncio

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelimg_runtime.columns import Answer, Batch, Prediction
from modelimg_runtime.monitor import Monitor
from modelimg_runtime.monitor.live import SOON_SECONDS
from modelimg_runtime.monitor.waiting import Waiting


def in_the_end(monitor):
    """Counts, without the times."""
    counts = monitor.document().counts().to_dict()
    return {name: value for name, value in counts.items() if name not in ("first", "last")}


def with_arrays(prediction):
    """As the fast lane answers."""
    likely = None if prediction.probabilities is None else np.array(prediction.probabilities)
    return Prediction(
        prediction.predictions, prediction.probabilities, answer=Answer(np.array(prediction.predictions), likely)
    )


def spoilt(batch, position, value):
    columns = [list(column) for column in batch.columns]
    columns[position][0] = value
    return Batch(batch.names, tuple(columns), batch.rows)


def test_what_waits_is_counted_as_it_would_have_been_at_once(mixed, answered, show):
    baseline, frame = mixed
    waited = {"rows": 0}

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.integers(0, 1900),
                st.sampled_from([1, 1, 1, 2, 5, 7, 40, 300]),
                st.booleans(),
                st.sampled_from([None, None, None, None, (0, None), (0, 10**400), (1, "x"), (2, True), (3, 7)]),
            ),
            min_size=1,
            max_size=12,
        )
    )
    def agree(requests):
        at_once, later = Monitor(baseline), Monitor(baseline)
        one, other = at_once.live(), later.live()

        async def serve():
            for number, (start, rows, arrays, fault) in enumerate(requests):
                batch, prediction = answered(frame.iloc[start : start + rows])
                batch = spoilt(batch, *fault) if fault else batch
                prediction = with_arrays(prediction) if arrays else prediction
                one.observe(batch, prediction, f"r{number}")
                other.observe_soon(batch, prediction, f"r{number}")
                waited["rows"] += batch.rows

        asyncio.run(serve())
        assert in_the_end(later) == in_the_end(at_once)
        label = [{"prediction_id": f"r{n}", "row": 0, "label": "bad"} for n in range(len(requests))]
        assert other.feedback(label).to_dict() == one.feedback(label).to_dict()
        assert in_the_end(later) == in_the_end(at_once)

    agree()
    show(f"{waited['rows']} rows waited")
    assert waited["rows"] > 1000


@pytest.mark.parametrize("rows", [1, 1500])
def test_rows_are_counted_soon_though_nobody_asks(mixed, answered, rows):
    baseline, frame = mixed
    monitor = Monitor(baseline)
    live = monitor.live()
    batch, prediction = answered(frame.iloc[:rows])

    async def serve():
        live.observe_soon(batch, with_arrays(prediction), "r")
        assert monitor._memory.read().total.wholes[0] == 0
        await asyncio.sleep(SOON_SECONDS * 5 if rows == 1 else 0)
        return monitor._memory.read().total.wholes[0]

    assert asyncio.run(serve()) == rows


def test_labels_find_a_prediction_that_still_waits(mixed, answered):
    baseline, frame = mixed
    live = Monitor(baseline).live()

    async def serve():
        live.observe_soon(*answered(frame.iloc[:1]), "r")
        return live.feedback([{"prediction_id": "r", "label": "good"}])

    assert asyncio.run(serve()).to_dict()["accepted"] == 1


@pytest.mark.parametrize(
    ("change", "may_wait"),
    [
        ({}, True),
        ({"x": [None] * 3}, True),
        ({"x": [1, 2, 3]}, True),
        ({"x": ["1", "2", "3"]}, False),
        ({"count": [10**400] * 3}, False),
        ({"x": pd.Series([1.0, 2.0, 3.0])}, False),
        ({"other": [1, 2, 3]}, False),
    ],
)
@pytest.mark.parametrize("rows", [1, 3])
def test_what_cannot_wait_is_left_to_be_counted_at_once(change, may_wait, rows):
    columns = {"x": [0.5] * 3, "name": ["a"] * 3, "count": [1] * 3} | change
    batch = Batch(tuple(columns), tuple(column[:rows] for column in columns.values()), rows)
    waiting = Waiting(("x", "name", "count"), (0, 2), 0)
    expected = may_wait or (rows == 1 and isinstance(change.get("x"), pd.Series))  # a number is a number
    assert waiting.add(batch, Prediction(["a"] * rows, None), "r") is expected
    assert waiting.rows == rows * expected
    gathered = waiting.take()
    assert (gathered.rows, gathered.numbers.shape) == (rows * expected, (2, rows * expected))
    assert waiting.rows == waiting.take().rows == 0


@pytest.mark.parametrize("probabilities", [None, [[0.1, 0.2, 0.7]], [[1.0]]])
def test_answers_with_other_probabilities_than_the_profile_cannot_wait(probabilities):
    batch = Batch(("x",), ([1.0],), 1)
    waiting = Waiting(("x",), (0,), 2)
    assert not waiting.add(batch, Prediction(["a"], probabilities), "r")
    assert waiting.add(batch, Prediction(["a"], [[0.5, 0.5]]), "r")
