"""Models that were packed with profiles, as they are served: small ones of real data, and a wide one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
from sklearn import datasets
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from modelimg.pack.answers import output_profile
from modelimg.pack.data import Split
from modelimg.pack.model import PackedModel
from modelimg.pack.profiles import profile_parts
from modelimg_runtime import contract
from modelimg_runtime.columns import Batch, Prediction
from modelimg_runtime.monitor import Baseline, Monitor
from modelimg_runtime.monitor.document import Identity

PENGUINS = Path(__file__).parents[3] / "examples/penguins/penguins.csv"
EVIL = "<script>window.hacked=1</script>\"'><img src=x onerror=window.hacked=1>"
NAMES = [
    EVIL,
    "</title></svg></style><script>window.hacked=1</script>",
    "\u202eevil\u2066 name \u05e9\u05dc\u05d5\u05dd",
    "long " * 200,
    "🐧🏳️‍🌈 émoji",
    "a\nb\tc\x00d\x1b[31m",
    " ",
    "&lt;b&gt; %3Cb%3E {{x}} ${x}",
    "#feature-1?window=total&feature=x",
    "unbroken" * 40,
]
"""Of columns: what nobody should call one, and somebody will."""


@dataclass(frozen=True)
class Model:
    """A fitted model, what it was packed with, and rows that it has not seen."""

    estimator: Any
    classes: tuple[Any, ...]
    baseline: Baseline
    held: pd.DataFrame
    truth: list[Any]

    def answer(self, frame: pd.DataFrame) -> tuple[Batch, Prediction]:
        """Rows as the server has them, with their answers."""
        columns = [[None if value != value else value for value in frame[name].tolist()] for name in frame]
        batch = Batch(tuple(map(str, frame)), tuple(columns), len(frame))
        scores = self.estimator.predict_proba(frame).tolist() if self.classes else None
        return batch, Prediction(self.estimator.predict(frame).tolist(), scores)

    def served(
        self,
        frame: pd.DataFrame | None = None,
        *,
        labels: list[Any] | None = None,
        monitor: Monitor | None = None,
        **options: Any,
    ) -> Monitor:
        """A monitor that has counted rows, and the labels of the first of them."""
        monitor = monitor or Monitor(self.baseline, **options)
        live = monitor.live()
        if frame is not None:
            live.observe(*self.answer(frame), "all")
        if labels:
            live.feedback([{"prediction_id": "all", "row": row, "label": label} for row, label in enumerate(labels)])
        return monitor


def model_of(estimator: Any, train: Any, test: Any, held: Any, name: str = "demo") -> Model:
    """Fit and profile a model; each of the splits is (X, y)."""
    estimator.fit(*train)
    classes = tuple(estimator.classes_.tolist()) if hasattr(estimator, "predict_proba") else ()
    task = "classification" if classes else "regression"
    packed = PackedModel(b"", SimpleNamespace(), estimator, task, classes)
    split = Split("test", test[0], test[1].to_frame("target"), SimpleNamespace(sha256="d" * 64, kind="frame-v1"))
    baseline = Baseline(
        Identity(name, "1.2.3", "a" * 64, "b" * 64, "c" * 64),
        task,
        profile_parts(lambda: [train[0]]),
        output_profile(packed, split, "e" * 64, contract.ProfileSettings()),
    )
    return Model(estimator, classes, baseline, held[0].reset_index(drop=True), held[1].tolist())


def cut(X: pd.DataFrame, y: pd.Series, *ends: int, seed: int = 3) -> list[tuple[pd.DataFrame, pd.Series]]:
    """The rows in another order, in parts that end there."""
    order = np.random.RandomState(seed).permutation(len(X))
    return [(X.iloc[part], y.iloc[part]) for part in np.split(order, ends)]


@pytest.fixture(scope="session")
def cancer_model() -> Model:
    """30 columns of numbers, two classes."""
    X, y = datasets.load_breast_cancer(return_X_y=True, as_frame=True)
    parts = cut(X, y.map({0: "malignant", 1: "benign"}), 220, 330)
    return model_of(make_pipeline(StandardScaler(), LogisticRegression()), *parts, "breast-cancer")


@pytest.fixture(scope="session")
def penguins_model() -> Model:
    """Categories, missing values, three classes; what it is asked are 600 held-back rows, many of them twice."""
    data = pd.read_csv(PENGUINS).drop(columns="year").astype({"island": object, "sex": object})
    numbers, names = list(data.select_dtypes("number")), ["island", "sex"]
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), numbers),
        (make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")), names),
    )
    train, test, (X, y) = cut(data[[*numbers, *names]], data["species"], 170, 270)
    many = np.random.RandomState(0).choice(len(X), 600)
    return model_of(make_pipeline(columns, LogisticRegression()), train, test, (X.iloc[many], y.iloc[many]), "penguins")


@pytest.fixture(scope="session")
def diabetes_model() -> Model:
    """A regression."""
    X, y = datasets.load_diabetes(return_X_y=True, as_frame=True)
    return model_of(LinearRegression(), *cut(X, y, 130, 230), "diabetes")


def wide_model(width: int = 300, rows: int = 1500) -> Model:
    """Many sensors, the first with names of somebody who means harm, as are the classes."""
    random = np.random.RandomState(0)
    names = [*NAMES, *(f"sensor {number:03}" for number in range(width))][:width]
    X = pd.DataFrame(random.randn(rows, width), columns=names)
    X.iloc[::40, 20] = np.nan
    score = np.nan_to_num(X.to_numpy()) @ random.randn(width)
    y = pd.Series(np.where(score > 0, "fine", EVIL))
    return model_of(make_pipeline(SimpleImputer(), LogisticRegression()), *cut(X, y, 700, 1000), "plant")


@pytest.fixture(scope="session")
def wide_model_300() -> Model:
    """300 columns."""
    return wide_model()


@pytest.fixture(scope="session")
def watching(tools: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Model], Path]:
    """Writes a package with profiles that can be served."""

    def write(model: Model) -> Path:
        kinds = model.held.dtypes.map(lambda dtype: "float64" if dtype.kind in "if" else "object")
        schema = pa.DataFrameSchema({name: pa.Column(kind, nullable=True) for name, kind in kinds.items()}, strict=True)
        scores = {f"probability_{label}": pa.Column("float64") for label in model.classes}
        output = pa.DataFrameSchema({"prediction": pa.Column("str" if model.classes else "float64"), **scores})
        extra = {
            contract.INPUT_PROFILE: model.baseline.input.to_json().encode(),
            contract.OUTPUT_PROFILE: model.baseline.output.to_json().encode(),
        }
        folder = tmp_path_factory.mktemp("watched") / "model"
        X = model.held.iloc[:5].astype(kinds.to_dict())
        return Path(tools.write_package(folder, model.estimator, X, schema, output, extra=extra).folder)

    return write


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """Parts of the above, since test modules cannot import a conftest."""
    return SimpleNamespace(EVIL=EVIL, NAMES=NAMES, wide_model=wide_model, model_of=model_of)
