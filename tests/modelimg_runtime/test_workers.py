"""Several workers: one model in memory, exact counts, and an end that loses nothing. Real processes throughout."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sklearn.cluster import KMeans
from sklearn.ensemble import HistGradientBoostingRegressor

TWO = {"MODELIMG_WORKERS": "2"}


def workers_of(server) -> set[int]:
    tasks = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    return {int(pid) for pid in tasks.read_text().split()}


def wait_until(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def ready(server, workers=2):
    server.wait_for("/readyz")
    wait_until(lambda: len(workers_of(server)) == workers)  # the doorman has gone


def predict(server, made):
    body = json.dumps({"columns": made.columns}).encode()
    return server.request("POST", "/predict", body, content_type="application/json")


def total(server, name, **labels):
    text = server.request("GET", "/metrics")[2].decode()
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return sum(each.value for each in samples if each.name == name and labels.items() <= each.labels.items())


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_once_it_is_ready_it_stays_ready(regressor, tools):
    with tools.server_of(regressor.folder, MODELIMG_WORKERS="2") as server:
        server.wait_for("/livez")  # the doorman's
        server.wait_for("/readyz")
        asked_alone = [server.request("GET", "/readyz")[0] for _ in range(200)]
        assert set(asked_alone) == {200}
        assert predict(server, regressor)[0] == 200


def test_workers_share_one_count_answer_alike_survive_a_kill_and_end_together(cancer, tools):
    expected = json.loads(cancer.files["examples.json"])["predictions"]
    with tools.server_of(cancer.folder, **TWO) as server:
        ready(server)
        before = workers_of(server)
        for _ in range(40):
            status, _, answer = predict(server, cancer)
            assert (status, json.loads(answer)["predictions"]) == (200, expected)
        assert total(server, "modelimg_requests_total", route="/predict") == 40
        victim = min(before)
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: len(workers_of(server) - {victim}) == 2)
        for _ in range(20):
            assert predict(server, cancer)[0] == 200
        assert {total(server, "modelimg_requests_total", route="/predict") for _ in range(10)} == {60}
        assert total(server, "modelimg_rows_total") == 60 * 5
        assert total(server, "modelimg_process_starts_total") == 4  # the doorman, two workers, and the new one
        after = workers_of(server)
        server.process.terminate()
        _, err = server.process.communicate(timeout=30)
    assert server.process.returncode == 0
    assert f"worker {victim} ended with signal 9" in err
    assert all(gone(pid) for pid in before | after)


def test_both_workers_serve_and_each_shows_its_memory(cancer, tools):
    with tools.server_of(cancer.folder, **TWO) as server:
        ready(server)
        connections = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(12)]
        for each in connections:
            each.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert each.recv(4096).startswith(b"HTTP/1.1 200 ")
        held = [
            sum(str(link.readlink()).startswith("socket:") for link in Path(f"/proc/{pid}/fd").iterdir())
            for pid in workers_of(server)
        ]
        for each in connections:
            each.close()
        assert abs(held[0] - held[1]) <= 8  # without turns, one had them all
        assert total(server, "process_resident_memory_bytes", worker="0") > 0
        assert total(server, "process_resident_memory_bytes", worker="1") > 0
        assert total(server, "process_resident_memory_bytes", worker="2") == 0


def test_while_the_model_is_loaded_the_server_is_alive_and_not_ready(cancer, tools):
    with tools.server_of(cancer.folder, MODELIMG_FAST_PATH="off", **TWO) as server:
        server.wait_for("/livez")
        status, _, document = server.request("GET", "/readyz")
        assert (status, json.loads(document)["type"]) == (503, "urn:modelimg:problem:not-ready")
        assert predict(server, cancer)[0] == 503
        ready(server)
        assert predict(server, cancer)[0] == 200


def test_sigterm_while_loading_ends_with_0_and_leaves_nobody(cancer, tools):
    with tools.server_of(cancer.folder, MODELIMG_FAST_PATH="off", **TWO) as server:
        server.wait_for("/livez")
        children = workers_of(server)
        server.process.terminate()
        assert server.process.wait(timeout=20) == 0
        wait_until(lambda: all(gone(pid) for pid in children))


def test_a_refused_package_ends_with_one_sentence_and_leaves_nobody(fresh_cancer, tools):
    path = fresh_cancer.folder / "model.joblib"
    path.write_bytes(path.read_bytes() + b"\0")
    result = tools.run_runtime("serve", folder=fresh_cancer.folder, PORT=str(tools.free_port()), **TWO)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("modelimg: model.joblib has sha256 ")
    assert "Traceback" not in result.stderr


def test_workers_that_die_again_and_again_end_the_server_with_1(regressor, tools):
    with tools.server_of(regressor.folder, **TWO) as server:
        ready(server)
        killed = set()
        deadline = time.monotonic() + 30
        while server.process.poll() is None:
            assert time.monotonic() < deadline
            for pid in workers_of(server) - killed if server.process.poll() is None else ():
                killed.add(pid)
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        _, err = server.process.communicate(timeout=20)
    assert server.process.returncode == 1
    assert err.splitlines()[-1] == "modelimg: 5 workers in a row ended within 5 seconds"
    assert all(gone(pid) for pid in killed)


def test_workers_end_when_their_parent_is_killed(regressor, tools):
    with tools.server_of(regressor.folder, **TWO) as server:
        ready(server)
        workers = workers_of(server)
        server.process.kill()
        server.process.wait(timeout=20)
        wait_until(lambda: all(gone(pid) for pid in workers))


def test_sigterm_lets_the_requests_of_all_workers_finish(regressor, tools):
    body = json.dumps({"rows": regressor.rows}).encode()
    head = f"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    with tools.server_of(regressor.folder, **TWO) as server:
        ready(server)
        wires = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(8)]
        for wire in wires:
            wire.sendall(head.encode() + body[:10])
        time.sleep(0.3)
        server.process.terminate()
        time.sleep(0.3)
        for wire in wires:
            wire.sendall(body[10:])
            with wire, wire.makefile("rb") as stream:
                assert stream.readline().startswith(b"HTTP/1.1 200")
                assert stream.read()
        assert server.process.wait(timeout=20) == 0


def numbers(rows: int = 400) -> pd.DataFrame:
    random = np.random.default_rng(3)
    return pd.DataFrame({"a": random.normal(size=rows), "b": random.normal(size=rows)})


@pytest.fixture(scope="module", params=["boosting", "clusters"])
def openmp(request, tools, tmp_path_factory):
    """Models that predict with OpenMP, whose threads do not survive a fork."""
    X = numbers()
    if request.param == "boosting":
        model, dtype = HistGradientBoostingRegressor(max_iter=5).fit(X, X["a"] * 2), "float64"
    else:
        model, dtype = KMeans(3, n_init=1, random_state=0).fit(X), "int32"
    schema = pa.DataFrameSchema({"a": pa.Column("float64"), "b": pa.Column("float64")}, strict=True)
    output = pa.DataFrameSchema({"prediction": pa.Column(dtype)}, strict=True)
    return tools.write_package(tmp_path_factory.mktemp("openmp") / "model", model, X[:300], schema, output)


@pytest.mark.parametrize("threads", [None, "2"])
def test_models_that_use_openmp_answer_in_every_worker(openmp, threads, tools):
    expected = json.loads(openmp.files["examples.json"])["predictions"]
    asked = {"OMP_NUM_THREADS": threads} if threads else {}
    with tools.server_of(openmp.folder, MODELIMG_FAST_PATH="off", **TWO, **asked) as server:
        ready(server)
        answers = []

        def ask():
            for _ in range(4):
                status, _, answer = predict(server, openmp)
                answers.append((status, json.loads(answer)["predictions"]))

        callers = [threading.Thread(target=ask) for _ in range(4)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        assert len(answers) == 16
        assert all(status == 200 and found == pytest.approx(expected, rel=1e-9) for status, found in answers)
        if threads:  # beside the event loop and the one that answers requests, OpenMP's
            assert max(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in workers_of(server)) > 2
