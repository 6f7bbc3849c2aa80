"""The whole description: valid OpenAPI, every route, examples that are true, and nothing heavy imported for it."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import jsonschema
import pandas as pd
import pandera.pandas as pa
import pytest
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012
from schemathesis.specs.openapi import definitions
from sklearn.linear_model import LinearRegression

from modelimg_runtime.environment import Settings
from modelimg_runtime.monitor import Limits, open_monitor
from modelimg_runtime.openapi import described
from modelimg_runtime.routes import make_routes
from modelimg_runtime.service import prepare

PACKAGES = ["cancer", "mixed", "regressor", "two_outputs", "coded", "hostile", "monitored_classes", "monitored_numbers"]
NAMES = ["<script>alert(1)</script>", "a\"b'c", "ä/~ %20", "{name}", "", "x\ny", "$ref"]


@pytest.fixture(scope="session")
def hostile(tmp_path_factory, tools):
    """Columns whose names mean something in HTML, JSON pointers, URLs or shells."""
    X = pd.DataFrame({name: [1.0, 2.0, 3.0 + number] for number, name in enumerate(NAMES)})
    schema = pa.DataFrameSchema(
        {name: pa.Column("float64", pa.Check.in_range(0, 99), title=None, description=f"</p>{name}") for name in NAMES},
        strict=True,
    )
    output = pa.DataFrameSchema({"prediction": pa.Column("float64")}, strict=True)
    model = LinearRegression().fit(X.to_numpy(), X.iloc[:, 0])
    return tools.write_package(tmp_path_factory.mktemp("hostile") / "model", model, X, schema, output)


@pytest.fixture(params=PACKAGES)
def made(request):
    return request.getfixturevalue(request.param)


def description(made, settings=None, *, fast_path=True):
    ready = prepare(
        made.folder, fast_path=fast_path, monitored=lambda package: open_monitor(package, Limits(), 1, None)
    )
    return described(ready, settings or Settings())


def validator(document, schema):
    resource = Resource(contents=document, specification=DRAFT202012)
    registry = Registry().with_resource("urn:document", resource)
    absolute = json.loads(json.dumps(schema).replace('"#/', '"urn:document#/'))
    return jsonschema.Draft202012Validator(absolute, registry=registry)


def operations(document):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def test_it_is_openapi_and_its_schemas_are_json_schema(made):
    document = json.loads(description(made).body)
    jsonschema.Draft202012Validator(definitions.OPENAPI_31).validate(document)
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    references = set(re.findall(r'"\$ref": ?"#/components/(\w+)/([^"]+)"', json.dumps(document)))
    assert {(kind, name) for kind, name in references if name not in document["components"][kind]} == set()
    identifiers = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(identifiers)) == len(identifiers)


@pytest.mark.parametrize("vertex", [{}, {"vertex_predict": "/own/predict", "vertex_health": "/own/health"}])
def test_every_route_is_described_and_no_other(cancer, vertex):
    settings = Settings(**vertex)
    served = {
        (route.path, method.lower())
        for route in make_routes(settings)
        if route.include_in_schema
        for method in route.methods - {"HEAD"}
    }
    assert {(path, method) for method, path, _ in operations(description(cancer, settings).document)} == served


def test_a_path_of_vertex_that_is_ours_already_is_described_once(cancer):
    settings = Settings(vertex_predict="/predict", vertex_health="/readyz")
    assert description(cancer, settings).document["paths"].keys() == description(cancer).document["paths"].keys()


def test_every_example_is_what_its_schema_says(made, show):
    document = json.loads(description(made).body)
    checked = 0
    for _, _, operation in operations(document):
        answers = operation["responses"].values()
        for content in [operation.get("requestBody", {}), *answers]:
            for body in content.get("content", {}).values():
                values = [example["value"] for example in body.get("examples", {}).values()]
                for value in [*values, *([body["example"]] if "example" in body else [])]:
                    validator(document, body["schema"]).validate(value)
                    checked += 1
    assert checked > 10
    show(f"{checked} examples are valid")


def test_every_example_is_answered_as_described(made, tools):
    with tools.client_of(made.folder) as client:
        document = client.get("/openapi.json").json()
        for method, path, operation in operations(document):
            path = path.replace("{name}", "demo").replace("{version}", "1.2.3")
            body = operation.get("requestBody", {"content": {"text/plain": {}}})
            for kind, content in body["content"].items():
                for example in content.get("examples", {"none": {"value": ""}}).values():
                    if kind.startswith("application/vnd"):
                        continue
                    value = example["value"]
                    sent = value.encode() if isinstance(value, str) else json.dumps(value).encode()
                    answer = client.request(method, path, content=sent, headers={"content-type": kind})
                    assert answer.status_code == 200, (path, kind, answer.text)
                    described = operation["responses"]["200"]["content"] if answer.content else None
                    received = answer.headers.get("content-type", "").partition(";")[0]
                    assert described is None or received in described
                    if received == "application/json":
                        validator(document, described[received]["schema"]).validate(answer.json())


def test_the_examples_of_predictions_are_the_packed_ones(cancer, tools):
    document = description(cancer).document
    content = document["paths"]["/predict"]["post"]
    rows = content["requestBody"]["content"]["application/json"]["examples"]["rows"]["value"]
    shown = content["responses"]["200"]["content"]["application/json"]["examples"]["with_probabilities"]["value"]
    answer = dict(shown)
    with tools.client_of(cancer.folder) as client:
        given = client.post("/predict?probabilities=true", json=rows, headers={"x-request-id": answer["id"]}).json()
    # A batch of another size may differ in a sum's last bits.
    for got, shown in zip(given.pop("probabilities"), answer.pop("probabilities"), strict=True):
        assert got == pytest.approx(shown, rel=1e-9)
    assert given == answer


@pytest.mark.parametrize("name", ["cancer", "regressor", "two_outputs"])
def test_it_is_the_same_with_the_fast_path_and_without_and_made_once(request, name):
    made = request.getfixturevalue(name)
    ready = prepare(made.folder, fast_path=True)
    assert ready.model.lane is not None
    one = described(ready, Settings())
    assert described(ready, Settings()) is one
    other = description(made, fast_path=False)
    assert (
        json.loads(one.body)["components"]["schemas"]["Row"] == json.loads(other.body)["components"]["schemas"]["Row"]
    )
    assert description(made).body == one.body


IN_A_PROCESS = """
import sys
from pathlib import Path
from modelimg_runtime.environment import Settings
from modelimg_runtime.monitor import Limits, open_monitor
from modelimg_runtime.openapi import described
from modelimg_runtime.service import prepare

