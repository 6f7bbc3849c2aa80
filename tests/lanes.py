"""Requests and answers put to the compiled tests, and what the path of frames and pandera says to the same."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

from modelimg_runtime import accept
from modelimg_runtime.columns import Batch
from modelimg_runtime.errors import PayloadError
from modelimg_runtime.frames import FrameReader
from modelimg_runtime.predict import _infinite
from modelimg_runtime.validation import _schema_from_json, validated

MANY = 50
"""Rows with which columns are tested as columns, not row by row."""


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
