"""Every protocol over HTTP: the same predictions, and each its own errors."""

from __future__ import annotations

import json

import httpx
import numpy as np
import pytest

from modelimg_runtime import contract

OIP = "/v2/models/demo"


def predictions(made):
    return list(json.loads(made.files[contract.EXAMPLES])["predictions"])


def matrix(made):
    return [list(row.values()) for row in made.rows]


def infer(made):
    rows = matrix(made)
    return {"inputs": [{"name": "x", "shape": [len(rows), len(rows[0])], "datatype": "FP64", "data": rows}]}


def csv_of(made, *, header=True):
    lines = [",".join(made.columns)] * header + [",".join(map(repr, row)) for row in matrix(made)]
    return "\n".join(lines)


def test_every_protocol_gives_the_packed_predictions(cancer_client, cancer):
    expected = predictions(cancer)
    split = {"columns": list(cancer.columns), "data": matrix(cancer)}
    for path, body in (
        ("/predict", {"columns": cancer.columns}),
        ("/invocations", {"dataframe_split": split}),
        ("/invocations", {"dataframe_records": cancer.rows}),
        ("/invocations", {"instances": matrix(cancer)}),
        ("/invocations", {"inputs": dict(cancer.columns)}),
        ("/v1/models/demo:predict", {"instances": cancer.rows}),
        ("/v1/models/demo:predict", {"instances": matrix(cancer)}),
    ):
        answer = cancer_client.post(path, json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["predictions"] == expected
    for path in (OIP, f"{OIP}/versions/1.2.3"):
        answer = cancer_client.post(f"{path}/infer", json=infer(cancer))
        assert answer.status_code == 200
        assert [output["name"] for output in answer.json()["outputs"]] == ["predictions", "probabilities"]
        assert answer.json()["outputs"][0]["data"] == expected


@pytest.mark.parametrize("header", [True, False])
def test_invocations_take_and_give_csv(cancer_client, cancer, header):
    sent = {"content-type": "text/csv", "accept": "text/csv"}
    answer = cancer_client.post("/invocations", content=csv_of(cancer, header=header), headers=sent)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/csv; charset=utf-8")
    assert [int(line) for line in answer.text.splitlines()] == predictions(cancer)


def test_predict_gives_csv_with_a_header_to_those_who_accept_it(cancer_client, cancer):
    accept = {"accept": "text/csv;q=0.9, text/html"}
    answer = cancer_client.post("/predict?probabilities=true", json={"rows": cancer.rows}, headers=accept)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    header, *lines = answer.text.splitlines()
    assert header == "prediction,probability_0,probability_1"
    assert [int(line.split(",")[0]) for line in lines] == predictions(cancer)
    both = cancer_client.post("/predict", json={"rows": cancer.rows}, headers={"accept": "text/csv, application/json"})
    assert both.headers["content-type"] == "application/json"


def test_tensors_travel_as_bytes(cancer_client, cancer):
    rows = np.array(matrix(cancer))
    head = json.dumps(
        {
            "inputs": [
                {
                    "name": "x",
                    "shape": list(rows.shape),
                    "datatype": "FP64",
                    "parameters": {"binary_data_size": rows.nbytes},
                }
            ],
            "outputs": [{"name": "predictions", "parameters": {"binary_data": True}}],
        }
    ).encode()
    sent = {"inference-header-content-length": str(len(head)), "content-type": "application/octet-stream"}
    answer = cancer_client.post(f"{OIP}/infer", content=head + rows.tobytes(), headers=sent)
    assert answer.status_code == 200
    length = int(answer.headers["inference-header-content-length"])
    assert json.loads(answer.content[:length])["outputs"][0]["datatype"] == "INT64"
    assert np.frombuffer(answer.content[length:], "<i8").tolist() == predictions(cancer)


@pytest.mark.parametrize("path", ["/ping", "/v2/health/live", "/v2/health/ready", f"{OIP}/ready", "/v1/models/demo"])
def test_health_is_where_each_platform_looks_for_it(cancer_client, path):
    assert cancer_client.get(path).status_code == 200


def test_metadata_name_the_columns(cancer_client, cancer):
    metadata = cancer_client.get(OIP).json()
    assert [column["name"] for column in metadata["inputs"]] == list(cancer.columns)
    assert {column["datatype"] for column in metadata["inputs"]} == {"FP64"}
    assert metadata["outputs"][1] == {"name": "probabilities", "datatype": "FP64", "shape": [-1, 2]}
    assert cancer_client.get("/v2").json()["name"] == "modelimg"
    assert cancer_client.get("/v1/models").json() == {"models": ["demo"]}


@pytest.mark.parametrize("path", ["/invocations", "/v1/models/demo:predict", f"{OIP}/infer"])
def test_what_breaks_the_contract_is_400_in_the_protocols_own_shape_with_the_cells(cancer_client, cancer, path):
    row = cancer.rows[0] | {"mean radius": "x"}
    tensors = [
        {"name": name, "shape": [1], "datatype": "BYTES" if value == "x" else "FP64", "data": [value]}
        for name, value in row.items()
    ]
    answer = cancer_client.post(path, json={"inputs": tensors} if path.startswith("/v2") else {"instances": [row]})
    assert answer.status_code == 400
    said = answer.json()
    assert said.keys() == ({"error_code", "message"} if path == "/invocations" else {"error"})
    text = said["message"] if path == "/invocations" else said["error"]
    assert "in 1 place; row 0, column 'mean radius': dtype('float64'), got 'x'" in text


def test_of_many_faults_the_first_are_named_and_the_others_counted(cancer_client):
    answer = cancer_client.post("/v1/models/demo:predict", json={"instances": [{"mean radius": 1.0}]})
    assert "column 'mean texture': column_in_dataframe" in answer.json()["error"]
    assert answer.json()["error"].endswith("and 9 more")


@pytest.mark.parametrize(
    ("method", "path", "status", "key"),
    [
        ("GET", "/v2/models/other", 404, "error"),
        ("GET", f"{OIP}/versions/9/ready", 404, "error"),
        ("POST", "/v2/models/other/infer", 404, "error"),
        ("POST", "/v1/models/other:predict", 404, "error"),
        ("GET", "/v1/models/other", 404, "error"),
        ("GET", "/v2/nothing", 404, "error"),
        ("GET", f"{OIP}/infer", 405, "error"),
        ("GET", "/invocations", 405, "message"),
        ("POST", f"{OIP}/infer", 400, "error"),
        ("POST", "/v1/models/demo:predict", 400, "error"),
        ("POST", "/invocations", 415, "message"),
    ],
)
def test_other_faults_have_the_protocols_shape_too(cancer_client, method, path, status, key):
    answer = cancer_client.request(method, path)
    assert answer.status_code == status
    assert answer.json()[key]
    assert answer.headers["x-request-id"]


def test_an_output_that_breaks_the_contract_is_500_everywhere(regressor_client: httpx.Client):
    instances = {"instances": [{"a": 1e6, "b": 0.0}]}
    for path in ("/invocations", "/v1/models/demo:predict"):
        answer = regressor_client.post(path, json=instances)
        assert answer.status_code == 500
        assert "1000000" not in answer.text


def test_vertex_chooses_its_routes(cancer, tools):
    routes = {"AIP_HEALTH_ROUTE": "/health", "AIP_PREDICT_ROUTE": "/score"}
    with tools.server_of(cancer.folder, **routes) as server:
        server.wait_for("/health")
        body = json.dumps({"instances": cancer.rows}).encode()
        status, _, answer = server.request("POST", "/score", body, content_type="application/json")
        assert (status, json.loads(answer)["predictions"]) == (200, predictions(cancer))
        server.wait_for("/readyz")


@pytest.mark.parametrize("path", ["score", "/a b\n", "/{x}", "/é"])
def test_a_route_of_vertex_that_is_none_is_refused(cancer, tools, path):
    done = tools.run_runtime("info", folder=cancer.folder, AIP_PREDICT_ROUTE=path)
    assert done.returncode == 1
    assert "is no path" in done.stderr
