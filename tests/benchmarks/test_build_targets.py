from __future__ import annotations

import pytest
from benchmarks.measure import OURS, Row, Samples
from benchmarks.targets import BENTOML, FLOOR, NO_BYTE_CODE, PIP, PLAIN, PLAIN_NO_BYTE_CODE, targets

UV, UV_BARE = "Dockerfile, uv", "Dockerfile, uv, no byte code"


def cached(**seconds):
    names = {"ours": OURS, "bare": NO_BYTE_CODE, "plain": PLAIN, "plain_bare": PLAIN_NO_BYTE_CODE}
    names |= {"uv": UV, "uv_bare": UV_BARE, "pip": PIP, "floor": FLOOR, "floor_bare": f"{FLOOR}, no byte code"}
    samples = {names[name]: Samples((value,)) for name, value in seconds.items()}
    return {"cached": Row("cached", "cached", "s", samples)}


def test_with_downloads_cached_like_is_held_against_like():
    found = targets(cached(ours=5, bare=3, plain=3, plain_bare=1, uv=20, uv_bare=6, pip=25))
    assert {(target.label.partition(": ")[2], target.measured, target.met) for target in found} == {
        (f"{UV} ÷ {OURS}", 4, False),
        (f"{UV} ÷ {PLAIN}", 20 / 3, True),
        (f"{UV_BARE} ÷ {NO_BYTE_CODE}", 2, False),
        (f"{UV_BARE} ÷ {PLAIN_NO_BYTE_CODE}", 6, True),
        (f"{PIP} ÷ {OURS}", 5, True),
        (f"{PIP} ÷ {PLAIN}", 25 / 3, True),
    }


def test_what_is_not_compressed_is_not_held_against_a_floor_that_compresses():
    found = targets(cached(ours=5, bare=3, plain=1, plain_bare=1, floor=2, floor_bare=2))
    assert {(target.label.partition(": ")[2], target.measured, target.met) for target in found} == {
        (f"{OURS} ÷ {FLOOR}", 2.5, False),
        (f"{NO_BYTE_CODE} ÷ {FLOOR}, no byte code", 1.5, True),
    }


@pytest.mark.parametrize(("key", "name", "factor"), [("cold", PIP, 3), ("cold", BENTOML, 6), ("changed", BENTOML, 10)])
@pytest.mark.parametrize(("more", "met"), [(0.0, True), (-0.1, False)])
def test_others_take_so_many_times_as_long(key, name, factor, more, met):
    row = Row(key, key, "s", {OURS: Samples((1.0,)), name: Samples((factor + more,))})
    found = [target for target in targets({key: row}) if name in target.label]
    assert [(target.limit, target.met) for target in found] == [(factor, met)]


def test_who_was_left_out_is_held_against_nothing():
    assert targets({}) == []
    assert targets(cached(uv=20, pip=25)) == []
