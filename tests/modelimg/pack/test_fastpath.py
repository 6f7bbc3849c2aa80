"""Whether the fast path is equal, as packing finds out."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from modelimg.pack import pack
from modelimg.pack.allowlist import AllowList
from modelimg.pack.data import Facts, Split
from modelimg.pack.draft import draft_input, draft_output
from modelimg.pack.fastpath import _Answers, prove_fast_path
from modelimg.pack.model import read_model
from modelimg.pack.schemas import pack_schema
from modelimg_runtime import lane
from modelimg_runtime.columns import Answer, Batch
from modelimg_runtime.contract import FAST_PATH, FastPath
from modelimg_runtime.fast import FastModel

CANCER = load_breast_cancer(as_frame=True)


def proven(tmp_path: Path, model: Any, X: pd.DataFrame, y: Any, schema: Any = None) -> FastPath:
    """What packing finds out, on every third row."""
    packed = read_model(model.fit(X, y), AllowList(), tmp_path)
    accepts = draft_input(X) if schema is None else pack_schema("input", schema, tmp_path)
    contracts = {"input": accepts, "output": draft_output(packed, X)}
    return prove_fast_path(packed, contracts, split_of(X.iloc[::3]))


def split_of(X: pd.DataFrame) -> Split:
    return Split("test", X, None, Facts("0" * 64, "file", *X.shape))


def mixed() -> tuple[pd.DataFrame, np.ndarray[Any, Any]]:
    random = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "age": random.integers(18, 90, 300),
            "income": random.normal(3000, 900, 300),
            "city": pd.Series(random.choice(["Ulm", "Jena", "Bonn"], 300), dtype="str"),
        }
    )
    return X, np.where(X["age"] + X["income"] / 100 > 80, "yes", "no")


def forest() -> Any:
    columns = make_column_transformer((StandardScaler(), ["age", "income"]), (OneHotEncoder(), ["city"]))
    return make_pipeline(columns, RandomForestClassifier(10, random_state=0))


def test_every_row_of_the_test_split_is_compared_and_some_alone(tmp_path: Path) -> None:
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(CANCER.data, CANCER.target)
    train, test = (CANCER.data, CANCER.target), (CANCER.data[::3], CANCER.target[::3])
    package = pack(model, tmp_path / "out", name="m", version="1", train=train, test=test, root=tmp_path)
    assert FAST_PATH in package.manifest.files
    proof = FastPath.from_json((package.path / FAST_PATH).read_bytes())
    assert (proof.equal, proof.rows, proof.reason) == (True, 190 + 20, None)
    assert (proof.batches_equal, proof.batch_rows) == (False, 64)  # BLAS adds up a row in another order than many
    assert proof.batch_difference is not None
    assert 0 < proof.batch_difference < 1e-12


@pytest.mark.parametrize("ordered", [False, True])
def test_categories_are_proven_where_the_contract_is_json(tmp_path: Path, ordered: bool) -> None:
    X, y = mixed()
    X["city"] = pd.Categorical(X["city"], ["Ulm", "Jena", "Bonn"], ordered=ordered)
    proof = proven(tmp_path, HistGradientBoostingClassifier(max_iter=4), X, y)
    assert proof.equal is not ordered
    assert proof.rows == (0 if ordered else 120)


def test_a_pipeline_of_many_types_is_proven_too(tmp_path: Path) -> None:
    same = {"batches_equal": True, "batch_rows": 64, "batch_difference": 0.0}
    assert proven(tmp_path, forest(), *mixed()) == FastPath(equal=True, rows=100 + 20, **same)


def test_rows_that_the_contract_does_not_accept_are_not_compared(tmp_path: Path) -> None:
    X = pd.DataFrame({"a": np.arange(30.0), "b": np.ones(30)})
    rows = X.assign(b=[np.inf, *[1.0] * 26, np.nan, -5.0, 1.0])  # no JSON, no value, too small
    model = read_model(LinearRegression().fit(X, X["a"]), AllowList(), tmp_path)
    schema = pa.DataFrameSchema({name: pa.Column("float64", pa.Check.ge(0)) for name in X.columns}, strict=True)
    contracts = {"input": pack_schema("input", schema, tmp_path), "output": draft_output(model, X)}
    proof = prove_fast_path(model, contracts, split_of(rows))
    assert (proof.equal, proof.rows) == (True, 27 + 18)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (SVC(), "SVC"),
        (make_pipeline(FunctionTransformer(np.sin), StandardScaler(), LogisticRegression()), "numpy.sin"),
        (make_pipeline(StandardScaler(), SVC()), "SVC"),
    ],
    ids=["a support vector machine", "a function of the user's", "one step of two"],
)
def test_a_model_without_a_fast_path_is_packed_with_the_reason(model: Any, reason: str, tmp_path: Path) -> None:
    proof = proven(tmp_path, model, CANCER.data.iloc[:, :4], CANCER.target)
    assert not proof.equal
    assert reason in str(proof.reason)


def test_a_contract_that_is_code_is_packed_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "schemas.py").write_text(
        "import pandera.pandas as pa\n"
        "Input = pa.DataFrameSchema({'a': pa.Column(float, pa.Check(lambda column: column >= 0))})\n"
    )
    X = pd.DataFrame({"a": np.arange(30.0)})
    proof = proven(tmp_path, LinearRegression(), X, X["a"], "schemas.py:Input")
    assert proof == FastPath(equal=False, reason="a schema is code, and only pandera can run it")


def test_a_schema_that_cannot_be_compiled_is_packed_with_the_reason(tmp_path: Path) -> None:
    X = pd.DataFrame({"a": np.arange(30.0)})
    schema = pa.DataFrameSchema({"a": pa.Column("float64", coerce=True)})
    proof = proven(tmp_path, LinearRegression(), X, X["a"], schema)
    assert not proof.equal
    assert "'a'" in str(proof.reason)


@pytest.mark.parametrize(
    ("model", "equal"),
    [
        (RandomForestClassifier(5, random_state=0), True),
        (HistGradientBoostingClassifier(max_iter=5), True),
        (make_pipeline(StandardScaler(), KNeighborsClassifier(algorithm="kd_tree")), True),
        (make_pipeline(StandardScaler(), LogisticRegression()), False),
        (make_pipeline(StandardScaler(), MLPClassifier(20, max_iter=500)), False),
    ],
    ids=str,
)
def test_whether_rows_in_batches_are_answered_as_alone_is_found_out(model: Any, equal: bool, tmp_path: Path) -> None:
    proof = proven(tmp_path, model, CANCER.data, CANCER.target)
    assert proof.batches_equal is equal
    assert proof.batch_rows == 64
    assert proof.batch_difference == 0 if equal else 0 < (proof.batch_difference or 1) < 1e-9


class Neighbourly(BaseEstimator):
    """Says of each row what is true of the rows beside it."""

    def __init__(self, how: str = "mean") -> None:
        self.how = how

    def fit(self, X: Any, y: Any) -> Neighbourly:
        return self

    def predict(self, X: pd.DataFrame) -> Any:
        if self.how == "mean":
            return np.full(len(X), X.to_numpy().mean())
        if self.how == "labels":
            return np.full(len(X), "many" if len(X) > 5 else "few", dtype=object)
        if self.how == "type":
            return np.zeros(len(X), dtype="float32" if len(X) == 7 else "float64")
        if self.how == "sign":
            return np.full(len(X), -0.0 if len(X) == 16 else 0.0)
        if self.how == "nan":
            return np.full(len(X), np.nan if len(X) == 64 else 1.0)
        raise ValueError("refused")


@pytest.mark.parametrize(
    ("how", "known"), [("mean", True), ("labels", False), ("type", False), ("sign", True), ("nan", False), ("", False)]
)
def test_a_difference_between_a_row_alone_and_in_a_batch_is_found_and_told_where_it_is_a_number(
    how: str, known: bool
) -> None:
    X = CANCER.data.iloc[:, :3]
    answers = _Answers(SimpleNamespace(estimator=Neighbourly(how), classes=()), draft_input(X), split_of(X))
    difference = answers.difference()
    assert (difference is not None and difference > 0) if known else difference is None


def test_rows_that_the_contract_does_not_accept_are_not_compared_in_batches(tmp_path: Path) -> None:
    X = CANCER.data.iloc[:40, :2]
    schema = pa.DataFrameSchema({name: pa.Column("float64", pa.Check.le(20)) for name in X.columns}, strict=True)
    accepted = int((X <= 20).all(axis=1).sum())
    broken = X.assign(**{X.columns[0]: ["x", *X.iloc[1:, 0]]})
    for rows, count in ((broken, accepted - bool((X.iloc[0] <= 20).all())), (X.iloc[:, :1], 0)):
        model = SimpleNamespace(estimator=LinearRegression().fit(X, X.iloc[:, 0]), classes=())
        answers = _Answers(model, pack_schema("input", schema, tmp_path), split_of(rows))
        assert answers.rows == count
        assert (answers.difference() is None) == (count == 0)


def shifted(answer: Answer) -> Answer:
    return Answer(answer.predictions, answer.probabilities * (1 + 2**-52))  # type: ignore[operator]


def other_label(answer: Answer) -> Answer:
    return Answer(answer.predictions[::-1], answer.probabilities)


def other_type(answer: Answer) -> Answer:
    return Answer(answer.predictions.astype("int32"), answer.probabilities)


def no_probabilities(answer: Answer) -> Answer:
    return Answer(answer.predictions, None)


def other_scores(answer: Answer) -> Answer:
    return Answer(answer.predictions, answer.probabilities, answer.scores * (1 + 2**-52))  # type: ignore[operator]


@pytest.mark.parametrize("wrong", [shifted, other_label, other_type, no_probabilities, other_scores])
def test_one_bit_of_difference_is_enough(wrong: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = FastModel.answer
    monkeypatch.setattr(FastModel, "answer", lambda self, batch: wrong(real(self, batch)))
    monkeypatch.setattr(lane.OutputTest, "accepts", lambda self, columns: True)
    proof = proven(tmp_path, make_pipeline(StandardScaler(), LogisticRegression()), CANCER.data, CANCER.target)
    assert not proof.equal
    assert "differ from scikit-learn's on rows of the split test" in str(proof.reason)


def test_a_difference_that_only_a_single_row_shows_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = FastModel.answer

    def answer(self: FastModel, batch: Batch) -> Answer:
        return shifted(real(self, batch)) if batch.rows == 1 else real(self, batch)

    monkeypatch.setattr(FastModel, "answer", answer)
    proof = proven(tmp_path, make_pipeline(StandardScaler(), LogisticRegression()), CANCER.data, CANCER.target)
    assert not proof.equal
    assert proof.rows == 190
