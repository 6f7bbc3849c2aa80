"""Four clients at once at two workers, by every protocol and in requests of all sizes: what they sent is what counts."""

from __future__ import annotations

import csv
import io
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from modelimg_runtime import contract
from modelimg_runtime.monitor import Document
from modelimg_runtime.profile import InputProfile

ROOT = Path(__file__).parents[3]
CLIENTS, REQUESTS = 4, 24
SIZES = (1, 2, 6, 7, 40, 150)
NUMBERS = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]
WORDS = ["island", "sex"]


@dataclass(frozen=True)
class Served:
    """A package, and rows to send, of which some have missing values."""

    folder: Path
    rows: list[dict[str, object]]
    classes: list[object]


@pytest.fixture(scope="module")
def penguins_served(tools, make, tmp_path_factory):
    frame = pd.read_csv(ROOT / "examples/penguins/penguins.csv")
    X, y = frame[[*NUMBERS, *WORDS]].astype(dict.fromkeys(NUMBERS, "float64")), frame["species"]
    words = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    encode = make_column_transformer((SimpleImputer(), NUMBERS), (words, WORDS))
    columns = {name: pa.Column("float64", pa.Check.ge(0), nullable=True) for name in NUMBERS}
    columns |= {name: pa.Column("str", nullable=True) for name in WORDS}
    return packed(
        tools, make, tmp_path_factory, make_pipeline(encode, LogisticRegression(max_iter=5000)), X, y, columns
    )


@pytest.fixture(scope="module")
def cancer_served(tools, make, tmp_path_factory):
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    columns = {name: pa.Column("float64", pa.Check.ge(0)) for name in X}
    return packed(tools, make, tmp_path_factory, LogisticRegression(max_iter=10_000), X, y, columns)


def packed(tools, make, tmp_path_factory, model, X, y, columns):
    """Fitted on one half, and the other to serve."""
    model.fit(X[::2], y[::2])
    predictions, classes = model.predict(X[::2]), model.classes_.tolist()
    output = make.classifier_output(predictions, model.predict_proba(X[::2]), classes)
    profiles = {
        contract.INPUT_PROFILE: make.input_profile(X[::2]).to_json().encode(),
        contract.OUTPUT_PROFILE: output.to_json().encode(),
    }
    kind = "str" if isinstance(classes[0], str) else "int64"
    answers = {f"probability_{name}": pa.Column("float64", pa.Check.in_range(0, 1)) for name in classes}
    answers = pa.DataFrameSchema({"prediction": pa.Column(kind, pa.Check.isin(classes)), **answers}, strict=True)
    contract_of = pa.DataFrameSchema(columns, strict=True)
    folder = tmp_path_factory.mktemp("clients") / "model"
    made = tools.write_package(folder, model, X[:5].dropna(), contract_of, answers, extra=profiles)
    held = X[1::2]
    rows = held.astype(object).where(held.notna(), None).to_dict(orient="records")
    return Served(made.folder, rows, classes)


def native(rows):
    return "/predict", {"rows": rows}


def columns(rows):
    return "/predict", {"columns": {name: [row[name] for row in rows] for name in rows[0]}}


def records(rows):
    return "/invocations", {"dataframe_records": rows}


def split(rows):
    return "/invocations", {"dataframe_split": {"columns": [*rows[0]], "data": [[*row.values()] for row in rows]}}


def instances(rows):
    return "/v1/models/demo:predict", {"instances": rows}


def tensors(rows):
    """Tensors have no missing values: rows without any."""
    kinds = {float: "FP64", str: "BYTES"}
    inputs = [
        {"name": name, "datatype": kinds[type(value)], "shape": [len(rows)], "data": [row[name] for row in rows]}
        for name, value in rows[0].items()
    ]
    return "/v2/models/demo/infer", {"inputs": inputs}


def table(rows):
    text = io.StringIO()
    writer = csv.DictWriter(text, [*rows[0]])
    writer.writeheader()
    writer.writerows([{name: "" if value is None else value for name, value in row.items()} for row in rows])
    return "/predict", text.getvalue()


PROTOCOLS = (native, columns, records, split, instances, tensors, table)


