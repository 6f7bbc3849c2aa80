"""Comparing the fast path with scikit-learn, bit for bit, on batches as the server builds them."""

from __future__ import annotations

import io
import pickle
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine

from modelimg_runtime.columns import Batch
from modelimg_runtime.fast import FastModel, NotAnswered, read_parts, specialise
from modelimg_runtime.predict import decision_scores, output_frame
from modelimg_runtime.unpickle import load

SIZES = (1, 2, 3, 7, 64, 1000)
PENGUINS = Path(__file__).parents[3] / "examples/penguins/penguins.csv"


def saved(estimator: Any, format: str = "joblib", protocol: int | None = None) -> bytes:
    if format == "pickle":
        return pickle.dumps(estimator, protocol)
    buffer = io.BytesIO()
    joblib.dump(estimator, buffer, protocol=protocol)
    return buffer.getvalue()


def recorded(data: bytes, format: str = "joblib") -> Any:
    """The estimator as the server loads it, and what its file refers to."""
    return load(data, format, lambda module, name: True)


def labels_of(estimator: Any) -> tuple[Any, ...]:
    return tuple(estimator.classes_.tolist()) if hasattr(estimator, "classes_") else ()


def server_frame(columns: dict[str, list[Any]], dtypes: dict[str, Any]) -> pd.DataFrame:
    """A frame as the server builds it from a request: column by column."""
    return pd.DataFrame({name: server_column(cells, dtypes[name]) for name, cells in columns.items()})


def server_column(cells: list[Any], dtype: Any) -> Any:
    if isinstance(dtype, pd.CategoricalDtype):
        return pd.Categorical(cells, dtype=dtype)
    return pd.array(cells, dtype="str") if dtype == "str" else np.array(cells, dtype=dtype)


def dtypes_of(frame: pd.DataFrame) -> dict[str, str]:
    return {name: str(dtype) for name, dtype in frame.dtypes.items()}


def as_batch(columns: dict[str, list[Any]]) -> Batch:
    return Batch(tuple(columns), tuple(columns.values()), len(next(iter(columns.values()))))


def specialised(estimator: Any, frame: pd.DataFrame, labels: Sequence[Any] | None = None) -> FastModel:
    data = saved(estimator)
    parts = read_parts(data, "joblib", frozenset(recorded(data).globals))
    return specialise(parts, list(dtypes_of(frame).items()), labels_of(estimator) if labels is None else labels)


