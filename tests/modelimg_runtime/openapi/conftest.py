"""Packages with the profiles that packing makes, which are served with the routes of the monitor."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pandera.pandas as pa
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression

from modelimg.oci.values import Digest
from modelimg.pack.allowlist import AllowList
from modelimg.pack.answers import output_profile
from modelimg.pack.data import read_splits, reader_for
from modelimg.pack.draft import draft_output
from modelimg.pack.model import read_model
from modelimg.pack.profiles import input_profile
from modelimg_runtime import contract


def pack(tools: SimpleNamespace, folder: Path, model: Any, X: pd.DataFrame, y: Any, within: pa.Check) -> Any:
    """A package of a model, profiled on one half of its rows each for input and output."""
    packed = read_model(model.fit(X, y), AllowList(), folder)
    halves = {"train": (X[::2], y[::2]), "test": (X[1::2], y[1::2])}
    splits = read_splits(reader_for(packed.estimator, None, folder), halves)
    answers, settings = draft_output(packed, splits["test"].X), contract.ProfileSettings()
    digest = Digest.of(answers.content).hex
    profiles = {
        contract.INPUT_PROFILE: input_profile(splits["train"], digest, settings).to_json().encode(),
        contract.OUTPUT_PROFILE: output_profile(packed, splits["test"], digest, settings).to_json().encode(),
    }
    accepts = pa.DataFrameSchema({name: pa.Column("float64", within) for name in X}, strict=True)
    return tools.write_package(folder / "model", packed.estimator, X[:5], accepts, answers.schema, extra=profiles)


@pytest.fixture(scope="session")
def monitored_classes(tools: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Any:
    data = load_iris(as_frame=True)
    y = pd.Series(data.target_names[data.target], name="species")
    forest, folder = RandomForestClassifier(5, random_state=0), tmp_path_factory.mktemp("iris")
    return pack(tools, folder, forest, data.data, y, pa.Check.in_range(0, 1000))


@pytest.fixture(scope="session")
def monitored_numbers(tools: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Any:
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    folder = tmp_path_factory.mktemp("diabetes")
    return pack(tools, folder, LinearRegression(), X[["age", "bmi", "bp"]], y, pa.Check.in_range(-10, 10))


@pytest.fixture(params=["classes", "numbers"])
def monitored(request: pytest.FixtureRequest) -> Any:
    """A classifier, and a regression."""
    return request.getfixturevalue(f"monitored_{request.param}")
