"""Two real servers, a real Prometheus that scrapes them, and every query of what is exported, asked of it."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace

import httpx
import numpy as np
import pytest

from modelimg.monitoring.dashboard import dashboard, expressions
from modelimg.monitoring.export import RULES, export
from modelimg.monitoring.merge import compare, merge
from modelimg.monitoring.promql import features, predictions
from modelimg.monitoring.rules import rule_file
from modelimg_runtime.drift.statistics import psi
from modelimg_runtime.monitor import Baseline
from modelimg_runtime.package import open_package

JOB = "cancer"
GRAFANA = {"$__rate_interval": "20s", "$__range": "5m", "$job": JOB, "$instance": ".+"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@contextmanager
def running(command, url: str, environ=None):
    """A process that is ready when the URL answers."""
    process = subprocess.Popen(
        command, env={**os.environ, **(environ or {})}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until(lambda: answers(url))
        yield
    finally:
        process.terminate()
        process.wait(40)


def answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


def until(holds, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


def replica(package: Path) -> tuple[str, list[str], dict[str, str]]:
    port = free_port()
    environ = {"MODELIMG_MODEL_DIR": str(package), "MODELIMG_HOST": "127.0.0.1", "PORT": str(port)}
    return f"127.0.0.1:{port}", [sys.executable, "-m", "modelimg_runtime", "serve"], environ


def send(client: httpx.Client, examples, rows: int, seed: int) -> None:
    """Rows near the packed examples, a label, a row that breaks the contract, and a path that is none."""
    random = np.random.default_rng(seed)
    chosen = random.integers(len(examples["rows"]), size=rows)
    values = np.array(examples["rows"], dtype=float)[chosen] * random.uniform(
        0.9, 1.05, (rows, len(examples["columns"]))
    )
    answer = client.post("/predict", json={"columns": dict(zip(examples["columns"], values.T.tolist(), strict=True))})
    assert answer.status_code == 200, answer.text
    assert client.post("/predict", json={"rows": [{}]}).status_code == 422
    label = {"prediction_id": answer.json()["id"], "label": answer.json()["predictions"][0]}
    assert client.post("/feedback", json=label).json()["accepted"] == 1


@pytest.fixture(scope="module")
def scraped(breast_cancer: Path, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("prometheus")
    baseline = Baseline.of(open_package(breast_cancer))
    export(baseline, folder, job=JOB)
    examples = json.loads((breast_cancer / "examples.json").read_text())
    with ExitStack() as stack:
        hosts = []
        for host, command, environ in (replica(breast_cancer), replica(breast_cancer)):
            stack.enter_context(running(command, f"http://{host}/readyz", environ))
            hosts.append(host)
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
            "rule_files": [RULES],
            "scrape_configs": [{"job_name": JOB, "static_configs": [{"targets": hosts}]}],
        }
        (folder / "prometheus.yml").write_text(json.dumps(config))
        address = f"127.0.0.1:{free_port()}"
        command = [
            "prometheus",
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address={address}",
        ]
        stack.enter_context(running(command, f"http://{address}/-/ready"))
        client = stack.enter_context(httpx.Client(base_url=f"http://{address}"))

        def ask(expr: str) -> list[dict]:
            answer = client.get("/api/v1/query", params={"query": expr}).json()
            assert answer["status"] == "success", (expr, answer)
            return answer["data"]["result"]

        until(lambda: len(ask("count_over_time(modelimg_info[1m]) >= 2")) == 2)
        for number, host in enumerate(hosts):
            with httpx.Client(base_url=f"http://{host}", timeout=30) as own:
                for _ in range(2):  # two labels at different moments, so that rates are not of single samples
                    send(own, examples, 600, number)
        until(
            lambda: (
                [float(each["value"][1]) for each in ask('sum(modelimg_rows_total{outcome="predicted"})')] == [2400.0]
            )
        )
        time.sleep(2.5)  # rates want two samples of what began just now
        metrics = "".join(httpx.get(f"http://{host}/metrics").text for host in hosts)
        yield SimpleNamespace(ask=ask, hosts=hosts, baseline=baseline, metrics=metrics, package=breast_cancer)


def test_every_metric_that_is_asked_for_is_exposed(scraped) -> None:
    exposed = {*re.findall(r"^(\w+)[{ ]", scraped.metrics, re.MULTILINE)}
    groups = rule_file(scraped.baseline, JOB)["groups"]
    asked = expressions(dashboard(scraped.baseline)) + [rule["expr"] for group in groups for rule in group["rules"]]
    named = {name for expr in asked for name in re.findall(r"(?<![\w:])(?:modelimg|process)_\w+(?=[\[{])", expr)}
    assert len(named) > 15
    assert named - exposed == set()
    labels = {label for expr in asked for label in re.findall(r"[{,](\w+)(?==~?\")", expr)}
    assert labels - {*re.findall(r"[{,](\w+)=\"", scraped.metrics)} == {"job", "instance"}


def test_every_panel_has_something_to_show(scraped) -> None:
    feature = scraped.baseline.input.names[0]
    silent = []
    for expr in expressions(dashboard(scraped.baseline)):
        for text, meaning in {**GRAFANA, "${feature:raw}": feature}.items():
            expr = expr.replace(text, meaning)
        if not any(np.isfinite(float(each["value"][1])) for each in scraped.ask(expr)):
            silent.append(expr)
    assert silent == []


def test_bins_are_drawn_in_the_order_of_the_profile(scraped) -> None:
    baseline = scraped.baseline
    asked = [(features(baseline.input.rows).place(f'feature="{each.name}"'), each) for each in baseline.input.columns]
    asked.append((predictions(baseline.output.rows, 1).place(), baseline.output.predictions[0]))
    for expr, column in asked:
        places = {each["metric"]["bin"]: float(each["value"][1]) for each in scraped.ask(expr)}
        assert len(places) == len(column.bins.labels), column.name
        assert sorted(column.bins.labels, key=places.__getitem__) == list(column.bins.labels)


def test_the_index_is_that_of_the_merged_replicas(scraped) -> None:
    """Of the counters as they are it is the same number; over a range, as near as ``increase`` extrapolates."""
    document = merge([f"http://{host}" for host in scraped.hosts])
    counts, columns = document.counts(), scraped.baseline.input.columns
    assert (counts.rows, len(document.replicas)) == (2400, 2)
    histogram = features(scraped.baseline.input.rows)
    packed = histogram.packed()
    raw = f'sum by ({histogram.bins}) ({histogram.counter}{{bin!="<missing>"}})'
    exact = histogram.psi(*(f"({histogram.smoothed(each, f'({packed})')})" for each in (raw, f"({packed})")))
    found = {each["metric"]["feature"]: float(each["value"][1]) for each in scraped.ask(exact)}
    near = {each["metric"]["feature"]: float(each["value"][1]) for each in scraped.ask(histogram.index("5m"))}
    report = {each.name: each.distribution for each in compare(document, scraped.baseline, None).inputs.columns}
    assert len(found) == len(columns)
    for column in columns:
        sides = (np.array(each[:-1], dtype=float) for each in (column.counts, counts.inputs[column.name]))
        expected = psi(*sides)
        assert found[column.name] == pytest.approx(expected, rel=1e-9)
        assert near[column.name] == pytest.approx(expected, rel=0.1)
        # The report puts bins together that are all but empty; test_export shows that both are equal where it does not.
        assert found[column.name] == pytest.approx(report[column.name].psi.value, rel=0.1)
