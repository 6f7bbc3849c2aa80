"""The exhaustive table: every compiled check × edge value × nullable, with what the path of frames and pandera says."""

from __future__ import annotations

import gc
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import product
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest

from modelimg_runtime import accept
from modelimg_runtime.columns import ABSENT, Batch
from modelimg_runtime.errors import PayloadError
from modelimg_runtime.frames import FrameReader
from modelimg_runtime.predict import _infinite
from modelimg_runtime.validation import _schema_from_json, validated

C = pa.Check
MANY = 50
"""Rows with which columns are tested as columns, not row by row."""
HIGHEST = sys.float_info.max
SINGLE = float(np.finfo(np.float32).max)


def document_of(schema: pa.DataFrameSchema, **options: Any) -> dict[str, Any]:
    return json.loads(schema.to_json(**options))


def loaded(document: Mapping[str, Any]) -> pa.DataFrameSchema:
    """The schema as the runtime loads it from a package."""
    return _schema_from_json(json.dumps(document).encode(), "schema.json")


def frame_of(schema: pa.DataFrameSchema, columns: Mapping[str, Sequence[Any]]) -> pd.DataFrame | None:
    """The frame that reaches the model, None where the request is refused."""
    try:
        frame, violations = FrameReader(schema).read(columns)
    except PayloadError:
        return None
    if violations:
        return None
    frame, violations = validated(schema, frame)
    return None if violations else frame


def answer_passes(schema: pa.DataFrameSchema, columns: Mapping[str, np.ndarray]) -> bool:
    answer, violations = validated(schema, pd.DataFrame(columns))
    return not (violations or _infinite(answer))


def same_values(batch: Batch, frame: pd.DataFrame, document: Mapping[str, Any]) -> bool:
    """Whether the batch holds the frame's values, bit for bit in each column's dtype."""
    if batch.names != tuple(frame.columns) or batch.rows != len(frame) or len(batch.columns) != len(batch.names):
        return False
    for name, cells in zip(batch.names, batch.columns, strict=True):
        series, dtype = frame[name], document["columns"][name]["dtype"]
        if len(cells) != batch.rows:
            return False
        if dtype.startswith("str"):
            pairs = zip(cells, series.tolist(), strict=True)
            if not all(a == b if type(a) is str else math.isnan(a) and math.isnan(b) for a, b in pairs):
                return False
            continue
        if np.array(cells, dtype=dtype).tobytes() != series.to_numpy().tobytes() or str(series.dtype) != dtype:
            return False
        if not dtype.startswith("float") and {*map(type, cells)} != {type(series.tolist()[0])}:
            return False
    return True


@dataclass(frozen=True, slots=True)
class Question:
    """One request, and whether the path of frames and pandera accepts it.

    ``open`` is a deliberate exception: accepted there, and left to it on purpose.
    """

    document: Mapping[str, Any]
    how: str
    payload: Any
    accepted: bool
    open: bool = False

    def __str__(self) -> str:
        return f"{self.how}({repr(self.payload)[:200]}) of {json.dumps(self.document['columns'])}"


class Answers:
    """What the package's tests, or a mutant's, say to questions."""

    def __init__(self, package: ModuleType = accept) -> None:
        self._package = package
        self._tests: dict[tuple[int, str], Any] = {}

    def __call__(self, question: Question) -> bool:
        answer = getattr(self._test(question), question.how)(question.payload)
        return answer if isinstance(answer, bool) else answer is not None

    def _test(self, question: Question) -> Any:
        kind = "OutputTest" if question.how == "accepts" else "InputTest"
        key = (id(question.document), kind)
        if key not in self._tests:
            self._tests[key] = getattr(self._package, kind)(self._package.rules_of(question.document))
        return self._tests[key]

    def single(self, question: Question) -> bool | None:
        """What the test of one row says to the same; None where there is none."""
        if question.how != "accepts":
            return None
        columns = question.payload
        if any(type(array) is not np.ndarray or array.shape != (1,) for array in columns.values()):
            return None
        test = self._test(question).single([*columns], [array.dtype for array in columns.values()])
        return None if test is None else test([array.tolist()[0] for array in columns.values()])

    def wrong(self, question: Question) -> bool:
        verdicts = [self(question), self.single(question)]
        return any(said not in (None, question.accepted) and (said or not question.open) for said in verdicts)


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