@dataclass
class Client:
    """A caller that keeps what it sent and what it was told."""

    url: str
    served: Served
    number: int
    sent: list[dict[str, object]] = field(default_factory=list)
    answers: Counter = field(default_factory=Counter)
    refused: Counter = field(default_factory=Counter)

    def run(self):
        random = np.random.RandomState(self.number)
        for repeat in range(REQUESTS):
            # A connection for each, so that both workers are asked.
            with httpx.Client(base_url=self.url, timeout=30) as client:
                protocol = PROTOCOLS[(repeat + self.number) % len(PROTOCOLS)]
                rows = [self.served.rows[i] for i in random.randint(len(self.served.rows), size=random.choice(SIZES))]
                if protocol is tensors:
                    rows = [row for row in rows if None not in row.values()] or [complete(self.served.rows)]
                self.ask(client, protocol, rows)
                self.be_refused(client, protocol, rows, repeat)

    def ask(self, client, protocol, rows):
        answer = post(client, *protocol(rows))
        assert answer.status_code == 200, answer.text
        told = answer.json()
        predictions = told["outputs"][0]["data"] if "outputs" in told else told["predictions"]
        assert len(predictions) == len(rows)
        self.sent += rows
        self.answers.update(predictions)

    def be_refused(self, client, protocol, rows, repeat):
        """The same rows again with one that is broken, or a body that cannot be read: nothing of it counts."""
        path, body = protocol(rows)
        broken = [*rows[:-1], {**rows[-1], next(iter(rows[-1])): -1.0}]
        if repeat % 3 == 0:
            answer = post(client, *protocol(broken))
        elif repeat % 3 == 1:
            answer = post(client, path, (body if isinstance(body, str) else json.dumps(body))[:-9])
        else:
            answer = client.post(path, content=b"x", headers={"content-type": "image/png"})
        assert 400 <= answer.status_code < 500, (repeat, path, answer.status_code, answer.text)
        self.refused[answer.status_code] += 1


def complete(rows):
    return next(row for row in rows if None not in row.values())


def post(client, path, body):
    if isinstance(body, str):
        kind = "application/json" if body.startswith("{") else "text/csv"
        return client.post(path, content=body, headers={"content-type": kind})
    return client.post(path, json=body)


@pytest.mark.parametrize("name", ["penguins_served", "cancer_served"])
def test_counters_of_two_workers_are_the_rows_that_four_clients_sent(name, request, tools, show):
    served = request.getfixturevalue(name)
    with tools.server_of(served.folder, MODELIMG_WORKERS="2") as server:
        server.wait_for("/readyz")
        clients = [Client(f"http://127.0.0.1:{server.port}", served, number) for number in range(CLIENTS)]
        in_parallel([client.run for client in clients])
        document = settled(server, sum(len(client.sent) for client in clients))
        metrics = samples_of(server.request("GET", "/metrics")[2].decode())
    sent = pd.DataFrame([row for client in clients for row in client.sent])
    answers, refused = (
        sum((getattr(client, what) for client in clients), Counter()) for what in ("answers", "refused")
    )
    requests = sum(refused.values())
    assert requests == CLIENTS * REQUESTS
    assert {labels for name, labels in metrics if name == "process_start_time_seconds"} == {("0",), ("1",)}
    check_document(document, served, sent, answers)
    check_metrics(metrics, served, sent, answers)
    show(f"{name}: {len(sent)} rows in {requests} requests counted, {requests} requests refused ({dict(refused)})")


def settled(server, rows):
    """The document once so many rows are counted, which may be a moment after they were answered; and no more come."""
    deadline = time.monotonic() + 10
    while (document := document_of(server)).counts().rows < rows:
        assert time.monotonic() < deadline, document.counts().rows
        time.sleep(0.05)
    time.sleep(0.5)
    return document_of(server)


def document_of(server):
    return Document.from_json(server.request("GET", "/monitor.json")[2])


def in_parallel(works):
    threads = [threading.Thread(target=work) for work in works]
    faults = []
    threading.excepthook, before = lambda fault: faults.append(fault.exc_value), threading.excepthook
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        threading.excepthook = before
    assert not faults, faults


def check_document(document, served, sent, answers):
    counts, profiles = document.counts(), profiles_of(served)
    assert counts.rows == len(sent) == sum(answers.values())
    assert set(counts.inputs) == {column.name for column in profiles}
    for column in profiles:
        assert counts.inputs[column.name] == expected_of(column, sent), column.name
    assert counts.outputs["prediction"] == (*(answers[each] for each in served.classes), 0, 0, 0)
    for found in [*counts.inputs.values(), *counts.outputs.values()]:
        assert sum(found) == len(sent)
    in_windows = sum(window.rows for window in document.windows.values())
    assert in_windows == len(sent)


def check_metrics(metrics, served, sent, answers):
    assert metrics["modelimg_rows_total", ("predicted",)] == len(sent)
    for column in profiles_of(served):
        by_bin = dict(zip(column.bins.labels, expected_of(column, sent), strict=True))
        found = {
            labels[0]: value
            for (name, labels), value in metrics.items()
            if name == "modelimg_feature_values_total" and labels[1] == column.name
        }
        assert found == by_bin
        assert sum(found.values()) == len(sent)
    for each in served.classes:
        assert metrics["modelimg_predictions_total", (str(each),)] == answers[each]


def profiles_of(served):
    return InputProfile.from_json((served.folder / contract.INPUT_PROFILE).read_bytes()).columns


def expected_of(column, sent):
    return tuple(column.binner().counts(sent[column.name].tolist()).tolist())


def samples_of(text):
    """Name and values of labels, sorted by their names → value."""
    return {
        (sample.name, tuple(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
