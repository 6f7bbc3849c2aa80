"""Documents add up in any order, and adding one twice changes nothing."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelimg_runtime.monitor import Document, Limits, Monitor, add, span_of
from modelimg_runtime.monitor.counts import Counts
from modelimg_runtime.monitor.document import Identity, Replica

IDENTITY = Identity("model", "1", "a", "b", "c")
COUNT = st.integers(0, 5)


def counts(rows, labels, whole):
    """Of a state of counters that only ever grow together."""
    return Counts(
        rows,
        1.5 if rows else None,
        2.5 + rows if rows else None,
        {"x": (rows, 0, whole)},
        {"prediction": (rows,)},
        {"accepted": labels, "unknown": 0, "duplicate": 0, "invalid": whole},
        (labels,),
        (0.5 * labels,),
    )


COUNTS = st.builds(counts, COUNT, COUNT, COUNT)
REPLICAS = st.builds(
    Replica, st.sampled_from(["p", "q", "r"]), COUNTS, st.dictionaries(st.sampled_from([0, 3600, 7200]), COUNTS)
)


@st.composite
def documents(draw):
    replicas = {each.id: each for each in draw(st.lists(REPLICAS, max_size=3))}
    return Document(IDENTITY, 3600, float(draw(st.integers(1, 9))), tuple(replicas[key] for key in sorted(replicas)))


def normal(document):
    return document.to_json()


@settings(max_examples=300, deadline=None)
@given(documents(), documents(), documents())
def test_adding_is_associative_commutative_and_idempotent(one, two, three):
    assert normal(add([one, two])) == normal(add([two, one]))
    assert normal(add([add([one, two]), three])) == normal(add([one, add([two, three])]))
    assert normal(add([one, one])) == normal(add([one]))
    assert normal(add([add([one, two]), two])) == normal(add([one, two]))


@settings(max_examples=100, deadline=None)
@given(documents())
def test_a_document_survives_json(document):
    assert Document.from_json(document.to_json()) == replace(
        document,
        replicas=tuple(replace(each, windows=dict(sorted(each.windows.items()))) for each in document.replicas),
    )


def test_counters_of_replicas_add_up_window_by_window(mixed, answered, make):
    baseline, frame = mixed
    monitors = [Monitor(baseline, clock=make.Clock(make.START + i * make.HOUR // 2)) for i in range(3)]
    for rows, monitor in enumerate(monitors, start=10):
        monitor.live().observe(*answered(frame.iloc[:rows]), "r")
    total = add(monitor.document() for monitor in monitors)
    first = 490_000 * make.HOUR
    assert {start: found.rows for start, found in total.windows.items()} == {first: 10 + 11, first + make.HOUR: 12}
    assert total.counts().rows == 33
    assert total.counts().inputs["x"] == tuple(
        np.sum([monitor.document().counts().inputs["x"] for monitor in monitors], axis=0)
    )
    assert total.counts().first == make.START


def test_days_of_one_replica_are_united_and_not_counted_twice(mixed, answered, clock, make):
    baseline, frame = mixed
    monitor, days = Monitor(baseline, Limits(windows=24), clock=clock), []
    live = monitor.live()
    for hour in range(48):
        clock.now = make.START + hour * make.HOUR
        live.observe(*answered(frame.iloc[: 1 + hour]), "r")
        if hour % 12 == 11:  # twice as often as the ring is long, so that documents overlap
            days.append(monitor.document())
            live.observe(*answered(frame.iloc[:100]), "late")
    total = add(reversed(days))
    assert len(total.windows) == 48
    # What came to the last hour after the last document was read is in none of them.
    assert total.counts().rows == sum(range(1, 49)) + 300
    assert sum(found.rows for found in total.windows.values()) == total.counts().rows
    assert total.counts(span_of("24h")).rows == sum(range(25, 49)) + 100 + 24 + 100


def test_an_empty_service_has_a_document_of_no_rows(mixed):
    document = Monitor(mixed[0]).document()
    assert (document.counts().rows, document.windows) == (0, {})
    assert Document.from_json(document.to_json()) == document


@pytest.mark.parametrize("name", ["name", "version", "model_sha256", "input_sha256", "output_sha256"])
def test_documents_of_other_models_do_not_add_up(name):
    one = Document(IDENTITY, 3600, 1.0, ())
    with pytest.raises(ValueError, match="one model"):
        add([one, replace(one, identity=replace(IDENTITY, **{name: "other"}))])


def test_windows_of_other_lengths_do_not_add_up():
    one = Document(IDENTITY, 3600, 1.0, ())
    with pytest.raises(ValueError, match="3600 and 60 seconds"):
        add([one, replace(one, window_seconds=60)])


def test_counts_of_other_columns_or_bins_do_not_add_up():
    with pytest.raises(ValueError, match="other columns"):
        Counts(inputs={"x": (1,)}) + Counts(inputs={"y": (1,)})
    with pytest.raises(ValueError, match="other bins"):
        Counts(inputs={"x": (1,)}) + Counts(inputs={"x": (1, 2)})


def _changed(path, value):
    document = json.loads(
        Document(IDENTITY, 3600, 1.0, (Replica("p", counts(1, 1, 1), {3600: counts(1, 1, 1)}),)).to_json()
    )
    at = document
    for key in path[:-1]:
        at = at[key]
    if value is None:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return json.dumps(document)


TOTAL = ("replicas", 0, "total")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("format_version",), None),
        (("format_version",), 2),
        (("format_version",), "1"),
        (("model",), None),
        (("model", "name"), 3),
        (("profiles",), []),
        (("window_seconds",), 0),
        (("window_seconds",), "3600"),
        (("written",), 5),
        (("written",), "2026-01-01"),
        (("replicas",), None),
        (("replicas",), 3),
        (("replicas", 0), []),
        (("replicas", 0, "id"), 1),
        ((*TOTAL, "rows"), -1),
        ((*TOTAL, "rows"), True),
        ((*TOTAL, "rows"), 1.0),
        ((*TOTAL, "rows"), 1 << 63),
        ((*TOTAL, "inputs"), []),
        ((*TOTAL, "inputs", "x"), ["1"]),
        ((*TOTAL, "feedback"), {}),
        ((*TOTAL, "sums"), [True]),
        ((*TOTAL, "sums"), ["nan"]),
        ((*TOTAL, "first"), "yesterday"),
        (("replicas", 0, "windows", 0, "start"), "soon"),
        (("replicas", 0, "windows", 0), {}),
    ],
)
def test_what_is_no_document_is_refused(path, value):
    with pytest.raises(ValueError, match=r"."):
        Document.from_json(_changed(path, value))


@pytest.mark.parametrize("text", ["", "[]", "3", "{}", '{"format_version": 1}', '"x"'])
def test_other_json_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        Document.from_json(text)


def test_what_is_not_known_is_left_out():
    assert Document.from_json(_changed(("report",), {"a": 1})).replicas[0].total == counts(1, 1, 1)
