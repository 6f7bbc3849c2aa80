from __future__ import annotations

from collections import Counter

import numpy as np
import pandera.pandas as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lanes
from modelimg_runtime.accept import OutputTest, rules_of

C = pa.Check


def class_schema(labels, dtype="str", tolerance=1e-6, **options):
    probabilities = {f"probability_{label}": pa.Column("float64", C.in_range(0, 1)) for label in labels}
    columns = {"prediction": pa.Column(dtype, C.isin(list(labels))), **probabilities}
    return pa.DataFrameSchema(columns, checks=[C.rows_sum_to_one(tol=tolerance)], **options)


@st.composite
def answers(draw):
    """A classifier's answer that is sound, nearly sound or not."""
    labels = draw(
        st.sampled_from([["no", "yes"], ["Adelie", "Chinstrap", "Gentoo"], [0, 1], [f"c{i}" for i in range(9)]])
    )
    rows = draw(st.sampled_from([1, 2, 30]))
    seed = draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    weights = random.exponential(size=(rows, len(labels))) ** draw(st.sampled_from([0, 1, 8]))
    probabilities = weights / weights.sum(axis=1, keepdims=True)
    off = draw(st.sampled_from([0, 0, 0, 0, 0, 0, 0, 0, 9.9999e-7, 1e-6, -1e-6, 1.0001e-6, -0.1, np.nan, 2.0]))
    probabilities[random.integers(rows), random.integers(len(labels))] += off
    predicted = np.array(labels)[random.integers(len(labels), size=rows)]
    if draw(st.integers(0, 9)) == 0:
        predicted = (
            predicted.astype(draw(st.sampled_from(["float64", "U9", object, "int32"])), copy=False)
            if labels == [0, 1]
            else predicted.astype(object)
        )
    columns = {"prediction": predicted}
    columns |= {f"probability_{label}": probabilities[:, i] for i, label in enumerate(labels)}
    if draw(st.integers(0, 9)) == 0:
        columns["probability_of rain"] = np.zeros(rows)
    options = {option: draw(st.booleans()) for option in ("strict", "ordered")}
    dtype = "int64" if labels == [0, 1] else "str"
    return class_schema(labels, dtype, draw(st.sampled_from([1e-6, 1e-9, 0.01])), **options), columns


def test_what_is_accepted_of_answers_is_accepted_by_pandera(show):
    counts = Counter()

    @settings(max_examples=120, deadline=None)
    @given(answers())
    def one_sided(case):
        schema, columns = case
        document = lanes.document_of(schema)
        test = OutputTest(rules_of(document))
        said = test.accepts(columns)
        passes = lanes.answer_passes(lanes.loaded(document), columns)
        arrays = [*columns.values()]
        if len(arrays[0]) == 1 and (single := test.single([*columns], [array.dtype for array in arrays])):
            assert single([array.tolist()[0] for array in arrays]) == said
            counts["the same for one row"] += 1
        counts["accepted" if said else "left to pandera, which accepts" if passes else "refused"] += 1
        assert passes or not said

    one_sided()
    show(f"random answers: {dict(counts)}")
    assert min(counts["accepted"], counts["refused"], counts["the same for one row"]) > 10
    assert counts["left to pandera, which accepts"] < 60


@pytest.mark.parametrize("rows", [1, 60])
def test_a_sum_at_the_edge_of_its_tolerance_is_left_to_pandera(rows):
    schema = class_schema(["a", "b"], tolerance=2.0**-20)
    test, loaded = OutputTest(rules_of(lanes.document_of(schema))), lanes.loaded(lanes.document_of(schema))
    for off, accepted in ((2.0**-20, False), (2.0**-20 * (1 - 1e-6), True), (-(2.0**-20), False), (0.0, True)):
        columns = {
            "prediction": np.array(["a"] * rows),
            "probability_a": np.full(rows, 0.5),
            "probability_b": np.full(rows, 0.5 + off),
        }
        assert test.accepts(columns) is accepted
        assert lanes.answer_passes(loaded, columns)


@pytest.mark.parametrize("order", [1, -1])
def test_rounding_of_many_probabilities_never_decides(order):
    """Sums whose last bits depend on the order in which they are added up, just inside and outside of the tolerance."""
    labels = [f"c{i}" for i in range(40)]
    document = lanes.document_of(class_schema(labels, tolerance=1e-11))
    test, loaded = OutputTest(rules_of(document)), lanes.loaded(document)
    random, accepted = np.random.default_rng(5), 0
    for off in np.linspace(-2e-11, 2e-11, 41):
        weights = random.exponential(size=(20, 40)) ** 6
        probabilities = weights / weights.sum(axis=1, keepdims=True)
        probabilities[:, 0] = np.abs(probabilities[:, 0] + off)
        columns = {"prediction": np.array(labels[:20])}
        columns |= {f"probability_{label}": probabilities[:, i] for i, label in [*enumerate(labels)][::order]}
        said = test.accepts(columns)
        accepted += said
        assert lanes.answer_passes(loaded, columns) or not said
    assert 0 < accepted < 41


def test_two_outputs_of_a_regressor_are_accepted():
    schema = pa.DataFrameSchema({f"prediction_{i}": pa.Column("float64") for i in range(2)}, strict=True)
    test = OutputTest(rules_of(lanes.document_of(schema)))
    predictions = np.array([[1.0, -1.0], [2.0, -2.0]])
    assert test.accepts({f"prediction_{i}": predictions[:, i] for i in range(2)})
    assert not test.accepts({"prediction_0": predictions[:, 0]})
    assert not test.accepts({f"prediction_{i}": predictions[:, i] for i in range(3 - 1)} | {"prediction_2": np.ones(2)})
    assert not test.accepts({f"prediction_{i}": predictions for i in range(2)})
    assert not test.accepts({f"prediction_{i}": predictions[:, i].tolist() for i in range(2)})
