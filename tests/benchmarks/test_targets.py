from __future__ import annotations

import pytest
from benchmarks.measure import OURS, Row, Samples
from benchmarks.serving.servers import FLOOR, PANDERA, PYDANTIC, SLOW_PATH
from benchmarks.serving.targets import targets


def _row(key: str, unit: str, **values: float) -> dict[str, Row]:
    names = {"ours": OURS, "slow": SLOW_PATH, "floor": FLOOR, "pydantic": PYDANTIC, "pandera": PANDERA}
    samples = {names.get(name, name): Samples((value,)) for name, value in values.items()}
    return {key: Row(key, "quantity", unit, samples)}


@pytest.mark.parametrize(("ours", "met"), [(0.25, True), (0.26, False)])
def test_a_row_may_take_two_and_a_half_times_a_constant_answer(ours, met):
    (target,) = targets(_row("linear-one-p50", "ms", ours=ours, floor=0.1))
    assert (target.limit, target.least, target.met) == (2.5, False, met)


@pytest.mark.parametrize(
    ("key", "limit"),
    [("linear-one-p50", 3), ("forest-one-p50", 8), ("linear-batch-p50", 3), ("forest-batch-p50", 3)],
)
def test_latency_is_held_against_the_peer_that_takes_least(key, limit):
    row = _row(key, "ms", ours=1, slow=0.1, vetiver=limit, MLflow=1000)
    (target,) = targets(row)
    assert (target.limit, target.measured, target.met) == (limit, limit, True)
    assert "vetiver ÷ modelimg" in target.label
    assert not targets(_row(key, "ms", ours=1.01, vetiver=limit, MLflow=1000))[0].met


@pytest.mark.parametrize(
    ("key", "limit"),
    [
        ("linear-one-throughput", 5),
        ("forest-one-throughput", 10),
        ("linear-batch-throughput", 3),
        ("forest-batch-throughput", 3),
    ],
)
def test_throughput_is_held_against_the_peer_that_answers_most(key, limit):
    (target,) = targets(_row(key, "req/s", ours=100 * limit, slow=9999, floor=9999, vetiver=100, MLflow=1))
    assert (target.limit, target.measured, target.met) == (limit, limit, True)
    assert "modelimg ÷ vetiver" in target.label
    assert not targets(_row(key, "req/s", ours=100 * limit - 1, vetiver=100, MLflow=1))[0].met


@pytest.mark.parametrize("key", ["linear-start", "linear-memory", "forest-start", "forest-memory"])
def test_start_and_memory_are_a_share_of_the_smaller_one_written_by_hand(key):
    (target,) = targets(_row(key, "s", ours=7, vetiver=1, pydantic=10, pandera=20))
    assert (target.limit, target.measured, target.met) == (0.7, 0.7, True)
    assert not targets(_row(key, "s", ours=7.1, pydantic=10, pandera=20))[0].met
    assert targets(_row(key, "s", ours=7, pandera=20))[0].measured == 0.35


@pytest.mark.parametrize(
    "rows",
    [
        {},
        _row("linear-one-p50", "ms", ours=1),
        _row("linear-one-p50", "ms", vetiver=1, floor=1),
        _row("linear-one-p50", "ms", ours=1, slow=5),
        _row("forest-one-p50", "ms", ours=1, floor=1),
        _row("linear-one-p99", "ms", ours=1, vetiver=1, floor=1),
        _row("linear-start", "s", ours=1, vetiver=1),
        _row("linear-memory", "MB", pydantic=1),
        _row("linear-memory-loaded", "MB", ours=1, pydantic=1),
    ],
)
def test_what_was_not_measured_is_held_against_nothing(rows):
    assert targets(rows) == []
