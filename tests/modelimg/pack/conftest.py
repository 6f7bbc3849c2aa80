"""Small real models and tables for the tests of packing."""

from __future__ import annotations

import zipfile

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from modelimg.pack.allowlist import AllowList
from modelimg.pack.model import read_model

ROWS = 60


@pytest.fixture(scope="session")
def table():
    """Numbers, a category, a missing value, and the target ``kind``."""
    random = np.random.RandomState(0)
    frame = pd.DataFrame(
        {
            "size": random.rand(ROWS).round(3),
            "count": random.randint(0, 9, ROWS),
            "colour": np.array(["red", "green", "blue"])[np.arange(ROWS) % 3],
        }
    )
    frame.loc[7, "size"] = None
    frame["kind"] = np.where(frame["count"] > 4, "big", "small")
    return frame


@pytest.fixture(scope="session")
def X(table):
    return table.drop(columns="kind")


@pytest.fixture(scope="session")
def y(table):
    return table["kind"]


@pytest.fixture(scope="session")
def classifier(X, y):
    columns = make_column_transformer(
        (SimpleImputer(), ["size", "count"]), (OneHotEncoder(handle_unknown="ignore"), ["colour"])
    )
    return make_pipeline(columns, RandomForestClassifier(3, max_depth=3, random_state=0)).fit(X, y)


@pytest.fixture(scope="session")
def regressor(X):
    return Ridge().fit(X[["count"]], X["count"] * 2.0)


@pytest.fixture(scope="session")
def packed(classifier, tmp_path_factory):
    """The classifier as packing sees it."""
    return read_model(classifier, AllowList(), tmp_path_factory.mktemp("root"))


@pytest.fixture
def project(tmp_path, table, classifier):
    """A folder with a saved model and data files, as the command line meets them."""
    joblib.dump(classifier, tmp_path / "model.joblib")
    table[:40].to_csv(tmp_path / "train.csv", index=False)
    table[40:].to_csv(tmp_path / "test.csv", index=False)
    return tmp_path


@pytest.fixture
def tiny_wheel(tmp_path):
    """A wheel that no index has."""
    path = tmp_path / "wheels here" / "tiny-1.0-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny.py", "x = 1\n")
        archive.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("tiny-1.0.dist-info/RECORD", "")
    return path
