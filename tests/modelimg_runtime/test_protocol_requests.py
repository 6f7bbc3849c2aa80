"""Requests as MLflow's, SageMaker's, Vertex AI's and data people's clients send them, on a served application."""

from __future__ import annotations

import csv
import io
import json
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import ipc, parquet

from modelimg_runtime import contract
from modelimg_runtime.protocols.tables import ARROW, PARQUET

JSON_TYPE = {"content-type": "application/json"}


def predictions(made):
    return list(json.loads(made.files[contract.EXAMPLES])["predictions"])


def frame(made):
    return pd.DataFrame(made.columns)


def table_of(response):
    """A table that is an answer."""
    assert response.status_code == 200, response.text
    if response.headers["content-type"] == PARQUET:
        return parquet.read_table(io.BytesIO(response.content))
    assert response.headers["content-type"] == ARROW
    return ipc.open_stream(response.content).read_all()


def body_of(table, kind):
    out = pa.BufferOutputStream()
    if kind == PARQUET:
        parquet.write_table(table, out)
    else:
        with ipc.new_stream(out, table.schema) as writer:
            writer.write_table(table)
    return out.getvalue().to_pybytes()


# ---- probabilities and decision scores -----------------------------------------------------------------------


def test_scores_are_the_same_by_every_protocol_and_agree_with_the_predictions(cancer_client, cancer):
    native = cancer_client.post("/predict?scores=true&probabilities=true", json={"rows": cancer.rows}).json()
    assert [score > 0 for score in native["scores"]] == [label == 1 for label in native["predictions"]]
    asked = {"probabilities": True, "scores": True}
    bodies = {
        "/invocations": {"dataframe_records": cancer.rows, "params": asked},
        "/v1/models/demo:predict": {"instances": cancer.rows, "parameters": asked},
    }
    expected = [
        {"prediction": label, "probabilities": given, "scores": score}
        for label, given, score in zip(native["predictions"], native["probabilities"], native["scores"], strict=True)
    ]
    for path, body in bodies.items():
        assert cancer_client.post(path, json=body).json() == {"predictions": expected}
    queried = cancer_client.post("/invocations?scores=true&probabilities=true", json={"inputs": cancer.rows})
    assert queried.json() == {"predictions": expected}
    rows = [list(row.values()) for row in cancer.rows]
    tensors = {
        "inputs": [{"name": "x", "shape": [5, 30], "datatype": "FP64", "data": rows}],
        "outputs": [{"name": "scores"}],
    }
    [output] = cancer_client.post("/v2/models/demo/infer", json=tensors).json()["outputs"]
    assert output == {"name": "scores", "datatype": "FP64", "shape": [5], "data": native["scores"]}


def test_both_ways_of_answering_give_the_same_scores(cancer, tools):
    said = []
    for fast_path in (True, False):
        with tools.client_of(cancer.folder, fast_path=fast_path) as client:
            said.append(client.post("/predict?scores=true", json={"rows": cancer.rows}).json()["scores"])
    assert said[0] == said[1]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/predict?scores=true", {"rows": [{"a": 1, "b": 2}]}),
        ("/invocations?scores=true", {"inputs": [[1, 2]]}),
        ("/invocations", {"inputs": [[1, 2]], "params": {"scores": True}}),
        ("/v1/models/demo:predict", {"instances": [[1, 2]], "parameters": {"scores": True}}),
        (
            "/v2/models/demo/infer",
            {
                "inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [1, 2]}],
                "outputs": [{"name": "scores"}],
            },
        ),
    ],
)
def test_a_model_without_decision_scores_says_so(regressor_client, path, body):
    answer = regressor_client.post(path, json=body)
    assert answer.status_code == 400
    assert "the model gives no decision scores" in answer.text


