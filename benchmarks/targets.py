"""What the measurements of `benchmarks.build` are held against. They are shown beside them; no test asserts them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from benchmarks.measure import OURS, Row, Target

NO_BYTE_CODE, FLOOR = f"{OURS}, no byte code", "floor"
PLAIN, PLAIN_NO_BYTE_CODE = f"{OURS}, not compressed", f"{OURS}, no byte code, not compressed"
PIP, BENTOML, MLFLOW = "Dockerfile, pip", "BentoML", "MLflow"
_FACTORS = {
    "cold": {PIP: 3, BENTOML: 6, MLFLOW: 9},
    "changed": {BENTOML: 10, MLFLOW: 20},
}
"""How many times as long as ours each takes, at least."""


def targets(rows: Mapping[str, Row]) -> list[Target]:
    """Those that these rows can be held against.

    Args:
        rows: by key.
    """
    return [*_times(rows), *_shares(rows), *_absolutes(rows)]


def _times(rows: Mapping[str, Row]) -> Iterator[Target]:
    for key, factors in _FACTORS.items():
        for name, factor in factors.items():
            if key in rows and (ratio := rows[key].ratio(name, OURS)):
                yield Target(f"{rows[key].label}: {name} ÷ {OURS}", factor, ratio, least=True)
    if cached := rows.get("cached"):
        for name in cached.samples:
            # Like with like: of what has byte code, and compressed as for a registry or not, as a daemon has layers.
            alike = (NO_BYTE_CODE, PLAIN_NO_BYTE_CODE) if name.endswith("no byte code") else (OURS, PLAIN)
            for ours in () if name.startswith((OURS, FLOOR)) else alike:
                if ratio := cached.ratio(name, ours):
                    yield Target(f"{cached.label}: {name} ÷ {ours}", 5, ratio, least=True)
        floors = ((NO_BYTE_CODE, f"{FLOOR}, no byte code"), (OURS, f"{FLOOR}, compiling"), (OURS, FLOOR))
        for name, floor in floors:
            if ratio := cached.ratio(name, floor):
                yield Target(f"{cached.label}: {name} ÷ {floor}", 1.5, ratio)


def _shares(rows: Mapping[str, Row]) -> Iterator[Target]:
    for key, limit in (("tar", 0.5), ("shipped", 0.5), ("gzip", 0.5), ("start", 0.7)):
        if key in rows and (ratio := rows[key].ratio(OURS, PIP)):
            yield Target(f"{rows[key].label}: {OURS} ÷ {PIP}", limit, ratio)


def _absolutes(rows: Mapping[str, Row]) -> Iterator[Target]:
    for key, limit in (("changed", 0.5), ("again", 0), ("peak", 300), ("peak-large", 300)):
        if (row := rows.get(key)) and OURS in row.samples:
            yield Target(f"{row.label}: {OURS}", limit, row.samples[OURS].median, unit=row.unit)
