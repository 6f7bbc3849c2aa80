"""schemathesis, with all of its checks, against really served models: the server does what its description says.

Run by its command line, as anybody would, with ``schemathesis_hooks`` for what JSON Schema cannot say.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
import yaml
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

TESTS = Path(__file__).parents[2]
OIP = TESTS / "data/open-inference-protocol/open_inference_rest.yaml"


def run(description, *options):
    """schemathesis's last lines, once it found nothing."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", str(description), "--no-color", "--seed=1"),
            *("--generation-database=none", "--suppress-health-check=all", "--warnings=off", *options),
        ],
        env={**os.environ, "SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
    cases = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    operations = re.search(r"Tested: (\d+)", done.stdout)
    assert cases, done.stdout
    assert operations, done.stdout
    assert "failed" not in done.stdout
    return int(operations[1]), int(cases[1])


def classes(labels):
    probabilities = {f"probability_{label}": pa.Column("float64", pa.Check.in_range(0, 1)) for label in labels}
    return pa.DataFrameSchema({"prediction": pa.Column("str", pa.Check.isin(labels)), **probabilities}, strict=True)


def floats(tools, folder):
    data = load_breast_cancer(as_frame=True)
    X, y = data.data, data.target_names[data.target]
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
    schema = pa.DataFrameSchema({name: pa.Column("float64", pa.Check.in_range(0, 10_000)) for name in X}, strict=True)
    return tools.write_package(folder, model, X.iloc[:5], schema, classes(["benign", "malignant"]))


def mixed(tools, folder):
    X = pd.DataFrame(
        {
            "age": [23, 41, 35, 58, 30, 62],
            "income": [1200.5, np.nan, 3100.0, 4200.0, 900.0, np.nan],
            "city": pd.Series(["Ulm", "Jena", np.nan, "Ulm", "Jena", "Ulm"], dtype="str"),
            "code": pd.Series(["AB-12", "CD-345", "XY-99", "ZZ-1000", "AA-00", "QQ-42"], dtype="str"),
            "size": pd.Categorical(["S", "M", "L", "S", None, "M"], categories=["S", "M", "L"]),
            "member": [True, False, True, True, False, False],
            "joined": pd.to_datetime(["2020-01-01", "2021-06-30", None, "2019-02-28", "2020-02-29", "2022-12-31"]),
            "visits": pd.array([1, None, 3, 4, 5, 6], dtype="Int64"),
            "note": pd.Series(["a", "b", "c", "d", "e", "f"], dtype="str"),
        }
    ).astype({"joined": "datetime64[ns]"})
    schema = pa.DataFrameSchema(
        {
            "age": pa.Column("int64", pa.Check.in_range(0, 120, include_max=False)),
            "income": pa.Column("float64", [pa.Check.gt(0), pa.Check.le(1e7)], nullable=True),
            "city": pa.Column("str", pa.Check.isin(["Ulm", "Jena", "Köln"]), nullable=True),
            "code": pa.Column("str", pa.Check.str_matches(r"^[A-Z]{2}-\d{2,4}$")),
            "size": pa.Column("category", pa.Check.isin(["S", "M", "L"]), nullable=True),
            "member": pa.Column("bool"),
            "joined": pa.Column("datetime64[ns]", nullable=True),
            "visits": pa.Column("Int64", pa.Check.ge(0), nullable=True),
            "note": pa.Column("str", pa.Check.str_length(1, 40)),
        },
        strict=True,
    )
    texts = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    columns = ColumnTransformer(
        [
            ("n", make_pipeline(SimpleImputer(), StandardScaler()), ["age", "income"]),
            ("t", texts, ["city", "code", "size", "note"]),
            ("m", "passthrough", ["member"]),
        ]
    )
    model = make_pipeline(columns, LogisticRegression()).fit(X, ["no", "yes", "no", "yes", "no", "yes"])
    return tools.write_package(folder, model, X, schema, classes(["no", "yes"]))


def regression(tools, folder):
    X = pd.DataFrame({"a": [1.0, 2.0, 3.0, 5.0], "b": [5, 15, 20, 4]})
    model = RandomForestRegressor(5, random_state=0).fit(X, 2 * X["a"] + X["b"])
    within = {"a": pa.Column("float32", pa.Check.in_range(-10, 10)), "b": pa.Column("int16", pa.Check.lt(1000))}
    X = X.astype({"a": "float32", "b": "int16"})
    output = pa.DataFrameSchema({"prediction": pa.Column("float64", pa.Check.ge(0))}, strict=True)
    return tools.write_package(folder, model, X, pa.DataFrameSchema(within, strict=True), output)


CODE = b"""
import pandera.pandas as pa


class Input(pa.DataFrameModel):
    a: float = pa.Field(ge=0, lt=1e6)
    b: int = pa.Field(isin=[1, 2, 3])

    @pa.check("a", name="not_the_sentinel")
    def check_a(cls, column):
        return column != 99_999.125

    class Config:
        strict = True
"""


def coded(tools, folder):
    X = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [1, 2, 3]})
    model = LogisticRegression().fit(X, ["no", "yes", "no"])
    return tools.write_package(folder, model, X, "schemas.py:Input", classes(["no", "yes"]), extra={"schemas.py": CODE})


