"""Small real model packages, written file by file as ``contract`` describes them."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import joblib
import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
import uvicorn
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from modelimg_runtime import contract, unpickle
from modelimg_runtime.app import create_app
from modelimg_runtime.environment import Settings
from modelimg_runtime.predict import _prediction, output_frame
from modelimg_runtime.values import json_values


@dataclass(frozen=True)
class Made:
    """A package, and one request's columns that it accepts."""

    folder: Path
    columns: Mapping[str, list[Any]]
    files: dict[str, bytes] = field(default_factory=dict)

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [dict(zip(self.columns, row, strict=True)) for row in zip(*self.columns.values(), strict=True)]


def write_package(
    folder: Path,
    estimator: Any,
    X: pd.DataFrame,
    input_schema: pa.DataFrameSchema | str,
    output_schema: pa.DataFrameSchema,
    *,
    extra: Mapping[str, bytes] | None = None,
    examples: contract.Examples | None = None,
) -> Made:
    folder.mkdir(parents=True)
    joblib.dump(estimator, folder / "model.joblib")
    data = (folder / "model.joblib").read_bytes()
    classes = tuple(json_values(getattr(estimator, "classes_", np.array([]))))
    answer = _prediction(output_frame(estimator, X, classes))
    columns = {name: json_values(X[name]) for name in X.columns}
    packed = examples or contract.Examples(
        columns=tuple(columns),
        rows=tuple(zip(*columns.values(), strict=True)),
        predictions=tuple(answer.predictions),
        probabilities=None if answer.probabilities is None else tuple(answer.probabilities),
    )
    files = {
        "model.joblib": data,
        contract.EXAMPLES: packed.to_json().encode(),
        contract.METRICS: b'{"test": {"accuracy": 0.9}}\n',
        contract.PROVENANCE: b'{"code": {"revision": "abc"}}\n',
        contract.TRAINING_LOCK: b'lock-version = "1.0"\n\n[[packages]]\nname = "numpy"\nversion = "1.0.0"\n',
        contract.OUTPUT_SCHEMA: output_schema.to_json().encode(),
        contract.FAST_PATH: contract.FastPath(equal=True, rows=len(X)).to_json().encode(),
        **(extra or {}),
    }
    if not isinstance(input_schema, str):
        files[contract.INPUT_SCHEMA] = input_schema.to_json().encode()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    write_manifest(folder, estimator, files, classes, input_schema)
    return Made(folder, columns, files)


def write_manifest(
    folder: Path, estimator: Any, files: Mapping[str, bytes], classes: Sequence[Any], input_schema: Any
) -> None:
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    manifest = contract.PackageManifest(
        name="demo",
        version="1.2.3",
        model=contract.ModelFile(
            file="model.joblib",
            format="joblib",
            estimator=f"{type(estimator).__module__}.{type(estimator).__qualname__}",
            sha256=digests["model.joblib"],
            globals=unpickle.load(files["model.joblib"], "joblib", lambda module, name: True).globals,
        ),
        task="classification" if classes else "regression",
        python="3.11.2",
        platforms=("linux/amd64",),
        schemas={
            "input": input_schema if isinstance(input_schema, str) else contract.INPUT_SCHEMA,
            "output": contract.OUTPUT_SCHEMA,
        },
        files=digests,
        classes=tuple(classes),
    )
    (folder / contract.MANIFEST).write_text(manifest.to_json())


def class_output(labels: Sequence[Any], dtype: str) -> pa.DataFrameSchema:
    probabilities = {f"probability_{label}": pa.Column("float64", pa.Check.in_range(0, 1)) for label in labels}
    return pa.DataFrameSchema(
        {"prediction": pa.Column(dtype, pa.Check.isin(list(labels))), **probabilities},
        checks=[pa.Check.rows_sum_to_one(tol=1e-6)],
        strict=True,
    )


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    manifest = json.loads((folder / contract.MANIFEST).read_text())
    change(manifest)
    (folder / contract.MANIFEST).write_text(json.dumps(manifest))


def repack(made: Made, name: str, content: bytes) -> None:
    """Replace a file together with its digest: an honest package with other content."""
    (made.folder / name).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    edit_manifest(made.folder, lambda manifest: manifest["files"].update({name: digest}))


