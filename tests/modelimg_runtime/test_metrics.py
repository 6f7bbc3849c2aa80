"""``/metrics`` and the access log of a served package: every protocol counts, and no caller makes up a label."""

from __future__ import annotations

import json
import logging

import pytest
from prometheus_client.parser import text_string_to_metric_families

JSON = {"content-type": "application/json"}


def metrics(client):
    response = client.get("/metrics")
    assert response.status_code == 200
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def rise(before, after, name, **labels):
    key = (name, *sorted(labels.items()))
    return after.get(key, 0) - before.get(key, 0)


def bodies(made, rows):
    names, matrix = list(rows[0]), [list(row.values()) for row in rows]
    tensors = [
        {"name": name, "shape": [len(rows)], "datatype": "FP64", "data": [row[name] for row in rows]} for name in names
    ]
    return {
        "/predict": {"rows": rows},
        "/invocations": {"dataframe_split": {"columns": names, "data": matrix}},
        "/v1/models/{name}:predict": {"instances": rows},
        "/v2/models/{name}/infer": {"inputs": tensors},
        "/v2/models/{name}/versions/{version}/infer": {"inputs": tensors},
    }


def path_of(route):
    return route.replace("{name}", "demo").replace("{version}", "1.2.3")


def test_rows_are_counted_by_what_became_of_them_in_every_protocol(regressor_client, regressor):
    bad = [{"a": 1.0, "b": 2.0}, {"a": None, "b": 2.0}]
    broken = [{"a": 1e6, "b": 0.0}]
    for route, good in bodies(regressor, regressor.rows).items():
        before = metrics(regressor_client)
        assert regressor_client.post(path_of(route), json=good).status_code == 200
        assert regressor_client.post(path_of(route), json=bodies(regressor, bad)[route]).status_code in (400, 422)
        assert regressor_client.post(path_of(route), json=bodies(regressor, broken)[route]).status_code == 500
        after = metrics(regressor_client)
        for outcome, rows in (("predicted", len(regressor.rows)), ("rejected", 2), ("failed", 1)):
            assert rise(before, after, "modelimg_rows_total", outcome=outcome) == rows, (route, outcome)
        failures = "modelimg_validation_failures_total"
        assert rise(before, after, failures, direction="input", column="a", check="not_nullable") == 1
        labels = {"direction": "output", "column": "prediction", "check": "less_than_or_equal_to(1000)"}
        assert rise(before, after, failures, **labels) == 1
        assert rise(before, after, "modelimg_requests_total", route=route, code="200") == 1
        assert rise(before, after, "modelimg_request_duration_seconds_count", route=route) == 3


def test_a_model_that_raises_fails_its_rows(mixed_client, mixed):
    before = metrics(mixed_client)
    rows = [{**row, "plan": "platinum"} for row in mixed.rows]
    assert mixed_client.post("/predict", json={"rows": rows}).status_code == 500
    after = metrics(mixed_client)
    assert rise(before, after, "modelimg_rows_total", outcome="failed") == len(rows)
    assert rise(before, after, "modelimg_requests_total", route="/predict", code="500") == 1


@pytest.mark.parametrize(
    ("method", "path", "route", "code"),
    [
        ("GET", "/nothing/here", "other", "404"),
        ("GET", "/predict/", "other", "404"),
        ("GET", "/v2/models/made-up", "/v2/models/{name}", "404"),
        ("POST", "/v1/models/made-up:predict", "/v1/models/{name}:predict", "404"),
        ("DELETE", "/predict", "/predict", "405"),
        ("POST", "/predict", "/predict", "415"),
        ("GET", "/livez", "/livez", "200"),
        ("GET", "/openapi.json", "/openapi.json", "200"),
    ],
)
def test_a_request_is_counted_by_its_route_never_by_its_path(mixed_client, method, path, route, code):
    before = metrics(mixed_client)
    assert mixed_client.request(method, path).status_code == int(code)
    after = metrics(mixed_client)
    assert rise(before, after, "modelimg_requests_total", route=route, code=code) == 1
    assert not any("made-up" in str(key) or "nothing" in str(key) for key in after)


def test_callers_make_up_no_labels(mixed_client, mixed):
    mixed_client.post("/predict", json={"rows": mixed.rows})
    mixed_client.post("/predict", json={"rows": [{"evil": 1}]})
    before = metrics(mixed_client)
    for number in range(40):
        rows = [{**mixed.rows[0], f"evil{number}": number, "age": f"evil{number}", "city": number}]
        assert mixed_client.post("/predict", json={"rows": rows}).status_code == 422
        assert mixed_client.get(f"/evil{number}").status_code == 404
        evil = {"content-type": f"evil/{number}", "x-request-id": f"evil{number}"}
        assert mixed_client.post("/predict", content=b"x", headers=evil).status_code == 415
    after = metrics(mixed_client)
    assert "evil" not in str(after)
    assert len(after.keys() - before.keys()) < 60


def test_metrics_name_the_model_and_answer_in_openmetrics_to_who_asks(cancer_client, cancer):
    manifest = json.loads((cancer.folder / "modelimg.json").read_text())
    info = {
        "model": "demo",
        "version": "1.2.3",
        "model_sha256": manifest["model"]["sha256"],
        "schema_sha256": manifest["files"]["input_schema.json"],
    }
    assert metrics(cancer_client)[("modelimg_info", *sorted(info.items()))] == 1
    response = cancer_client.get("/metrics", headers={"accept": "application/openmetrics-text;version=1.0.0"})
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    assert response.text.endswith("# EOF\n")
    assert cancer_client.get("/metrics").headers["content-type"].startswith("text/plain")


def test_metrics_are_there_before_the_model_is(cancer, tools):
    with tools.server_of(cancer.folder, MODELIMG_FAST_PATH="off") as server:
        server.wait_for("/metrics")
        status, _, text = server.request("GET", "/metrics")
        assert server.request("GET", "/readyz")[0] == 503
        assert (status, b"modelimg_info" in text) == (200, False)


ACCESS = {"MODELIMG_ACCESS_LOG": "on", "MODELIMG_LOG_FORMAT": "json"}


def test_the_access_log_says_who_asked_what_route_and_how_long_it_took_and_no_data(regressor, tools, tmp_path):
    log = tmp_path / "log"
    with log.open("w") as stderr, tools.server_of(regressor.folder, stderr=stderr, **ACCESS) as server:
        server.wait_for("/readyz")
        body = json.dumps({"rows": [{"a": 98765.25, "b": 1.0}] * 3}).encode()
        server.request(
            "POST", "/predict?probabilities=false", body, content_type="application/json", x_request_id="r-1"
        )
        server.request("GET", "/secret-path", x_request_id="r-2")
        server.process.terminate()
        assert server.process.wait(timeout=20) == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    asked = {line["request_id"]: line for line in lines if line["logger"] == "modelimg_runtime.access"}
    assert {key: asked["r-1"][key] for key in ("method", "route", "status", "rows", "level")} == {
        "method": "POST",
        "route": "/predict",
        "status": 500,
        "rows": 3,
        "level": "info",
    }
    assert 0 < asked["r-1"]["seconds"] < 20
    assert (asked["r-2"]["route"], asked["r-2"]["status"], asked["r-2"]["rows"]) == ("other", 404, None)
    assert "98765" not in log.read_text()
    assert "secret-path" not in log.read_text()


def test_without_being_asked_for_there_is_no_access_log(regressor_client, caplog):
    caplog.set_level(logging.INFO)
    regressor_client.get("/livez")
    assert not [record for record in caplog.records if record.name == "modelimg_runtime.access"]