def output_questions() -> Iterator[Question]:
    """Answers of classifiers and regressors, sound and unsound."""
    for options in ({"strict": True}, {"ordered": True}, {}):
        schema = pa.DataFrameSchema(
            {
                "prediction": pa.Column("str", C.isin(["no", "yes"])),
                "probability_no": pa.Column("float64", C.in_range(0, 1)),
                "probability_yes": pa.Column("float64", C.in_range(0, 1), nullable=True),
            },
            checks=[C.rows_sum_to_one(tol=1e-6)],
            **options,
        )
        yield from _answers(document_of(schema), _classified())
        schema.columns["probability_yes"] = pa.Column("float64", C.in_range(0, 0.8))
        yield from _answers(document_of(schema), _of_one_row())
    nullable_or_not = [*product(("float64", "float32"), (False, True)), *product(("int64", "bool", "str"), (True,))]
    for dtype, nullable in nullable_or_not:
        checks = [C.le(1000), C.ne(5)] if dtype[0] in "fiu" else []
        schema = pa.DataFrameSchema({"prediction": pa.Column(dtype, checks, nullable=nullable)}, strict=True)
        yield from _answers(document_of(schema), _predicted())
    for options in ({}, {"strict": True}, {"ordered": True}):
        schema = pa.DataFrameSchema({"prediction": pa.Column("float64", unique=True)}, **options)
        yield from _answers(document_of(schema), _with_others())


def _classified() -> Iterator[dict[str, np.ndarray]]:
    labels = np.array(["no", "yes", "no"])
    sums = [0.0, 1e-7, 9.999e-7, 1.001e-6, 1e-5, -9.999e-7, -1.001e-6, 0.5, np.nan, np.inf, -0.7]
    for off in sums:
        no = np.array([0.1, 0.7, 0.0])
        summed = {"prediction": labels, "probability_no": no, "probability_yes": 1 - no + np.array([off, 0, 0])}
        yield from (summed, {name: np.tile(array, MANY) for name, array in summed.items()})
    good = {"prediction": labels, "probability_no": np.array([1.0, 0, 0.5]), "probability_yes": np.array([0, 1, 0.5])}
    yield from (good, dict(reversed(good.items())))
    for name in good:
        yield {other: array for other, array in good.items() if other != name}
        yield {**good, name: good[name].astype(object)}
        yield {**good, name: good[name][:2]}
        yield {**good, name: good[name].reshape(-1, 1)}
    for label in ("maybe", "", "no\n", "\ud800"):
        yield {**good, "prediction": np.array(["no", "yes", label])}
        yield {**good, "prediction": np.array(["no", "yes", label], dtype=object)}
    yield {**good, "prediction": np.array(["no", "yes", None], dtype=object)}
    yield {**good, "prediction": np.array([0, 1, 0])}
    yield {**good, "probability_no": np.array([0.5, np.nan, 0.5])}
    yield {**good, "probability_no": np.array([1, 0, 0])}
    yield {**good, "probability_yes": np.array([0, 1, 0.5], dtype=np.float32)}
    yield {**good, "probability_yes": np.full(3, np.nan), "probability_no": np.full(3, np.nan)}
    for other in (np.array([0.0, 0.1, 0.2]), np.array([0.0, np.inf, 0.2]), np.array(["a", "b", "c"])):
        yield {**good, "probability_maybe": other}
        yield {"score": other, **good}


