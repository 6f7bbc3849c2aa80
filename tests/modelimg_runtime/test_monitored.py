"""A packed model, really served: what callers sent is what was counted, by every protocol and every way of serving."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
from contextlib import contextmanager, suppress

import httpx
import pytest

from modelimg_runtime import contract
from modelimg_runtime.environment import Settings
from modelimg_runtime.errors import SettingRefused
from modelimg_runtime.monitor import Document


@pytest.fixture
def serving(tools, breast_cancer):
    """The packed model in a process of its own, with a client, once it is ready."""

    @contextmanager
    def serve(**environ):
        with tools.server_of(breast_cancer, **environ) as server:
            server.wait_for("/readyz")
            with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=30) as client:
                yield client, server.process

    return serve


@pytest.fixture(scope="module")
def examples(breast_cancer):
    return json.loads((breast_cancer / contract.EXAMPLES).read_text())


def rows_of(examples, count):
    rows = [dict(zip(examples["columns"], row, strict=True)) for row in examples["rows"]]
    return (rows * (1 + count // len(rows)))[:count]


def send(client, examples, count, **headers):
    answer = client.post("/predict", json={"rows": rows_of(examples, count)}, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def document(client, window="total"):
    answer = client.get("/monitor.json", params={"window": window})
    assert answer.status_code == 200, answer.text
    return Document.from_json(answer.content)


def test_rows_of_every_protocol_are_counted_once_and_alike_on_both_paths(serving, examples):
    found = []
    for fast in ("on", "off"):
        with serving(MODELIMG_FAST_PATH=fast) as (client, _):
            accepted = ask_everywhere(client, examples)
            counts = document(client).counts()
            labels = [{"prediction_id": "mine", "row": 2, "label": examples["predictions"][2]}]
            assert client.post("/feedback", json=labels).json()["accepted"] == 1
        assert counts.rows == accepted
        assert {sum(each) for each in [*counts.inputs.values(), *counts.outputs.values()]} == {accepted}
        found.append((counts.inputs, counts.outputs))
    assert found[0] == found[1]


def ask_everywhere(client, examples):
    """Ask by every protocol, and for what is refused; how many rows are answered."""
    name = client.get("/info").json()["name"]
    rows = rows_of(examples, 3)
    values = [list(row.values()) for row in rows]
    send(client, examples, 1)
    send(client, examples, 40)
    tensor = {"name": "input", "shape": [3, 30], "datatype": "FP64", "data": [cell for row in values for cell in row]}
    lines = "\n".join([",".join(rows[0]), *(",".join(map(str, row)) for row in values)])
    for answer in (
        client.post("/invocations", json={"dataframe_records": rows}),
        client.post(f"/v1/models/{name}:predict", json={"instances": values}),
        client.post(f"/v2/models/{name}/infer", json={"id": "mine", "inputs": [tensor]}),
        client.post("/predict", content=lines, headers={"content-type": "text/csv"}),
    ):
        assert answer.status_code == 200, answer.text
    assert client.post("/predict", json={"rows": [{}]}).status_code == 422
    return 1 + 40 + 4 * 3


@pytest.mark.parametrize("workers", ["1", "3"])
def test_four_clients_at_once_are_counted_exactly_and_so_are_their_labels(serving, examples, workers):
    with serving(MODELIMG_WORKERS=workers) as (client, _):
        outcomes = []

        def work(number):
            for repeat in range(12):
                with httpx.Client(base_url=client.base_url, timeout=30) as own:
                    identifier = f"{number}-{repeat}"
                    answer = send(own, examples, 1 + repeat % 4, **{"x-request-id": identifier})
                    assert answer["id"] == identifier
                with httpx.Client(base_url=client.base_url, timeout=30) as own:
                    label = {"prediction_id": identifier, "label": answer["predictions"][0]}
                    outcomes.append(own.post("/feedback", json=label).json())

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        counts, metrics = document(client).counts(), client.get("/metrics").text
    rows = 4 * sum(1 + repeat % 4 for repeat in range(12))
    assert (counts.rows, counts.labels) == (rows, 48)
    assert outcomes == [{"accepted": 1, "unknown": 0, "duplicate": 0, "invalid": []}] * 48
    predicted = [
        float(value) for value in re.findall(r"^modelimg_predictions_total\{.*\} (.*)$", metrics, re.MULTILINE)
    ]
    assert sum(predicted) == rows
    assert 'modelimg_feedback_total{outcome="accepted"} 48.0' in metrics
    assert 'modelimg_performance{metric="accuracy"} 1.0' in metrics


@pytest.mark.parametrize("workers", ["1", "2"])
def test_counts_survive_a_restart(serving, examples, workers, tmp_path):
    settings = {"MODELIMG_STATE_DIR": str(tmp_path / "state"), "MODELIMG_WORKERS": workers}
    for life in (1, 2):
        with serving(**settings) as (client, process):
            for _ in range(6):
                send(client, examples, 5)
            assert document(client).counts().rows == 30 * life
            process.send_signal(signal.SIGTERM)
            process.wait(40)
    (path,) = (tmp_path / "state").glob("*.json")
    assert Document.from_json(path.read_bytes()).counts().rows == 60


def test_a_worker_that_is_killed_loses_nothing_that_it_counted(serving, examples, tmp_path):
    settings = {"MODELIMG_STATE_DIR": str(tmp_path), "MODELIMG_WORKERS": "2"}
    with serving(**settings) as (client, process):
        for _ in range(10):
            send(client, examples, 3)
        assert document(client).counts().rows == 30
        children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True)
        for pid in children.stdout.split():
            with suppress(ProcessLookupError):  # the one who answered while the model was loaded has gone by itself
                os.kill(int(pid), signal.SIGKILL)
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                with httpx.Client(base_url=client.base_url, timeout=30) as other:
                    send(other, examples, 3)
                break
            except httpx.TransportError:
                time.sleep(0.05)
        with httpx.Client(base_url=client.base_url, timeout=30) as other:
            assert document(other).counts().rows == 33


def test_it_can_be_switched_off(serving, examples):
    with serving(MODELIMG_MONITOR="off") as (client, _):
        send(client, examples, 1)
        for answer in (client.get("/monitor.json"), client.post("/feedback", json={"prediction": 1, "label": 1})):
            assert answer.status_code == 404
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["detail"] == "this model is not monitored here"
        assert "modelimg_feature_values" not in client.get("/metrics").text


def test_faults_of_callers_are_problems(serving):
    with serving() as (client, _):
        for answer, status in (
            (client.get("/monitor.json?window=soon"), 400),
            (client.post("/feedback", content=b"{", headers={"content-type": "application/json"}), 400),
            (client.post("/feedback", json=[{}]), 422),
            (client.post("/feedback", content=b"a", headers={"content-type": "text/csv"}), 415),
            (client.get("/feedback"), 405),
        ):
            assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
            assert answer.json()["detail"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MODELIMG_MONITOR", "yes"),
        ("MODELIMG_MONITOR_WINDOW_SECONDS", "0"),
        ("MODELIMG_MONITOR_WINDOWS", "1001"),
        ("MODELIMG_FEEDBACK_ROWS", "-1"),
        ("MODELIMG_FEEDBACK_SECONDS", "1h"),
    ],
)
def test_settings_that_cannot_be_are_refused(name, value):
    with pytest.raises(SettingRefused, match=name):
        Settings.from_environ({name: value})


def test_its_routes_are_described_where_it_is_there(serving):
    with serving() as (client, _):
        paths = client.get("/openapi.json").json()["paths"]
        assert (list(paths["/feedback"]), list(paths["/monitor.json"])) == (["post"], ["get"])
        assert client.get("/docs").status_code == 200
    with serving(MODELIMG_MONITOR="off") as (client, _):
        assert not {"/feedback", "/monitor.json"} & client.get("/openapi.json").json()["paths"].keys()