@pytest.mark.parametrize("value", ["1", "yes", ""])
def test_a_flag_that_is_neither_true_nor_false_is_400_on_invocations_too(cancer_client, cancer, value):
    answer = cancer_client.post(f"/invocations?scores={value}", json={"inputs": cancer.rows})
    assert (answer.status_code, "true or false" in answer.json()["message"]) == (400, True)


# ---- MLflow: the requests of its documentation and of its own tests ------------------------------------------


def test_frames_as_pandas_writes_them_are_mlflows_forms(cancer_client, cancer):
    sent = frame(cancer)
    bodies = [
        {"dataframe_split": sent.to_dict(orient="split")},
        {"dataframe_split": json.loads(sent.to_json(orient="split"))},
        {"dataframe_split": sent.sample(frac=1, axis=1, random_state=0).to_dict(orient="split")},
        {"dataframe_records": sent.to_dict(orient="records")},
        {"instances": sent.to_dict(orient="records")},
        {"instances": sent.to_numpy().tolist()},
        {"inputs": sent.to_dict(orient="list")},
        {"inputs": {name: [[cell] for cell in cells] for name, cells in cancer.columns.items()}},
        {"inputs": sent.to_numpy().tolist()},
        {"inputs": sent.to_numpy().tolist(), "params": {"invalid_param": "value"}},
    ]
    for kind in ("application/json", "application/json; charset=UTF-8", "application/json;charset=utf-8"):
        for body in bodies:
            answer = cancer_client.post("/invocations", content=json.dumps(body), headers={"content-type": kind})
            assert (answer.status_code, answer.json()) == (200, {"predictions": predictions(cancer)})
    for kind in ("text/csv", "text/csv; charset=utf-8", "text/csv; charset=UTF-8"):
        lines = sent.to_csv(index=False)
        answer = cancer_client.post("/invocations", content=lines, headers={"content-type": kind})
        assert (answer.status_code, answer.json()) == (200, {"predictions": predictions(cancer)})


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        ("this is,,,, not valid json", "application/json", 400),
        ("1", "application/json", 400),
        ('"1"', "application/json", 400),
        ("[1]", "application/json", 400),
        ('{"not": "a serialized dataframe"}', "application/json", 400),
        ('{"dataframe_records": [], "dataframe_split": {"data": []}}', "application/json", 400),
        ('{"dataframe_split": [{"a": 1}]}', "application/json", 400),
        ('{"dataframe_records": {"index": [0], "columns": ["a"], "data": [[1]]}}', "application/json", 400),
        ('{"dataframe_split": {"index": [1, 2], "data": [[1], [2], [3]]}}', "application/json", 400),
        ("", "text/csv", 400),
        ('{"inputs": []}', "not_a_supported_content_type", 415),
        ('{"inputs": []}', "application/json; charset=latin-1", 415),
    ],
)
def test_what_mlflow_refuses_is_refused_with_its_code_and_without_a_stack_trace(cancer_client, content, kind, status):
    answer = cancer_client.post("/invocations", content=content, headers={"content-type": kind})
    assert answer.status_code == status
    assert answer.json().keys() == {"error_code", "message"}
    assert answer.json()["error_code"] == "BAD_REQUEST"


# ---- SageMaker -----------------------------------------------------------------------------------------------


def test_sagemaker_sends_lines_without_a_header_and_gets_lines(cancer_client, cancer):
    lines = frame(cancer).to_csv(index=False, header=False)
    sent = {"content-type": "text/csv", "accept": "text/csv", "x-amzn-sagemaker-custom-attributes": "trace=7"}
    answer = cancer_client.post("/invocations", content=lines, headers=sent)
    assert answer.headers["x-amzn-sagemaker-custom-attributes"] == "trace=7"
    assert [int(line) for line in answer.text.splitlines()] == predictions(cancer)
    one = cancer_client.post("/invocations?scores=true&probabilities=true", content=lines.splitlines()[0], headers=sent)
    [[label, *more]] = csv.reader([one.text.strip()])
    assert (int(label), len(more)) == (predictions(cancer)[0], 3)


