"""What the measurements of `benchmarks.serving` are held against. They are shown beside them; no test asserts them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from benchmarks.measure import OURS, Row, Target
from benchmarks.serving.servers import FLOOR, PANDERA, PYDANTIC, SLOW_PATH
from benchmarks.serving.subjects import FOREST, LINEAR, NAMES

_BY_HAND = (PYDANTIC, PANDERA)
_OURS = (OURS, SLOW_PATH, FLOOR)
_FLOOR_FACTOR = 2.5
_SHARE = 0.7
_FASTER = {
    (LINEAR, "one-p50"): 3,
    (LINEAR, "one-throughput"): 5,
    (FOREST, "one-p50"): 8,
    (FOREST, "one-throughput"): 10,
    (LINEAR, "batch-p50"): 3,
    (LINEAR, "batch-throughput"): 3,
    (FOREST, "batch-p50"): 3,
    (FOREST, "batch-throughput"): 3,
}
"""How many times as fast as the fastest peer we are, at least."""


def targets(rows: Mapping[str, Row]) -> list[Target]:
    """Those that these rows can be held against.

    Args:
        rows: by key, ``<model>-<quantity>``.
    """
    return [*_above_floor(rows), *_faster(rows), *_smaller(rows)]


def _above_floor(rows: Mapping[str, Row]) -> Iterator[Target]:
    row = rows.get(f"{LINEAR}-one-p50")
    if row and (ratio := row.ratio(OURS, FLOOR)):
        yield Target(f"{_label(LINEAR, row)}: {OURS} ÷ {FLOOR}", _FLOOR_FACTOR, ratio)


def _faster(rows: Mapping[str, Row]) -> Iterator[Target]:
    for (model, quantity), factor in _FASTER.items():
        row = rows.get(f"{model}-{quantity}")
        peers = [name for name in row.samples if name not in _OURS] if row else []
        if row is None or not peers or OURS not in row.samples:
            continue
        throughput = row.unit == "req/s"
        fastest = _best(row, peers, max if throughput else min)
        above, below = (OURS, fastest) if throughput else (fastest, OURS)
        if ratio := row.ratio(above, below):
            yield Target(f"{_label(model, row)}: {above} ÷ {below}", factor, ratio, least=True)


def _smaller(rows: Mapping[str, Row]) -> Iterator[Target]:
    for model in NAMES:
        for quantity in ("start", "memory"):
            row = rows.get(f"{model}-{quantity}")
            by_hand = [name for name in _BY_HAND if row and name in row.samples]
            if row and by_hand and (ratio := row.ratio(OURS, least := _best(row, by_hand, min))):
                yield Target(f"{_label(model, row)}: {OURS} ÷ {least}", _SHARE, ratio)


def _best(row: Row, names: list[str], choose: Callable[..., str]) -> str:
    return choose(names, key=lambda name: row.samples[name].median)


def _label(model: str, row: Row) -> str:
    return f"{NAMES[model]}: {row.label}"
