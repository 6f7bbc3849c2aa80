"""The whole story of packing, on real models, data and uv."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor

import modelimg
from modelimg.errors import (
    DataError,
    ModelFileError,
    PackError,
    RequirementsError,
    SchemaError,
    UsageError,
)
from modelimg.pack import ModelPackage, pack, read_package
from modelimg.pack.data import DataFile
from modelimg.pack.spec import load_spec, override, pack_spec
from modelimg_runtime import contract
from modelimg_runtime.model import load_model
from modelimg_runtime.selftest import selftest

CODE = """
import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

class Double(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        return np.asarray(X) * 2
"""


def files_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_verb_and_its_package_share_a_name():
    assert callable(modelimg.pack)
    assert modelimg.pack.pack is pack
    with pytest.raises(AttributeError):
        _ = modelimg.no_such_thing


def test_importing_modelimg_is_light():
    check = "import sys, modelimg; modelimg.pack; print({'numpy', 'pandas', 'sklearn', 'docker', 'typer'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.fixture(scope="module")
def package(tmp_path_factory, classifier, X, y) -> ModelPackage:
    root = tmp_path_factory.mktemp("packed")
    out = root / "model"
    return modelimg.pack(
        classifier,
        out,
        name="things",
        version="1.0",
        train=(X[:40], y[:40]),
        test=(X[40:], y[40:]),
        metadata={"description": "Big or small"},
        root=root,
    )


def test_a_package_holds_what_the_design_says(package):
    manifest = package.manifest
    assert set(manifest.files) == {
        "model.joblib",
        "pylock.linux-amd64.toml",
        "training.pylock.toml",
        "input_schema.json",
        "output_schema.json",
        "input_profile.json",
        "output_profile.json",
        "examples.json",
        "fast_path.json",
        "imports.txt",
        "metrics.json",
        "provenance.json",
    }
    assert (manifest.name, manifest.version, manifest.task, manifest.target) == (
        "things",
        "1.0",
        "classification",
        "kind",
    )
    assert manifest.classes == ("big", "small")
    assert manifest.schemas == {"input": "input_schema.json", "output": "output_schema.json"}
    assert manifest.metadata == {"description": "Big or small"}
    assert package.json(contract.METRICS)["test"].keys() >= {"accuracy", "f1_macro", "roc_auc", "log_loss"}
    assert set(package.json(contract.PROVENANCE)["data"]) == {"train", "test"}


def test_the_runtime_loads_it_and_gives_the_packed_answers(package):
    verdict = selftest(package.path)
    assert verdict.passed, verdict
    assert verdict.examples == 10


def test_nothing_of_the_host_is_in_it(package):
    for name, data in files_of(package.path).items():
        for secret in (str(Path.home()), str(package.path.parent), sys.prefix):
            assert secret.encode() not in data, name


def test_it_stays_readable_under_any_umask(package):
    assert {oct(path.stat().st_mode & 0o777) for path in package.path.rglob("*") if path.is_file()} == {"0o644"}


def test_the_same_files_give_the_same_package_byte_for_byte(project):
    options = {"name": "things", "version": "1.0", "train": "train.csv", "test": "test.csv", "root": project}
    one = pack("model.joblib", project / "one", **options)
    two = pack("model.joblib", project / "two", **options)
    assert files_of(one.path) == files_of(two.path)
    assert one.read("model.joblib") == (project / "model.joblib").read_bytes()
    assert [path.name for path in project.iterdir() if path.name.startswith(".")] == []


def test_the_command_lines_way_with_own_code_schema_metrics_and_template(tmp_path):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    (tmp_path / "own_steps.py").write_text(CODE)
    (tmp_path / "schemas.py").write_text(
        "import pandera.pandas as pa\n"
        "Input = pa.DataFrameSchema({'a': pa.Column(float, pa.Check(lambda s: s >= 0, name='positive'))})\n"
    )
    (tmp_path / "Dockerfile.j2").write_text("FROM x\n")
    (tmp_path / "modelimg.toml").write_text(
        "[model]\nname = 'own'\nversion = '2'\nfile = 'model.pkl'\ncode = ['own_steps.py']\n"
        "[data]\ntarget = 'y'\ntrain = {path = 'd.csv', uri = 's3://b/d.csv'}\n"
        "[schema]\ninput = 'schemas.py:Input'\n[metrics]\ntest.lift = 3\n"
        "[training]\ncommand = 'make train'\n[image]\ntemplate = 'Dockerfile.j2'\nprune = false\nparquet = true\n"
    )
    frame = pd.DataFrame({"a": np.arange(20.0), "y": np.arange(20) % 2})
    frame.to_csv(tmp_path / "d.csv", index=False)
    sys.path.insert(0, str(tmp_path))
    try:
        import own_steps

        model = make_pipeline(own_steps.Double(), LogisticRegression()).fit(frame[["a"]], frame["y"])
        (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    finally:
        sys.path.remove(str(tmp_path))
        del sys.modules["own_steps"]
    found = pack_spec(override(load_spec(tmp_path / "modelimg.toml"), version="3"), tmp_path / "out")
    del sys.modules["own_steps"]
    manifest = found.manifest
    assert (manifest.version, manifest.code_modules, manifest.model.format) == ("3", ("own_steps",), "pickle")
    assert "own_steps Double" in manifest.model.globals
    assert found.read("code/own_steps.py").decode() == CODE
    assert manifest.schemas["input"] == "schemas.py:Input"
    assert manifest.image == contract.ImageSettings(None, "Dockerfile.j2", prune=False, parquet=True)
    assert 'name = "pyarrow"' in found.read(contract.serving_lock("linux/amd64")).decode()
    assert found.json(contract.METRICS) == {"test": {"lift": 3}}
    assert found.json(contract.PROVENANCE)["data"]["train"]["uri"] == "s3://b/d.csv"
    assert found.json(contract.PROVENANCE)["training"]["command"] == "make train"
    replay = "import sys, pathlib; from modelimg_runtime.selftest import selftest; print(selftest(pathlib.Path(sys.argv[1])).passed)"
    environment = {"PYTHONPATH": str(tmp_path / "out" / "code")}
    done = subprocess.run(
        [sys.executable, "-c", replay, str(tmp_path / "out")],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "True"


def test_categories_two_platforms_and_a_dirty_repository(tmp_path):
    def git(*words):
        subprocess.run(
            ["git", "-c", "user.name=A", "-c", "user.email=a@b.c", *words],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )

    git("init", "-q")
    (tmp_path / "train.py").write_text("x = 1\n")
    git("add", ".")
    git("commit", "-qm", "first")
    (tmp_path / "train.py").write_text("x = 2\n")
    X = pd.DataFrame({"c": pd.Categorical(list("xyz") * 20, ordered=True), "n": np.arange(60.0)})
    model = HistGradientBoostingRegressor(max_iter=3, categorical_features="from_dtype").fit(X, X["n"])
    found = pack(
        model,
        tmp_path / "dist",
        name="cats",
        version="1",
        train=(X, X["n"].rename("target")),
        splits={"holdout": (X[:20], X["n"][:20].rename("target"))},
        platforms=("linux/amd64", "linux/arm64"),
        root=tmp_path,
    )
    assert found.manifest.platforms == ("linux/amd64", "linux/arm64")
    assert {
        "pylock.linux-amd64.toml",
        "pylock.linux-arm64.toml",
        "schemas.py",
        "code.patch",
    } <= found.manifest.files.keys()
    assert found.json(contract.METRICS)["holdout"].keys() == {"r2", "mae", "rmse"}
    assert found.json(contract.PROVENANCE)["code"]["dirty"] is True
    assert b"x = 2" in found.read("code.patch")
    assert load_model(found.path).input_schema.columns["c"].dtype.type == X["c"].dtype
    assert selftest(found.path).passed


# ---- what is refused ----------------------------------------------------------------------------------------


def strict_schema():
    return pa.DataFrameSchema({"size": pa.Column(float), "count": pa.Column(int), "colour": pa.Column(str)})


REFUSED = {
    "name": ({"name": "Things"}, UsageError, "'Things' cannot name an image"),
    "name with a tag": ({"name": "things:1"}, UsageError, "cannot name an image"),
    "name with a slash": ({"name": "my/things"}, UsageError, "cannot name an image"),
    "version": ({"version": "1.0 beta"}, UsageError, "version '1.0 beta' cannot be an image's tag"),
    "version of a local build": ({"version": "1.0+local"}, UsageError, "cannot be an image's tag"),
    "platform": ({"platforms": ("windows/amd64",)}, UsageError, "unknown platform"),
    "no platform": ({"platforms": ()}, UsageError, "no platform"),
    "metadata": ({"metadata": {"author": "A"}}, UsageError, "no text 'author'"),
    "missing model": ({"model": "nowhere.joblib"}, ModelFileError, "does not exist"),
    "truncated model": ({"model": "cut.joblib"}, ModelFileError, "truncated or corrupt"),
    "a dict": ({"model": "dict.pkl"}, ModelFileError, "holds a dict, which is no estimator"),
    "unfitted": ({"model": HistGradientBoostingRegressor()}, ModelFileError, "is not fitted"),
    "no target": ({"train": "features.csv"}, DataError, "no column beside the model's features"),
    "unreadable data": ({"train": "broken.csv"}, DataError, "cannot be read as CSV"),
    "schema that the examples break": ({"input_schema": strict_schema()}, SchemaError, "row 7, column 'size'"),
    "schema that would be lost": (
        {"input_schema": pa.DataFrameSchema({"size": pa.Column(float, pa.Check(lambda s: s > 0))})},
        SchemaError,
        "would lose column 'size', check <lambda>",
    ),
    "requirements file": ({"requirements": "nowhere.txt"}, RequirementsError, "does not exist"),
    "no such distribution": ({"requirements": "unknown.txt"}, RequirementsError, "no distribution named"),
    "source only": ({"requirements": "source.txt"}, RequirementsError, "exists only as source"),
    "conflict": (
        {"requirements": "conflict.txt"},
        RequirementsError,
        r"scipy==1\.11\.1 needs numpy>=[\d.]+,<[\d.]+, but numpy==2\.0\.0 is required",
    ),
    "code": ({"code": ["nowhere.py"]}, UsageError, "no .py file and no folder"),
    "import of packed code": ({"code": ["importing.py"]}, PackError, "belongs to no installed distribution"),
    "template": ({"image": contract.ImageSettings(template="nowhere.j2")}, UsageError, "template .* does not exist"),
    "metric": ({"metrics": {"test": {"my metric": 1}}}, UsageError, "cannot name a metric"),
    "split": ({"splits": {"my split": "test.csv"}}, UsageError, "cannot name a split"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_refused_and_leaves_nothing_behind(project, table, name):
    changes, error, says = REFUSED[name]
    (project / "cut.joblib").write_bytes((project / "model.joblib").read_bytes()[:-99])
    (project / "dict.pkl").write_bytes(pickle.dumps({"a": 1}))
    (project / "broken.csv").write_text("a,b\n1,2,3,4\n1\n1,2,3,4,5\n")
    (project / "importing.py").write_text("try:\n    import shop_helpers\nexcept ImportError:\n    pass\n")
    (project / "unknown.txt").write_text("scikit-learn\nmodelimg-no-such-distribution-at-all\n")
    (project / "source.txt").write_text("scikit-learn\ndocopt==0.6.2\n")
    (project / "conflict.txt").write_text("scikit-learn\nscipy==1.11.1\nnumpy==2.0.0\n")
    table.drop(columns="kind").to_csv(project / "features.csv", index=False)
    if name == "import of packed code":
        (project / "importing.py").write_text("import shop_helpers\n")
        (project / "shop_helpers.py").write_text("")
    options = {"model": "model.joblib", "name": "things", "version": "1", "train": DataFile("train.csv"), **changes}
    with pytest.raises(error, match=says):
        pack(options.pop("model"), project / "out" / "model", **options, root=project)
    sys.modules.pop("importing", None)
    sys.modules.pop("shop_helpers", None)
    assert not (project / "out" / "model").exists()
    assert not list((project / "out").iterdir() if (project / "out").exists() else [])


def test_an_older_package_survives_a_failed_one(package, tmp_path, classifier, X, y):
    out = tmp_path / "model"
    shutil.copytree(package.path, out)
    before = files_of(out)
    with pytest.raises(DataError):
        pack(classifier, out, name="things", version="2", train=(X[["size"]], y))
    assert files_of(out) == before
    with pytest.raises(UsageError, match="exists"):
        pack(classifier, out, name="things", version="2", train=(X, y), overwrite=False)
    assert read_package(out).manifest.version == "1.0"


def test_a_class_of_the_training_script_is_told_to_move(tmp_path):
    (tmp_path / "train.py").write_text(
        "import modelimg, numpy as np\nfrom sklearn.dummy import DummyRegressor\n"
        "class Mine(DummyRegressor):\n    pass\n"
        "X = np.eye(3)\nmodelimg.pack(Mine().fit(X, [1, 2, 3]), 'out', name='m', version='1', train=(X, [1, 2, 3]))\n"
    )
    done = subprocess.run([sys.executable, "train.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "needs Mine, which was defined in the training script itself" in done.stderr
    assert "move Mine into a module of its own" in done.stderr


def test_a_training_script_records_how_it_was_called(tmp_path):
    (tmp_path / "train.py").write_text(
        "import modelimg, numpy as np\nfrom sklearn.linear_model import LinearRegression\nX = np.eye(3)\n"
        "modelimg.pack(LinearRegression().fit(X, [1., 2., 3.]), 'out', name='m', version='1', train=(X, [1., 2., 3.]))\n"
    )
    subprocess.run([sys.executable, "train.py", "--seed", "3"], cwd=tmp_path, check=True)
    record = json.loads((tmp_path / "out" / "provenance.json").read_text())
    assert record["training"]["command"] == "python train.py --seed 3"


def test_a_model_that_was_saved_compressed_is_shipped_so(project, classifier):
    joblib.dump(classifier, project / "small.joblib", compress=3)
    found = pack("small.joblib", project / "out", name="things", version="1", train="train.csv", root=project)
    assert found.read("model.joblib") == (project / "small.joblib").read_bytes()
    assert selftest(found.path).passed
