"""The models that everyone serves, the rows that everyone is asked for, and scikit-learn's own answers to them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pandera.pandas as pa
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import modelimg
from benchmarks.models import LOCK

LINEAR, FOREST = "linear", "forest"
NAMES = {LINEAR: "logistic regression", FOREST: "forest"}
BATCH = 100
_SINGLE, _BATCHES = 20, 4
_ROWS = 4000
_WORDS = {
    "region": ("north", "east", "south", "west", "centre", "abroad"),
    "plan": ("basic", "plus", "family", "business"),
    "channel": ("web", "shop", "phone", "partner", "post"),
    "device": ("phone", "tablet", "desktop"),
    "segment": ("a", "b", "c", "d", "e", "f", "g", "h"),
}


@dataclass(frozen=True)
class Column:
    """One column of a contract, which those who validate hold their input against.

    Attributes:
        name: of the column.
        kind: ``float``, ``int`` or ``str``.
        low: least value of a number.
        high: greatest value of a number.
        allowed: the only values of a string.
    """

    name: str
    kind: str
    low: float = 0.0
    high: float = 0.0
    allowed: tuple[str, ...] = ()

    def column(self) -> pa.Column:
        """As pandera's column."""
        number = self.kind != "str"
        check = pa.Check.in_range(self.low, self.high) if number else pa.Check.isin(list(self.allowed))
        return pa.Column({"float": "float64", "int": "int64"}.get(self.kind, "str"), check)


_NUMBERS = (
    Column("age", "int", 18, 100),
    Column("income", "float", 0, 1e6),
    Column("balance", "float", -1e5, 1e6),
    Column("tenure", "int", 0, 1200),
    Column("visits", "int", 0, 10_000),
    Column("complaints", "int", 0, 10_000),
    Column("distance", "float", 0, 10_000),
)


@dataclass(frozen=True)
class Table:
    """Rows of named values and the predictions for them, in the same order."""

    rows: list[dict[str, Any]]
    expected: list[Any]


@dataclass(frozen=True)
class Subject:
    """A model as files for everyone: `MODEL`, `CONTRACT`, `ROWS`, and a package of ours.

    Attributes:
        key: `LINEAR` or `FOREST`.
        folder: where the files are.
        columns: its contract.
        singles: requests of one row.
        batches: requests of `BATCH` rows.
    """

    key: str
    folder: Path
    columns: tuple[Column, ...]
    singles: tuple[Table, ...]
    batches: tuple[Table, ...]

    @property
    def requests(self) -> dict[str, tuple[Table, ...]]:
        """All requests, by size: ``one`` row, or a ``batch``."""
        return {"one": self.singles, "batch": self.batches}

    @property
    def model(self) -> Path:
        """The fitted estimator as joblib writes it."""
        return self.folder / "model.joblib"

    @property
    def contract(self) -> Path:
        """The columns as a JSON list of `Column`."""
        return self.folder / "contract.json"

    @property
    def rows(self) -> Path:
        """Some rows as a JSON list: what tools infer types from."""
        return self.folder / "rows.json"

    @property
    def package(self) -> Path:
        """The model package."""
        return self.folder / "package"


def make_subjects(root: Path) -> tuple[Subject, ...]:
    """Train, save and pack; whatever an earlier run left is replaced.

    Args:
        root: folder for them.
    """
    linear = _make(LINEAR, root / LINEAR, *_linear(), lock=None)
    return linear, _make(FOREST, root / FOREST, *_forest(), lock=linear.package / LOCK)


def _make(
    key: str, folder: Path, columns: tuple[Column, ...], model: Any, split: _Split, *, lock: Path | None
) -> Subject:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model.fit(split.X_train, split.y_train)
    subject = Subject(key, folder, columns, *_tables(model, split.X_test))
    joblib.dump(model, subject.model)
    subject.contract.write_text(json.dumps([asdict(column) for column in columns]))
    subject.rows.write_text(json.dumps(subject.batches[0].rows))
    modelimg.pack(
        model,
        subject.package,
        name=f"bench-{key}",
        version="1.0.0",
        train=(split.X_train, split.y_train),
        test=(split.X_test, split.y_test),
        input_schema=pa.DataFrameSchema({column.name: column.column() for column in columns}, strict=True),
        requirements=lock,
    )
    return subject


@dataclass(frozen=True)
class _Split:
    X_train: pd.DataFrame
    X_test: pd.DataFrame
    y_train: pd.Series[int]
    y_test: pd.Series[int]


def _tables(model: Any, X: pd.DataFrame) -> tuple[tuple[Table, ...], tuple[Table, ...]]:
    """Requests of one row and of many, from rows that the model was not fitted on, and scikit-learn's answers."""

    def table(start: int, size: int) -> Table:
        frame = X.take(range(start, start + size))
        return Table(json.loads(frame.to_json(orient="records", double_precision=15)), model.predict(frame).tolist())

    starts = np.linspace(0, len(X) - BATCH, _BATCHES).astype(int).tolist()
    return tuple(table(at, 1) for at in range(_SINGLE)), tuple(table(at, BATCH) for at in starts)


def _linear() -> tuple[tuple[Column, ...], Any, _Split]:
    data = load_breast_cancer(as_frame=True)
    columns = tuple(Column(name, "float", 0.0, 10_000.0) for name in data.data.columns)
    # A solver that converges on columns of such different scales, so that the model is the regression and nothing else.
    model = LogisticRegression(solver="newton-cholesky", max_iter=1000)
    return columns, model, _split(data.data, data.target)


def _forest() -> tuple[tuple[Column, ...], Any, _Split]:
    frame = _customers(np.random.default_rng(0))
    words = tuple(Column(name, "str", allowed=allowed) for name, allowed in _WORDS.items())
    encode = make_column_transformer(
        (StandardScaler(), [column.name for column in _NUMBERS]),
        (OneHotEncoder(handle_unknown="ignore"), list(_WORDS)),
        sparse_threshold=0,
    )
    model = make_pipeline(encode, RandomForestClassifier(n_estimators=100, random_state=0))
    return (*_NUMBERS, *words), model, _split(frame.drop(columns="churned"), frame["churned"])


def _customers(random: np.random.Generator) -> pd.DataFrame:
    """Made-up customers: four columns of whole numbers, three of floats, five of words, and whether they left."""
    numbers: Mapping[str, Any] = {
        "age": random.integers(18, 91, _ROWS),
        "income": random.lognormal(10.3, 0.5, _ROWS).round(2).clip(0, 1e6),
        "balance": random.normal(2000, 4000, _ROWS).round(2),
        "tenure": random.integers(0, 240, _ROWS),
        "visits": random.poisson(6, _ROWS),
        "complaints": random.poisson(1, _ROWS),
        "distance": random.exponential(20, _ROWS).round(3),
    }
    frame = pd.DataFrame({**numbers, **{name: random.choice(words, _ROWS) for name, words in _WORDS.items()}})
    score = (
        0.7 * frame["complaints"]
        - frame["tenure"] / 80
        - frame["visits"] / 10
        + 0.8 * (frame["plan"] == "basic")
        + 0.5 * (frame["channel"] == "phone")
        + random.logistic(0, 0.5, _ROWS)
    )
    return frame.assign(churned=(score > score.median()).astype("int64"))


def _split(X: pd.DataFrame, y: pd.Series[int]) -> _Split:
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, random_state=0, stratify=y)
    return _Split(X_train, X_test, y_train, y_test)
