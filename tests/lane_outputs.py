"""The exhaustive table's answers: of classifiers and regressors, sound and unsound."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import numpy as np
import pandera.pandas as pa

from lanes import MANY, Question, answer_passes, document_of, loaded

C = pa.Check
HIGHEST = sys.float_info.max


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