class Pair:
    """A model in both forms.

    Attributes:
        counts: of batches, by what became of them.
    """

    def __init__(self, estimator: Any, frame: pd.DataFrame, format: str = "joblib", protocol: int | None = None):
        data = saved(estimator, format, protocol)
        loaded = recorded(data, format)
        self.real, self.classes, self.dtypes = loaded.object, labels_of(loaded.object), dtypes_of(frame)
        self.frame_dtypes = dict(frame.dtypes)
        parts = read_parts(data, format, frozenset(loaded.globals))
        self.fast: FastModel = specialise(parts, list(self.dtypes.items()), self.classes)
        self.counts: Counter[str] = Counter()

    def expected(self, columns: dict[str, list[Any]]) -> pd.DataFrame | None:
        """scikit-learn's answer; None where it refuses."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return output_frame(self.real, server_frame(columns, self.frame_dtypes), self.classes)
            except ValueError:
                return None

    def compare(self, columns: dict[str, list[Any]], *, answered: bool) -> None:
        """Insist on the same bits, or on a refusal where scikit-learn refuses.

        Args:
            columns: a request.
            answered: whether the fast path must answer what scikit-learn answers.
        """
        expected = self.expected(columns)
        try:
            answer = self.fast.answer(as_batch(columns))
        except NotAnswered:
            assert expected is None or not answered
            self.counts["refused by both" if expected is None else "left to scikit-learn"] += 1
            return
        assert expected is not None, "scikit-learn refuses what the fast path answers"
        found = pd.DataFrame(dict(answer.columns(self.classes, "prediction", "probability_")))
        same_frames(found, expected)
        if answer.scores is not None and np.isfinite(answer.scores).all():  # else they are left to scikit-learn
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                scores = decision_scores(self.real, server_frame(columns, self.frame_dtypes))
            assert (answer.scores.dtype, answer.scores.tobytes()) == (scores.dtype, scores.tobytes())
        self.counts["answered"] += 1


def same_frames(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    assert list(found.columns) == list(expected.columns)
    for name in expected.columns:
        ours, theirs = found[name].to_numpy(), expected[name].to_numpy()
        assert found[name].dtype == expected[name].dtype
        assert np.array_equal(ours, theirs, equal_nan=ours.dtype.kind == "f")
        if ours.dtype.kind != "O":
            assert ours.tobytes() == theirs.tobytes()


def sample(frame: pd.DataFrame, rows: int, seed: int = 0) -> dict[str, list[Any]]:
    chosen = frame.sample(rows, replace=True, random_state=seed)
    return {name: chosen[name].tolist() for name in frame}


def exact(estimator: Any, frame: pd.DataFrame, *, sizes: Sequence[int] = SIZES, answered: bool = True) -> Pair:
    """Compare on real rows in batches of several sizes."""
    pair = Pair(estimator, frame)
    for size in sizes:
        for seed in range(3 if size == 1 else 1):
            pair.compare(sample(frame, size, seed), answered=answered)
    return pair


EXTREMES = [0.0, -0.0, 1.0, -1.0, 5e-324, -2.2e-308, 1e-45, 1.5e308, -1.7e308, 3.4028235e38, 3.41e38, 1e39]
EXTREMES += [16777217.0, 0.1, 1 / 3, 1e16]
REFUSED = [float("nan"), None, float("inf"), float("-inf")]
WHOLE = [0, 1, -1, 2007, 16777217, 2**53 + 1, -(2**60) - 1, 2**63 - 1]
STRANGE = ["", "unknown", "male ", "\N{SNOWMAN}", float("nan")]


def probe(pair: Pair, frame: pd.DataFrame, *, special: Sequence[float] = (), examples: int = 60) -> Pair:
    """Compare on rows of real, special and extreme cells."""
    around = [float(np.nextafter(cell, way)) for cell in special for way in (-np.inf, np.inf)]

    def cells(name: str) -> st.SearchStrategy[Any]:
        real = st.sampled_from(frame[name].dropna().unique().tolist())
        odd: dict[str, st.SearchStrategy[Any]] = {
            "float64": st.sampled_from([*EXTREMES, *special, *around]),
            "int64": st.sampled_from(WHOLE),
            "str": st.sampled_from(STRANGE),
            "bool": st.booleans(),
            "category": st.just(float("nan")),
        }
        kind = pair.dtypes[name]
        if kind != "float64":
            return st.integers(0, 9).flatmap(lambda choice: odd[kind] if choice == 9 else real)
        finite, refused = st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(REFUSED)
        choices = [*[real] * 24, *[odd[kind]] * 12, *[finite] * 3, refused]
        return st.integers(0, len(choices) - 1).flatmap(choices.__getitem__)

    row = st.tuples(*(cells(name) for name in frame))

    @settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(rows=st.lists(row, min_size=1, max_size=5))
    def check(rows: list[tuple[Any, ...]]) -> None:
        columns = dict(zip(frame, map(list, zip(*rows, strict=True)), strict=True))
        pair.compare(columns, answered=False)

    check()
    return pair


@pytest.fixture(scope="session")
def compare() -> SimpleNamespace:
    """The functions above, since test modules cannot import a conftest."""
    return SimpleNamespace(
        pair=Pair,
        specialised=specialised,
        exact=exact,
        probe=probe,
        saved=saved,
        recorded=recorded,
        labels_of=labels_of,
        dtypes_of=dtypes_of,
        as_batch=as_batch,
        sample=sample,
    )


@pytest.fixture(scope="session")
def data() -> SimpleNamespace:
    """Real data: all floats; floats with classes as strings; and strings, integers, bools and missing values."""
    cancer, iris = load_breast_cancer(as_frame=True), load_iris(as_frame=True)
    diabetes, wine = load_diabetes(as_frame=True), load_wine(as_frame=True)
    penguins = pd.read_csv(PENGUINS).astype({"island": "str", "sex": "str"})
    species = penguins.pop("species").to_numpy(dtype=object)
    penguins["heavy"] = penguins["body_mass_g"] > 4000
    return SimpleNamespace(  # divided by their largest, so that every solver converges
        cancer=(cancer.data / cancer.data.max(), cancer.target.to_numpy()),
        iris=(iris.data / iris.data.max(), iris.target_names[iris.target.to_numpy()].astype(object)),
        diabetes=(diabetes.data, diabetes.target.to_numpy()),
        wine=(wine.data / wine.data.max(), wine.target.to_numpy()),
        penguins=(penguins, species),
        numbers=penguins[["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]],
        texts=penguins[["island", "sex"]],
    )