def _of_one_row() -> Iterator[dict[str, np.ndarray]]:
    for label, no, yes in (
        *[("no", 0.25, 0.75), ("yes", 1.0, 0.0), ("no", 0.5, 0.5 + 1e-7), ("no", 0.5, 0.5 + 1e-5), ("no", 0.5, 0.4)],
        *[("maybe", 0.25, 0.75), ("no", 1.5, -0.5), ("no", np.nan, 1.0), ("no", np.inf, -np.inf), ("yes", 0.0, 0.0)],
    ):
        row = {"prediction": np.array([label]), "probability_no": np.array([no]), "probability_yes": np.array([yes])}
        yield from (row, dict(reversed(row.items())), {**row, "other": np.array([0.0])})
        yield {name: row[name] for name in ("prediction", "probability_yes", "probability_no")}
        yield {**row, "probability_no": np.array([no], dtype=np.float32)}


def _predicted() -> Iterator[dict[str, np.ndarray]]:
    for dtype in ("float64", "float32", "int64", "uint8", "bool", "U", ">f8", object):
        yield {"prediction": np.array([1, 0, 1]).astype(dtype)}
    yield {"prediction": np.array(["a", "b\x00", "é"])}
    yield {"prediction": np.array([], dtype=np.float64)}
    values = [0.0, -0.0, 5.0, 1000.0, 1000.5, 5e-324, np.nan, np.inf, -np.inf, -HIGHEST, 1e39]
    for value, dtype in product(values, (np.float64, np.float32)):
        with np.errstate(over="ignore"):
            array = np.array([value], dtype=dtype)
        yield {"prediction": array}
        if dtype is np.float64:
            yield {"prediction": np.append(np.zeros(MANY), array)}
    for whole in (0, 5, 1000, 1001):
        yield {"prediction": np.array([whole])}
    yield {"prediction": np.ma.masked_array([1.0, 2.0], mask=[True, False])}


def _with_others() -> Iterator[dict[str, np.ndarray]]:
    good = {"prediction": np.array([1.0, 2.0])}
    yield from (good, {"prediction": np.array([1.0, 1.0])}, {"prediction": np.array([0.0, -0.0])})
    for other in ([1.0, 2.0], [np.inf, 0], [np.nan, 0], [1, 2], ["a", "b"], [True, False], [1.0, 2.0, 3.0]):
        yield {**good, "other": np.array(other)}
        yield {"other": np.array(other), **good}


def _answers(document: dict[str, Any], answers: Iterator[dict[str, np.ndarray]]) -> Iterator[Question]:
    schema = loaded(document)
    for columns in answers:
        try:
            accepted = answer_passes(schema, columns)
        except (ValueError, TypeError):  # no frame can be made of it
            accepted = False
        yield Question(document, "accepts", columns, accepted, _left_open(document, columns))


def _left_open(document: Mapping[str, Any], columns: Mapping[str, np.ndarray]) -> bool:
    """Answers that pandera accepts and that are left to it, since no model of use gives them."""
    arrays = [*columns.values()]
    text = document["columns"]["prediction"]["dtype"].startswith("str")
    return (
        any(len(array) == 0 or type(array) is not np.ndarray for array in arrays)
        # Missing strings, and rows of which all values are missing, for which checks of rows are not asked.
        or any(array.dtype == object or not array.dtype.isnative for array in arrays)
        or (text and any(array.dtype.kind == "f" and np.isnan(array).any() for array in arrays))
        # Columns that an open schema does not name: in order, missing, or of another kind.
        or len(columns) > len(document["columns"])
    )


@pytest.fixture(scope="session")
def questions() -> Iterator[list[Question]]:
    asked = [*cell_questions(), *unique_questions(), *shape_questions(), *output_questions()]
    gc.freeze()  # a million objects that stay; each full collection would walk them
    yield asked
    gc.unfreeze()


@pytest.fixture(scope="session")
def lanes() -> SimpleNamespace:
    """The functions above, since test modules cannot import a conftest."""
    return SimpleNamespace(
        pd=pd,
        document_of=document_of,
        loaded=loaded,
        frame_of=frame_of,
        answer_passes=answer_passes,
        same_values=same_values,
        Answers=Answers,
        Question=Question,
    )


@pytest.fixture(scope="session")
def package_folder() -> Path:
    return Path(accept.__file__).parent