def test_sagemakers_features_are_values_in_the_models_order(cancer_client, cancer):
    body = {"instances": [{"features": list(row.values())} for row in cancer.rows]}
    answer = cancer_client.post("/invocations", json=body, headers={"accept": "application/json"})
    assert answer.json() == {"predictions": predictions(cancer)}


def test_an_error_has_no_attributes_of_the_callers(cancer_client):
    sent = {**JSON_TYPE, "x-amzn-sagemaker-custom-attributes": "x" * 1025}
    answer = cancer_client.post("/invocations", content="{", headers=sent)
    assert (answer.status_code, "x-amzn-sagemaker-custom-attributes" in answer.headers) == (400, False)


# ---- Arrow and Parquet ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/predict", "/invocations"])
@pytest.mark.parametrize("kind", [ARROW, PARQUET])
@pytest.mark.parametrize("wanted", [ARROW, PARQUET, "application/json", "text/csv"])
def test_tables_go_in_and_come_out(cancer_client, cancer, path, kind, wanted):
    body = body_of(pa.Table.from_pandas(frame(cancer)), kind)
    answer = cancer_client.post(path, content=body, headers={"content-type": kind, "accept": wanted})
    if wanted in (ARROW, PARQUET):
        assert table_of(answer).to_pydict() == {"prediction": predictions(cancer)}
    elif wanted == "text/csv":
        assert [int(line) for line in answer.text.splitlines()[path == "/predict" :]] == predictions(cancer)
    else:
        assert answer.json()["predictions"] == predictions(cancer)


@pytest.mark.parametrize("kind", [ARROW, PARQUET])
def test_every_type_of_a_frame_is_what_json_makes_of_it(mixed_client, mixed, kind):
    sent = frame(mixed).astype({"size": "category"})
    sent["joined"], sent["visits"] = pd.to_datetime(sent["joined"], format="ISO8601"), sent["visits"].astype("Int64")
    for table in (pa.Table.from_pandas(sent), pa.Table.from_pandas(sent.iloc[::-1])):
        answer = mixed_client.post(
            "/predict?probabilities=true", content=body_of(table, kind), headers={"content-type": kind, "accept": kind}
        )
        order = slice(None, None, 1 if table["age"][0].as_py() == sent["age"][0] else -1)
        plain = mixed_client.post("/predict?probabilities=true", json={"rows": mixed.rows[order]}).json()
        given = table_of(answer).to_pydict()
        assert given["prediction"] == plain["predictions"]
        assert given["probability_yes"] == [row["yes"] for row in plain["probabilities"]]


def test_a_large_batch_is_predicted_as_its_rows_are(cancer_client, cancer):
    large = pd.concat([frame(cancer)] * 2000, ignore_index=True)
    sent = {"content-type": ARROW, "accept": ARROW}
    answer = cancer_client.post(
        "/predict?scores=true", content=body_of(pa.Table.from_pandas(large), ARROW), headers=sent
    )
    assert table_of(answer)["prediction"].to_pylist() == predictions(cancer) * 2000
    few = cancer_client.post("/predict?scores=true", json={"rows": cancer.rows}).json()["scores"]
    assert np.allclose(table_of(answer)["score"].to_numpy(), few * 2000, rtol=1e-12)


@pytest.mark.parametrize(("path", "key"), [("/predict", "detail"), ("/invocations", "message")])
def test_an_image_without_pyarrow_says_how_it_gets_it(cancer_client, cancer, monkeypatch, path, key):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    sent = cancer_client.post(path, content=b"", headers={"content-type": PARQUET})
    wanted = cancer_client.post(path, json={"inputs": [], "rows": []}, headers={"accept": ARROW})
    assert (sent.status_code, wanted.status_code) == (415, 406)
    for answer in (sent, wanted):
        assert "parquet = true in the [image] table of modelimg.toml" in answer.json()[key]
