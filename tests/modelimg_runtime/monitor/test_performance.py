"""Running metrics are scikit-learn's of the same labels, and their intervals cover the truth as often as they say."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from modelimg_runtime.monitor.classes import MATRIX, Classes, Labels
from modelimg_runtime.monitor.layout import Layout
from modelimg_runtime.monitor.numbers import LARGEST, Numbers
from modelimg_runtime.monitor.performance import scheme_of, worse
from modelimg_runtime.monitor.scheme import LABELS, LabelRefused, Sums
from modelimg_runtime.profile import CategoryBins, ColumnProfile
from modelimg_runtime.profile.output import Estimate

REPEATS = 300


def summed(scheme, predictions, labels):
    wholes, floats = np.zeros(scheme.wholes, dtype=int), np.zeros(scheme.floats)
    numbers = scheme.numbers(predictions)
    for said, prediction, label in zip(numbers, predictions, labels, strict=True):
        assert scheme.one(prediction) == tuple(said)
        places, more = scheme.added(tuple(said), scheme.truth(label))
        for place in places:
            wholes[place] += 1
        if more is not None:
            floats += more
    return Sums(wholes.tolist(), floats.tolist())


def classes_of(names):
    bins = CategoryBins(tuple(map(str, names)))
    return Classes(ColumnProfile("prediction", "category", bins, (0,) * bins.size))


def numbers_of(means):
    bins = [ColumnProfile("prediction", "category", CategoryBins(()), (0, 0, 0), mean=mean) for mean in means]
    return Numbers(bins)


@pytest.mark.parametrize("count", [2, 3, MATRIX - 1, MATRIX, 60])
def test_accuracy_and_f1_are_those_of_scikit_learn(count):
    random = np.random.RandomState(count)
    labels = random.randint(count, size=500)
    predictions = np.where(random.rand(500) < 0.7, labels, random.randint(count, size=500))
    predictions[predictions == 0] = 1  # a class that is true and never said
    scheme = classes_of(range(count))
    found = scheme.estimates(summed(scheme, predictions.tolist(), labels.tolist()))
    assert found["accuracy"].value == sk.accuracy_score(labels, predictions)
    assert found["f1_macro"].value == pytest.approx(
        sk.f1_score(labels, predictions, average="macro", zero_division=0), abs=1e-12
    )


def test_the_confusion_matrix_is_that_of_scikit_learn():
    scheme, random = classes_of("abc"), np.random.RandomState(0)
    labels, predictions = (random.choice(list("abc"), 200).tolist() for _ in range(2))
    found = scheme.describe(summed(scheme, predictions, labels))
    assert found["classes"] == ["a", "b", "c", "<other>"]
    assert [row[:3] for row in found["confusion"][:3]] == sk.confusion_matrix(labels, predictions).tolist()


def test_of_many_classes_the_margins_are_kept():
    names = [f"c{i}" for i in range(50)]
    scheme, labels = classes_of(names), ["c1", "c1", "c2"]
    found = scheme.describe(summed(scheme, ["c1", "c2", "c2"], labels))
    assert scheme.wholes == 1 + 3 * 51
    assert (found["true"][1], found["said"][2], found["right"][1], found["right"][2]) == (2, 2, 1, 1)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=40))
def test_classes_that_are_booleans_numbers_or_text_are_the_same(pairs):
    found = []
    for names in ([False, True], [0, 1], ["no", "yes"]):
        named = ["false", "true"] if names[1] is True else names
        scheme = classes_of(named)
        sums = summed(scheme, [names[said] for said, _ in pairs], [names[true] for _, true in pairs])
        found.append((sums, scheme.estimates(sums)))
    assert found[0] == found[1] == found[2]
    assert bool(found[0][1]) is bool(pairs)


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e9])
@pytest.mark.parametrize("width", [1, 3])
def test_r2_mae_and_rmse_are_those_of_scikit_learn(scale, width):
    random = np.random.RandomState(width)
    y = (random.randn(400, width) * 3 + 100) * scale
    said = y + random.randn(400, width) * scale
    scheme = numbers_of(y.mean(axis=0).tolist())
    values = [(each.tolist() if width > 1 else each[0].item()) for each in said]
    labels = [(each.tolist() if width > 1 else each[0].item()) for each in y]
    found = scheme.estimates(summed(scheme, values, labels))
    assert found["r2"].value == pytest.approx(sk.r2_score(y, said), rel=1e-9)
    assert found["mae"].value == pytest.approx(sk.mean_absolute_error(y, said), rel=1e-9)
    assert found["rmse"].value == pytest.approx(math.sqrt(sk.mean_squared_error(y, said)), rel=1e-9)


def test_intervals_of_numbers_cover_the_truth(show):
    random, n = np.random.RandomState(1), 400
    y = random.gamma(2.0, 3.0, 300_000)
    said = y * 0.8 + random.randn(len(y)) * 2
    truth = {
        "r2": sk.r2_score(y, said),
        "mae": sk.mean_absolute_error(y, said),
        "rmse": math.sqrt(sk.mean_squared_error(y, said)),
    }
    scheme, covered = numbers_of([5.0]), dict.fromkeys(truth, 0)
    for i in range(REPEATS):
        rows = slice(i * n, (i + 1) * n)
        found = scheme.estimates(summed(scheme, said[rows].tolist(), y[rows].tolist()))
        for name, value in truth.items():
            covered[name] += found[name].low <= value <= found[name].high
    show(f"intervals of 95 % cover the truth in so many of {REPEATS} samples: {covered}")
    assert all(0.9 * REPEATS <= count <= 0.985 * REPEATS for count in covered.values())


@pytest.mark.parametrize("names", [list("abcd"), [f"c{i}" for i in range(30)]])
def test_intervals_of_classes_cover_the_truth(names, show):
    random, n = np.random.RandomState(2), 500
    weights = np.linspace(1, 3, len(names))
    labels = random.choice(len(names), 400_000, p=weights / weights.sum())
    said = np.where(random.rand(len(labels)) < 0.75, labels, random.randint(len(names), size=len(labels)))
    truth = {"accuracy": (said == labels).mean(), "f1_macro": sk.f1_score(labels, said, average="macro")}
    scheme, covered, texts = classes_of(names), dict.fromkeys(truth, 0), np.array(names)
    for i in range(REPEATS):
        rows = slice(i * n, (i + 1) * n)
        found = scheme.estimates(summed(scheme, texts[said[rows]].tolist(), texts[labels[rows]].tolist()))
        for name, value in truth.items():
            covered[name] += found[name].low <= value <= found[name].high
    show(f"{len(names)} classes: intervals of 95 % cover the truth in so many of {REPEATS} samples: {covered}")
    assert all(count >= 0.9 * REPEATS for count in covered.values())


def test_several_outputs_are_right_where_all_are():
    bins = CategoryBins(("0", "1"))
    scheme = Labels([ColumnProfile(f"prediction_{i}", "category", bins, (0,) * 5) for i in range(2)])
    found = scheme.estimates(summed(scheme, [[0, 1], [1, 1], [0, 0]], [[0, 1], [1, 0], [0, 0]]))
    assert found["accuracy"].value == pytest.approx(2 / 3)


def test_few_labels_have_an_accuracy_and_nothing_that_leans_on_the_normal_distribution():
    scheme = classes_of("ab")
    assert scheme.estimates(Sums([0] * scheme.wholes)) == {}
    assert set(scheme.estimates(summed(scheme, ["a"] * (LABELS - 1), ["a"] * (LABELS - 1)))) == {"accuracy"}
    scheme = numbers_of([0.0])
    assert scheme.estimates(summed(scheme, [1.0] * (LABELS - 1), [1.0] * (LABELS - 1))) == {}


def test_labels_that_are_all_equal_have_no_r2():
    scheme = numbers_of([0.0])
    assert set(scheme.estimates(summed(scheme, [1.0] * 50, [2.0] * 50))) == {"mae", "rmse"}


def test_right_answers_have_no_error():
    scheme = numbers_of([0.0])
    found = scheme.estimates(summed(scheme, [*map(float, range(50))], [*map(float, range(50))]))
    assert (found["rmse"], found["mae"], found["r2"].value) == (Estimate(0, 0, 0), Estimate(0, 0, 0), 1.0)


@pytest.mark.parametrize("label", ["c", None, float("nan"), [0], {}, 2, "A", "a "])
def test_a_label_that_is_no_class_is_refused(label):
    with pytest.raises(LabelRefused, match="none of the model's classes"):
        classes_of("ab").truth(label)


def nested(depth):
    """An array in an array, and so on: from about a thousand on, Python cannot write it out."""
    label = []
    for _ in range(depth):
        label = [label]
    return label


@pytest.mark.parametrize("label", [nested(3000), [nested(3000)], {"a": nested(3000)}], ids=["one", "several", "object"])
def test_a_label_that_is_nested_deeply_is_no_class(label):
    bins = CategoryBins(("a",), folded=True)
    profile = ColumnProfile("prediction", "category", bins, (0, 0, 0, 0))
    for scheme in (Classes(profile), Labels([profile])):
        with pytest.raises(LabelRefused):
            scheme.truth(label)


def test_where_rare_classes_were_folded_any_other_label_is_one_of_these():
    bins = CategoryBins(("a",), folded=True)
    scheme = Classes(ColumnProfile("prediction", "category", bins, (0, 0, 0, 0)))
    assert scheme.truth("z") == scheme.truth(7) == scheme.one("y") == (1.0,)
    for none in (None, ["a"], {"a": "a"}):
        with pytest.raises(LabelRefused, match="none of the model's classes"):
            scheme.truth(none)


@pytest.mark.parametrize("label", ["1", None, True, [1.0], math.nan, math.inf, 2 * LARGEST, -2 * LARGEST, 10**400])
def test_a_label_that_is_no_number_is_refused(label):
    with pytest.raises(LabelRefused, match="a number from"):
        numbers_of([0.0]).truth(label)


@pytest.mark.parametrize("label", [1.0, [1.0], [1.0, 2.0, 3.0], (1.0, 2.0), None, "ab"])
def test_a_label_of_several_outputs_is_an_array_of_as_many(label):
    with pytest.raises(LabelRefused, match="an array of 2"):
        numbers_of([0.0, 0.0]).truth(label)


def test_the_largest_labels_do_not_make_the_sums_infinite():
    scheme = numbers_of([0.0])
    sums = summed(scheme, [1e308] * 100, [LARGEST, -LARGEST] * 50)
    assert all(map(math.isfinite, sums.floats))
    assert all(map(math.isfinite, (scheme.estimates(sums)["rmse"].value, scheme.estimates(sums)["r2"].low)))


@pytest.mark.parametrize(("means", "answer", "label"), [([0.0], None, 1.0), ([0.0, 0.0], [1.0, None], [1.0, 2.0])])
def test_of_an_answer_that_is_missing_no_label_is_right_or_wrong(means, answer, label):
    scheme = numbers_of(means)
    assert np.array_equal(scheme.numbers([answer])[0], scheme.one(answer), equal_nan=True)
    with pytest.raises(LabelRefused, match="a missing value"):
        scheme.added(scheme.one(answer), scheme.truth(label))


def test_a_task_without_right_answers_has_no_scheme(make):
    frame = pd.DataFrame({"x": np.arange(20.0)})
    other = make.baseline(frame, "other", make.numbers_output(np.arange(20.0)))
    assert scheme_of(other) is None
    assert Layout(other).floats == 0
    numbers = make.baseline(frame, "classification", make.numbers_output(np.arange(20.0)))
    assert scheme_of(numbers) is None


def test_worse_is_what_both_intervals_leave_no_doubt_of():
    packed = Estimate(0.9, 0.85, 0.95)
    assert worse("accuracy", Estimate(0.7, 0.6, 0.8), packed)
    assert not worse("accuracy", Estimate(0.8, 0.7, 0.86), packed)
    assert not worse("accuracy", Estimate(0.99, 0.98, 1.0), packed)
    assert worse("rmse", Estimate(1.2, 1.0, 1.4), packed)
    assert not worse("rmse", Estimate(0.7, 0.6, 0.8), packed)
    assert not worse("own", Estimate(0.7, 0.6, 0.8), None)
