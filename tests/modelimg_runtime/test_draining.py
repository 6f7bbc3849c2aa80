"""The end of a server: readiness goes first, then connections, and nobody who asked is left without an answer."""

from __future__ import annotations

import http.client
import json
import signal
import time

import pytest

JSON = {"content-type": "application/json"}


def connect(server) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)


def ask(connection, method, path, body=None):
    connection.request(method, path, body, JSON)
    response = connection.getresponse()
    return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()


@pytest.fixture(params=["1", "2"], ids=["one process", "two workers"])
def patient(request, regressor, tools):
    """A server that goes on accepting for two seconds."""
    limits = {"MODELIMG_DRAIN_DELAY_SECONDS": "2", "MODELIMG_WORKERS": request.param}
    with tools.server_of(regressor.folder, **limits) as server:
        server.wait_for("/readyz")
        yield server


def test_while_draining_it_is_not_ready_and_still_answers_and_tells_callers_to_leave(patient, regressor):
    body = json.dumps({"rows": regressor.rows}).encode()
    kept = connect(patient)
    assert ask(kept, "GET", "/readyz")[0] == 200
    patient.process.terminate()
    time.sleep(0.3)
    for path in ("/readyz", "/v2/health/ready", "/ping", "/v2/models/demo/ready"):
        fresh = connect(patient)
        status, headers, document = ask(fresh, "GET", path)
        fresh.close()
        assert (status, headers["connection"]) == (503, "close")
        assert "about to end" in document.decode()
    for connection in (kept, connect(patient)):
        status, headers, answer = ask(connection, "POST", "/predict", body)
        assert (status, headers["connection"]) == (200, "close")
        assert len(json.loads(answer)["predictions"]) == len(regressor.rows)
        connection.close()
    with_livez = connect(patient)
    assert ask(with_livez, "GET", "/livez")[0] == 200
    with_livez.close()
    assert patient.process.wait(timeout=20) == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_waits_for_no_load_balancer(regressor, tools, workers):
    limits = {"MODELIMG_DRAIN_DELAY_SECONDS": "20", "MODELIMG_WORKERS": workers}
    with tools.server_of(regressor.folder, **limits) as server:
        server.wait_for("/readyz")
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(timeout=15) == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_request_on_a_kept_connection_just_after_sigterm_is_answered(regressor, tools, workers):
    body = json.dumps({"rows": regressor.rows}).encode()
    with tools.server_of(regressor.folder, MODELIMG_WORKERS=workers) as server:
        server.wait_for("/readyz")
        kept = [connect(server) for _ in range(6)]
        for connection in kept:
            assert ask(connection, "GET", "/livez")[0] == 200
        server.process.terminate()
        for connection in kept:
            time.sleep(0.04)
            status, headers, _ = ask(connection, "POST", "/predict", body)
            assert (status, headers["connection"]) == (200, "close")
            connection.close()
        assert server.process.wait(timeout=20) == 0


@pytest.mark.parametrize(
    ("environ", "delay"),
    [
        ({}, 0),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, 5),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "MODELIMG_DRAIN_DELAY_SECONDS": "0"}, 0),
        ({"MODELIMG_DRAIN_DELAY_SECONDS": "9"}, 9),
    ],
)
def test_kubernetes_is_given_time_to_notice(environ, delay):
    from modelimg_runtime.environment import Settings

    assert Settings.from_environ(environ).drain_delay == delay
