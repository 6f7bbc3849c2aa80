"""A built image, run as its platforms run it, and every protocol as its clients speak it."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

pytestmark = pytest.mark.engine

PARQUET = "application/vnd.apache.parquet"


@pytest.fixture
def sagemaker(serve: Callable[..., Any], built: Any) -> Iterator[httpx.Client]:
    """``docker run IMAGE serve``, as SageMaker runs a container, with port 8080 published."""
    with httpx.Client(base_url=serve(built.name, "serve").url, timeout=30) as client:
        yield client


@pytest.fixture
def cancer(built: Any, examples_of: Callable[..., Any]) -> tuple[pd.DataFrame, list[Any]]:
    """Rows of the packed examples, and what the model said of them in training."""
    rows, predictions = examples_of(built.package)
    return pd.DataFrame(rows), predictions


def test_sagemaker_finds_its_two_routes_and_its_formats(sagemaker: httpx.Client, cancer: Any) -> None:
    frame, predictions = cancer
    assert sagemaker.get("/ping").status_code == 200
    lines = frame.to_csv(index=False, header=False)
    sent = {"content-type": "text/csv", "accept": "text/csv", "x-amzn-sagemaker-custom-attributes": "trace=7"}
    answer = sagemaker.post("/invocations", content=lines, headers=sent)
    assert (answer.status_code, answer.text.split()) == (200, list(map(str, predictions)))
    assert answer.headers["x-amzn-sagemaker-custom-attributes"] == "trace=7"
    features = {"instances": [{"features": row} for row in frame.to_numpy().tolist()]}
    answer = sagemaker.post("/invocations", json=features, headers={"accept": "application/json"})
    assert answer.json() == {"predictions": predictions}
    assert sagemaker.post("/invocations", content=b"1,2", headers={"content-type": "text/csv"}).status_code == 400


def test_mlflow_gets_its_predictions_by_every_form(sagemaker: httpx.Client, cancer: Any) -> None:
    frame, predictions = cancer
    for body in (
        {"dataframe_split": frame.to_dict(orient="split")},
        {"dataframe_records": frame.to_dict(orient="records")},
        {"instances": frame.to_numpy().tolist()},
        {"inputs": frame.to_dict(orient="list")},
    ):
        answer = sagemaker.post("/invocations", json=body)
        assert (answer.status_code, answer.json()) == (200, {"predictions": predictions})
    asked = {"inputs": frame.to_numpy().tolist(), "params": {"probabilities": True, "scores": True}}
    first = sagemaker.post("/invocations", json=asked).json()["predictions"][0]
    assert first["prediction"] == predictions[0]
    assert sum(first["probabilities"].values()) == pytest.approx(1)
    assert (first["scores"] > 0) is (first["prediction"] == "malignant")


def test_tritons_client_speaks_to_it(sagemaker: httpx.Client, cancer: Any) -> None:
    frame, predictions = cancer
    name = sagemaker.get("/v1/models").json()["models"][0]
    with InferenceServerClient(sagemaker.base_url.netloc.decode()) as triton:
        assert triton.is_server_live()
        assert triton.is_server_ready()
        assert triton.is_model_ready(name)
        assert [one["name"] for one in triton.get_model_metadata(name)["inputs"]] == list(frame.columns)
        for binary in (True, False):
            matrix = tensor("x", frame.to_numpy(), binary=binary)
            outputs = [InferRequestedOutput(each, binary_data=binary) for each in ("predictions", "scores")]
            for compression in (None, "gzip", "deflate"):
                result = triton.infer(name, [matrix], outputs=outputs, request_compression_algorithm=compression)
                said = [each.decode() if binary else each for each in result.as_numpy("predictions")]
                assert said == predictions
                assert (result.as_numpy("scores") > 0).tolist() == [label == "malignant" for label in predictions]
        with pytest.raises(InferenceServerException, match="column_in_dataframe") as error:
            triton.infer(name, [tensor(each, frame[each].to_numpy()) for each in frame.columns[1:]])
        assert error.value.status() == "400"


def tensor(name: str, values: Any, *, binary: bool = True) -> InferInput:
    one = InferInput(name, list(values.shape), np_to_triton_dtype(values.dtype))
    one.set_data_from_numpy(np.ascontiguousarray(values), binary_data=binary)
    return one


def test_texts_and_missing_values_travel_by_every_protocol(
    serve: Callable[..., Any], built_penguins: Any, examples_of: Callable[..., Any]
) -> None:
    rows, predictions = examples_of(built_penguins.package)
    with httpx.Client(base_url=serve(built_penguins.name).url, timeout=30) as client:
        name = client.get("/v1/models").json()["models"][0]
        frame = pd.DataFrame(rows)
        kinds = {one["name"]: one["datatype"] for one in client.get(f"/v2/models/{name}").json()["inputs"]}
        tensors = [
            {"name": each, "shape": [len(rows)], "datatype": kinds[each], "data": [row[each] for row in rows]}
            for each in frame.columns
        ]
        answers = [
            client.post("/predict", json={"rows": rows}).json()["predictions"],
            client.post("/predict", content=frame.to_csv(index=False), headers={"content-type": "text/csv"}).json()[
                "predictions"
            ],
            client.post("/invocations", json={"dataframe_records": rows}).json()["predictions"],
            client.post(f"/v1/models/{name}:predict", json={"instances": rows}).json()["predictions"],
            client.post(f"/v2/models/{name}/infer", json={"inputs": tensors}).json()["outputs"][0]["data"],
        ]
        assert answers == [predictions] * len(answers)
        answer = client.post("/predict", content=b"PAR1", headers={"content-type": PARQUET})
        assert answer.status_code == 415
        assert "parquet = true in the [image] table of modelimg.toml" in answer.json()["detail"]


def test_an_image_with_parquet_takes_and_gives_tables(
    cli: Callable[..., Any],
    penguins: Path,
    image_builder: Callable[..., Any],
    serve: Callable[..., Any],
    examples_of: Callable[..., Any],
    tmp_path: Path,
) -> None:
    source = tmp_path / "src"
    shutil.copytree(penguins.parent, source)
    with (source / "modelimg.toml").open("a") as spec:
        spec.write("\n[image]\nparquet = true\n")
    packed = cli("pack", "-f", "modelimg.toml", "-o", "tables", cwd=source)
    assert packed.code == 0, packed.err
    image = image_builder(source / "tables", "modelimg-test/penguins-tables:1", tmp_path)
    rows, predictions = examples_of(image.package)
    frame, out = pd.DataFrame(rows), io.BytesIO()
    frame.to_parquet(out)
    served = serve(image.name)
    with httpx.Client(base_url=served.url, timeout=60) as client:
        sent = {"content-type": PARQUET, "accept": PARQUET}
        answer = client.post("/predict", content=out.getvalue(), headers=sent)
        assert answer.status_code == 200, answer.text + served.container.logs().decode()
        assert pd.read_parquet(io.BytesIO(answer.content))["prediction"].tolist() == predictions
        bad = client.post("/predict", content=out.getvalue()[:-9], headers=sent)
        assert (bad.status_code, bad.json()["detail"]) == (400, "not a Parquet file, or a damaged one")
        # What pyarrow brings changes nothing of what JSON gets.
        plain = client.post(
            "/predict", content=json.dumps({"rows": rows}), headers={"content-type": "application/json"}
        )
        assert plain.json()["predictions"] == predictions