ready = prepare(Path(sys.argv[1]), fast_path=True)
print(len(described(ready, Settings()).body) > 10_000)
from modelimg_runtime.pages.home import home
from modelimg_runtime.pages.docs import docs
print(home(ready, described(ready, Settings())).status_code, docs(described(ready, Settings()), "x").status_code)
print(sorted({"pandas", "pandera", "sklearn", "scipy"} & sys.modules.keys()))
"""


def test_nothing_heavy_is_imported_for_it_nor_for_the_pages(cancer):
    done = subprocess.run(
        [sys.executable, "-c", IN_A_PROCESS, str(cancer.folder)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[:3] == ["True", "200 200", "[]"]


def test_the_server_imports_neither_it_nor_the_pages_until_somebody_asks():
    code = "import sys, modelimg_runtime.app; print([n for n in sys.modules if '.openapi' in n or '.pages' in n])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_optional_pattern_and_filtered_columns_are_described(tools, tmp_path):
    X = pd.DataFrame({"a": [1.0, 2.0], "n_1": [3.0, 4.0]})
    schema = pa.DataFrameSchema(
        {
            "a": pa.Column("float64", unique=True),
            "b": pa.Column("int64", required=False),
            "n_.*": pa.Column("float64", regex=True),
        },
        strict="filter",
    )
    output = pa.DataFrameSchema({"prediction": pa.Column("float64")})
    made = tools.write_package(tmp_path / "model", LinearRegression().fit(X, X["a"]), X, schema, output)
    schemas = description(made).document["components"]["schemas"]
    row, columns = schemas["Row"], schemas["Columns"]
    assert (row["required"], row["additionalProperties"]) == (["a"], True)
    assert row["patternProperties"] == {"^(?:n_.*)": {"type": "number", "x-dtype": "float64"}}
    assert columns["properties"]["a"]["uniqueItems"] is True
    assert schemas["Rows"]["description"] == "Also checked: 'a' has no value twice."
    assert schemas["ValueRow"]["minItems"] == 2