@pytest.fixture(scope="session")
def cancer(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Logistic regression on 30 columns, classes 0 and 1."""
    return make_cancer(tmp_path_factory.mktemp("cancer") / "model")


def make_cancer(folder: Path) -> Made:
    data = load_breast_cancer(as_frame=True)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(data.data, data.target)
    schema = pa.DataFrameSchema(
        {name: pa.Column("float64", pa.Check.ge(0)) for name in data.data.columns}, strict=True, ordered=True
    )
    return write_package(folder, model, data.data.iloc[:5], schema, class_output([0, 1], "int64"))


@pytest.fixture
def fresh_cancer(tmp_path: Path) -> Made:
    """The same, for tests that damage it."""
    return make_cancer(tmp_path / "model")


def mixed_frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "age": [23, 41, 35, 58, 30, 62],
            "income": [1200.5, np.nan, 3100.0, 4200.0, 900.0, np.nan],
            "city": pd.Series(["Ulm", "Jena", np.nan, "Ulm", "Jena", "Ulm"], dtype="str"),
            "size": pd.Categorical(["S", "M", "L", "S", None, "M"], categories=["S", "M", "L"]),
            "member": [True, False, True, True, False, False],
            "joined": pd.to_datetime(
                ["2020-01-01", "2021-06-30T12:00", None, "2019-02-28", "2020-02-29", "2022-12-31"], format="ISO8601"
            ),
            "visits": pd.array([1, None, 3, 4, 5, 6], dtype="Int64"),
            "plan": pd.Series(["basic", "pro", "pro", "basic", "pro", "basic"], dtype="str"),
        }
    ).astype({"joined": "datetime64[ns]"})


def mixed_schema() -> pa.DataFrameSchema:
    return pa.DataFrameSchema(
        {
            "age": pa.Column("int64", pa.Check.in_range(0, 120)),
            "income": pa.Column("float64", pa.Check.ge(0), nullable=True),
            "city": pa.Column("str", pa.Check.str_length(1, 40), nullable=True),
            "size": pa.Column("category", pa.Check.isin(["S", "M", "L"]), nullable=True),
            "member": pa.Column("bool"),
            "joined": pa.Column("datetime64[ns]", nullable=True),
            "visits": pa.Column("Int64", pa.Check.ge(0), nullable=True),
            "plan": pa.Column("str"),
        },
        strict=True,
        ordered=True,
    )


@pytest.fixture(scope="session")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Strings, integers, bools, dates, categories and missing values; classes ``no`` and ``yes``.

    An unknown ``plan`` passes its schema and makes the encoder raise: a model that fails inside ``predict``.
    """
    numeric = make_pipeline(SimpleImputer(), StandardScaler())
    loose = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    columns = ColumnTransformer(
        [("n", numeric, ["age", "income"]), ("c", loose, ["city"]), ("p", OneHotEncoder(), ["size", "plan", "member"])]
    )
    X = mixed_frame()
    model = make_pipeline(columns, LogisticRegression()).fit(X, ["no", "yes", "no", "yes", "no", "yes"])
    folder = tmp_path_factory.mktemp("mixed") / "model"
    return write_package(folder, model, X, mixed_schema(), class_output(["no", "yes"], "str"))


@pytest.fixture(scope="session")
def regressor(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """``y = 2 a + b`` with an output contract of at most 1000, which large inputs break."""
    X = pd.DataFrame({"a": [1.0, 2.0, 3.0, 5.0], "b": [0.5, 1.5, -2.0, 4.0]})
    model = LinearRegression().fit(X, 2 * X["a"] + X["b"])
    schema = pa.DataFrameSchema({"a": pa.Column("float64"), "b": pa.Column("float64")}, strict=True)
    output = pa.DataFrameSchema({"prediction": pa.Column("float64", pa.Check.le(1000))}, strict=True)
    return write_package(tmp_path_factory.mktemp("regressor") / "model", model, X, schema, output)


@pytest.fixture(scope="session")
def two_outputs(tmp_path_factory: pytest.TempPathFactory) -> Made:
    X = pd.DataFrame({"a": [1.0, 2.0, 3.0, 5.0]})
    model = LinearRegression().fit(X, np.column_stack([X["a"], -X["a"]]))
    schema = pa.DataFrameSchema({"a": pa.Column("float64")}, strict=True)
    output = pa.DataFrameSchema({f"prediction_{i}": pa.Column("float64") for i in range(2)}, strict=True)
    return write_package(tmp_path_factory.mktemp("two") / "model", model, X, schema, output)


SCHEMAS_MODULE = b"""
import pandas as pd
import pandera.pandas as pa


def secret_check(column: pd.Series) -> pd.Series:
    if (column > 100).any():
        raise RuntimeError("secret: " + str(list(column)))
    return column > 0


class Input(pa.DataFrameModel):
    a: float = pa.Field(ge=0)
    b: float

    @pa.check("b", name="odd_one_out")
    def check_b(cls, column: pd.Series) -> pd.Series:
        return secret_check(column)

    class Config:
        strict = True


Plain = Input.to_schema()
number = 5
"""


@pytest.fixture(scope="session")
def coded(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A contract that is code; its check crashes where b is above 100."""
    X = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [0.5, 1.5, 2.0]})
    model = LinearRegression().fit(X, X["a"])
    output = pa.DataFrameSchema({"prediction": pa.Column("float64")}, strict=True)
    folder = tmp_path_factory.mktemp("coded") / "model"
    return write_package(folder, model, X, "schemas.py:Input", output, extra={"schemas.py": SCHEMAS_MODULE})


@contextmanager
def client_of(folder: Path, *, fast_path: bool = True) -> Iterator[httpx.Client]:
    """A client of the application in this process, served over loopback, with the package loaded."""
    refusals: list[Exception] = []
    app = create_app(Settings(model_dir=folder, fast_path=fast_path), refusals.append)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, ws="none"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=30) as client:
            deadline = time.monotonic() + 30
            while client.get("/readyz").status_code != 200:
                assert not refusals, refusals
                assert time.monotonic() < deadline
                time.sleep(0.01)
            yield client
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture(scope="session", params=[True, False], ids=["fast path", "scikit-learn"])
def cancer_client(cancer: Made, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """Both ways of answering, which no caller can tell apart."""
    with client_of(cancer.folder, fast_path=request.param) as client:
        yield client


@pytest.fixture(scope="session")
def mixed_client(mixed: Made) -> Iterator[httpx.Client]:
    with client_of(mixed.folder) as client:
        yield client


@pytest.fixture(scope="session", params=[True, False], ids=["fast path", "scikit-learn"])
def regressor_client(regressor: Made, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """Both ways of answering."""
    with client_of(regressor.folder, fast_path=request.param) as client:
        yield client


def run_runtime(*arguments: str, folder: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    """``python -m modelimg_runtime …`` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "modelimg_runtime", *arguments],
        env=runtime_environ(folder, environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def runtime_environ(folder: Path | None, environ: Mapping[str, str]) -> dict[str, str]:
    clean = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {**clean, **({"MODELIMG_MODEL_DIR": str(folder)} if folder else {}), **environ}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Server:
    process: subprocess.Popen[str]
    port: int

    def request(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()

    def wait_for(self, path: str, status: int = 200) -> None:
        deadline = time.monotonic() + 40
        while True:
            try:
                if self.request("GET", path)[0] == status:
                    return
            except OSError:
                assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)


@contextmanager
def server_of(folder: Path, *, stderr: Any = subprocess.PIPE, **environ: str) -> Iterator[Server]:
    """A real server process on a free loopback port, listening or about to; a long log needs a file as ``stderr``."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "modelimg_runtime", "serve"],
        env=runtime_environ(folder, {"PORT": str(port), **environ}),
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )
    try:
        yield Server(process, port)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def tools() -> SimpleNamespace:
    """The functions above, since test modules cannot import a conftest."""
    return SimpleNamespace(
        client_of=client_of,
        server_of=server_of,
        run_runtime=run_runtime,
        write_package=write_package,
        repack=repack,
        edit_manifest=edit_manifest,
        free_port=free_port,
        schemas_module=SCHEMAS_MODULE,
    )