@pytest.mark.parametrize(
    ("contract", "options"),
    [
        (floats, ("--phases=examples,fuzzing", "--max-examples=4")),
        (mixed, ("--phases=examples,fuzzing", "--max-examples=5")),
        (regression, ("--phases=examples,coverage,fuzzing", "--max-examples=4")),
        (coded, ("--phases=examples,fuzzing,stateful", "--max-examples=4")),
    ],
    ids=["30 floats", "mixed types", "regression", "a contract that is code"],
)
def test_the_server_does_what_its_description_says(tools, tmp_path, show, contract, options):
    made = contract(tools, tmp_path / "model")
    with tools.client_of(made.folder) as client:
        paths = client.get("/openapi.json").json()["paths"]
        operations, cases = run(client.base_url.join("/openapi.json"), *options)
    assert operations == sum(map(len, paths.values())) - 1  # schemathesis leaves out the description itself
    show(f"schemathesis: {operations} operations, {cases} requests, no check failed")


def test_so_does_a_server_that_monitors_what_it_serves(tools, monitored, show):
    with tools.client_of(monitored.folder) as client:
        paths = client.get("/openapi.json").json()["paths"]
        url = client.base_url.join("/openapi.json")
        operations, cases = run(url, "--phases=examples,fuzzing", "--max-examples=3")
        own, more = run(url, "--include-path-regex=^/(monitor|feedback|metrics)", "--max-examples=40")
        assert client.get("/monitor.json").json()["report"]["rows"] > 0
    assert {"/monitor", "/monitor.json", "/feedback", "/metrics"} <= paths.keys()
    assert (operations, own) == (sum(map(len, paths.values())) - 1, 4)
    show(f"schemathesis: {operations} operations, {cases} requests; the monitor's {more}; no check failed")


def narrowed(text, made):
    """The published description, with the model's own names where it lets there be any.

    Its paths have a ``$`` before each parameter, which would be a part of the path; it says neither that an inference
    needs a body, nor what becomes of a model that there is not. What names, tensors and outputs a model has, a description of all models cannot say, and a server has
    to refuse any others. The server takes null for what is not there, as clients send it that write out every field.
    """
    description = yaml.safe_load(text.replace("${", "{"))
    for path in description["paths"].values():
        for parameter, value in zip(path.get("parameters", []), ("demo", "1.2.3"), strict=False):
            parameter["schema"]["enum"] = [value]
            for method in ("get", "post"):
                path.get(method, {}).get("responses", {})["404"] = {"description": "No such model"}
    rows = len(made.rows)
    tensors = [
        {"name": name, "shape": [rows, 1], "datatype": "FP64", "data": values} for name, values in made.columns.items()
    ]
    infer = "/v2/models/{MODEL_NAME}/versions/{MODEL_VERSION}/infer"
    description["paths"][infer]["post"]["requestBody"]["required"] = True
    schemas = description["components"]["schemas"]
    schemas["inference_request"]["properties"]["inputs"]["enum"] = [tensors]
    for optional in ("id", "outputs"):
        schemas["inference_request"]["properties"][optional]["nullable"] = True
    schemas["request_output"]["properties"]["name"]["enum"] = ["predictions", "probabilities"]
    return description


def test_the_published_description_of_the_open_inference_protocol_holds(tools, cancer, tmp_path, show):
    description = narrowed(OIP.read_text(), cancer)
    (tmp_path / "oip.yaml").write_text(yaml.safe_dump(description))
    with tools.client_of(cancer.folder) as client:
        operations, cases = run(tmp_path / "oip.yaml", f"--url={client.base_url}", "--max-examples=15")
    assert operations == len(description["paths"]) == 6
    show(f"schemathesis: {operations} operations of the published description, {cases} requests, no check failed")
