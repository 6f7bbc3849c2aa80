"""Model files: shipped as they are, loaded only under the allow-list, refused with a reason."""

from __future__ import annotations

import os
import pickle
import re
import sys

import joblib
import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from modelimg.errors import ModelFileError
from modelimg.pack.allowlist import AllowList
from modelimg.pack.model import read_model

X = np.arange(12.0).reshape(6, 2)


def fitted():
    return LogisticRegression().fit(X, [0, 1, 0, 1, 0, 1])


@pytest.mark.parametrize(
    ("name", "format", "packed"),
    [("m.joblib", "joblib", "model.joblib"), ("m.pkl", "pickle", "model.pkl"), ("m.pickle", "pickle", "model.pkl")],
)
def test_the_bytes_of_a_file_are_shipped_as_they_are(tmp_path, name, format, packed):
    path = tmp_path / name
    joblib.dump(fitted(), path) if format == "joblib" else path.write_bytes(pickle.dumps(fitted()))
    model = read_model(name, AllowList(), tmp_path)
    assert model.data == path.read_bytes()
    assert (model.file.format, model.file.file) == (format, packed)
    assert model.file.estimator == "sklearn.linear_model._logistic.LogisticRegression"
    assert "sklearn.linear_model._logistic LogisticRegression" in model.file.globals
    assert model.classes == (0, 1)


@pytest.mark.parametrize("compress", [0, 3])
def test_a_joblib_file_that_is_called_pkl_is_read_as_what_it_is(tmp_path, compress):
    joblib.dump(fitted(), tmp_path / "m.pkl", compress=compress)
    assert read_model("m.pkl", AllowList(), tmp_path).file.format == "joblib"


def test_an_estimator_is_saved_with_joblib(tmp_path):
    assert read_model(fitted(), AllowList(), tmp_path).file.file == "model.joblib"


@pytest.mark.parametrize(
    ("estimator", "task", "classes"),
    [
        (lambda: LogisticRegression().fit(X, list("ababab")), "classification", ("a", "b")),
        (lambda: LogisticRegression().fit(X, [True, False] * 3), "classification", (False, True)),
        (lambda: LinearRegression().fit(X, range(6)), "regression", ()),
        (lambda: KMeans(2, n_init=1).fit(X), "other", ()),
        (lambda: MultiOutputClassifier(LogisticRegression()).fit(X, [[0, 1], [1, 0]] * 3), "classification", ()),
    ],
)
def test_task_and_classes_are_told_from_the_estimator(tmp_path, estimator, task, classes):
    model = read_model(estimator(), AllowList(), tmp_path)
    assert (model.task, model.classes) == (task, classes)
    assert [type(one) for one in model.classes] == [type(one) for one in classes]


def missing(path):
    pass


def truncated(path):
    path.write_bytes(pickle.dumps(fitted())[:-20])


def empty(path):
    path.write_bytes(b"")


def a_dict(path):
    path.write_bytes(pickle.dumps({"model": [1, 2]}))


def a_class(path):
    path.write_bytes(pickle.dumps(LogisticRegression))


def unfitted(path):
    path.write_bytes(pickle.dumps(LogisticRegression()))


def unfitted_pipeline(path):
    path.write_bytes(pickle.dumps(make_pipeline(FunctionTransformer(), LogisticRegression())))


class Shell:
    def __reduce__(self):
        return os.system, ("touch marker",)


def refused(path):
    path.write_bytes(pickle.dumps(make_pipeline(Shell())))


def in_script(path):
    path.write_bytes(b"\x80\x04\x8c\x08__main__\x8c\x05Ratio\x93.")


def loose(path):
    path.write_bytes(b"\x80\x04\x8c\x0bloose_file1\x8c\x05Ratio\x93.")


def installed(path):
    path.write_bytes(b"\x80\x04\x8c\x05httpx\x8c\x06Client\x93.")


def other_version(path):
    path.write_bytes(pickle.dumps(fitted()).replace(sklearn_version(), b"0.0.1"))


def sklearn_version():
    import sklearn

    version = sklearn.__version__.encode()
    assert len(version) == 5
    return version


@pytest.mark.parametrize(
    ("write", "says", "hint"),
    [
        (missing, "does not exist", None),
        (truncated, "truncated or corrupt", None),
        (empty, "truncated or corrupt", None),
        (a_dict, "holds a dict, which is no estimator", "save the fitted estimator"),
        (a_class, "no estimator", None),
        (unfitted, "LogisticRegression that is not fitted", None),
        (unfitted_pipeline, "Pipeline that is not fitted", None),
        (refused, r"posix\.system, which is not allowed, and nothing of it was run", "trust"),
        (in_script, "Ratio, which was defined in the training script itself", "move Ratio into a module"),
        (
            loose,
            r"loose_file1\.Ratio, and the module loose_file1 belongs to no installed",
            r'code = \["loose_file1\.py"\]',
        ),
        (installed, r"httpx\.Client, which is not allowed", r'trust = \["httpx\.Client"\]'),
        (other_version, r"fitted by scikit-learn 0\.0\.1", "trained in"),
    ],
)
def test_a_bad_model_file_is_refused_with_a_reason(tmp_path, monkeypatch, write, says, hint):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "m.pkl")
    with pytest.raises(ModelFileError, match=says) as error:
        read_model("m.pkl", AllowList(), tmp_path)
    if hint:
        assert re.search(hint, str(error.value.hint))
    assert not (tmp_path / "marker").exists()


def test_another_ending_is_refused_with_the_known_ones(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"x")
    with pytest.raises(ModelFileError, match="no known ending") as error:
        read_model("m.onnx", AllowList(), tmp_path)
    assert ".joblib" in str(error.value.hint)


def test_a_lambda_in_an_estimator_is_refused_before_anything_is_written(tmp_path):
    model = make_pipeline(FunctionTransformer(lambda X: X), LogisticRegression()).fit(X, [0, 1] * 3)
    with pytest.raises(ModelFileError, match="cannot be saved"):
        read_model(model, AllowList(), tmp_path)


def test_a_class_of_the_users_own_loads_when_its_module_is_packed(tmp_path, monkeypatch):
    (tmp_path / "shop_model.py").write_text(
        "from sklearn.dummy import DummyRegressor\nclass Mean(DummyRegressor):\n    pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import shop_model

    model = shop_model.Mean().fit(X, range(6))
    try:
        with pytest.raises(ModelFileError, match="belongs to no installed distribution"):
            read_model(model, AllowList(), tmp_path)
        assert read_model(model, AllowList(code=("shop_model",)), tmp_path).file.estimator == "shop_model.Mean"
        assert read_model(model, AllowList(trust=("shop_model.Mean",)), tmp_path).file.trust == ("shop_model.Mean",)
    finally:
        del sys.modules["shop_model"]
