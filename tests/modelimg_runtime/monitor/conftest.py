"""Baselines of small tables, and batches as the server hands them on."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets
from sklearn.linear_model import LinearRegression, LogisticRegression

from modelimg.pack.answers import fit_calibration
from modelimg.pack.profiles import columns_of
from modelimg_runtime.columns import Batch, Prediction
from modelimg_runtime.contract import ProfileSettings
from modelimg_runtime.monitor import Baseline
from modelimg_runtime.monitor.document import Identity
from modelimg_runtime.profile import CategoryBins, InputProfile, Plan, Survey
from modelimg_runtime.profile.calibration import CONFIDENCE_BINS, SCORE_BINS
from modelimg_runtime.profile.output import CONFIDENCE, OutputProfile
from modelimg_runtime.profile.plan import ColumnPlan, plan_column
from modelimg_runtime.profile.survey import ColumnSurvey

HOUR = 3600
START = 490_000 * HOUR + 100
"""A moment in the 490,000th hour since 1970."""


class Clock:
    """Says what it was told."""

    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def profile_of(name: str, kind: str, values: Any, bins: Any) -> Any:
    plan = ColumnPlan(name, kind, bins)
    return plan.profile(plan.count(values))


def input_profile(frame: pd.DataFrame) -> InputProfile:
    plan = Plan.of(Survey.of(columns_of(frame)))
    return InputProfile(len(frame), plan.profiles(plan.count(columns_of(frame))), plan.settings)


IDENTITY = Identity("model", "1", "a" * 64, "b" * 64, "c" * 64)


def baseline(frame: pd.DataFrame, task: str, output: OutputProfile) -> Baseline:
    return Baseline(IDENTITY, task, input_profile(frame), output)


def classifier_output(predictions: Any, probabilities: Any = None, classes: Any = None, truth: Any = None) -> Any:
    n, classes = len(predictions), [str(each) for each in (sorted(set(predictions)) if classes is None else classes)]
    answers = profile_of("prediction", "category", list(predictions), CategoryBins(tuple(classes)))
    if probabilities is None:
        return OutputProfile("test", n, (answers,))
    confidence = probabilities.max(axis=1)
    return OutputProfile(
        "test",
        n,
        (answers,),
        tuple(
            profile_of(f"probability_{name}", "number", probabilities[:, i], SCORE_BINS)
            for i, name in enumerate(classes)
        ),
        profile_of(CONFIDENCE, "number", confidence, CONFIDENCE_BINS),
        None if truth is None else fit_calibration(confidence, np.asarray(predictions) == np.asarray(truth)),
    )


def numbers_output(*columns: Any) -> OutputProfile:
    names = ["prediction"] if len(columns) == 1 else [f"prediction_{i}" for i in range(len(columns))]
    plans = [
        plan_column(name, ColumnSurvey.of(column), ProfileSettings())
        for name, column in zip(names, columns, strict=True)
    ]
    profiles = tuple(plan.profile(plan.count(column)) for plan, column in zip(plans, columns, strict=True))
    return OutputProfile("test", len(columns[0]), profiles)


def batch_of(frame: pd.DataFrame) -> Batch:
    return Batch(tuple(map(str, frame)), tuple(frame[name].tolist() for name in frame), len(frame))


@pytest.fixture(scope="session")
def mixed() -> tuple[Baseline, pd.DataFrame]:
    """Numbers, whole numbers, categories and booleans, with two classes."""
    random, n = np.random.RandomState(0), 2000
    frame = pd.DataFrame(
        {
            "x": random.randn(n),
            "count": random.poisson(3, n),
            "wide": np.exp(random.randn(n) * 3),
            "colour": random.choice(["red", "green", "blue"], n),
            "yes": random.rand(n) < 0.3,
        }
    )
    frame.loc[::50, "x"] = np.nan
    frame.loc[::40, "colour"] = None
    score = 1 / (1 + np.exp(-frame["x"].fillna(0).to_numpy()))
    probabilities = np.stack([1 - score, score], axis=1)
    predictions = np.where(score > 0.5, "bad", "good")
    output = classifier_output(predictions, probabilities[:, ::-1], ["bad", "good"], predictions)
    return baseline(frame, "classification", output), frame


def answer_of(frame: pd.DataFrame) -> Prediction:
    score = 1 / (1 + np.exp(-pd.to_numeric(frame["x"]).fillna(0).to_numpy()))
    return Prediction(np.where(score > 0.5, "bad", "good").tolist(), np.stack([score, 1 - score], axis=1).tolist())


@pytest.fixture(scope="session")
def answered() -> Callable[[pd.DataFrame], tuple[Batch, Prediction]]:
    """Rows of `mixed` as the server has them, with their answers."""
    return lambda frame: (batch_of(frame), answer_of(frame))


@pytest.fixture(scope="session")
def cancer() -> tuple[Baseline, pd.DataFrame, Callable[[pd.DataFrame], tuple[Batch, Prediction]], Any]:
    """A real model: its baseline, rows that it was not fitted on, how they are answered, and what is true of them."""
    X, y = datasets.load_breast_cancer(return_X_y=True, as_frame=True)
    order = np.random.RandomState(3).permutation(len(X))
    train, test, held = order[:250], order[250:350], order[350:]
    model = LogisticRegression(max_iter=10_000).fit(X.iloc[train], y.iloc[train])
    predictions, probabilities = model.predict(X.iloc[test]), model.predict_proba(X.iloc[test])
    output = classifier_output(predictions, probabilities, model.classes_, y.iloc[test])

    def answer(frame: pd.DataFrame) -> tuple[Batch, Prediction]:
        return batch_of(frame), Prediction(model.predict(frame).tolist(), model.predict_proba(frame).tolist())

    found = baseline(X.iloc[train].rename(columns=str), "classification", output)
    return found, X.iloc[held].reset_index(drop=True), answer, y.iloc[held].to_numpy()


@pytest.fixture(scope="session")
def diabetes() -> tuple[Baseline, pd.DataFrame, Any, Any]:
    """The same of a regression: baseline, held-back rows, what the model says and what is true of them."""
    X, y = datasets.load_diabetes(return_X_y=True, as_frame=True)
    model = LinearRegression().fit(X.iloc[:200], y.iloc[:200])
    found = baseline(X.iloc[:200], "regression", numbers_output(model.predict(X.iloc[200:300])))
    return found, X.iloc[200:].reset_index(drop=True), model.predict(X.iloc[200:]), y.iloc[200:].to_numpy()


@pytest.fixture(scope="session")
def forked() -> Callable[[Callable[[int], None], int], None]:
    """Run something in so many processes at once, each forked from this one, and wait for all."""

    def run(work: Callable[[int], None], count: int) -> None:
        context = multiprocessing.get_context("fork")
        processes = [context.Process(target=work, args=(number,)) for number in range(count)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(60)
        assert [process.exitcode for process in processes] == [0] * count

    return run


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """Parts of baselines."""
    return SimpleNamespace(
        baseline=baseline,
        batch=batch_of,
        classifier_output=classifier_output,
        numbers_output=numbers_output,
        input_profile=input_profile,
        Clock=Clock,
        HOUR=HOUR,
        START=START,
    )
