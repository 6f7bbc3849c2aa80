"""The monitor's routes as they are described: a label that could have been right is one that the server takes."""

from __future__ import annotations

import json
from types import SimpleNamespace

import jsonschema
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from modelimg_runtime.environment import Settings
from modelimg_runtime.monitor import Limits, open_monitor
from modelimg_runtime.monitor.feedback import MOST_ROWS, Outcome, labels_of
from modelimg_runtime.monitor.numbers import LARGEST
from modelimg_runtime.monitor.performance import scheme_of
from modelimg_runtime.monitor.scheme import LabelRefused
from modelimg_runtime.monitor.span import span_of
from modelimg_runtime.openapi import described
from modelimg_runtime.openapi.monitoring import LABEL, monitoring_schemas
from modelimg_runtime.profile import CategoryBins, ColumnProfile
from modelimg_runtime.service import prepare


def document_of(made):
    ready = prepare(made.folder, fast_path=True, monitored=lambda package: open_monitor(package, Limits(), 1, None))
    return json.loads(described(ready, Settings()).body)


def baseline_of(*predictions, task="classification"):
    """As much of a baseline as says what a label may be."""
    return SimpleNamespace(task=task, output=SimpleNamespace(predictions=predictions))


def classes(*names, folded=False, kind="category"):
    bins = CategoryBins(names, folded)
    return ColumnProfile("prediction", kind, bins, (0,) * bins.size)


MODELS = {
    "texts": baseline_of(classes("no", "yes")),
    "numbers": baseline_of(classes("0", "1", "2.5", "10")),
    "truth": baseline_of(classes("false", "true", kind="boolean")),
    "rare ones": baseline_of(classes("no", "yes", folded=True)),
    "none": baseline_of(classes()),
    "several": baseline_of(classes("no", "yes"), classes("0", "1")),
    "a number": baseline_of(classes(), task="regression"),
    "two numbers": baseline_of(classes(), classes(), task="regression"),
}
ATOMS = (
    st.sampled_from(["no", "yes", "No", "0", "1", "2.5", "true", "false", "null", "1.0", 0, 1, 2, 2.5, 10, 1.0, True])
    | st.sampled_from([False, None, LARGEST, -LARGEST, 2 * LARGEST, 10**400, -(10**61)])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers()
    | st.text()
)
PAIRS = st.lists(st.sampled_from(["no", "yes", "0", 0, 1, 1.0, True, None, []]), min_size=1, max_size=3)
VALUES = ATOMS | PAIRS | st.lists(ATOMS, max_size=3) | st.dictionaries(st.text(max_size=3), ATOMS, max_size=2)


@pytest.mark.parametrize("name", MODELS)
def test_a_label_is_described_exactly_as_it_is_taken(name, show):
    baseline, seen = MODELS[name], {True: 0, False: 0}
    schema, scheme = monitoring_schemas(baseline)[LABEL], scheme_of(baseline)
    test = jsonschema.Draft202012Validator(schema)

    @settings(max_examples=300, deadline=None)
    @given(VALUES)
    @example("no")
    @example(True)
    @example(1)
    @example(["no", 1])
    @example([2.5, 1])
    def check(value):
        try:
            taken = bool(scheme.truth(value))
        except LabelRefused:
            taken = False
        assert test.is_valid({"label": value, "prediction_id": "r"}) is taken, value
        seen[taken] += 1

    check()
    show(f"{name}: of {sum(seen.values())} labels {seen[True]} are taken and described, {seen[False]} neither")
    assert seen[False]
    assert seen[True] or name == "none"


ITEMS = [
    ({"prediction_id": "r"}, True),
    ({"prediction_id": "r", "row": 3}, True),
    ({"prediction_id": "r", "row": 3.0}, True),
    ({"prediction_id": "r" * 256}, True),
    ({"prediction_id": None, "prediction": "no"}, True),
    ({"prediction": "no"}, True),
    ({}, False),
    ({"prediction_id": None}, False),
    ({"prediction_id": ""}, False),
    ({"prediction_id": "", "prediction": "no"}, False),
    ({"prediction_id": "r" * 257}, False),
    ({"prediction_id": 7}, False),
    ({"prediction_id": "r", "row": -1}, False),
    ({"prediction_id": "r", "row": 0.5}, False),
    ({"prediction_id": "r", "row": True}, False),
    ({"prediction_id": "r", "row": "0"}, False),
    ({"prediction_id": "r", "row": None}, False),
    ({"prediction_id": "r", "row": MOST_ROWS}, False),
    ({"prediction_id": "r", "row": 1e400}, False),
    ({"prediction_id": "r", "weight": 1}, False),
]


@pytest.mark.parametrize(("item", "good"), ITEMS)
def test_what_stands_beside_a_label_is_described_as_it_is_taken(item, good):
    test, outcome = jsonschema.Draft202012Validator(monitoring_schemas(MODELS["texts"])[LABEL]), Outcome()
    labels = [*labels_of([{"label": "no", **item}], outcome)]
    assert (len(labels), outcome.counts["invalid"]) == (good, not good)
    assert test.is_valid({"label": "no", **item}) is good
    assert not test.is_valid(item)
    for _, label in labels:
        assert type(label.row) is int


WINDOWS = [
    *("total", "1m", "999999d"),
    *("2026-01-02T00:00Z/2026-01-03 00:00:01.5+02:00", "1000-01-01T00:00Z/9999-12-31T23:59Z"),
    *("", "Total", "0h", "1000000m", "24", "1h ", "٣h", "24h/", "2026-01-02T00:00Z", "2026-01-02T00:00Z/total"),
    *("2026-01-01/2026-01-02", "2026-02-29T00:00Z/2026-03-01T00:00Z", "2026-01-02T24:00Z/2026-01-03T00:00Z"),
]


@pytest.mark.parametrize("window", WINDOWS)
def test_a_window_is_described_as_it_is_read(window, monitored_classes):
    paths = document_of(monitored_classes)["paths"]
    parameters = [each for path in ("/monitor", "/monitor.json") for each in paths[path]["get"]["parameters"]]
    schemas = [each["schema"] for each in parameters if each.get("name") == "window"]
    try:
        span_of(window)
        read = True
    except ValueError:
        read = False
    assert [jsonschema.Draft202012Validator(schema).is_valid(window) for schema in schemas] == [read, read]


def test_labels_of_which_none_is_valid_are_refused_as_described(monitored, tools):
    said = document_of(monitored)["paths"]["/feedback"]["post"]["responses"]["422"]["content"]
    assert said["application/problem+json"]["schema"] == {"$ref": "#/components/schemas/Problem"}
    with tools.client_of(monitored.folder) as client:
        for body in ({}, [None], {"prediction_id": "r", "label": {}}, [{"prediction_id": "r", "label": [[]]}]):
            answer = client.post("/feedback", json=body)
            assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
            assert answer.json().keys() == said["application/problem+json"]["example"].keys()
        deep = '{"prediction_id": "r", "label": ' + 990 * "[" + 990 * "]" + "}"
        answer = client.post("/feedback", content=deep, headers={"content-type": "application/json"})
        assert answer.status_code == 422, answer.text
