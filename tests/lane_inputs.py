"""The exhaustive table's requests: every compiled check × edge value × nullable, and columns of every shape."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import product
from typing import Any

import numpy as np
import pandera.pandas as pa

from lanes import MANY, Question, document_of, frame_of, loaded
from modelimg_runtime.columns import ABSENT
from modelimg_runtime.frames import FrameReader
from modelimg_runtime.validation import validated

C = pa.Check
HIGHEST = sys.float_info.max
SINGLE = float(np.finfo(np.float32).max)

FLOAT_VALUES = [
    *[0, 0.0, -0.0, 1, 1.5, -1.5, 30, 30.0, 30.5, math.nextafter(30, 0), math.nextafter(30, 99), 5e-324, -5e-324],
    *[1e-45, 1.5e-45, 2.2e-308, 0.1, 1e308, HIGHEST, -HIGHEST, int(HIGHEST), int(HIGHEST) + 1, -int(HIGHEST) - 1],
    *[SINGLE, math.nextafter(SINGLE, math.inf), -SINGLE, int(SINGLE) + 1, 1e39, 16777217, 16777217.0],
    *[10**400, -(10**400), 2**53, 2**53 + 1, 2**63, math.nan, math.inf, -math.inf],
]
INT_VALUES = [
    *[0, -0.0, 1, 1.0, 2, 3, 30, 30.0, 30.5, 31, -1, -1.0, 127, 128, 128.0, 255, 256, -128, -129],
    *[2**31 - 1, 2**31, 2**53, float(2**53), float(2**54), -float(2**53), 2**53 + 1, 1e308, 5e-324],
    *[2**63 - 1, 2**63, float(2**63), 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**400, math.nan, math.inf],
]
TEXT_VALUES = [
    *["", "a", "ab", "ba", "abc", "aab", "a\n", "\n", "a\x00", "\x00", "A", "b", " ", "a b", "a-1", "x9", "9", "_"],
    *["é", "e\u0301", "ſ", "K", "日本", "😀", "٣", "a\x0b", "\x1c", "\u2028", "\ud800", "\udc00a", "\ud83d\ude00"],
    *["2020-01-01", "2020-01-01T00:00Z", "nan", "None", "NaN", "1", "1.0", "a" * 300],
]
FOREIGN = [
    None,
    True,
    False,
    [],
    {},
    ABSENT,
    Decimal("1.5"),
    np.float64(1.5),
    np.int64(1),
    np.str_("a"),
    np.bool_(True),
]
FOREIGN += [b"a", object, {"a": 1}, [1.0], (1.5,)]

BOUNDS = [
    *([make(bound)] for make in (C.gt, C.ge, C.lt, C.le) for bound in (0, 1.5, 30, 30.0)),
    *([C.in_range(0, 30, low, high)] for low in (True, False) for high in (True, False)),
    [C.in_range(30, 30)],
    [C.in_range(-0.5, 30.5, False, False)],
    [C.gt(0), C.lt(0)],
    [C.ge(2), C.le(1)],
    [C.gt(-2), C.gt(-1), C.lt(100), C.lt(31)],
]
MEMBERS = [
    *([C.eq(value)] for value in (0, 0.0, 1.5, 30)),
    *([C.ne(value)] for value in (0, 1.5, 30)),
    [C.isin([0, 1.5, 30])],
    [C.isin([1, 2, 3])],
    [C.isin([1.0, 30.0])],
    [C.isin([])],
    [C.isin([-1, 0, 30, 31]), C.gt(-1), C.lt(31)],
    [C.isin([0, 1.5, 30]), C.isin([1.5, 30, 2]), C.ne(1.5)],
    [C.isin([0, 1, 30]), C.notin([30, 5])],
    [C.notin([0, 1.5, 30])],
    [C.notin([])],
    [C.notin([1]), C.ne(30), C.ge(0)],
]
TEXT_CHECKS = [
    *([C.eq("a")], [C.eq("")], [C.ne("a")], [C.ne("")], [C.isin(["a", "", "2020-01-01", "é"])], [C.isin([])]),
    *([C.notin(["a", "é"])], [C.notin([])], [C.notin(["a", "b"]), C.ne("ab")]),
    *([C.str_length(1, 3)], [C.str_length(2)], [C.str_length(0)], [C.str_length(min_value=1)]),
    *([C.str_length(max_value=2)], [C.str_length(min_value=-1)], [C.str_length(max_value=-1)], [C.str_length(0, 0)]),
    *([C.str_startswith("a")], [C.str_endswith("a")], [C.str_startswith("")], [C.str_endswith("é")]),
    [C.isin(["a", "ab", "b"]), C.str_startswith("a"), C.str_length(min_value=2)],
    [C.str_length(1, 5), C.str_startswith("a"), C.str_endswith("b"), C.ne("aab")],
]
PATTERNS = ["a", "^a", "a$", "^a$", "a|b", "^a|b", "ab+", "[a-z]+", r"^[A-Za-z]-\d$", r"\w+$", r"\W", r"\d", r"^\D*$"]
PATTERNS += ["", ".", "^.$", "^$", "(?:ab)*$", "a{2}b", r"a\sb", r"\ba\b", r"\S+$", "[^a]", "^a{1,2}?b$", "[ab-]"]
PATTERN_CHECKS = [[C.str_matches(pattern)] for pattern in PATTERNS] + [
    [C.str_contains(pattern)] for pattern in PATTERNS[::2]
]
TEXT_CHECKS += PATTERN_CHECKS
TEXT_CHECKS += [
    [C.isin(["a", "ab", "é"]), C.str_matches("a")],
    [C.str_matches("^[a-z]+$"), C.str_contains("b"), C.notin(["ab"])],
]
BOOL_CHECKS = [[], [C.eq(True)], [C.eq(False)], [C.ne(True)], [C.isin([True])], [C.isin([True, False])], [C.isin([])]]
BOOL_CHECKS += [[C.notin([True])], [C.notin([True, False])], [C.isin([]), C.ne(True)]]
LIMITS = {
    "float64": [[C.lt(HIGHEST)], [C.gt(HIGHEST)], [C.ge(-HIGHEST)], [C.gt(5e-324)], [C.lt(1e308)], [C.le(2**53)]],
    "float32": [[C.lt(SINGLE)], [C.gt(SINGLE)], [C.gt(2.0**-149)], [C.le(16777216)]],
    "int8": [[C.ge(-129)], [C.le(128)], [C.gt(300)], [C.ne(300)], [C.isin([300, 1])], [C.lt(127)]],
    "uint8": [[C.ge(-1)], [C.lt(-1)], [C.le(256)], [C.isin([-1, 1])], [C.notin([-1, 1])], [C.gt(254)]],
    "int64": [[C.le(2**63 - 1)], [C.lt(2**63 - 1)], [C.gt(-(2**63))], [C.ge(2**53 + 1)], [C.le(2.0**52)]],
    "uint64": [[C.le(2**64 - 1)], [C.lt(2**64 - 1)], [C.ge(2**63)], [C.gt(-5)], [C.ne(2**52)]],
}


def checks_of(dtype: str) -> list[list[pa.Check]]:
    if dtype in ("bool", "str"):
        return BOOL_CHECKS if dtype == "bool" else [[], *TEXT_CHECKS]
    some = slice(None, None, 1 if dtype in ("float64", "int64") else 4)
    return [[], *BOUNDS[some], *MEMBERS[some], *LIMITS[dtype]]


def values_of(dtype: str) -> list[Any]:
    own = {"f": FLOAT_VALUES, "i": INT_VALUES, "u": INT_VALUES, "b": [0, 1, 0.0, 1.0], "s": TEXT_VALUES}[dtype[0]]
    other = ["a", "", "30", "true", "2020-01-01"] if dtype != "str" else [0, 1, 1.5, math.nan]
    return [*own, *other, *FOREIGN]


NULLABLE = ("float64", "float32", "int64", "bool", "str")


def cell_questions() -> Iterator[Question]:
    """Each check × value × nullable, as a row, a column of one, and among many rows."""
    for dtype in ("float64", "float32", "int8", "uint8", "int64", "uint64", "bool", "str"):
        rules = [*product(checks_of(dtype), (False, True) if dtype in NULLABLE else (False,))]
        # Of the many patterns, half are asked with null and half without.
        rules = [rule for number, rule in enumerate(rules) if rule[0] not in PATTERN_CHECKS or number % 4 in (0, 3)]
        columns = {str(number): pa.Column(dtype, checks, nullable=null) for number, (checks, null) in enumerate(rules)}
        verdicts = _verdicts(document_of(pa.DataFrameSchema(columns)), values_of(dtype))
        for name, column in columns.items():
            document = document_of(pa.DataFrameSchema({"x": column}, strict=True))
            yield from _of_cells(document, verdicts[name])


def _of_cells(document: dict[str, Any], verdicts: Sequence[tuple[Any, bool]]) -> Iterator[Question]:
    good = next((value for value, accepted in verdicts if accepted), None)
    pattern = any(name in json.dumps(document) for name in ("str_matches", "str_contains"))
    for value, accepted in verdicts:
        # A whole number that becomes a bound only when it is rounded to a float is left open, too.
        left = (pattern and _unclear(value)) or (value == 2**53 + 1 and "float" in document["columns"]["x"]["dtype"])
        yield Question(document, "row", {"x": value}, accepted, left)
        yield Question(document, "columns", {"x": [value]}, accepted, left)
        yield Question(document, "columns", {"x": (value,) * MANY}, accepted, left)
        yield Question(document, "columns", {"x": [good] * MANY + [value]}, accepted, left)


def _unclear(value: Any) -> bool:
    """Strings that the engines for patterns may see in two ways: pandas decides."""
    return type(value) is str and not (value.isascii() and value.isprintable())


def _verdicts(document: dict[str, Any], values: Sequence[Any]) -> dict[str, list[tuple[Any, bool]]]:
    """Column → which values it accepts, asked at once: a report names every failing cell."""
    schema = loaded(document)
    verdicts: dict[str, list[tuple[Any, bool]]] = {name: [] for name in schema.columns}
    # One unclear string in a column decides with which engine pandas tests them all.
    for unclear in (False, True):
        asked = [value for value in values if _unclear(value) is unclear]
        if not asked:
            continue
        frame, violations = FrameReader(schema).read(dict.fromkeys(schema.columns, asked))
        violations = violations or validated(schema, frame)[1]
        failing = {(violation.column, violation.row) for violation in violations}
        assert all(row is not None for _, row in failing)
        for name, found in verdicts.items():
            found += [(value, (name, row) not in failing) for row, value in enumerate(asked)]
    return verdicts


UNIQUE = {
    "float64": [[1, 1.0], [0.0, -0.0], [None, None], [None, 1], [2**53, 2**53 + 1], [1, 2], [1.5, 1.5], [0.1, 0.2]],
    "float32": [[0.1, 0.2], [1, 1.0], [16777216, 16777217], [None, None], [0.0, -0.0], [0.1, math.nextafter(0.1, 1)]],
    "int64": [[1, 1.0], [1, 2], [2**53, 2**53 + 1], [0, -0.0]],
    "str": [["a", "a"], ["a", "b"], [None, None], [None, "a"], ["", "a"], ["é", "e\u0301"], ["a", "a\x00"]],
    "bool": [[True, False], [True, True]],
}


def unique_questions() -> Iterator[Question]:
    for dtype, pairs in UNIQUE.items():
        document = document_of(pa.DataFrameSchema({"x": pa.Column(dtype, nullable=True, unique=True)}))
        for pair in pairs:
            fill = [f"fill {i}" if dtype == "str" else 100 + i for i in range(MANY)] if dtype != "bool" else [None]
            for values in (pair, pair[:1], pair[1:], [*pair, *fill], [pair[0], *fill, pair[1]]):
                accepted = frame_of(loaded(document), {"x": values}) is not None
                # Two missing values are no reason for a report, as it leaves missing values out.
                yield Question(document, "columns", {"x": values}, accepted, values.count(None) > 1)


def shape_questions() -> Iterator[Question]:
    """Columns that are missing, too many, out of order, empty or of different lengths."""
    for strict, ordered in product((False, True), repeat=2):
        columns = {"a": pa.Column("float64"), "b": pa.Column("int64"), "c": pa.Column("str")}
        document = document_of(pa.DataFrameSchema(columns, strict=strict, ordered=ordered))
        good = {"a": [1.5, 2], "b": [1, 2.0], "c": ["x", "y"]}
        requests = [
            *(good, dict(reversed(good.items())), {}, {**good, "d": [1, 2]}, {**good, "": [1, 2]}),
            *({name: good[name] for name in good if name != out} for out in good),
            *({name: good[name] for name in good if name != out} | {"d": [1, 2]} for out in good),
            *({**good, name: values} for name in good for values in ([], good[name][:1], good[name] * 2, "xy")),
            *({**good, name: None} for name in good),
            {**good, "a": {"0": 1.5, "1": 2}},
            {name: [] for name in good},
            {name: values * MANY for name, values in good.items()},
            {name: tuple(values) for name, values in good.items()},
        ]
        for request in requests:
            yield Question(document, "columns", request, frame_of(loaded(document), request) is not None)
            if all(isinstance(values, (list, tuple)) and values for values in request.values()):
                row = {name: values[0] for name, values in request.items()}
                frame = frame_of(loaded(document), {name: [value] for name, value in row.items()})
                yield Question(document, "row", row, frame is not None)
