from __future__ import annotations

import pytest
from benchmarks.measure import Row, Samples, Slices


@pytest.mark.parametrize(
    ("values", "median", "quartiles"),
    [
        ((3.0,), 3.0, (3.0, 3.0)),
        ((1.0, 2.0), 1.5, (1.25, 1.75)),
        ((5.0, 1.0, 4.0, 2.0, 3.0), 3.0, (2.0, 4.0)),
        ((90.0, 91.0, 92.0, 93.0, 0.001), 91.0, (90.0, 92.0)),
    ],
)
def test_the_spread_of_slices_is_their_middle_half_whatever_a_single_one_was(values, median, quartiles):
    assert (Slices(values).median, Slices(values).spread) == (median, quartiles)


def test_the_spread_of_other_samples_is_from_the_least_to_the_greatest():
    assert Samples((90.0, 91.0, 0.001)).spread == (0.001, 91.0)


@pytest.mark.parametrize("samples", [{}, {"a": 1.0}, {"b": 1.0}, {"a": 1.0, "b": 0.0}])
def test_there_is_no_ratio_to_nobody_or_nothing(samples):
    row = Row("key", "label", "s", {name: Samples((value,)) for name, value in samples.items()})
    assert row.ratio("a", "b") is None
